"""The operations of the bench in PyTorch, timed on request: one JSON question a line on standard input, one answer a line.

    {"hello": true}                                  -> {"torch": version, "threads": n}
    {"prepare": {...}, "op": name, "phase": name}    -> {"ready": true} or {"error": text}
    {"run": calls}                                   -> {"ms": [each call's time]}

An operation is a function `op(phase, **arguments)` in OPS that returns what to call. Convolutions run channels_last, PyTorch's
faster layout here, with the operands made outside of the timed call.
"""
import json
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


def batch_norm_relu(phase, n, h, w, c):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(c), torch.nn.ReLU())
    x, g = images(n, h, w, c).requires_grad_(), images(n, h, w, c)

    def step():
        x.grad = None
        model(x).backward(g)

    return step


def backward_of(forward, backward):
    """What to call for the gradient with respect to the input, given an output of `forward` and a gradient like it."""
    output = forward()
    grad = torch.rand_like(output[0] if isinstance(output, tuple) else output)
    return lambda: backward(grad, output)


def max_pool(phase, n, h, w, c, k, s, p):
    x = images(n, h, w, c)
    # PyTorch computes the indices also where no gradient is wanted.
    forward = lambda: torch.ops.aten.max_pool2d_with_indices(x, [k, k], [s, s], [p, p])
    if phase != "grad_input":
        return forward
    return backward_of(
        forward,
        lambda g, y: torch.ops.aten.max_pool2d_with_indices_backward(
            g, x, [k, k], [s, s], [p, p], [1, 1], False, y[1]
        ),
    )


def average_pool(phase, n, h, w, c, k, s, p):
    x = images(n, h, w, c)
    forward = lambda: F.avg_pool2d(x, k, s, p)
    if phase == "forward":
        return forward
    return backward_of(
        forward,
        lambda g, _: torch.ops.aten.avg_pool2d_backward(g, x, [k, k], [s, s], [p, p], False, True, None),
    )


def adaptive_average(phase, n, h, w, c, oh, ow):
    x = images(n, h, w, c)
    forward = lambda: F.adaptive_avg_pool2d(x, (oh, ow))
    if phase == "forward":
        return forward
    return backward_of(forward, lambda g, _: torch.ops.aten._adaptive_avg_pool2d_backward(g, x))


def bilinear(phase, n, h, w, c, oh, ow, corners):
    x = images(n, h, w, c)
    forward = lambda: F.interpolate(x, (oh, ow), mode="bilinear", align_corners=corners)
    if phase == "forward":
        return forward
    return backward_of(
        forward,
        lambda g, _: torch.ops.aten.upsample_bilinear2d_backward(g, [oh, ow], [n, c, h, w], corners, None, None),
    )


OPS = {
    "dense": conv,
    "depthwise": conv,
    "grouped": conv,
    "dkd": dkd,
    "batch_norm_relu": batch_norm_relu,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "adaptive_average": adaptive_average,
    "bilinear": bilinear,
}


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
