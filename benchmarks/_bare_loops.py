"""The same training steps as plain PyTorch loops, as one would write them for a single experiment.

They have the recipe's encoders, batch, crops, losses and optimiser, and nothing else: no checks,
no absent views, no health, no log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

RATE, DECAY, MOMENTUM, DIM = 1e-3, 1e-4, 0.5, 128
XYZ = [[0.433953, 0.376219, 0.189828], [0.212671, 0.715160, 0.072169], [0.017757, 0.109477, 0.872766]]
"""Linear sRGB to XYZ, as shares of the white point D65."""


def lab(rgb: Tensor) -> Tensor:
    """CIE Lab of bytes (n, 3, h, w), divided by 100."""
    x = rgb.float() / 255
    light = torch.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    t = torch.einsum("ij,njhw->nihw", torch.tensor(XYZ), light)
    fx, fy, fz = torch.where(t > 0.008856, t ** (1 / 3), 7.787 * t + 16 / 116).unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], 1) / 100


class BareCmc:
    """CMC on Lab by softmax over K drawn rows of a bank for each sample."""

    def __init__(self, encoders: nn.ModuleList, pictures: Tensor, size: int, batch: int, k: int, t: float) -> None:
        self.pictures, self.batch, self.negatives, self.temperature = pictures, batch, k, t
        self.encoders = encoders
        self.heads = nn.ModuleList([nn.Linear(e.features, DIM) for e in encoders])
        self.banks = [F.normalize(torch.randn(len(pictures), DIM), dim=1) for _ in encoders]
        both = [*encoders.parameters(), *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(both, lr=RATE, weight_decay=DECAY)
        self.crop = v2.Compose([v2.RandomResizedCrop(size, (0.7, 1.0), antialias=True), v2.RandomHorizontalFlip()])

    def __call__(self) -> None:
        index = torch.randint(len(self.pictures), (self.batch,))
        x = lab(torch.stack([self.crop(self.pictures[i]) for i in index.tolist()]))
        pairs = zip(self.encoders, self.heads, x.split((1, 2), dim=1), strict=True)
        z = [F.normalize(head(encoder(view)), dim=1) for encoder, head, view in pairs]
        drawn = torch.randint(len(self.pictures), (self.batch, 1 + self.negatives))
        drawn[:, 0] = index
        own = torch.zeros(self.batch, dtype=torch.int64)
        scores = [self.scores(q, bank, drawn) for q, bank in zip(z, reversed(self.banks), strict=True)]
        loss = sum(F.cross_entropy(s / self.temperature, own) for s in scores)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        for bank, rows in zip(self.banks, z, strict=True):
            bank[index] = F.normalize(MOMENTUM * bank[index] + (1 - MOMENTUM) * rows.detach(), dim=1)

    def scores(self, q: Tensor, bank: Tensor, drawn: Tensor) -> Tensor:
        """Against the drawn rows; by one product where they are most of the bank."""
        if len(bank) <= 5 * drawn.shape[1]:
            return (q @ bank.T).gather(1, drawn)
        return torch.bmm(bank[drawn.flatten()].view(*drawn.shape, -1), q[:, :, None])[:, :, 0]


class BareSimClr:
    """SimCLR: two crops with colour jitter, NT-Xent as one product and a cross entropy."""

    def __init__(self, encoder: nn.Module, pictures: Tensor, size: int, batch: int, t: float) -> None:
        self.encoder, self.pictures, self.batch, self.temperature = encoder, pictures, batch, t
        width = encoder.features
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, DIM))
        both = [*encoder.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(both, lr=RATE, weight_decay=DECAY)
        self.crop = v2.Compose(
            [
                v2.RandomResizedCrop(size, (0.6, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.5)], p=0.8),
            ]
        )

    def __call__(self) -> None:
        index = torch.randint(len(self.pictures), (self.batch,)).tolist()
        x = [torch.stack([self.crop(self.pictures[i]) for i in index]).float() / 255 for _ in range(2)]
        z = torch.cat([F.normalize(self.head(self.encoder((view - 0.5) / 0.25)), dim=1) for view in x])
        scores = (z @ z.T / self.temperature).fill_diagonal_(-torch.inf)
        loss = F.cross_entropy(scores, torch.arange(len(z)).roll(self.batch))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def encoders_only(calls: Iterable[tuple[nn.Module, Tensor]], without: Iterable[tuple[nn.Module, Tensor]]) -> Callable:
    """Forward and backward of encoders on given views; `without`: only forward, no gradient."""
    calls, without = list(calls), list(without)
    learn = [p for encoder, _ in calls for p in encoder.parameters()]

    def step() -> None:
        with torch.no_grad():
            for encoder, x in without:
                encoder(x)
        features = [encoder(x) for encoder, x in calls]
        torch.autograd.backward(features, [torch.ones_like(h) for h in features])
        for p in learn:
            p.grad = None

    return step
