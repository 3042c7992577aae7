"""The operations of the bench in PyTorch, timed on request: one JSON question a line on standard input, one answer a line.

    {"hello": true}                                  -> {"torch": version, "threads": n}
    {"prepare": {...}, "op": name, "phase": name}    -> {"ready": true} or {"error": text}
    {"run": calls}                                   -> {"ms": [each call's time]}

An operation is a function `op(phase, **arguments)` in OPS that returns what to call. Convolutions run channels_last, PyTorch's
faster layout here, with the operands made outside of the timed call.
"""
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.manual_seed(0)


def images(n, h, w, c):
    return torch.rand(n, c, h, w).contiguous(memory_format=torch.channels_last)


def conv(phase, n, h, w, ci, co, k, stride, groups, padding=None, dilation=1):
    padding = dilation * (k // 2) if padding is None else padding
    x = images(n, h, w, ci)
    weight = torch.rand(co, ci // groups, k, k).contiguous(memory_format=torch.channels_last)
    forward = lambda: F.conv2d(x, weight, None, stride, padding, dilation, groups)
    if phase == "forward":
        return forward
    grad = torch.rand_like(forward()).contiguous(memory_format=torch.channels_last)
    mask = [phase == "grad_input", phase == "grad_weight", False]
    return lambda: torch.ops.aten.convolution_backward(
        grad, x, weight, None, [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups, mask
    )


def dkd_loss(s, t, y, alpha=1.0, beta=8.0, temperature=4.0):
    target = F.one_hot(y, s.shape[1]).bool()
    ps, pt = F.softmax(s / temperature, 1), F.softmax(t / temperature, 1)
    pair = lambda p: torch.stack([(p * target).sum(1), (p * ~target).sum(1)], 1)
    scale = temperature**2 / len(y)
    tckd = F.kl_div(pair(ps).log(), pair(pt), reduction="sum") * scale
    student = F.log_softmax(s / temperature - 1000.0 * target, 1)
    teacher = F.softmax(t / temperature - 1000.0 * target, 1)
    return alpha * tckd + beta * F.kl_div(student, teacher, reduction="sum") * scale


def dkd(phase, n, c):
    s, t = torch.randn(n, c, requires_grad=True), torch.randn(n, c)
    y = torch.randint(0, c, (n,))

    def step():
        s.grad = None
        dkd_loss(s, t, y).backward()

    return step


def symmetries(x):
    """The eight images of NCHW maps, in the order of their codes."""
    flips = lambda m: [m, m.flip(-1), m.flip(-2), m.flip(-2, -1)]
    return flips(x) + flips(x.transpose(-2, -1))


def align(a, t, selection, tau=0.1):
    if selection == "mixed":
        images = torch.stack(symmetries(a), 1)
        weights = F.softmax(-(images - t[:, None]).square().mean((2, 3, 4)) / tau, 1)
        return F.mse_loss((weights[:, :, None, None, None] * images).sum(1), t)
    if selection == "hard by position":
        a, t, divisor = F.normalize(a, dim=1), F.normalize(t, dim=1), a.shape[2] * a.shape[3]
    else:
        unit = lambda m: m / torch.linalg.vector_norm(m, dim=(1, 2, 3), keepdim=True)
        a, t, divisor = unit(a), unit(t), 1
    distances = torch.stack([(image - t).square().sum((1, 2, 3)) for image in symmetries(a)], 1) / divisor
    if selection == "soft-min":
        return -tau * (torch.logsumexp(-distances / tau, 1) - math.log(8)).mean()
    return distances.amin(1).mean()


def flip_align(phase, n, h, w, c, selection):
    # channels_last is the faster layout here too: 2.0 against 5.0 ms at 2 x 2 x 512, 66 against 85 at 14 x 14 x 512.
    a, t = images(n, h, w, c).requires_grad_(), images(n, h, w, c)

    def step():
        a.grad = None
        align(a, t, selection).backward()

    return step


def batch_norm_relu(phase, n, h, w, c):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(c), torch.nn.ReLU())
    x, g = images(n, h, w, c).requires_grad_(), images(n, h, w, c)

    def step():
        x.grad = None
        model(x).backward(g)

    return step


OPS = {"dense": conv, "depthwise": conv, "grouped": conv, "dkd": dkd, "flip_align": flip_align, "batch_norm_relu": batch_norm_relu}


def main():
    call = None
    for line in sys.stdin:
        question = json.loads(line)
        if "hello" in question:
            answer = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        elif "prepare" in question:
            try:
                call = OPS[question["op"]](question["phase"], **question["prepare"])
                for _ in range(3):
                    call()
                answer = {"ready": True}
            except Exception as error:  # a row that PyTorch cannot run stays blank
                print(f"torch_peer: {question}: {error}", file=sys.stderr)
                call, answer = None, {"error": str(error)}
        else:
            times = []
            for _ in range(question["run"] if call else 0):
                start = time.perf_counter()
                call()
                times.append((time.perf_counter() - start) * 1e3)
            answer = {"ms": times}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
