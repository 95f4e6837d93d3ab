"""Mild changes of numbers: noise, and channels or columns that are hidden or replaced."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from multiview import require
from multiview.errors import unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.counter_rng import Draws

FILLS = ("mean", "noise")


@dataclass(frozen=True, kw_only=True)
class Distort:
    """Noise and hidden channels of a normalised view, one draw per sample.

    Args:
        jitter: standard deviation of Gaussian noise, in standard deviations of the channel.
        masked: probability that a channel is hidden. Of each sample one channel always stays.
        fill: what hides a channel: its `mean`, or a draw of Gaussian `noise` with its mean and
            standard deviation. The noise stands for the values of other samples in SCARF
            (arXiv:2106.15147), which draws them from the training set.
    """

    jitter: float = 0.0
    masked: float = 0.0
    fill: Literal["mean", "noise"] = "mean"

    def __post_init__(self) -> None:
        require.options(self, ("jitter",), lambda by: 0 <= by < math.inf, "0 or more", "Distort")
        require.options(self, ("masked",), lambda chance: 0 <= chance <= 1, "a probability from 0 to 1", "Distort")
        if self.fill not in FILLS:
            raise unknown_name("fill of Distort", self.fill, FILLS)

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The changed copy of x (n, channels, ...), whose channels have mean 0 and deviation 1."""
        y = x + self.jitter * normal(x, draws.of("jitter")) if self.jitter else x
        if not self.masked:
            return y
        hidden = hidden_channels(x, self.masked, draws.of("masked"))
        return y.where(~hidden, normal(x, draws.of("fill")) if self.fill == "noise" else 0.0)


def distortion(jitter: float, masked: float, fill: Literal["mean", "noise"]) -> Distort | None:
    """`Distort` of these strengths; None when both are 0."""
    return Distort(jitter=jitter, masked=masked, fill=fill) if jitter or masked else None


def hidden_channels(x: Tensor, chance: float, draws: Draws) -> Tensor:
    """Which channels of x (n, channels, ...) are hidden: bool (n, channels, 1, ...), never all."""
    drawn = draws.uniform("channel", x.shape[1])
    hidden = (drawn < chance) & (drawn < drawn.amax(1, keepdim=True))
    return hidden.view(*hidden.shape, *[1] * (x.ndim - 2)).to(x.device)


def normal(like: Tensor, draws: Draws) -> Tensor:
    """Numbers from N(0, 1) in the shape of (n, ...), by the transform of Box and Muller."""
    import torch

    count = math.prod(like.shape[1:])
    pairs = draws.uniform("normal", 2 * ((count + 1) // 2))
    radius, angle = pairs.chunk(2, 1)
    length = (-2 * torch.log1p(-radius)).sqrt()
    drawn = torch.cat((length * torch.cos(2 * math.pi * angle), length * torch.sin(2 * math.pi * angle)), 1)
    return drawn[:, :count].reshape(like.shape).to(like)
