"""Where a crop is cut: windows in the picture and spans in time, drawn for every sample.

What is drawn follows torchvision's RandomResizedCrop and RandomHorizontalFlip; how it is drawn is ours, because
torchvision draws from the global generator, so that its crops depend on batch, worker and process.
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
"""Windows that RandomResizedCrop tries before it falls back on a central one."""


@dataclass(frozen=True)
class Windows:
    """The part of each of n samples that is kept, in pixels: corner, extent, and whether it is mirrored."""

    top: Ints
    left: Ints
    height: Ints
    width: Ints
    flip: NDArray[np.bool_]

    def scaled(self, source: tuple[Ints, Ints], target: tuple[Ints, Ints]) -> Windows:
        """The same windows on samples of `target` (heights, widths) instead of `source`, to the nearest pixel."""
        top, height = _scaled(self.top, self.height, source[0], target[0])
        left, width = _scaled(self.left, self.width, source[1], target[1])
        return Windows(top, left, height, width, self.flip)


def _scaled(start: Ints, extent: Ints, source: Ints, target: Ints) -> tuple[Ints, Ints]:
    ratio = target / source
    low = np.minimum(np.rint(start * ratio), target - 1)
    high = np.clip(np.rint((start + extent) * ratio), low + 1, target)
    return low.astype(np.int64), (high - low).astype(np.int64)


def draw_windows(crop: Crop, drawn: Floats, height: int | Ints, width: int | Ints) -> Windows:
    """RandomResizedCrop and a mirror for n samples of height x width, from (n, 2 * TRIES + 3) uniform numbers."""
    height, width = (np.broadcast_to(np.asarray(side, np.int64), len(drawn)) for side in (height, width))
    log_low, log_high = math.log(crop.ratio[0]), math.log(crop.ratio[1])
    share = crop.scale[0] + (crop.scale[1] - crop.scale[0]) * drawn[:, :TRIES]
    area = (height * width)[:, None] * share
    ratio = np.exp(log_low + (log_high - log_low) * drawn[:, TRIES : 2 * TRIES])
    w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (w > 0) & (w <= width[:, None]) & (h > 0) & (h <= height[:, None])
    first, rows = fits.argmax(1), np.arange(len(drawn))
    w, h = w[rows, first].astype(np.int64), h[rows, first].astype(np.int64)
    top = np.floor(drawn[:, -3] * (height - h + 1)).astype(np.int64)
    left = np.floor(drawn[:, -2] * (width - w + 1)).astype(np.int64)
    none = ~fits.any(1)
    top[none], left[none], h[none], w[none] = _central_windows(crop, height[none], width[none])
    return Windows(top, left, h, w, drawn[:, -1] < crop.flip)


def _central_windows(crop: Crop, height: Ints, width: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """The largest central windows (top, left, height, width) whose aspect ratio is allowed."""
    h = np.minimum(height, np.rint(width / crop.ratio[0])).astype(np.int64)
    w = np.minimum(width, np.rint(height * crop.ratio[1])).astype(np.int64)
    return (height - h) // 2, (width - w) // 2, h, w


def span_starts(seconds: float, durations: list[Floats], place: Floats) -> Floats:
    """When a window of `seconds` begins in each of n samples, in seconds: `place` (n,) in [0, 1] of the room there is.

    durations: (n,) seconds of everything that the window is cut from; the window lies within the shortest, and what is
    absent (0 s) has no say. Where that is shorter than the window, the window begins at 0.
    """
    there = np.stack(durations)
    shortest = np.where(there > 0, there, np.inf).min(axis=0)
    room = np.where(np.isfinite(shortest), shortest - seconds, 0.0)
    return place * np.maximum(room, 0.0)


def span_places(start: Floats, seconds: float, rate: float, lengths: Ints) -> tuple[Ints, int]:
    """First places (n,) and the common count of places of a window, in samples or frames at `rate`."""
    count = max(1, round(seconds * rate))
    return np.clip(np.rint(start * rate).astype(np.int64), 0, np.maximum(lengths - count, 0)), count
