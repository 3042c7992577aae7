"""The operations of the bench in PyTorch, on the bench's own operands: one JSON question a line on standard input, one answer a line.

    torch_peer.py cpu|cuda FOLDER

    {"hello": true}                                      -> {"torch": version, "threads": n}
    {"variant", "op", "phase", "arguments", "do", "draw": ...}   -> {...} or {"error": text}
        "do": "load", "inputs": [{"path", "shape", "labels"}], "drop": another draw that is not needed any more
        "do": "turn", "turn": {"discarded", "least", "ms", "together", "flush"}  -> {"ms": [each counted call's time]}
        "do": "outputs"                                              -> {"files": [raw little-endian f32, our layout]}
        "do": "operands"                                             -> the same, of the inputs without labels

An operation is a function `op(phase, inputs, **arguments)` in OPS. It gets the inputs in our layout (images NHWC, weights
[kh, kw, ci / groups, co]) and returns what to call, and how to bring its result into our layout. Layouts are changed outside of the
timed call; convolutions run channels_last, PyTorch's faster layout here.
"""
import json
import math
import os
import sys
import time
from types import SimpleNamespace

import torch
import torch.nn.functional as F

DEVICE, FOLDER = sys.argv[1], sys.argv[2]
torch.set_num_threads(len(os.sched_getaffinity(0)))


def images(x):
    """NHWC to NCHW in channels_last: the same memory."""
    return x.permute(0, 3, 1, 2)


def ours(y):
    """NCHW to NHWC."""
    return y.permute(0, 2, 3, 1)


def weights(w):
    """[kh, kw, ci, co] to [co, ci, kh, kw]."""
    return w.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)


def leaf(x):
    return x.detach().requires_grad_()


def convolution(phase, x, w, g, stride, padding, dilation, groups, back):
    x = images(x)
    if phase == "forward":
        return lambda: F.conv2d(x, w, None, stride, padding, dilation, groups), lambda y: [ours(y)]
    g, mask = images(g), [phase == "grad_input", phase == "grad_weight", False]
    call = lambda: torch.ops.aten.convolution_backward(
        g, x, w, None, [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups, mask
    )
    return call, lambda out: [ours(out[0])] if phase == "grad_input" else [back(out[1])]


def depthwise(phase, inputs, n, h, w, c, k, multiplier=1, stride=1, dilation=1):
    x, weight, g = (*inputs, None)[:3]
    # [kh, kw, c m] to [c m, 1, kh, kw]
    weight = weights(weight[:, :, None, :])
    back = lambda grad: grad[:, 0].permute(1, 2, 0)
    return convolution(phase, x, weight, g, stride, dilation * (k // 2), dilation, c, back)


def dense(phase, inputs, n, h, w, ci, co, k, stride=1, groups=1):
    x, weight, g = (*inputs, None)[:3]
    back = lambda grad: grad.permute(2, 3, 1, 0)
    return convolution(phase, x, weights(weight), g, stride, k // 2, 1, groups, back)


def grouped(phase, inputs, n, h, w, c, groups, k=3, stride=1):
    return dense(phase, inputs, n, h, w, c, c, k, stride, groups)


def loss_and_grad(loss, student):
    """A loss with its gradient with respect to the student's logits or features."""

    def call():
        student.grad = None
        value = loss()
        value.backward()
        return value.detach(), student.grad

    return call


def dkd_loss(s, t, y, alpha=1.0, beta=8.0, temperature=4.0):
    target = F.one_hot(y, s.shape[1]).bool()
    ps, pt = F.softmax(s / temperature, 1), F.softmax(t / temperature, 1)
    pair = lambda p: torch.stack([(p * target).sum(1), (p * ~target).sum(1)], 1)
    scale = temperature**2 / len(y)
    tckd = F.kl_div(pair(ps).log(), pair(pt), reduction="sum") * scale
    student = F.log_softmax(s / temperature - 1000.0 * target, 1)
    teacher = F.softmax(t / temperature - 1000.0 * target, 1)
    return alpha * tckd + beta * F.kl_div(student, teacher, reduction="sum") * scale


def of_loss(out):
    """A scalar and a gradient of `[n, ..]`, which the bench has too."""
    return [out[0].reshape(1), out[1]]


def dkd(phase, inputs, n, c):
    s, t, y = leaf(inputs[0]), inputs[1], inputs[2]
    return loss_and_grad(lambda: dkd_loss(s, t, y), s), of_loss


def kd_loss(s, t, temperature=4.0):
    student, teacher = F.log_softmax(s / temperature, 1), F.softmax(t / temperature, 1)
    return F.kl_div(student, teacher, reduction="batchmean") * temperature**2


def kd(phase, inputs, n, c):
    s, t = leaf(inputs[0]), inputs[1]
    return loss_and_grad(lambda: kd_loss(s, t), s), of_loss


def distill(phase, inputs, n, c):
    s, t, y = leaf(inputs[0]), inputs[1], inputs[2]
    loss = lambda: F.cross_entropy(s, y, label_smoothing=0.1) + 0.9 * kd_loss(s, t) + dkd_loss(s, t, y)
    return loss_and_grad(loss, s), of_loss


def distill_two(phase, inputs, n, c):
    s, teachers, y = leaf(inputs[0]), inputs[1:3], inputs[3]
    centred = lambda x: x - x.mean(1, keepdim=True)

    def loss():
        total = F.cross_entropy(s, y, label_smoothing=0.1)
        for t in teachers:
            apart = 1 - F.cosine_similarity(centred(s), centred(t), dim=1)
            total = total + 0.9 * kd_loss(s, t) + dkd_loss(s, t, y) + apart.mean()
        return total

    return loss_and_grad(loss, s), of_loss


def dual_teacher_loss(z, v1, v2, y, t=5.0):
    q1, q2 = F.softmax(v1 / t, 1), F.softmax(v2 / t, 1)
    c1, c2 = q1.max(1)[0].mean().item(), q2.max(1)[0].mean().item()
    if c1 < 0.4 and c2 < 0.4:
        alpha = beta = 0.0
    elif c1 < 0.6 and c2 < 0.6:
        alpha, beta = max(0.5 - (0.6 - c1), 0.1), max(0.5 - (0.6 - c2), 0.1)
    elif c1 < 0.6:
        alpha, beta = 0.3, 0.7
    elif c2 < 0.6:
        alpha, beta = 0.7, 0.3
    else:
        alpha = beta = 0.5
    w = (alpha + beta) / 2
    log_p = F.log_softmax(z / t, 1)
    soft = alpha * F.kl_div(log_p, q1, reduction="batchmean") + beta * F.kl_div(log_p, q2, reduction="batchmean")
    return (1 - w) * F.cross_entropy(z, y) + w * t * t * soft


def dual_teacher(phase, inputs, n, c):
    z, (v1, v2, y) = leaf(inputs[0]), inputs[1:]
    return loss_and_grad(lambda: dual_teacher_loss(z, v1, v2, y), z), of_loss


def cosine(phase, inputs, n, c, between, temperature):
    s, t = leaf(inputs[0]), inputs[1]
    compared = {
        "softmaxes": lambda x: F.softmax(x / temperature, 1),
        "centred": lambda x: x - x.mean(1, keepdim=True),
        "features": lambda x: x,
    }[between]
    return loss_and_grad(lambda: (1 - F.cosine_similarity(compared(s), compared(t), dim=1)).mean(), s), of_loss


def symmetries(x):
    """The eight images of NCHW maps, in the order of their codes."""
    flips = lambda m: [m, m.flip(-1), m.flip(-2), m.flip(-2, -1)]
    return flips(x) + flips(x.transpose(-2, -1))


def align(a, t, selection, tau=0.1):
    if selection == "mixed":
        stack = torch.stack(symmetries(a), 1)
        weight = F.softmax(-(stack - t[:, None]).square().mean((2, 3, 4)) / tau, 1)
        return F.mse_loss((weight[:, :, None, None, None] * stack).sum(1), t)
    if selection == "hard-by-position":
        a, t, divisor = F.normalize(a, dim=1), F.normalize(t, dim=1), a.shape[2] * a.shape[3]
    else:
        unit = lambda m: m / torch.linalg.vector_norm(m, dim=(1, 2, 3), keepdim=True)
        a, t, divisor = unit(a), unit(t), 1
    distances = torch.stack([(image - t).square().sum((1, 2, 3)) for image in symmetries(a)], 1) / divisor
    if selection == "soft-min":
        return -tau * (torch.logsumexp(-distances / tau, 1) - math.log(8)).mean()
    return distances.amin(1).mean()


def flip_align(phase, inputs, n, h, w, c, selection):
    # channels_last is the faster layout here too: 2.0 against 5.0 ms at 2 x 2 x 512, 66 against 85 at 14 x 14 x 512.
    a, t = leaf(images(inputs[0])), images(inputs[1])
    return loss_and_grad(lambda: align(a, t, selection), a), lambda out: [out[0].reshape(1), ours(out[1])]


def batch_norm_relu(phase, inputs, n, h, w, c):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(c), torch.nn.ReLU()).to(DEVICE)
    norm, x, g = model[0], leaf(images(inputs[0])), images(inputs[3])
    with torch.no_grad():
        norm.weight.copy_(inputs[1])
        norm.bias.copy_(inputs[2])

    def call():
        x.grad = None
        model.zero_grad()
        y = model(x)
        y.backward(g)
        return y

    return call, lambda y: [ours(y), ours(x.grad), norm.weight.grad, norm.bias.grad]


class GhostModule(torch.nn.Module):
    def __init__(self, ci, co):
        super().__init__()
        m = (co + 1) // 2
        part = lambda conv: torch.nn.Sequential(conv, torch.nn.BatchNorm2d(m), torch.nn.ReLU())
        self.primary = part(torch.nn.Conv2d(ci, m, 1, bias=False))
        self.cheap = part(torch.nn.Conv2d(m, m, 3, padding=1, groups=m, bias=False))
        self.co = co

    def forward(self, x):
        p = self.primary(x)
        return torch.cat([p, self.cheap(p)], 1)[:, : self.co]


def ghost_module(phase, inputs, n, h, w, ci, co):
    model = GhostModule(ci, co).to(DEVICE, memory_format=torch.channels_last)
    primary, cheap = model.primary[0].weight, model.cheap[0].weight
    with torch.no_grad():
        primary.copy_(weights(inputs[1]))
        cheap.copy_(weights(inputs[2][:, :, None, :]))
        for norm in (model.primary[1], model.cheap[1]):
            norm.weight.copy_(inputs[3])
            norm.bias.copy_(inputs[4])
    x = images(inputs[0])
    if phase == "inference":
        model.eval()

        def infer():
            with torch.no_grad():
                return model(x)

        return infer, lambda y: [ours(y)]
    x, g = leaf(x), images(inputs[5])

    def call():
        x.grad = None
        model.zero_grad()
        y = model(x)
        y.backward(g)
        return y

    # [co, ci, kh, kw] to [kh, kw, ci, co], and the cheap one to [kh, kw, m]
    return call, lambda y: [
        ours(y), ours(x.grad), primary.grad.permute(2, 3, 1, 0), cheap.grad[:, 0].permute(1, 2, 0)
    ]


def phases(phase, forward, leaves, grad, collect=lambda y: [y], back=None):
    """The forward pass of `forward`, or the backward pass alone, with respect to `leaves`."""
    if phase != "backward":
        return torch.no_grad()(forward), collect
    out = forward()
    return lambda: torch.autograd.grad(out, leaves, grad, retain_graph=True), back or list


def activation(phase, inputs, kind, n, h, w, c):
    x, g = leaf(images(inputs[0])), images(inputs[-1])
    all_ours = lambda out: [ours(y) for y in out]
    return phases(phase, lambda: getattr(F, kind)(x), [x], g, lambda y: [ours(y)], all_ours)


def gate(phase, inputs, n, h, w, c):
    x, s, g = leaf(images(inputs[0])), leaf(inputs[1][:, :, None, None]), images(inputs[-1]) if phase == "backward" else None
    return phases(
        phase, lambda: x * F.hardsigmoid(s), [x, s], g, lambda y: [ours(y)], lambda out: [ours(out[0]), out[1]]
    )


def add_relu(phase, inputs, n, h, w, c):
    if phase == "forward":
        x, m = images(inputs[0]), inputs[1][:, :, None, None]
        return lambda: F.relu(x + m), lambda y: [ours(y)]
    # Its operand is the output: a sum with nothing has the same.
    x, m = leaf(images(inputs[0])), torch.zeros(n, c, 1, 1, device=DEVICE, requires_grad=True)
    return phases(
        phase, lambda: F.relu(x + m), [x, m], images(inputs[1]), back=lambda out: [ours(out[0]), out[1]]
    )


def dropped_by_ours(len, rate, seed=1):
    """The mask of kernels/src/pointwise/dropout, whose seed the bench has too: PyTorch's own is another one."""
    word, long = (1 << 32) - 1, (1 << 64) - 1
    z = (seed + 0x9E3779B97F4A7C15) & long
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & long
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & long
    z ^= z >> 31
    h = torch.arange(len, device=DEVICE)
    for key in (z >> 32, z & word):
        h = h ^ key
        h = ((h ^ (h >> 16)) * 0x85EBCA6B) & word
        h = ((h ^ (h >> 13)) * 0xC2B2AE35) & word
        h = h ^ (h >> 16)
    return h < round(rate * 2**32)


def dropout(phase, inputs, rows, length, rate):
    whole = inputs[0]

    def collect(y):
        # Every element is 0 or the operand's scaled up, and as many are 0 as should be: then those of our mask stand for them.
        zero, scaled = y == 0, whole / (1 - rate)
        off = zero.double().mean().item() - rate
        right = abs(off) < 6 * (rate * (1 - rate) / y.numel()) ** 0.5 and torch.allclose(y[~zero], scaled[~zero])
        return [scaled * ~dropped_by_ours(y.numel(), rate).reshape(y.shape) if right else y]

    x = leaf(torch.zeros_like(whole)) if phase == "backward" else whole
    return phases(phase, lambda: F.dropout(x, rate), [x], whole, collect, lambda out: collect(out[0]))


def softmax(phase, inputs, rows, length):
    x = leaf(inputs[0])
    return phases(phase, lambda: F.softmax(x, -1), [x], inputs[-1])


def heads_apart(x, heads):
    """[s, n, heads d] as [s, heads, n, d], in the same memory."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def heads_beside(x):
    return x.transpose(1, 2).flatten(2)


def attention(phase, inputs, s, n, heads, d, dv, side=0):
    q, k, v = (leaf(x) for x in inputs[:3])
    leaves, offsets = [q, k, v], None
    if side:
        bias = leaf(inputs[3])
        leaves.append(bias)
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        y, x = y.flatten(), x.flatten()
        offsets = ((y[:, None] - y).abs() * side + (x[:, None] - x).abs()).to(DEVICE)

    def forward():
        mask = None if offsets is None else bias[:, offsets]
        return F.scaled_dot_product_attention(*(heads_apart(x, heads) for x in (q, k, v)), attn_mask=mask)

    grad = heads_apart(inputs[-1], heads) if phase == "backward" else None
    return phases(phase, forward, leaves, grad, lambda y: [heads_beside(y)])


def batched(phase, inputs, s, n, heads, d, dv, side=0):
    a, b = inputs[0], heads_apart(inputs[1], heads)
    if phase == "transposed_b":
        a = heads_apart(a, heads)
        return lambda: a @ b.transpose(2, 3), lambda y: [y]
    a = a.transpose(2, 3) if phase == "transposed_a" else a
    return lambda: a @ b, lambda y: [heads_beside(y)]


def partition(phase, inputs, grid, n, h, w, c, bh, bw):
    gh, gw = -(-h // bh), -(-w // bw)
    # Blocks along an axis before places in a block, or behind them.
    order = (0, 2, 4, 1, 3, 5) if grid else (0, 1, 3, 2, 4, 5)
    x = inputs[0]
    if phase == "partition":
        fill = (0, 0, 0, gw * bw - w, 0, gh * bh - h)
        cut = lambda: F.pad(x, fill).reshape(n, gh, bh, gw, bw, c).permute(order).contiguous()
        return cut, lambda y: [y]
    shape = (n, bh, bw, gh, gw, c) if grid else (n, gh, gw, bh, bw, c)
    back = (0, 3, 1, 4, 2, 5) if grid else (0, 1, 3, 2, 4, 5)
    join = lambda: x.reshape(shape).permute(back).reshape(n, gh * bh, gw * bw, c)[:, :h, :w].contiguous()
    return join, lambda y: [y]


def separable(phase, inputs, s, n, c):
    # Channels before tokens, as PyTorch's networks have it.
    qkv = leaf(inputs[0].transpose(1, 2).contiguous())
    grad = inputs[1].transpose(1, 2).contiguous() if phase == "backward" else None

    def forward():
        query, key, value = qkv.split([1, c, c], 1)
        return F.relu(value) * (key * query.softmax(-1)).sum(-1, keepdim=True)

    swap = lambda out: [x.transpose(1, 2) for x in out]
    return phases(phase, forward, [qkv], grad, lambda y: swap([y]), swap)


def layer_norm(phase, inputs, n, pixels, c):
    x, gamma, beta = (leaf(x) for x in inputs[:3])
    return phases(phase, lambda: F.layer_norm(x, (c,), gamma, beta), [x, gamma, beta], inputs[-1])


def group_norm(phase, inputs, n, pixels, c):
    # Channels before pixels: PyTorch's native order for it, and its faster one.
    swap = lambda x: x.transpose(1, 2)
    x, gamma, beta = leaf(swap(inputs[0]).contiguous()), leaf(inputs[1]), leaf(inputs[2])
    grad = swap(inputs[3]).contiguous() if phase == "backward" else None
    return phases(
        phase, lambda: F.group_norm(x, 1, gamma, beta), [x, gamma, beta], grad,
        lambda y: [swap(y)], lambda out: [swap(out[0]), *out[1:]],
    )


def linear_attention(phase, inputs, n, tokens, groups, head):
    # timm's LiteMLA from its queries, keys and values on, tokens innermost as its convolutions leave them.
    swap = lambda x: x.transpose(1, 2)
    qkv = leaf(swap(inputs[0]).contiguous())

    def forward():
        heads = qkv.reshape(n, groups, 3 * head, tokens).transpose(-1, -2)
        q, k, v = heads.chunk(3, -1)
        q, k, v = F.relu(q), F.relu(k), F.pad(v, (0, 1), value=1.0)
        out = q @ (k.transpose(-1, -2) @ v)
        out = out[..., :-1] / (out[..., -1:] + 1e-5)
        return out.transpose(-1, -2).reshape(n, groups * head, tokens)

    grad = swap(inputs[1]).contiguous() if phase == "backward" else None
    return phases(phase, forward, [qkv], grad, lambda y: [swap(y)], lambda out: [swap(out[0])])


def adamw(phase, inputs, len):
    params = torch.nn.Parameter(inputs[0])
    params.grad = inputs[3]
    optimiser = torch.optim.AdamW([params], fused=True)
    # In place, from the bench's moments and step on.
    optimiser.state[params] = {
        "step": torch.tensor(99.0), "exp_avg": inputs[1], "exp_avg_sq": inputs[2]
    }
    return optimiser.step, lambda _: [params, inputs[1], inputs[2]]


def of_output(forward, backward):
    """What to call for the gradient with respect to the input, which reads what `forward` left."""
    output = forward()
    return lambda: backward(output), lambda grad: [ours(grad)]


def max_pool(phase, inputs, n, h, w, c, k, s, p):
    x = images(inputs[0])
    # PyTorch computes the indices also where no gradient is wanted.
    forward = lambda: torch.ops.aten.max_pool2d_with_indices(x, [k, k], [s, s], [p, p])
    if phase != "grad_input":
        return forward, lambda out: [ours(out[0])]
    g = images(inputs[1])
    return of_output(
        forward,
        lambda y: torch.ops.aten.max_pool2d_with_indices_backward(
            g, x, [k, k], [s, s], [p, p], [1, 1], False, y[1]
        ),
    )


def average_pool(phase, inputs, n, h, w, c, k, s, p):
    x = images(inputs[0])
    if phase == "forward":
        return lambda: F.avg_pool2d(x, k, s, p), lambda y: [ours(y)]
    shape = torch.zeros(n, c, h, w, device=DEVICE).contiguous(memory_format=torch.channels_last)
    return of_output(
        lambda: None,
        lambda _: torch.ops.aten.avg_pool2d_backward(x, shape, [k, k], [s, s], [p, p], False, True, None),
    )


def adaptive_average(phase, inputs, n, h, w, c, oh, ow, corners=False):
    x = images(inputs[0])
    if phase == "forward":
        return lambda: F.adaptive_avg_pool2d(x, (oh, ow)), lambda y: [ours(y)]
    shape = torch.zeros(n, c, h, w, device=DEVICE).contiguous(memory_format=torch.channels_last)
    return of_output(lambda: None, lambda _: torch.ops.aten._adaptive_avg_pool2d_backward(x, shape))


def bilinear(phase, inputs, n, h, w, c, oh, ow, corners=False):
    x = images(inputs[0])
    if phase == "forward":
        resize = lambda: F.interpolate(x, (oh, ow), mode="bilinear", align_corners=corners)
        return resize, lambda y: [ours(y)]
    return of_output(
        lambda: None,
        lambda _: torch.ops.aten.upsample_bilinear2d_backward(x, [oh, ow], [n, c, h, w], corners, None, None),
    )


def soft_sign(phase, inputs, len):
    x = leaf(inputs[0])
    return phases(phase, lambda: F.softsign(x), [x], inputs[-1])


OPS = {
    function.__name__: function
    for function in (
        activation, adamw, adaptive_average, add_relu, attention, average_pool, batch_norm_relu, batched, bilinear, cosine, dense,
        depthwise, distill, distill_two, dkd, dropout, dual_teacher, flip_align, gate, ghost_module, group_norm, grouped, kd, layer_norm,
        linear_attention, max_pool, partition, separable, soft_sign, softmax,
    )
}


def read(path, shape, labels):
    values = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.float32).reshape(shape).clone()
    return (values.long() if labels else values).to(DEVICE)


def written(name, tensors):
    paths = []
    for i, tensor in enumerate(tensors):
        path = os.path.join(FOLDER, f"{name}{i}")
        tensor.detach().to("cpu", torch.float32).contiguous().numpy().tofile(path)
        paths.append(path)
    return {"files": paths}


def synchronised():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def timed(state, together=1):
    # Each result is free before the next, and the last one before the clock starts, as ours is.
    state.result = None
    start = time.perf_counter()
    for _ in range(together):
        state.result = None
        state.result = state.call()
    synchronised()
    return (time.perf_counter() - start) * 1e3 / together


def turn(state, discarded, least, ms, together, flush):
    """The times of the calls that count, in ms; `together` calls are waited for together, and give their mean."""
    for _ in range(discarded):
        timed(state)
    times, begun = [], time.perf_counter()
    # All threads read and write their share of it, as the cores do on the other side.
    lines = torch.zeros(flush // 4, device=DEVICE) if flush else None
    while len(times) < least or (time.perf_counter() - begun) * 1e3 < ms:
        if flush:
            lines += 1
            synchronised()
        times.append(timed(state, together))
    return {"ms": times}


def load(question):
    inputs = [read(**file) for file in question["inputs"]]
    call, collect = OPS[question["op"]](question["phase"], inputs, **question["arguments"])
    if question["variant"] == "torch-compiled":
        call = torch.compile(call)
    return SimpleNamespace(
        call=call, collect=collect, result=None,
        operands=[x for x, file in zip(inputs, question["inputs"]) if not file["labels"]],
    )


def main():
    states = {}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "hello" in question:
                answer = {"torch": torch.__version__, "threads": torch.get_num_threads()}
            elif question["op"] not in OPS:
                answer = {"error": f"there is no {question['op']}"}
            elif question["do"] == "load":
                # One problem at a time holds memory, of as many variants as there are.
                place = (question["op"], question["phase"], json.dumps(question["arguments"]))
                states = {name: state for name, state in states.items() if state.place == place}
                states.pop((question["variant"], question["drop"]), None)
                state = load(question)
                state.place = place
                states[question["variant"], question["draw"]] = state
                answer = {}
            else:
                state = states[question["variant"], question["draw"]]
                if question["do"] == "turn":
                    for (variant, _), other in states.items():
                        if variant == question["variant"]:
                            other.result = None
                    answer = turn(state, **question["turn"])
                elif question["do"] == "outputs":
                    answer = written("output", state.collect(state.result))
                else:
                    answer = written("operand", state.operands)
        except Exception as error:  # a row that PyTorch cannot run stays blank
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
