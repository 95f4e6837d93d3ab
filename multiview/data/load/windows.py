"""Where a crop is cut: windows in the picture and spans in time, drawn for every sample.

The windows have the distribution of torchvision's RandomResizedCrop and RandomHorizontalFlip. The
random numbers come as arguments, because torchvision draws from the global generator: there a crop
would depend on batch, worker and process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview.view import Crop

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
TRIES = 10
"""How many windows RandomResizedCrop tries before it takes a central window."""


@dataclass(frozen=True)
class Windows:
    """For each of n samples the window to keep, in pixels, and whether to mirror it."""

    top: Ints
    left: Ints
    height: Ints
    width: Ints
    flip: NDArray[np.bool_]

    def scaled(self, source: tuple[Ints, Ints], target: tuple[Ints, Ints]) -> Windows:
        """The same windows, to the nearest pixel, on samples of other (heights, widths)."""
        top, height = _scaled(self.top, self.height, source[0], target[0])
        left, width = _scaled(self.left, self.width, source[1], target[1])
        return Windows(top, left, height, width, self.flip)


def _scaled(start: Ints, extent: Ints, source: Ints, target: Ints) -> tuple[Ints, Ints]:
    ratio = target / source
    low = np.minimum(np.rint(start * ratio), target - 1)
    high = np.clip(np.rint((start + extent) * ratio), low + 1, target)
    return low.astype(np.int64), (high - low).astype(np.int64)


def draw_windows(crop: Crop, drawn: Floats, height: int | Ints, width: int | Ints) -> Windows:
    """Random windows for n samples of height x width, from `drawn`, uniform (n, 2 * TRIES + 3)."""
    height, width = (np.broadcast_to(np.asarray(side, np.int64), len(drawn)) for side in (height, width))
    log_low, log_high = math.log(crop.ratio[0]), math.log(crop.ratio[1])
    share = crop.scale[0] + (crop.scale[1] - crop.scale[0]) * drawn[:, :TRIES]
    area = (height * width)[:, None] * share
    ratio = np.exp(log_low + (log_high - log_low) * drawn[:, TRIES : 2 * TRIES])
    w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (w > 0) & (w <= width[:, None]) & (h > 0) & (h <= height[:, None])
    first, rows, none = fits.argmax(1), np.arange(len(drawn)), ~fits.any(1)
    w, h = w[rows, first].astype(np.int64), h[rows, first].astype(np.int64)
    top = np.floor(drawn[:, -3] * (height - h + 1)).astype(np.int64)
    left = np.floor(drawn[:, -2] * (width - w + 1)).astype(np.int64)
    top[none], left[none], h[none], w[none] = _central_windows(crop, height[none], width[none])
    return Windows(top, left, h, w, drawn[:, -1] < crop.flip)


def _central_windows(crop: Crop, height: Ints, width: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """The largest central windows (top, left, height, width) whose aspect ratio is allowed."""
    h = np.minimum(height, np.rint(width / crop.ratio[0])).astype(np.int64)
    w = np.minimum(width, np.rint(height * crop.ratio[1])).astype(np.int64)
    return (height - h) // 2, (width - w) // 2, h, w


def span_starts(seconds: float, durations: list[Floats], place: Floats) -> Floats:
    """The starts (n,) in seconds of windows of `seconds`, at `place` (n,) in [0, 1] of the room.

    durations: (n,) seconds per modality. The window lies within the shortest present
    (longer than 0 s) modality, and starts at 0 when that modality is shorter than the window.
    """
    stacked = np.stack(durations)
    shortest = np.where(stacked > 0, stacked, np.inf).min(axis=0)
    room = np.where(np.isfinite(shortest), shortest - seconds, 0.0)
    return place * np.maximum(room, 0.0)


def span_places(start: Floats, seconds: float, rate: float, lengths: Ints) -> tuple[Ints, int]:
    """The windows in samples or frames at `rate`: their starts (n,) and their common length."""
    count = max(1, round(seconds * rate))
    return np.clip(np.rint(start * rate).astype(np.int64), 0, np.maximum(lengths - count, 0)), count
