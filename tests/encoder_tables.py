"""Features and layers that every encoder declares, and inputs to try encoders on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from multiview.encoder import Encoder, make_encoder

# h at width 1.
WIDTH_OF_H = {
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "alexnet": 2048,
    "convnet": 256,
    "waveconv": 256,
    "resnet1d": 128,
    "mlp": 256,
    "pointnet": 256,
    "text": 128,
    "frames:convnet": 256,
}
SMALL = ("resnet18", "alexnet", "convnet", "waveconv", "resnet1d", "mlp", "pointnet", "text", "frames:convnet")

# A sample without its channels: images of 64 x 64 unless it says otherwise.
SAMPLE = {
    "waveconv": (4096,),
    "resnet1d": (50,),
    "mlp": (),
    "pointnet": (30,),
    "text": (20,),
    "frames:convnet": (3, 64, 64),
}

# Layer -> shape of its output without the batch at width 1, counted by hand.
MAPS = {
    "resnet18": {
        "stem": (64, 16, 16),
        "layer1": (64, 16, 16),
        "layer2": (128, 8, 8),
        "layer3": (256, 4, 4),
        "layer4": (512, 2, 2),
        "pool": (512,),
    },
    "resnet50": {
        "stem": (64, 16, 16),
        "layer1": (256, 16, 16),
        "layer2": (512, 8, 8),
        "layer3": (1024, 4, 4),
        "layer4": (2048, 2, 2),
        "pool": (2048,),
    },
    "alexnet": {
        "conv1": (48, 7, 7),
        "conv2": (128, 3, 3),
        "conv3": (192, 3, 3),
        "conv4": (192, 3, 3),
        "conv5": (128, 1, 1),
        "fc6": (2048,),
        "fc7": (2048,),
    },
    "convnet": {
        "stage1": (32, 16, 16),
        "stage2": (64, 8, 8),
        "stage3": (128, 4, 4),
        "stage4": (256, 4, 4),
        "pool": (256,),
    },
}
MAPS["resnet101"] = MAPS["resnet50"]
MAPS["resnet34"] = MAPS["resnet18"]
MAPS["frames:convnet"] = MAPS["convnet"]
MAPS["waveconv"] = {
    "stage1": (32, 512),
    "stage2": (64, 128),
    "stage3": (128, 32),
    "stage4": (256, 16),
    "pool": (256,),
}
MAPS["resnet1d"] = {"block1": (64, 50), "block2": (128, 50), "block3": (128, 50), "pool": (128,)}
MAPS["mlp"] = {"hidden1": (256,), "hidden2": (256,)}
MAPS["pointnet"] = {"point1": (64, 30), "point2": (128, 30), "point3": (256, 30), "pool": (256,)}
MAPS["text"] = {
    "embedding": (128, 20),
    "block1": (128, 20),
    "block2": (128, 20),
    "block3": (128, 20),
    "pool": (128,),
}


def images(n: int, channels: int, height: int = 64, width: int | None = None, seed: int = 0) -> Tensor:
    return torch.randn(n, channels, height, width or height, generator=torch.Generator().manual_seed(seed))


def inputs(name: str, n: int, channels: int, seed: int = 0) -> Tensor:
    """An input of the encoder `name`: n samples of random numbers, or of bytes with padding."""
    generator = torch.Generator().manual_seed(seed)
    if name == "text":
        tokens = torch.randint(1, 256, (n, *SAMPLE[name]), generator=generator)
        tokens[0, 12:] = 0
        return tokens
    return torch.randn(n, channels, *SAMPLE.get(name, (64, 64)), generator=generator)


def shapeless(name: str, channels: int, **options: Any) -> Encoder:
    """The encoder on the meta device, which computes shapes only."""
    with torch.device("meta"):
        return make_encoder(name, channels, **options)


def parameters(encoder: nn.Module) -> int:
    return sum(parameter.numel() for parameter in encoder.parameters())


def check_layers_against_hooks(encoder: Encoder, modules: dict[str, nn.Module], x: Tensor) -> None:
    seen: dict[str, Tensor] = {}

    def keep(layer: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, output: seen.__setitem__(layer, output.clone())

    hooks = [module.register_forward_hook(keep(layer)) for layer, module in modules.items()]
    h = encoder(x)
    for hook in hooks:
        hook.remove()
    assert torch.equal(encoder(x, encoder.layers[-1]), h)
    for layer in modules:
        assert torch.equal(encoder(x, layer), seen[layer]), layer
