"""Whole steps of networks in PyTorch, for `cargo xtask bench --bench step`: one JSON question a line on standard input, one answer a line.

    torch_steps.py cpu|cuda THREADS

    {"hello": true}  -> {"torch", "torchvision", "timm": versions, "threads": n}
    {"do": "load", "way", "kind", "network", "teacher", "batch", "side", "classes"}  -> {"parameters": [of the network, of the teacher]}
    {"do": "turn", "way", "turn": {"discarded", "least", "ms"}}                      -> {"ms": [each counted step's time]}
    {"do": "forget"} -> {}

Kinds are `train` (forward pass, cross-entropy, backward pass, SGD with momentum and weight decay), `distill` (the same with a teacher's
inference before it, and its divergence at temperature 4 added to the loss) and `infer`. Ways are `eager`, `compiled` (torch.compile) and,
of `infer` alone, `frozen` (a frozen script). A step is over when its loss, or its logits, are on the host. Images are channels_last,
PyTorch's faster layout here, numbers float32. Networks are torchvision's and timm's; what neither has is written in
models/tests/zoo/parity.py, where every family is held against ours.
"""

import contextlib
import json
import re
import sys
import time
import warnings
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "models/tests/zoo"))

import torch
import torch.nn.functional as F

import parity

# A frozen script is the fastest way for single images, however old.
warnings.simplefilter("ignore", FutureWarning)
DEVICE = sys.argv[1]
torch.set_num_threads(int(sys.argv[2]))
TEMPERATURE = 4.0


def network(name, side, classes):
    # As in models/src/zoo: short names are those of CIFAR's networks.
    full = "cifar_" + name if re.fullmatch(r"resnet(8|14|20|32|44|56|110)", name) else name
    parity.CLASSES = classes
    return parity.build(full, side).float().to(DEVICE, memory_format=torch.channels_last)


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def runner(module, way, images):
    """What is called for `module`."""
    if way == "eager":
        return module
    if way == "compiled":
        return torch.compile(module)
    return torch.jit.freeze(torch.jit.trace(module, images))


def training(student, teacher, modules, images, labels):
    # Its fused loop over all parameters is PyTorch's fastest.
    optimiser = torch.optim.SGD(modules[0].parameters(), 0.01, momentum=0.9, weight_decay=5e-4, fused=True)

    def step():
        optimiser.zero_grad(set_to_none=True)
        answers = None
        if teacher is not None:
            with torch.inference_mode():
                answers = teacher(images)
        logits = student(images)
        loss = F.cross_entropy(logits, labels)
        if answers is not None:
            soft = F.softmax(answers / TEMPERATURE, 1)
            divergence = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), soft, reduction="batchmean")
            loss = loss + TEMPERATURE**2 * divergence
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def load(way, kind, network_name, teacher, batch, side, classes):
    """A step, and how many parameters its networks have."""
    images = torch.rand(batch, 3, side, side, device=DEVICE).to(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=DEVICE) % classes
    modules = [network(name, side, classes) for name in (network_name, teacher) if name]
    counts = [parameters(module) for module in modules]
    if kind == "infer":
        with torch.inference_mode():
            call = runner(modules[0].eval(), way, images)

        def step():
            with torch.inference_mode():
                return call(images).cpu()

    else:
        student = runner(modules[0].train(), way, images)
        asked = runner(modules[1].eval(), way, images) if teacher else None
        step = training(student, asked, modules, images, labels)
    # Compiles, traces, fills caches.
    for _ in range(3):
        step()
    return step, counts


def timed(step):
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def turn(step, discarded, least, ms):
    """The times of the steps that count, in ms."""
    for _ in range(discarded):
        timed(step)
    times, begun = [], time.perf_counter()
    while len(times) < least or (time.perf_counter() - begun) * 1e3 < ms:
        times.append(timed(step))
    return times


def versions():
    import timm
    import torchvision

    return {
        "torch": torch.__version__, "torchvision": torchvision.__version__, "timm": timm.__version__,
        "threads": torch.get_num_threads(),
    }


def answer(question, steps):
    if "hello" in question:
        return versions()
    if question["do"] == "forget":
        steps.clear()
        return {}
    way = question["way"]
    if question["do"] == "load":
        of = [question[key] for key in ("kind", "network", "teacher", "batch", "side", "classes")]
        steps[way], counts = load(way, *of)
        return {"parameters": counts}
    return {"ms": turn(steps[way], **question["turn"])}


def main():
    # Answers alone go to standard output, whatever a compiler says.
    out, steps = sys.stdout, {}
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            try:
                found = answer(json.loads(line), steps)
            except Exception as error:  # a row that PyTorch cannot run stays blank
                first = (str(error).strip().splitlines() or [""])[0]
                found = {"error": f"{type(error).__name__}: {first}"}
            print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    main()
