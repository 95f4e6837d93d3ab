"""The geometry of a crop. Its fields are options, so that this file has no late annotations."""

from dataclasses import dataclass, replace

from multiview.errors import MultiviewError

LARGEST = 1 << 15
"""Pixels of the longest side; a picture of this side in float32 has 12 GiB."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One random draw of geometry: a random resized crop, a mirror image and a window in time.

    All modalities of a sample share the draw: views of crops with the same name are aligned pixel
    by pixel and in time. Crops with different names are drawn independently.

    Args:
        size: side of the square result, pixels.
        scale: share of the area that is kept, (low, high).
        ratio: aspect ratio of the kept window, (low, high).
        flip: probability of a mirror image.
        name: of the draw.
        seconds: length of the window that is cut from sound, video and time series; None = all.
        draw: name of the crop whose random numbers it takes, so that two crops of different size
            show the same place (None = its own name).

    Raises:
        MultiviewError: when a value is out of its range.

    >>> import multiview as mv
    >>> crop = mv.Crop(size=32, scale=(0.5, 1.0), name="query")
    >>> crop.named("key").name
    'key'
    """

    size: int = 64
    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    name: str = "crop"
    seconds: float | None = None
    draw: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST:
            raise MultiviewError(
                f"crop '{self.name}': size is {self.size}; give a number of pixels, 1 or more and at most {LARGEST}."
            )
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise MultiviewError(
                f"crop '{self.name}': scale is {self.scale}; give (low, high) with 0 < low <= high <= 1."
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise MultiviewError(f"crop '{self.name}': ratio is {self.ratio}; give (low, high) with 0 < low <= high.")
        if not 0 <= self.flip <= 1:
            raise MultiviewError(f"crop '{self.name}': flip is {self.flip}; give a probability from 0 to 1.")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise MultiviewError(f"crop '{self.name}': seconds is {self.seconds}; give a length above 0, or None.")

    def named(self, name: str) -> "Crop":
        """The same geometry under another name, and so drawn independently."""
        return replace(self, name=name)
