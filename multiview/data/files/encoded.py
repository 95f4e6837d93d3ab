"""Samples that are stored as the bytes of their files, and decoded when they are read."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager

import numpy as np

from multiview.data.files import images
from multiview.data.files.bombs import require_size
from multiview.data.files.failures import name_failures
from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.errors import MultiviewError


def decoded(modality: Modality, sample: np.ndarray, name: str) -> np.ndarray:
    """Decodes an image file, uint8 (bytes,), to sRGB, uint8 (height, width, 3).

    Raises BadSample with `name`, which stands for the file in messages.
    """
    check_encoding(modality)
    with _limits(modality):
        data = sample.tobytes()
        height, width, _ = images.header(io.BytesIO(data), name)
        _require_plausible(len(data), height * width * 3, name)
        return images.rgb(io.BytesIO(data), name)


def empty_sample(kind: Modality, *, stored: bool = False) -> np.ndarray:
    """What stands for a sample that is absent or cannot be read.

    stored: as it would lie in a shard, where an encoded picture is a row of bytes.
    """
    if kind.encoding and not stored:
        return np.zeros((0, 0, 3), "uint8")
    return np.zeros((0, *kind.shape[1:]) if kind.ragged else kind.shape, kind.dtype)


def black_pixel() -> np.ndarray:
    """The smallest picture, where a picture must have a pixel."""
    return np.zeros((1, 1, 3), "uint8")


def _limits(modality: Modality) -> AbstractContextManager[None]:
    """The pixels that pictures of this modality may have; a store may not ask for all memory."""
    wanted = modality.max_megapixels
    return images.allow_pixels(None if wanted is None else min(wanted, MOST_MEGAPIXELS))


def _require_plausible(stored: int, unpacked: int, name: str) -> None:
    with name_failures(name):
        require_size(stored, unpacked)


REDUCTIONS = (8, 4, 2)
MOST_MEGAPIXELS = 4000.0
"""Largest picture that a store may allow: 12 GB of pixels."""
Window = tuple[int, int, int, int]
"""Top, left, height and width, in pixels."""


class LazyImage:
    """An encoded image that is decoded when the crop is known.

    A large JPEG is then decoded at a half, a quarter or an eighth of its size, never smaller than
    the crop. `shape` is (height, width, 3), upright. `fault` is set when decoding fails. Raises
    BadSample when the header cannot be read.
    """

    ndim = 3
    dtype = np.dtype("uint8")

    def __init__(self, modality: Modality, sample: np.ndarray, name: str) -> None:
        check_encoding(modality)
        self.data, self.name = sample.tobytes(), name
        self.fault: BadSample | None = None
        self.modality = modality
        with _limits(modality):
            height, width, _ = images.header(io.BytesIO(self.data), name)
        self.shape = (height, width, 3)
        _require_plausible(len(self.data), self.size, name)

    @property
    def size(self) -> int:
        """Number of values of the whole image."""
        return self.shape[0] * self.shape[1] * 3

    def part(self, window: Window, size: int) -> tuple[np.ndarray, Window]:
        """Decodes enough pixels for a window that becomes a crop of `size` x `size`.

        Returns the pixels and the window in them, exact to half a pixel of the crop; one black
        pixel, and a `fault`, when the file is damaged.
        """
        reduce = next((factor for factor in REDUCTIONS if min(window[2:]) >= size * factor), 1)
        try:
            with _limits(self.modality):
                pixels = images.rgb(io.BytesIO(self.data), self.name, reduce)
        except BadSample as fault:
            self.fault = fault
            return black_pixel(), (0, 0, 1, 1)
        top, height = _shrunk(window[0], window[2], pixels.shape[0] / self.shape[0], pixels.shape[0])
        left, width = _shrunk(window[1], window[3], pixels.shape[1] / self.shape[1], pixels.shape[1])
        return pixels, (top, left, height, width)


def _shrunk(start: int, extent: int, ratio: float, total: int) -> tuple[int, int]:
    """The nearest whole pixels of a span after the image was scaled by `ratio`."""
    first = min(round(start * ratio), total - 1)
    return first, max(1, min(round((start + extent) * ratio), total) - first)


def check_encoding(modality: Modality) -> None:
    """Raises MultiviewError if a modality cannot be stored as the bytes of files."""
    if modality.kind != "image":
        raise MultiviewError(
            f"modality '{modality.name}' is {modality.kind}; only images are stored encoded. Leave `encoding` out."
        )
    if not modality.ragged or modality.dtype != "uint8" or len(modality.shape) != 1:
        raise MultiviewError(f"modality '{modality.name}' is encoded; declare it with dtype uint8 and shape (ANY,).")
