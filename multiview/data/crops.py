"""Crops: one draw of geometry for all modalities of a sample, made for a whole batch at once.

The geometry is torchvision's RandomResizedCrop and RandomHorizontalFlip (in evaluation: Resize and CenterCrop), pixel
for pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from multiview.data.draws import uniform
from multiview.data.modality import Modality
from multiview.view import Crop

Ints = NDArray[np.int64]
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

    def scaled(self, source: tuple[int, int], target: tuple[int, int]) -> Windows:
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
        made: dict[tuple[int, str], Tensor] = {}
        for crop, modalities in self.reads.items():
            for modality in modalities:
                if (crop.size, modality.name) not in made:
                    made[crop.size, modality.name] = _centre(arrays[modality.name], modality, crop.size)
        return {
            crop.name: {m.name: made[crop.size, m.name] for m in modalities} for crop, modalities in self.reads.items()
        }

    def _random(self, crop: Crop, arrays: Mapping[str, NDArray], index: Ints, epoch: int) -> dict[str, Tensor]:
        sizes = [_size(modality) for modality in self.reads[crop] if modality.spatial]
        height, width = max(sizes, key=math.prod, default=(1, 1))
        drawn = uniform(self.seed, epoch, f"crop {crop.name}", index, 2 * TRIES + 3)
        windows = draw_windows(crop, drawn, height, width)
        return {
            modality.name: _cut(
                arrays[modality.name], modality, windows.scaled((height, width), _size(modality)), crop.size
            )
            if modality.spatial
            else torch.from_numpy(arrays[modality.name])
            for modality in self.reads[crop]
        }


def _size(modality: Modality) -> tuple[int, int]:
    return modality.shape[0], modality.shape[1]


def _cut(array: NDArray, modality: Modality, windows: Windows, size: int) -> Tensor:
    if modality.kind == "image":
        return _resized_crops(array, windows, size)
    rows = windows.top[:, None] + _nearest(windows.height, size)
    columns = windows.left[:, None] + _nearest(windows.width, size)
    columns = np.where(windows.flip[:, None], columns[:, ::-1], columns)
    planes = _picked(array, rows, columns)
    if modality.kind == "normal":
        mirrored = torch.from_numpy(windows.flip.nonzero()[0])
        planes[mirrored, 0] = -planes[mirrored, 0]
    return planes


def _resized_crops(images: NDArray[np.uint8], windows: Windows, size: int) -> Tensor:
    """Bilinear with antialiasing, one call a sample because the windows differ; torch's uint8 path is the fast one."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    out = torch.empty((len(images), pixels.shape[1], size, size), dtype=torch.uint8)
    corners = zip(*(side.tolist() for side in (windows.top, windows.left, windows.height, windows.width)), strict=True)
    for row, (top, left, height, width) in enumerate(corners):
        window = pixels[row : row + 1, :, top : top + height, left : left + width]
        out[row] = F.interpolate(window, size=(size, size), mode="bilinear", antialias=True)[0]
    mirrored = torch.from_numpy(windows.flip.nonzero()[0])
    out[mirrored] = out[mirrored].flip(-1)
    return out


def _nearest(extent: Ints, size: int) -> Ints:
    """Sources of `size` samples spread over each extent: (n, size), as `nearest-exact`, in its float32 arithmetic."""
    scale = (extent / size).astype(np.float32)[:, None]
    return np.floor((np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale).astype(np.int64)


def _picked(planes: NDArray, rows: Ints, columns: Ints) -> Tensor:
    """`planes` (n, H, W) or (n, H, W, c) at `rows` (n, h) and `columns` (n, w): (n, c, h, w), integers as int64."""
    out_size = rows.shape[1], columns.shape[1]
    where = torch.from_numpy(rows[:, :, None] * planes.shape[2] + columns[:, None, :]).flatten(1).unsqueeze(1)
    if planes.dtype.kind in "iu":
        planes = planes.astype(np.int64)
    flat = torch.from_numpy(planes).flatten(1, 2)
    channels_first = flat.unsqueeze(1) if flat.dim() == 2 else flat.transpose(1, 2)
    taken = channels_first.gather(2, where.expand(-1, channels_first.shape[1], -1)).unflatten(2, out_size)
    return taken.float() if taken.is_floating_point() else taken


def _centre(array: NDArray, modality: Modality, size: int) -> Tensor:
    """Shorter side resized to `size`, then the central square."""
    if not modality.spatial:
        return torch.from_numpy(array)
    height, width = array.shape[1:3]
    short = min(height, width)
    full = (size * height // short, size * width // short)
    top, left = round((full[0] - size) / 2), round((full[1] - size) / 2)
    if modality.kind == "image":
        pixels = torch.from_numpy(array).permute(0, 3, 1, 2)
        if full != (height, width):
            pixels = F.interpolate(pixels, size=full, mode="bilinear", antialias=True)
        return pixels[:, :, top : top + size, left : left + size].contiguous()
    rows = _nearest(np.array([height]), full[0])[:, top : top + size].repeat(len(array), 0)
    columns = _nearest(np.array([width]), full[1])[:, left : left + size].repeat(len(array), 0)
    return _picked(array, rows, columns)
