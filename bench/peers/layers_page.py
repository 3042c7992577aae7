"""Prints the tables of docs/results/layers-cpu.md from the results of runs:

    python bench/peers/layers_page.py layers/resnet18-64/results.json layers/vgg16/results.json ...

A ratio is PyTorch's time over ours: above 1, ours is faster. A network's is that of the sums over its layers, each as often as it has it.
"""

import json
import sys
from math import exp, log

LEAST = 0.95


def pairs(run):
    """Ours and PyTorch's rows of the same case, phase and caches."""
    ours, torch = {}, {}
    for row in run["rows"]:
        if row["clock"] == "wall" and row["variant"] in ("ours", "torch"):
            key = (row["op"], row["phase"], row["cache"], row["case"])
            (ours if row["variant"] == "ours" else torch)[key] = row
    return [(key, ours[key], torch[key]) for key in ours if key in torch]


def network_rows(run):
    """One line for each operation, phase and state of the caches."""
    sums = {}
    for (op, phase, cache, _), ours, torch in pairs(run):
        for layer in ours.get("layers") or []:
            entry = sums.setdefault((layer["network"], op, phase, cache), [0, 0.0, 0.0, []])
            entry[0] += layer["times"]
            entry[1] += layer["times"] * ours["median_ms"]
            entry[2] += layer["times"] * ours["median_ms"] * torch["ratio"]
            entry[3].append(torch["ratio"])
    for (network, op, phase, cache), (layers, ours, torch, ratios) in sums.items():
        mean = exp(sum(map(log, ratios)) / len(ratios))
        below = sum(ratio < LEAST for ratio in ratios)
        print(f"| {network} | {op} | {phase} | {cache} | {layers} | {ours:.2f} | {torch / ours:.2f} | {mean:.2f} "
              f"| {min(ratios):.2f} to {max(ratios):.2f} | {below} of {len(ratios)} |")


def main():
    runs = [json.load(open(path)) for path in sys.argv[1:]]
    first = runs[0]
    machine, versions = first["machine"], first["versions"]
    print(f"{machine['device']}, {machine['cores']} cores, {machine['driver']}; "
          + ", ".join(f"{name} {version}" for name, version in versions.items())
          + f"; commit {first['commit'][:10]}, begun {first['began']}.\n")
    print("| network | operation | phase | caches | layers | ours, ms | PyTorch over ours | mean over rows | rows from, to | rows below 0.95 |")
    print("|---|---|---|---|---:|---:|---:|---:|---|---:|")
    for run in runs:
        network_rows(run)
    print(f"\n## Rows below {LEAST}, hot caches\n")
    print("| operation | phase | case | ours, ms | of the limit | PyTorch over ours |\n|---|---|---|---:|---:|---|")
    lost = [(torch["ratio"], key, ours, torch) for run in runs for key, ours, torch in pairs(run)
            if key[2] == "hot" and torch["ratio"] < LEAST]
    for _, (op, phase, _, case), ours, torch in sorted(lost, key=lambda row: row[:2]):
        print(f"| {op} | {phase} | {case} | {ours['median_ms']:.3f} | {100 * ours['roofline']:.0f} % "
              f"| {torch['ratio']:.2f} ({torch['ratio_low']:.2f} to {torch['ratio_high']:.2f}) |")


if __name__ == "__main__":
    main()
