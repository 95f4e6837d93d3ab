"""A small network for spectrograms that keeps the place in time, the envelope and the duration."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from multiview.encoder import Encoder
from multiview.encoders.convnet import ConvNet
from multiview.encoders.seriesconv import PoolSegments, require_at_least_0
from multiview.record import recorded

GROUPS = 8
"""Groups of bands, and segments of the envelope, that `spectrum_and_envelope` tells apart."""
BANDS = 16
"""Groups of bands of the spectrogram itself."""
QUIET = 0.25
"""A frame counts as sound when it is louder than the quietest by so many units of the view."""


class SoundConv(ConvNet):
    """The convolutions of `ConvNet`, pooled over segments of time, and statistics of the spectrum.

    h (n, 256 * width * (1 + segments) + (25 + 16 * frames) * channels) is the mean over the map,
    the mean of each of `segments` equal parts of the time, mean and standard deviation over time of
    8 groups of bands, the level in 8 equal parts of the time, the share of frames that are not
    silent, and the spectrogram itself, averaged into 16 groups of bands and `frames` parts of the
    time. Few samples teach less to convolutions than the spectrogram itself tells.

    width: multiplier of the channels 32, 64, 128, 256. stride: of the first convolution.
    segments: parts of the time (0 = the mean over the map alone). statistics: whether h has them.
    frames: parts of the time of the spectrogram in h (0 = none).
    Layers: stage1 to stage4, pool.
    Raises MultiviewError when stride is below 1, and segments or frames below 0.
    """

    axes = ("channels", "bands", "frames")

    def __init__(
        self,
        channels: int,
        *,
        width: float = 1.0,
        stride: int = 2,
        segments: int = 4,
        statistics: bool = True,
        frames: int = 0,
    ) -> None:
        require_at_least_0("soundconv", segments=segments, frames=frames)
        super().__init__(channels, width=width, stride=stride)
        self.statistics, self.frames = statistics, frames
        own = (3 * GROUPS + 1 if statistics else 0) + BANDS * frames
        self.features = self.features * (1 + segments) + own * channels
        self.pool = nn.Sequential(MeanOverBands(), PoolSegments(segments))

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`; the last one has the statistics and the values of x behind it."""
        y = Encoder.encode(self, x, layer)
        return torch.cat((y, *self._of_spectrogram(x)), 1) if layer == self.layers[-1] else y

    def _of_spectrogram(self, x: Tensor) -> Iterator[Tensor]:
        if self.statistics:
            yield spectrum_and_envelope(x)
        if self.frames:
            yield averaged(x, BANDS, self.frames)


class MeanOverBands(nn.Module):
    """(n, c, bands, frames) -> (n, c, frames)."""

    def forward(self, x: Tensor) -> Tensor:
        """The mean over the bands."""
        return x.mean(2)


def spectrum_and_envelope(x: Tensor) -> Tensor:
    """What can be said of a spectrogram (n, c, bands, frames) without learning: (n, 25 c).

    Mean and standard deviation over time of 8 groups of bands, the level in 8 parts of the time,
    and the share of the frames that are not silent.
    """
    level = x.mean(2)
    lasting = (level > level.amin(2, keepdim=True) + QUIET).to(x.dtype).mean(2, keepdim=True)
    spectrum = (adaptive_avg_pool1d(each, GROUPS) for each in (x.mean(3), x.std(3, correction=0)))
    return torch.cat((*spectrum, adaptive_avg_pool1d(level, GROUPS), lasting), 2).flatten(1)


def averaged(x: Tensor, bands: int, frames: int) -> Tensor:
    """Means of a spectrogram (n, c, .., ..) over groups of bands and parts of the time: 2-d."""
    in_time = adaptive_avg_pool1d(x.flatten(1, 2), frames).unflatten(1, x.shape[1:3])
    return adaptive_avg_pool1d(in_time.transpose(2, 3).flatten(1, 2), bands).flatten(1)


@recorded
def soundconv(
    channels: int,
    *,
    width: float = 1.0,
    stride: int = 2,
    segments: int = 4,
    statistics: bool = True,
    frames: int = 0,
) -> SoundConv:
    """The small network for spectrograms. Options and the width of h: see `SoundConv`."""
    return SoundConv(channels, width=width, stride=stride, segments=segments, statistics=statistics, frames=frames)
