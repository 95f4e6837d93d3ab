"""A small strided network for time series that keeps level and place in time."""

from __future__ import annotations

from collections.abc import Iterator

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

    h (n, 64 * width * (1 + segments) + (5 + frames) * channels) is the mean over time, the mean of
    each of `segments` equal parts of the time, per channel the mean, standard deviation, minimum,
    maximum and mean step of the series, and the series itself, averaged into `frames` equal parts.
    Nothing normalises the series of a sample: its level stays. With `frames`, a linear projector
    finds linear relations between series as ridge regression and CCA do; few samples teach them
    to convolutions only in part.

    width: multiplier of the channels 32, 48, 64. Kernels 5, 5, 3 with strides 1, 2, 1.
    segments: parts of the time (0 = the mean over all time alone). statistics: whether h has them.
    frames: parts of the series itself in h (0 = none).
    Layers: stage1 to stage3, pool. Series may have any length.
    Initialisation: convolutions N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Raises MultiviewError when segments or frames is below 0.
    """

    axes = ("channels", "times")

    def __init__(
        self, channels: int, *, width: float = 1.0, segments: int = 5, statistics: bool = True, frames: int = 0
    ) -> None:
        require_at_least_0("seriesconv", segments=segments, frames=frames)
        planes = [scaled(planes, width) for planes in (32, 48, 64)]
        own = ((STATISTICS if statistics else 0) + frames) * channels
        super().__init__(channels, planes[-1] * (1 + segments) + own, ("stage1", "stage2", "stage3", "pool"))
        self.statistics, self.frames = statistics, frames
        self.stage1 = conv_in_time(channels, planes[0], 5)
        self.stage2 = conv_in_time(planes[0], planes[1], 5, 2)
        self.stage3 = conv_in_time(planes[1], planes[2], 3)
        self.pool = PoolSegments(segments)

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`; the last one has the statistics and the frames of x behind it."""
        y = super().encode(x, layer)
        return torch.cat((y, *self._of_series(x)), 1) if layer == self.layers[-1] else y

    def _of_series(self, x: Tensor) -> Iterator[Tensor]:
        if self.statistics:
            yield statistics(x)
        if self.frames:
            yield nn.functional.adaptive_avg_pool1d(x, self.frames).flatten(1)


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


def require_at_least_0(owner: str, **counts: int) -> None:
    """Raises MultiviewError when one of the named counts of an encoder is below 0."""
    for name, count in counts.items():
        if count < 0:
            raise MultiviewError(f"the {name} of a {owner} are {count}; give 0 or more.")


@recorded
def seriesconv(
    channels: int, *, width: float = 1.0, segments: int = 5, statistics: bool = True, frames: int = 0
) -> SeriesConv:
    """The small network for time series. Options and the width of h: see `SeriesConv`."""
    return SeriesConv(channels, width=width, segments=segments, statistics=statistics, frames=frames)
