"""Cuts crops: one window in the picture and one in time for all modalities of a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multiview.counter_rng import uniform
from multiview.data.files.encoded import LazyImage
from multiview.data.load.resizing import central_square, resized, shorter_side_resized
from multiview.data.load.windows import TRIES, Floats, Ints, Windows, draw_windows, span_places, span_starts
from multiview.data.modality import SPATIAL, Modality
from multiview.errors import MultiviewError
from multiview.view import Crop

Stored = NDArray | Sequence[NDArray | LazyImage]
"""n samples of a modality from a store: an array, or a list if shapes differ or are undecoded."""

DTYPES = {"image": torch.uint8, "video": torch.uint8, "mask": torch.int64, "audio": torch.int16, "text": torch.int64}
"""The dtype of crops of each kind of modality; float32 for the other kinds."""
SMOOTH = ("image", "video", "bands")
"""Kinds of modality that are resized bilinearly; others take the nearest sample."""


class CropTransform:
    """Cuts crops: `transform(arrays, index, epoch)` -> crop name -> modality -> tensor.

    Images, videos and bands are resized bilinearly with antialiasing to (size, size). Depth, masks
    and normals take the nearest sample; mirroring negates the x of normals. Sound, videos and
    series are cut to `crop.seconds`; short ones end with zeros (videos: the last frame).
    Tables, points and text stay whole. All modalities of a crop share one draw, a function of
    (seed, epoch, sample index, crop name): batch, worker and process do not matter. `Batch` gives
    the layout.

    Args:
        reads: the modalities of each crop.
        train: False resizes the shorter side to `size` and cuts the centre, in space and time.
        seed: of the draws.

    Raises MultiviewError when samples of different lengths would have to stay whole.
    """

    def __init__(self, reads: Mapping[Crop, Sequence[Modality]], train: bool, seed: int = 0) -> None:
        self.reads = {crop: tuple(modalities) for crop, modalities in reads.items()}
        self.train = train
        self.seed = seed
        for crop, modalities in self.reads.items():
            for modality in modalities:
                _check_length(crop, modality)

    def __call__(self, arrays: Mapping[str, Stored], index: Ints, epoch: int = 0) -> dict[str, dict[str, Tensor]]:
        """Crops of `arrays`, modality -> n stored samples. index: (n,) positions in the split."""
        if self.train:
            return {crop.name: self._random(crop, arrays, index, epoch) for crop in self.reads}
        return self._central(arrays, len(index))

    def _random(self, crop: Crop, arrays: Mapping[str, Stored], index: Ints, epoch: int) -> dict[str, Tensor]:
        modalities = self.reads[crop]
        place = uniform(self.seed, epoch, f"crop {crop.draw or crop.name} time", index)[:, 0]
        spans = _spans(crop, modalities, arrays, place)
        stored = {each.name: _cut_span(each, arrays[each.name], spans) for each in modalities}
        sizes = {each.name: _sizes(each, stored[each.name]) for each in modalities if each.spatial}
        largest = _largest(list(sizes.values()), len(index))
        drawn = uniform(self.seed, epoch, f"crop {crop.draw or crop.name}", index, 2 * TRIES + 3)
        windows = draw_windows(crop, drawn, *largest)
        return {
            each.name: _cut(stored[each.name], each.kind, windows.scaled(largest, sizes[each.name]), crop.size)
            if each.spatial
            else _whole(each, stored[each.name])
            for each in modalities
        }

    def _central(self, arrays: Mapping[str, Stored], n: int) -> dict[str, dict[str, Tensor]]:
        every = tuple({each.name: each for each in chain(*self.reads.values())}.values())
        middle = np.full(n, 0.5)

        # In evaluation, crops of one size and length are equal: cut them once.
        @cache
        def cut(size: int, seconds: float | None, modality: Modality) -> Tensor:
            spans = _spans(Crop(size=size, seconds=seconds), every, arrays, middle)
            stored = _cut_span(modality, arrays[modality.name], spans)
            return _centre(stored, modality, size) if modality.spatial else _whole(modality, stored)

        return {
            crop.name: {each.name: cut(crop.size, crop.seconds, each) for each in read}
            for crop, read in self.reads.items()
        }


def _check_length(crop: Crop, modality: Modality) -> None:
    if not modality.ragged or modality.encoding or (modality.timed and crop.seconds):
        return
    problem = f"the samples of {modality.name} differ in length and cannot form a batch as they are"
    if not modality.timed:
        raise MultiviewError(f"{problem}; use a store in which all have one length.")
    raise MultiviewError(
        f"{problem}; give the recipe --seconds LENGTH if it has this option, or in Python use Crop(seconds=LENGTH) "
        f"for the crop '{crop.name}'."
    )


def _spans(
    crop: Crop, modalities: Iterable[Modality], arrays: Mapping[str, Stored], place: Floats
) -> tuple[Floats, float] | None:
    """Starts (n,) and length of the windows in time, in seconds; None without windows."""
    timed = [each for each in modalities if each.timed]
    if crop.seconds is None or not timed:
        return None
    durations = [_lengths(arrays[each.name]) / _rate(each) for each in timed]
    return span_starts(crop.seconds, durations, place), crop.seconds


def _cut_span(modality: Modality, stored: Stored, spans: tuple[Floats, float] | None) -> Stored:
    """The windows in time of all samples, an array (n, count, ...), padded behind short samples."""
    if spans is None or not modality.timed:
        return stored
    first, count = span_places(*spans, _rate(modality), _lengths(stored))
    frame = stored.shape[2:] if isinstance(stored, np.ndarray) else modality.shape[1:]
    out = np.zeros((len(stored), count, *frame), modality.dtype)
    for row, (sample, start) in enumerate(zip(stored, first.tolist(), strict=True)):
        part = sample[start : start + count]
        out[row, : len(part)] = part
        if modality.kind == "video" and 0 < len(part) < count:
            out[row, len(part) :] = part[-1]
    return out


def _lengths(stored: Stored) -> Ints:
    return np.array([sample.shape[0] for sample in stored], np.int64)


def _rate(modality: Modality) -> float:
    assert modality.rate is not None
    return modality.rate


def _sizes(modality: Modality, stored: Stored) -> tuple[Ints, Ints]:
    """Heights (n,) and widths (n,) of the samples."""
    place = 1 if modality.kind == "video" else 0
    shapes = [sample.shape[place : place + 2] for sample in stored]
    heights, widths = np.array(shapes, np.int64).reshape(-1, 2).T
    return heights, widths


def _largest(sizes: Sequence[tuple[Ints, Ints]], n: int) -> tuple[Ints, Ints]:
    """For each sample the size of the modality with the most pixels."""
    height, width = np.ones(n, np.int64), np.ones(n, np.int64)
    for other_height, other_width in sizes:
        larger = other_height * other_width > height * width
        height, width = np.where(larger, other_height, height), np.where(larger, other_width, width)
    return height, width


def _cut(stored: Stored, kind: str, windows: Windows, size: int) -> Tensor:
    """The windows of all samples, resized to size x size and mirrored where `windows.flip`."""
    if not len(stored):
        return _channels_second(_no_crops(stored, kind, size), kind)
    cut_out = _smooth if kind in SMOOTH else _nearest
    sides = (windows.top, windows.left, windows.height, windows.width)
    cuts = zip(*(side.tolist() for side in sides), strict=True)
    out = torch.cat([cut_out(sample, cut, kind, size) for sample, cut in zip(stored, cuts, strict=True)])
    out = _mirrored(out.to(_dtype(kind)).contiguous(), torch.from_numpy(windows.flip), kind)
    return _channels_second(out, kind)


def _smooth(sample: NDArray | LazyImage, window: tuple[int, int, int, int], kind: str, size: int) -> Tensor:
    """The window of a sample, resized bilinearly with antialiasing: (1, ..., c, size, size).

    Equal to torchvision's `resized_crop`. The kernel is called directly and the window is cut by
    numpy, because a small picture costs less than the calls around it.
    """
    (top, left, height, width), pixels = window, sample
    if isinstance(pixels, LazyImage):
        pixels, (top, left, height, width) = pixels.part(window, size)
    part = pixels[..., top : top + height, left : left + width, :]
    frames = torch.from_numpy(part if kind == "video" else part[None]).permute(0, 3, 1, 2)
    out = torch._C._nn._upsample_bilinear2d_aa(frames, (size, size), False, None)
    return out[None] if kind == "video" else out


def _nearest(sample: NDArray, window: tuple[int, int, int, int], kind: str, size: int) -> Tensor:
    """The window of a sample of numbers, each from the nearest one: (1, c, size, size)."""
    top, left, height, width = window
    planes = _channels_first(torch.from_numpy(sample), kind)
    return resized(planes[..., top : top + height, left : left + width], size, size, smooth=False)[None]


def _mirrored(out: Tensor, flip: Tensor, kind: str) -> Tensor:
    """The crops, in place, with those at `flip` (n,) mirrored: then the x of normals is negated."""
    if flip.any():
        pixels, chosen = out.numpy(), flip.numpy()  # PyTorch picks and reverses bytes at twice the cost
        pixels[chosen] = pixels[chosen][..., ::-1]
        if kind == "normal":
            out[flip, 0] *= -1
    return out


def _centre(stored: Stored, modality: Modality, size: int) -> Tensor:
    """Resizes the shorter side to `size` and cuts the central square."""
    if isinstance(stored, np.ndarray):
        planes = _channels_first(torch.from_numpy(stored), modality.kind)
        small = shorter_side_resized(planes, size, smooth=modality.kind in SMOOTH)
        out = central_square(small, size).to(_dtype(modality.kind)).contiguous()
        return _channels_second(out, modality.kind)
    return torch.cat([_centre(np.asarray(sample)[None], modality, size) for sample in stored])


def to_batch_layout(modality: Modality, stored: NDArray) -> Tensor:
    """Stored samples (n, ...) of one shape in the layout of a batch, uncropped."""
    return in_batch_layout(modality.kind, torch.from_numpy(stored))


def in_batch_layout(kind: str, stored: Tensor) -> Tensor:
    """A tensor of stored samples (n, ...) in the layout and dtype of a batch, channels second."""
    if kind in SPATIAL:
        return _channels_second(_channels_first(stored, kind).to(_dtype(kind)).contiguous(), kind)
    x = stored.to(_dtype(kind))
    if kind == "audio" and x.ndim == 2:
        return x.unsqueeze(1)
    return x.transpose(1, 2).contiguous() if kind in ("audio", "series", "points") else x


def _whole(modality: Modality, stored: Stored) -> Tensor:
    """Samples of a modality that is not spatial as a tensor, channels second."""
    return in_batch_layout(modality.kind, torch.from_numpy(np.asarray(stored)))


def _no_crops(stored: Stored, kind: str, size: int) -> Tensor:
    """A batch without samples, which still has the shape of a sample."""
    planes = _channels_first(torch.from_numpy(np.asarray(stored)), kind)
    return planes.new_empty((*planes.shape[:-2], size, size), dtype=_dtype(kind))


def _channels_first(stored: Tensor, kind: str) -> Tensor:
    """(..., H, W) or (..., H, W, c) as (..., c, H, W)."""
    return stored.unsqueeze(-3) if kind in ("depth", "mask") else stored.movedim(-1, -3)


def _channels_second(x: Tensor, kind: str) -> Tensor:
    """A batch in which the channels of videos stand before the frames."""
    return x.transpose(1, 2).contiguous() if kind == "video" else x


def _dtype(kind: str) -> torch.dtype:
    return DTYPES.get(kind, torch.float32)
