"""One size for all samples: how an image of any size gets the size of the store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from multiview.data.source import BadSample
from multiview.errors import MultiviewError, unknown_name

Policy = Literal["crop", "pad", "squash", "keep"]
POLICIES = ("crop", "pad", "squash", "keep")
LARGEST = 256


@dataclass(frozen=True)
class Resizer:
    """Brings arrays to `height` x `width`.

    The policy `crop` takes the largest centred window of that shape, `pad` puts the whole image on
    a blank background, `squash` stretches the whole image, `keep` rejects any other size.
    """

    height: int
    width: int
    policy: str

    def resize(self, kind: str, array: np.ndarray) -> np.ndarray:
        """Resizes an array of a modality: images and bands bilinearly, others to the nearest."""
        if kind == "bands":
            return self.resize_bands(array)
        return self.resize_image(array) if kind == "image" else self.resize_nearest(array)

    def resize_image(self, array: np.ndarray) -> np.ndarray:
        """Resizes uint8 (h, w, 3), bilinear with antialiasing; pads with white.

        Raises BadSample for another size under the policy `keep`.
        """
        from PIL import Image

        if self._fits(array):
            return array
        left, top, right, bottom = self._window(array)
        height, width = self._inner(array)
        window = (left, top, right, bottom)
        small = Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR, box=window)
        return self._placed(np.array(small), 255)

    def resize_bands(self, array: np.ndarray) -> np.ndarray:
        """Resizes float32 (h, w, bands) like an image, but pads with 0.

        Raises BadSample for another size under the policy `keep`.
        """
        from PIL import Image

        if self._fits(array):
            return array
        (height, width), window = self._inner(array), self._window(array)
        planes = [
            Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BILINEAR, box=window)
            for plane in np.moveaxis(array, -1, 0)
        ]
        return self._placed(np.stack([np.asarray(plane) for plane in planes], axis=-1), 0)

    def resize_nearest(self, array: np.ndarray) -> np.ndarray:
        """Resizes (h, w) or (h, w, c) to the nearest samples; pads with 0.

        Raises BadSample for another size under the policy `keep`.
        """
        if self._fits(array):
            return array
        left, top, right, bottom = self._window(array)
        height, width = self._inner(array)
        rows = top + (np.arange(height) + 0.5) * (bottom - top) / height
        columns = left + (np.arange(width) + 0.5) * (right - left) / width
        return self._placed(array[rows.astype(int)][:, columns.astype(int)], 0)

    def _fits(self, array: np.ndarray) -> bool:
        height, width = array.shape[:2]
        same = (height, width) == (self.height, self.width)
        if not same and self.policy == "keep":
            raise BadSample(f"is {width}x{height}, the others are {self.width}x{self.height}")
        return same

    def _window(self, array: np.ndarray) -> tuple[int, int, int, int]:
        """The part of the image that is resized: left, top, right, bottom."""
        height, width = array.shape[:2]
        if self.policy != "crop":
            return 0, 0, width, height
        tall = min(height, max(1, round(width * self.height / self.width)))
        wide = min(width, max(1, round(height * self.width / self.height)))
        left, top = (width - wide) // 2, (height - tall) // 2
        return left, top, left + wide, top + tall

    def _inner(self, array: np.ndarray) -> tuple[int, int]:
        """The height and width that this part gets."""
        height, width = array.shape[:2]
        if self.policy != "pad":
            return self.height, self.width
        scale = min(self.height / height, self.width / width)
        return min(self.height, max(1, round(height * scale))), min(self.width, max(1, round(width * scale)))

    def _placed(self, array: np.ndarray, ground: int) -> np.ndarray:
        height, width = array.shape[:2]
        if (height, width) == (self.height, self.width):
            return array
        canvas = np.full((self.height, self.width, *array.shape[2:]), ground, array.dtype)
        top, left = (self.height - height) // 2, (self.width - width) // 2
        canvas[top : top + height, left : left + width] = array
        return canvas


def check_size_options(size: int | None, policy: str) -> None:
    """Raises MultiviewError for a size below 1 or an unknown policy."""
    if size is not None and size < 1:
        raise MultiviewError(f"size is {size}; give a number of pixels, 1 or more.")
    if policy not in POLICIES:
        raise unknown_name("resize policy", policy, POLICIES)


def choose_resizer(
    sizes: Sequence[tuple[int, int]], size: int | None, policy: Policy
) -> tuple[Resizer, tuple[str, ...]]:
    """Chooses the common size for images of these sizes (height, width), and notes about it.

    A given `size` means a square of that side. Without it, images of one size keep that size, and
    others become a square of the median shorter side, at most 256. Raises MultiviewError when the
    sizes differ and the policy is `keep`.
    """
    if size is not None:
        return Resizer(size, size, policy), ()
    if len(set(sizes)) == 1:
        return Resizer(*sizes[0], policy), ()
    side = min(LARGEST, int(np.median([min(shape) for shape in sizes])))
    low, high = min(sizes, key=math.prod), max(sizes, key=math.prod)
    differ = f"image sizes differ ({low[1]}x{low[0]} to {high[1]}x{high[0]})"
    if policy == "keep":
        raise MultiviewError(
            f"{differ} and --resize keep takes one size; give that size with --size, or another --resize."
        )
    note = f"{differ}: all become {side}x{side} by '{policy}'; choose with --size and --resize."
    return Resizer(side, side, policy), (note,)
