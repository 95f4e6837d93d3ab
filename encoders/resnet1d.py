"""A residual network for time series (arXiv:1611.06455)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from multiview.encoder import Encoder, scaled
from multiview.encoders.waveconv import conv_in_time
from multiview.record import recorded


class Residual(nn.Module):
    """Convolutions of 7, 5 and 3 steps, and a shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_in_time(before, after, 7), conv_in_time(after, after, 5), conv_in_time(after, after, 3, relu=False)
        )
        self.shortcut = conv_in_time(before, after, 1, relu=False) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, times) -> (n, after, times)."""
        return F.relu(self.body(x) + self.shortcut(x))


class ResNet1d(Encoder):
    """Three residual blocks over time, then the mean over time: h (n, 128 * width).

    width: multiplier of the channels 64, 128, 128. Series may have any length; blocks keep it.
    Layers: block1 to block3, pool.
    Initialisation: convolutions N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Source: Wang, Yan & Oates, arXiv:1611.06455; kernels of 7 instead of 8 have a middle step.
    """

    axes = ("channels", "times")

    def __init__(self, channels: int, *, width: float = 1.0) -> None:
        narrow, wide = scaled(64, width), scaled(128, width)
        super().__init__(channels, wide, ("block1", "block2", "block3", "pool"))
        self.block1, self.block2, self.block3 = Residual(channels, narrow), Residual(narrow, wide), Residual(wide, wide)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())


@recorded
def resnet1d(channels: int, *, width: float = 1.0) -> ResNet1d:
    """The residual network for time series: h (n, 128 * width). Options: see `ResNet1d`."""
    return ResNet1d(channels, width=width)
