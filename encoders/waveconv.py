"""A small network for waveforms, with a learned bank of filters as its first convolution."""

from __future__ import annotations

from torch import nn

from multiview.encoder import Encoder, scaled
from multiview.record import recorded


class WaveConv(Encoder):
    """Four convolutions in time (batch norm, ReLU), then the mean over time: h (n, 256 * width).

    width: multiplier of the channels 32, 64, 128, 256. Kernels 31, 9, 9, 3 with strides 8, 4, 4, 2:
    the last map has a stride of 256 samples, 32 ms at 8 kHz.
    Layers: stage1 to stage4, pool.
    Initialisation: convolutions N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    """

    axes = ("channels", "samples")

    def __init__(self, channels: int, *, width: float = 1.0) -> None:
        planes = [scaled(planes, width) for planes in (32, 64, 128, 256)]
        super().__init__(channels, planes[-1], ("stage1", "stage2", "stage3", "stage4", "pool"))
        self.stage1 = conv_in_time(channels, planes[0], 31, 8)
        self.stage2 = conv_in_time(planes[0], planes[1], 9, 4)
        self.stage3 = conv_in_time(planes[1], planes[2], 9, 4)
        self.stage4 = conv_in_time(planes[2], planes[3], 3, 2)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())


def conv_in_time(before: int, after: int, kernel: int, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """A padded convolution over the last axis, batch norm and ReLU."""
    conv = nn.Conv1d(before, after, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm1d(after), nn.ReLU(inplace=True) if relu else nn.Identity())


@recorded
def waveconv(channels: int, *, width: float = 1.0) -> WaveConv:
    """The small network for waveforms: h (n, 256 * width). Options: see `WaveConv`."""
    return WaveConv(channels, width=width)
