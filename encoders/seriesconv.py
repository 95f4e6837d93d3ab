"""A small strided network for time series that keeps level and place in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multiview.encoder import Encoder, scaled
from multiview.encoders.waveconv import conv_in_time
from multiview.errors import MultiviewError
from multiview.record import recorded

STATISTICS = 5
"""Numbers per channel that `statistics` gives."""


class SeriesConv(Encoder):
    """Three convolutions in time, pooled over the whole and over segments, and the statistics of x.

    h (n, 64 * width * (1 + segments) + 5 * channels) is the mean over time, the mean of each of
    `segments` equal parts of the time, and per channel the mean, standard deviation, minimum,
    maximum and mean step of the series. Nothing normalises the series of a sample: its level stays.

    width: multiplier of the channels 32, 48, 64. Kernels 5, 5, 3 with strides 1, 2, 1.
    segments: parts of the time (0 = the mean over all time alone). statistics: whether h has them.
    Layers: stage1 to stage3, pool. Series may have any length.
    Initialisation: convolutions N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Raises MultiviewError when segments is below 0.
    """

    axes = ("channels", "times")

    def __init__(self, channels: int, *, width: float = 1.0, segments: int = 5, statistics: bool = True) -> None:
        require_segments("seriesconv", segments)
        planes = [scaled(planes, width) for planes in (32, 48, 64)]
        own = STATISTICS * channels if statistics else 0
        super().__init__(channels, planes[-1] * (1 + segments) + own, ("stage1", "stage2", "stage3", "pool"))
        self.statistics = statistics
        self.stage1 = conv_in_time(channels, planes[0], 5)
        self.stage2 = conv_in_time(planes[0], planes[1], 5, 2)
        self.stage3 = conv_in_time(planes[1], planes[2], 3)
        self.pool = PoolSegments(segments)

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`; the last one has the statistics of x behind it."""
        y = super().encode(x, layer)
        return torch.cat((y, statistics(x)), 1) if self.statistics and layer == self.layers[-1] else y


class PoolSegments(nn.Module):
    """The mean over time and of equal segments: (n, c, times) -> (n, c * (1 + segments))."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        self.segments = segments

    def forward(self, x: Tensor) -> Tensor:
        """The whole first, then segment after segment of each channel."""
        whole = x.mean(2)
        if not self.segments:
            return whole
        parts = nn.functional.adaptive_avg_pool1d(x, self.segments)
        return torch.cat((whole, parts.flatten(1)), 1)


def statistics(x: Tensor) -> Tensor:
    """Mean, deviation, minimum, maximum and mean absolute step: (n, c, times) -> (n, 5 c)."""
    steps = x.diff(dim=2).abs().mean(2) if x.shape[2] > 1 else x.new_zeros(x.shape[:2])
    return torch.cat((x.mean(2), x.std(2, correction=0), x.amin(2), x.amax(2), steps), 1)


def require_segments(owner: str, segments: int) -> None:
    """Raises MultiviewError when segments is below 0."""
    if segments < 0:
        raise MultiviewError(f"the segments of a {owner} are {segments}; give 0 or more.")


@recorded
def seriesconv(channels: int, *, width: float = 1.0, segments: int = 5, statistics: bool = True) -> SeriesConv:
    """The small network for time series. Options and the width of h: see `SeriesConv`."""
    return SeriesConv(channels, width=width, segments=segments, statistics=statistics)
