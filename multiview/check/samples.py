"""Made-up batches of every kind of modality, with the extremes of the range, to try views on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

ROWS = 6
SIDE = 32
SAMPLES = 16000
TIMES = 200
FRAMES = 8
LENGTH = 64


def made_up(kind: str, channels: int, seed: int = 0) -> Tensor:
    """A batch of `ROWS` samples as data workers deliver it: row 0 all lowest, row 1 all highest.

    Images, bands and video are smooth; depth has holes; normals are unit vectors or 0; sound is a
    tone with noise.
    """
    generator = torch.Generator().manual_seed(seed)
    x = MAKERS[kind](channels, generator)
    low, high = EXTREMES[kind]
    x[0] = low
    x[1] = high
    if kind == "normal":
        x[1, :2] = 0
    return x


def _smooth(generator: torch.Generator, channels: int) -> Tensor:
    coarse = torch.rand(ROWS, channels, 6, 6, generator=generator)
    return interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=True)


def _image(channels: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return (_smooth(generator, 3) * 255).round().to(torch.uint8)


def _depth(channels: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    metres = 0.3 + 9 * _smooth(generator, 1)
    return torch.where(torch.rand(metres.shape, generator=generator) < 0.1, torch.zeros(()), metres)


def _normal(channels: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return normalize(_smooth(generator, 3) - torch.tensor([0.5, 0.5, -0.2]).view(3, 1, 1), dim=1)


def _mask(channels: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return (_smooth(generator, 1) * 8).long()


def _bands(channels: int, generator: torch.Generator) -> Tensor:
    return _smooth(generator, channels)


def _audio(channels: int, generator: torch.Generator) -> Tensor:
    time = torch.arange(SAMPLES) / 8000
    pitch = 200 + 1000 * torch.rand(ROWS, channels, 1, generator=generator)
    sound = 0.5 * (2 * math.pi * pitch * time).sin() + 0.1 * torch.randn(ROWS, channels, SAMPLES, generator=generator)
    return (sound.clamp(-1, 1) * 32767).to(torch.int16)


def _video(channels: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    frames = [(_smooth(generator, 3) * 255).round().to(torch.uint8) for _ in range(FRAMES)]
    return torch.stack(frames, dim=2)


def _table(channels: int, generator: torch.Generator) -> Tensor:
    return torch.randn(ROWS, channels, generator=generator)


def _series(channels: int, generator: torch.Generator) -> Tensor:
    return torch.randn(ROWS, channels, TIMES, generator=generator).cumsum(2) / 10


def _points(channels: int, generator: torch.Generator) -> Tensor:
    return torch.rand(ROWS, channels, LENGTH, generator=generator) * 2 - 1


def _text(channels: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    codes = torch.randint(97, 123, (ROWS, LENGTH), generator=generator)
    lengths = torch.randint(5, LENGTH, (ROWS, 1), generator=generator)
    return codes * (torch.arange(LENGTH) < lengths)


MAKERS = {
    "image": _image,
    "depth": _depth,
    "normal": _normal,
    "mask": _mask,
    "bands": _bands,
    "audio": _audio,
    "video": _video,
    "table": _table,
    "series": _series,
    "points": _points,
    "text": _text,
}
EXTREMES: dict[str, tuple[float, float]] = {
    "image": (0, 255),
    "depth": (0, 10),
    "normal": (0, 1),
    "mask": (0, 7),
    "bands": (0, 1),
    "audio": (-32768, 32767),
    "video": (0, 255),
    "table": (-1, 1),
    "series": (-1, 1),
    "points": (-1, 1),
    "text": (0, 122),
}
