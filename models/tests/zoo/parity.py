"""What PyTorch says of one network of each family, for `parity.rs`, and of the whole zoo on request.

    python parity.py                     writes parity.json, beside this file
    python parity.py NAME:SIDE ...       compares `ghostlight forward` (GHOSTLIGHT, default target/release/ghostlight) with PyTorch

Weights, statistics and images follow from their names by a formula (`drawn`), which `parity.rs` knows too, so that none is stored. All
figures are PyTorch's in float64. Needs torch, torchvision, timm and safetensors. Networks that none of them has are written here from
docs/methods.md.
"""

import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

CLASSES, BATCH = 7, 3
FIXTURES = [
    "vgg16_gap:32", "vgg16_bn_gap:32", "cifar_vgg8_bn:32", "cifar_resnet8:32", "cifar_resnet8x4:32", "snt_resnet8:32", "resnet18:64",
    "mobilenet_v2:64", "cifar_mobilenetv2_half:32", "ghostnet_050:64", "regnetx_002:64", "g_ghost_regnetx_002:64",
    # Odd maps before every block that attends.
    "mobilevit_xxs:72", "mobilevitv2_050:72",
    "efficientvit_b0:64",
    "efficientvit_m0:64", "efficientvit_m0:144",
]
MASK = (1 << 64) - 1


def drawn(name, count):
    """`count` numbers in [0, 1) that follow from `name`: splitmix64 from the FNV-1a of its bytes."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


# Norms of EfficientViT-M that would let forty residuals grow past all bounds, and softmaxes choose one token alone.
QUIET = (".m.bn.", ".pw2.bn.", ".proj.1.bn.", ".qkvs.", ".dws.")


def fill(module):
    """Values by name: kernels of unit gain, scales and variances about 1 (of quiet norms, 0.2), the rest about 0."""
    with torch.no_grad():
        for name, tensor in list(module.named_parameters()) + list(module.named_buffers()):
            if not tensor.is_floating_point():
                continue
            u = torch.from_numpy(drawn(name, tensor.numel())).reshape(tensor.shape)
            if tensor.dim() > 1:
                tensor.copy_((2 * u - 1) * (6 / tensor[0].numel()) ** 0.5)
            elif name.endswith("bn.weight") and any(part in name for part in QUIET):
                tensor.copy_(0.2 * u + 0.1)
            elif name.endswith("running_var") or name.endswith("weight"):
                tensor.copy_(u + 0.5)
            else:
                tensor.copy_(0.4 * u - 0.2)


def conv(i, o, k, s=1, g=1, bias=False):
    return nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=bias)


class Basic(nn.Module):
    def __init__(self, i, o, s, shortcut):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, s), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        if s != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, shortcut, s, shortcut // 2, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class SmallResNet(nn.Module):
    """mdistiller's CIFAR networks, and SnT-SENTRY's students."""

    def __init__(self, stem, widths, n, shortcut, snt):
        super().__init__()
        self.stem = ("conv", "bn") if snt else ("conv1", "bn1")
        setattr(self, self.stem[0], conv(3, stem, 3))
        setattr(self, self.stem[1], nn.BatchNorm2d(stem))
        i = stem
        for stage, o in enumerate(widths, 1):
            blocks = [Basic(i if b == 0 else o, o, 2 if b == 0 and stage > 1 else 1, shortcut) for b in range(n)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            i = o
        self.pool = nn.AdaptiveAvgPool2d(3 if snt else 1)
        self.fc = nn.Linear(i * (9 if snt else 1), CLASSES)

    def forward(self, x):
        x = F.relu(getattr(self, self.stem[1])(getattr(self, self.stem[0])(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(x).flatten(1))


class CifarVgg(nn.Module):
    def __init__(self, groups):
        super().__init__()
        i = 3
        for g, widths in enumerate(groups):
            layers = []
            for o in widths:
                layers += [conv(i, o, 3, bias=True), nn.BatchNorm2d(o), nn.ReLU()]
                i = o
            setattr(self, f"block{g}", nn.Sequential(*layers))
        self.classifier = nn.Linear(i, CLASSES)

    def forward(self, x):
        pools = 4 if x.shape[2] >= 64 else 3
        for g in range(5):
            x = getattr(self, f"block{g}")(x)
            x = F.max_pool2d(x, 2) if g < pools else x
        return self.classifier(x.mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self, i, o, t, s):
        super().__init__()
        h = i * t
        self.conv = nn.Sequential(
            conv(i, h, 1), nn.BatchNorm2d(h), nn.ReLU(), conv(h, h, 3, s, h), nn.BatchNorm2d(h), nn.ReLU(), conv(h, o, 1), nn.BatchNorm2d(o)
        )
        self.residual = s == 1 and i == o

    def forward(self, x):
        return self.conv(x) + x if self.residual else self.conv(x)


class MobileHalf(nn.Module):
    ROWS = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(conv(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU())
        i, rows = 16, []
        for t, c, n, s in self.ROWS:
            rows.append(nn.Sequential(*[Inverted(i if r == 0 else c // 2, c // 2, t, s if r == 0 else 1) for r in range(n)]))
            i = c // 2
        self.blocks = nn.Sequential(*rows)
        self.conv2 = nn.Sequential(conv(i, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(1280, CLASSES))

    def forward(self, x):
        return self.classifier(self.conv2(self.blocks(self.conv1(x))).mean((2, 3)))


class Bottleneck(nn.Module):
    def __init__(self, i, o, g, s):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 1), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3, s, o // min(o, g)), nn.BatchNorm2d(o)
        self.conv3, self.bn3 = conv(o, o, 1), nn.BatchNorm2d(o)
        if s != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (self.downsample(x) if hasattr(self, "downsample") else x))


class GhostStage(nn.Module):
    def __init__(self, i, p, g, n):
        super().__init__()
        thin = g * 3 // 4
        self.raw = p // 2 // thin * thin
        c = p - self.raw
        self.base, self.end = Bottleneck(i, p, g, 2), Bottleneck(p, p, g, 1)
        self.layers = nn.ModuleList([Bottleneck(self.raw, self.raw, thin, 1) for _ in range(n - 2)])
        pooled = p + self.raw * (n - 2)
        self.merge = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv(pooled, c, 1), nn.BatchNorm2d(c), nn.ReLU(), conv(c, c, 1), nn.BatchNorm2d(c)
        )
        self.cheap = nn.Sequential(conv(c, c, 1), nn.BatchNorm2d(c))

    def forward(self, x):
        x0 = self.base(x)
        features, e = [x0], x0[:, : self.raw]
        for layer in self.layers:
            e = layer(e)
            features.append(e)
        ghost = F.relu(self.cheap(x0[:, self.raw :]) + self.merge(torch.cat(features, 1)))
        return self.end(torch.cat([e, ghost], 1))


class GhostRegNet(nn.Module):
    VARIANTS = {"002": ([1, 1, 4, 7], [24, 56, 152, 368], 8), "032": ([2, 6, 15, 2], [96, 192, 432, 1008], 48)}

    def __init__(self, size):
        super().__init__()
        depths, widths, g = self.VARIANTS[size]
        self.conv1, self.bn1 = conv(3, 32, 3, 2), nn.BatchNorm2d(32)
        i = 32
        for stage, (n, p) in enumerate(zip(depths, widths), 1):
            if stage > 1 and n > 2:
                layer = GhostStage(i, p, g, n)
            else:
                layer = nn.Sequential(*[Bottleneck(i if b == 0 else p, p, g, 2 if b == 0 else 1) for b in range(n)])
            setattr(self, f"layer{stage}", layer)
            i = p
        self.fc = nn.Linear(i, CLASSES)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class AverageHead(nn.Module):
    """torchvision's convolutions of VGG under a global average."""

    def __init__(self, name):
        import torchvision

        super().__init__()
        self.features = getattr(torchvision.models, name)(num_classes=CLASSES).features
        self.classifier = nn.Linear(512, CLASSES)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def build(name, side):
    if name.startswith("cifar_vgg8"):
        return CifarVgg([[64], [128], [256], [512], [512]])
    if name == "cifar_mobilenetv2_half":
        return MobileHalf()
    if name.startswith("cifar_resnet"):
        depth, wide = (name[12:-2], True) if name.endswith("x4") else (name[12:], False)
        stem, widths = (32, [64, 128, 256]) if wide else (16, [16, 32, 64])
        return SmallResNet(stem, widths, (int(depth) - 2) // 6, 1, False)
    if name.startswith("snt_resnet"):
        return SmallResNet(16, [16, 32, 64], {"8": 1, "16": 2}[name[10:]], 3, True)
    if name.startswith("g_ghost_regnetx_"):
        return GhostRegNet(name[16:])
    if name.endswith("_gap"):
        return AverageHead(name[:-4])
    if name.startswith(("ghostnet", "regnetx", "mobilevit", "efficientvit")):
        import timm

        sized = {"img_size": side} if name.startswith("efficientvit_m") else {}
        return timm.create_model(name, num_classes=CLASSES, **sized)
    import torchvision

    return getattr(torchvision.models, name)(num_classes=CLASSES)


def linear_attention(q, k, v):
    """timm's, which rounds to float32 whatever it is given, in the type of its operands."""
    out = q @ (k.transpose(-1, -2) @ v)
    return out[..., :-1] / (out[..., -1:] + 1e-5)


def network(name, side):
    module = build(name, side).double()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        if type(layer).__name__ == "LiteMLA":
            layer._attn = linear_attention
    if hasattr(module, "drop_rate"):
        module.drop_rate = 0.0
    fill(module)
    return module


def images(side):
    u = torch.from_numpy(drawn("x", BATCH * 3 * side * side))
    return (4 * u - 2).reshape(BATCH, 3, side, side)


def along(name, tensor):
    """The product of `tensor` with the direction of its name, and its norm."""
    u = torch.from_numpy(drawn("along " + name, tensor.numel())).reshape(tensor.shape)
    return [float((tensor * (2 * u - 1)).sum()), float(tensor.norm())]


def figures(name, side):
    module, x = network(name, side), images(side)
    evaluated = module.eval()(x).detach()
    logits = module.train()(x)
    (logits**2).mean().backward()
    running = {k: along(k, b) for k, b in module.named_buffers() if "running" in k}
    grads = {k: along(k, p.grad) for k, p in module.named_parameters()}
    return {
        "name": name, "side": side, "evaluated": evaluated.flatten().tolist(), "trained": logits.detach().flatten().tolist(),
        "grads": grads, "running": running,
    }


def write():
    rows = []
    for entry in FIXTURES:
        name, side = entry.split(":")
        rows.append(json.dumps(rounded(figures(name, int(side)))))
        print(entry)
    path = pathlib.Path(__file__).with_name("parity.json")
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def compare(name, side):
    import safetensors.torch as st

    program = os.environ.get("GHOSTLIGHT", "target/release/ghostlight")
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{part}.safetensors" for part in ("weights", "input", "out")]
        module, x = network(name, side).float(), images(side).float()
        st.save_file({k: v.contiguous() for k, v in module.state_dict().items()}, files[0])
        st.save_file({"x": x}, files[1])
        exact = copy.deepcopy(module).double()
        for train in (False, True):
            options = ["--arch", name, "--weights", files[0], "--input", files[1], "--out", files[2]]
            subprocess.run([program, "forward", *options, *(["--train"] if train else [])], check=True, capture_output=True)
            ours = st.load_file(files[2])
            y, single = exact.train(train)(x.double()), module.train(train)(x)
            span = (y.max() - y.min()).item()
            worst = [(t.double() - y).abs().max().item() / span for t in (ours["logits"], single)]
            line = f"{name} {side} px, {'training' if train else 'evaluation'}: logits {worst[0]:.1e} of their range (torch float32 {worst[1]:.1e})"
            if train:
                (y**2).mean().backward()
                (single**2).mean().backward()
                floor = 1e-3 * max(p.grad.norm() for p in exact.parameters())
                floats = dict(module.named_parameters())
                errors = [
                    [((g.double() - p.grad).norm() / max(p.grad.norm(), floor)).item() for g in (ours["grad." + k], floats[k].grad)]
                    for k, p in exact.named_parameters()
                ]
                worst = [max(error[i] for error in errors) for i in (0, 1)]
                line += f"; gradients {worst[0]:.1e} (torch float32 {worst[1]:.1e})"
            print(line, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    if len(sys.argv) == 1:
        write()
    for argument in sys.argv[1:]:
        name, side = argument.split(":")
        compare(name, int(side))
