"""Samples that are stored as the bytes of their files, and what they are when they are read."""

from __future__ import annotations

import io

import numpy as np

from multiview.data.files import images
from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.errors import MultiviewError


def decoded(modality: Modality, sample: np.ndarray, name: str) -> np.ndarray:
    """The bytes of an image file, uint8 (bytes,), as sRGB, uint8 (height, width, 3). Raises BadSample, naming `name`."""
    check_encoding(modality)
    return images.rgb(io.BytesIO(sample.tobytes()), name)


REDUCTIONS = (8, 4, 2)
Window = tuple[int, int, int, int]
"""Top, left, height and width, in pixels."""


class LazyImage:
    """An encoded image that waits until it is known which part of it is needed, and how large: a large JPEG is then decoded
    at half, a quarter or an eighth of its size, never smaller than the crop.

    shape: (height, width, 3), upright. fault: what is wrong with the file, once that is known. Raises BadSample when not
    even its header can be read.
    """

    ndim = 3
    dtype = np.dtype("uint8")

    def __init__(self, modality: Modality, sample: np.ndarray, name: str) -> None:
        check_encoding(modality)
        self.data, self.name = sample.tobytes(), name
        self.fault: BadSample | None = None
        height, width, _ = images.header(io.BytesIO(self.data), name)
        self.shape = (height, width, 3)

    @property
    def size(self) -> int:
        """Numbers of the whole image."""
        return self.shape[0] * self.shape[1] * 3

    def part(self, window: Window, size: int) -> tuple[np.ndarray, Window]:
        """Pixels that hold a window of the image which is to become `size` x `size`, and where it is among them, to half a
        pixel of the crop; a black pixel and a `fault` when the file is damaged.
        """
        reduce = next((each for each in REDUCTIONS if min(window[2:]) >= size * each), 1)
        try:
            pixels = images.rgb(io.BytesIO(self.data), self.name, reduce)
        except BadSample as fault:
            self.fault = fault
            return np.zeros((1, 1, 3), "uint8"), (0, 0, 1, 1)
        top, height = _shrunk(window[0], window[2], pixels.shape[0] / self.shape[0], pixels.shape[0])
        left, width = _shrunk(window[1], window[3], pixels.shape[1] / self.shape[1], pixels.shape[1])
        return pixels, (top, left, height, width)


def _shrunk(start: int, extent: int, ratio: float, total: int) -> tuple[int, int]:
    """The nearest whole pixels of a span in an image that is `ratio` as large."""
    first = min(round(start * ratio), total - 1)
    return first, max(1, min(round((start + extent) * ratio), total) - first)


def check_encoding(modality: Modality) -> None:
    """Raises MultiviewError for a modality that cannot be stored as the bytes of files."""
    if modality.kind != "image":
        raise MultiviewError(f"modality '{modality.name}' is {modality.kind}; only images are stored encoded.")
    if not modality.ragged or modality.dtype != "uint8" or len(modality.shape) != 1:
        raise MultiviewError(f"modality '{modality.name}' is encoded: its dtype is uint8, its shape (ANY,).")
