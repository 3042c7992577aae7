"""Times whole networks in PyTorch and in Ghostlight, in turns: images a second of training steps (forward and backward pass, without the
optimiser) and of inference, for 10 classes.

    GHOSTLIGHT=target/release/ghostlight python bench/peers/torch_networks.py resnet18:32:64 mobilenet_v2:64:64

A case is NAME:BATCH:SIZE. PyTorch runs eagerly on two threads, channels last, in float32. Each prints a row of a Markdown table; a ratio
above 1 says that Ghostlight is faster. With `--infer` before cases NAME:SIZE, what is timed is inference of a single image, beside the best of
PyTorch's ways: eager, compiled (torch.compile) and a frozen script; a way that fails has its reason on standard error and a blank.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "models/tests/zoo"))
import parity  # noqa: E402

SECONDS, TURNS, CLASSES = 2.0, 2, 10


def speed(step, batch):
    """Images a second of `step`, once it is warm."""
    step(), step()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        step()
        steps += 1
    return steps * batch / (time.perf_counter() - start)


def theirs(name, batch, side):
    parity.CLASSES = CLASSES
    module = parity.build(name, side).float().to(memory_format=torch.channels_last)
    images = torch.full((batch, 3, side, side), 0.5).to(memory_format=torch.channels_last)

    def train():
        module.train().zero_grad(set_to_none=True)
        module(images).sum().backward()

    def infer():
        module.eval()
        with torch.inference_mode():
            module(images)

    return speed(train, batch), speed(infer, batch)


def ways_to_infer(name, batch, side):
    """Images a second of each of PyTorch's ways to infer, None for one that fails."""
    parity.CLASSES = CLASSES
    module = parity.build(name, side).float().eval().to(memory_format=torch.channels_last)
    images = torch.full((batch, 3, side, side), 0.5).to(memory_format=torch.channels_last)
    makers = {
        "eager": lambda: module,
        "compiled": lambda: torch.compile(module),
        "frozen": lambda: torch.jit.freeze(torch.jit.trace(module, images)),
    }
    speeds = {}
    for way, make in makers.items():
        try:
            with torch.inference_mode():
                runner = make()
                for _ in range(3):
                    runner(images)
                speeds[way] = speed(lambda: runner(images), batch)
        except Exception as error:  # whatever a compiler or a tracer says
            print(f"{name}, {way}: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            speeds[way] = None
    return speeds


def compare_inference(cases):
    print("| network, px | Ghostlight, ms | PyTorch eager, ms | compiled | frozen script | ratio to the best |")
    print("|---|---:|---:|---:|---:|---:|")
    for case in cases:
        name, side = case.split(":")
        turns = [(ours(name, 2, int(side))[4], ways_to_infer(name, 1, int(side))) for _ in range(TURNS)]
        mean = 1000 * sum(turn[0] for turn in turns) / TURNS
        peers = {}
        for way in turns[0][1]:
            found = [1000 / turn[1][way] for turn in turns if turn[1][way] is not None]
            peers[way] = sum(found) / len(found) if found else None
        best = min(value for value in peers.values() if value is not None)
        cells = " | ".join("" if value is None else f"{value:.2f}" for value in peers.values())
        print(f"| `{name}`, {side} | {mean:.2f} | {cells} | {best / mean:.2f} |", flush=True)


def ours(name, batch, side):
    words = ["models", name, "--classes", CLASSES, "--size", side, "--batch", batch, "--measure", "--json"]
    program = os.environ.get("GHOSTLIGHT", "target/release/ghostlight")
    row = json.loads(subprocess.check_output([program, *map(str, words)]))[0]
    keys = ["train_images_per_s", "infer_images_per_s", "first_train_step_s", "first_inference_s", "single_median_s"]
    return [row[key] for key in keys]


def main():
    torch.set_num_threads(2)
    if sys.argv[1:2] == ["--infer"]:
        return compare_inference(sys.argv[2:])
    print("| network, batch, px | training, images/s | PyTorch | ratio | inference, images/s | PyTorch | ratio "
          "| first inference, s | first step behind it, s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for case in sys.argv[1:]:
        name, batch, side = case.split(":")
        batch, side = int(batch), int(side)
        turns = [(ours(name, batch, side), theirs(name, batch, side)) for _ in range(TURNS)]
        mean = [sum(turn[0][i] for turn in turns) / TURNS for i in range(4)]
        peer = [sum(turn[1][i] for turn in turns) / TURNS for i in range(2)]
        print(f"| `{name}`, {batch}, {side} | {mean[0]:.0f} | {peer[0]:.0f} | {mean[0] / peer[0]:.2f} "
              f"| {mean[1]:.0f} | {peer[1]:.0f} | {mean[1] / peer[1]:.2f} | {mean[3]:.1f} | {mean[2]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
