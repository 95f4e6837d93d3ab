"""Crops: one draw of geometry for all modalities of a sample, cut by torchvision v2.

What is drawn follows torchvision's RandomResizedCrop and RandomHorizontalFlip; how it is drawn is ours, because
torchvision draws from the global generator, so that its crops depend on batch, worker and process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, horizontal_flip, resize, resized_crop

from multiview.data.draws import uniform
from multiview.data.modality import Modality
from multiview.view import Crop

Ints = NDArray[np.int64]
TRIES = 10
"""Windows that RandomResizedCrop tries before it falls back on a central one."""

DTYPES = {"image": torch.uint8, "depth": torch.float32, "normal": torch.float32, "mask": torch.int64}
"""What the crops of each kind hold."""


@dataclass(frozen=True)
class Windows:
    """The part of each of n samples that is kept, in pixels: corner, extent, and whether it is mirrored."""

    top: Ints
    left: Ints
    height: Ints
    width: Ints
    flip: NDArray[np.bool_]

    def scaled(self, source: tuple[int, ...], target: tuple[int, ...]) -> Windows:
        """The same windows on a modality stored at `target` (h, w) instead of `source`, to the nearest pixel."""
        if source == target:
            return self
        top, height = _scaled(self.top, self.height, source[0], target[0])
        left, width = _scaled(self.left, self.width, source[1], target[1])
        return Windows(top, left, height, width, self.flip)


def _scaled(start: Ints, extent: Ints, source: int, target: int) -> tuple[Ints, Ints]:
    low = np.minimum(np.rint(start * (target / source)), target - 1)
    high = np.clip(np.rint((start + extent) * (target / source)), low + 1, target)
    return low.astype(np.int64), (high - low).astype(np.int64)


def draw_windows(crop: Crop, drawn: NDArray[np.float64], height: int, width: int) -> Windows:
    """RandomResizedCrop and a mirror for n samples of height x width, from (n, 2 * TRIES + 3) uniform numbers."""
    log_low, log_high = math.log(crop.ratio[0]), math.log(crop.ratio[1])
    area = height * width * (crop.scale[0] + (crop.scale[1] - crop.scale[0]) * drawn[:, :TRIES])
    ratio = np.exp(log_low + (log_high - log_low) * drawn[:, TRIES : 2 * TRIES])
    w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first, rows = fits.argmax(1), np.arange(len(drawn))
    w, h = w[rows, first].astype(np.int64), h[rows, first].astype(np.int64)
    top = np.floor(drawn[:, -3] * (height - h + 1)).astype(np.int64)
    left = np.floor(drawn[:, -2] * (width - w + 1)).astype(np.int64)
    none = ~fits.any(1)
    top[none], left[none], h[none], w[none] = _central_window(crop, height, width)
    return Windows(top, left, h, w, drawn[:, -1] < crop.flip)


def _central_window(crop: Crop, height: int, width: int) -> tuple[int, int, int, int]:
    """The largest central window (top, left, height, width) whose aspect ratio is allowed."""
    h = min(height, round(width / crop.ratio[0]))
    w = min(width, round(height * crop.ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


class CropTransform:
    """Cuts crops from a batch of stored arrays: `transform(arrays, index, epoch)` -> crop name -> modality -> tensor.

    reads: which modalities each crop cuts. Images come out as uint8 (n, 3, size, size), resized bilinearly with
    antialiasing; depth float32, masks int64 (n, 1, size, size) and normals float32 (n, 3, size, size) take the
    nearest sample, and a mirror image negates the normals' x. Modalities without geometry pass unchanged. One draw
    serves all modalities of a crop; it is a function of (seed, epoch, sample index, crop name), so that batch, worker
    and process do not matter. train=False: the shorter side is resized to `size` and the centre is cut, the same for
    every crop name.
    """

    def __init__(self, reads: Mapping[Crop, Sequence[Modality]], train: bool, seed: int = 0) -> None:
        self.reads = {crop: tuple(modalities) for crop, modalities in reads.items()}
        self.train = train
        self.seed = seed

    def __call__(self, arrays: Mapping[str, NDArray], index: Ints, epoch: int = 0) -> dict[str, dict[str, Tensor]]:
        """Crops of `arrays` (modality -> (n, ...) as stored), whose samples stand at `index` (n,) of the split."""
        if self.train:
            return {crop.name: self._random(crop, arrays, index, epoch) for crop in self.reads}
        # Crops of one size see the same pixels in evaluation: cut them once.
        cut = cache(lambda size, modality: _centre(arrays[modality.name], modality, size))
        return {crop.name: {each.name: cut(crop.size, each) for each in read} for crop, read in self.reads.items()}

    def _random(self, crop: Crop, arrays: Mapping[str, NDArray], index: Ints, epoch: int) -> dict[str, Tensor]:
        spatial = [modality for modality in self.reads[crop] if modality.spatial]
        height, width = max((modality.shape[:2] for modality in spatial), key=math.prod, default=(1, 1))
        drawn = uniform(self.seed, epoch, f"crop {crop.name}", index, 2 * TRIES + 3)
        windows = draw_windows(crop, drawn, height, width)
        out = {modality.name: torch.from_numpy(arrays[modality.name]) for modality in self.reads[crop]}
        for modality in spatial:
            part = windows.scaled((height, width), modality.shape[:2])
            out[modality.name] = _cut(out[modality.name], modality.kind, part, crop.size)
        return out


def _cut(stored: Tensor, kind: str, windows: Windows, size: int) -> Tensor:
    """The window of every sample at size x size, mirrored where it says so."""
    planes = _channels_first(stored)
    out = torch.empty((*planes.shape[:2], size, size), dtype=DTYPES[kind])
    sides = (windows.top, windows.left, windows.height, windows.width)
    for row, window in enumerate(zip(*(side.tolist() for side in sides), strict=True)):
        out[row] = resized_crop(planes[row], *window, [size, size], _interpolation(kind), antialias=True)
    flip = torch.from_numpy(windows.flip)
    out[flip] = horizontal_flip(out[flip])
    if kind == "normal":
        out[flip, 0] *= -1
    return out


def _centre(array: NDArray, modality: Modality, size: int) -> Tensor:
    """Shorter side resized to `size`, then the central square."""
    stored = torch.from_numpy(array)
    if not modality.spatial:
        return stored
    resized = resize(_channels_first(stored), [size], _interpolation(modality.kind), antialias=True)
    return center_crop(resized, [size, size]).to(DTYPES[modality.kind]).contiguous()


def _channels_first(stored: Tensor) -> Tensor:
    """(n, H, W) or (n, H, W, c) as (n, c, H, W)."""
    return stored.unsqueeze(1) if stored.dim() == 3 else stored.permute(0, 3, 1, 2)


def _interpolation(kind: str) -> InterpolationMode:
    return InterpolationMode.BILINEAR if kind == "image" else InterpolationMode.NEAREST_EXACT
