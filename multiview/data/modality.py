"""What a store holds of each sample under one name, and how crops act on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from multiview.errors import MultiviewError, unknown_name

KINDS = {
    "image": "uint8 (H, W, 3) RGB; resized bilinearly with antialiasing",
    "depth": "float32 (H, W) metres, 0 = not measured; resized to the nearest sample",
    "normal": "float16 (H, W, 3) unit vectors, x right, y up, z towards the viewer, 0 = none; resized to the nearest "
    "sample; a horizontal flip changes the sign of x",
    "mask": "uint8 or uint16 (H, W) identities or classes, 0 = background; resized to the nearest sample",
    "bands": "float32 (H, W, bands); resized bilinearly with antialiasing",
    "audio": "int16 (samples,) or (samples, channels) at `rate` Hz",
    "video": "uint8 (frames, H, W, 3) RGB at `rate` frames per second",
    "series": "float32 (times, channels) at `rate` Hz",
    "table": "float32 (columns,)",
    "points": "float32 (points, numbers)",
    "text": "uint8 (bytes,) UTF-8, padded with zeros",
}
SPATIAL = ("image", "depth", "normal", "mask", "bands", "video")
TIMED = ("audio", "video", "series")
ANY = -1
"""A length that differs from sample to sample."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One stored modality: name, kind (a key of `KINDS`), and dtype, shape and unit of a sample.

    Args:
        shape: the first number is `ANY` where the length differs from sample to sample.
        rate: samples or frames per second.
        names: names of the identities of a mask, of the columns of a table, or of bands.
        encoding: format (`jpeg`, `png`, ...) of images that are stored as the bytes of their files,
            with dtype uint8 and shape (ANY,). Reading the store decodes them.
        max_megapixels: the largest of these images, in million pixels (None = 89).
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    rate: float | None = None
    names: tuple[str, ...] = ()
    encoding: str | None = None
    max_megapixels: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of modality", self.kind, KINDS)
        if self.timed and not self.rate:
            raise MultiviewError(f"modality '{self.name}' is {self.kind} without a rate; give rate=PER_SECOND.")

    @property
    def spatial(self) -> bool:
        """Whether image crops apply to this modality."""
        return self.kind in SPATIAL

    @property
    def timed(self) -> bool:
        """Whether a window in time is cut from this modality."""
        return self.kind in TIMED

    @property
    def ragged(self) -> bool:
        """Whether samples of this modality differ in length."""
        return self.shape[:1] == (ANY,)

    def as_plain(self) -> dict[str, Any]:
        """The fields by name, in JSON's types; without the limit of pixels where there is none."""
        values = asdict(self)
        return values if self.max_megapixels is not None else {n: x for n, x in values.items() if n != "max_megapixels"}

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a sample of this modality may have this shape."""
        own = (*shape[:1], *self.shape[1:]) if self.ragged else self.shape
        return len(shape) == len(self.shape) and shape == own

    def numbers(self, *names: str) -> tuple[int, ...]:
        """Positions of these names in `names`. Raises MultiviewError if one is unknown."""
        for name in names:
            if name not in self.names:
                raise unknown_name(f"name in '{self.name}'", name, self.names)
        return tuple(self.names.index(name) for name in names)
