"""What is stored of a sample under one name, and how geometry acts on it."""

from __future__ import annotations

from dataclasses import dataclass

from multiview.errors import MultiviewError, unknown_name

KINDS = {
    "image": "uint8 (H, W, 3) RGB; resized bilinearly with antialiasing",
    "depth": "float32 (H, W) metres, 0 = not measured; resized to the nearest sample",
    "normal": "float16 (H, W, 3) unit vectors, x right, y up, z towards the viewer, 0 = none; nearest, x changes sign in a mirror",
    "mask": "uint8 or uint16 (H, W) identities or classes, 0 = background; nearest",
    "bands": "float32 (H, W, bands); resized bilinearly with antialiasing",
    "audio": "int16 (samples,) or (samples, channels) at `rate` Hz",
    "video": "uint8 (frames, H, W, 3) RGB at `rate` frames a second",
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
    """One stored modality: its name, its kind (a key of `KINDS`), and dtype, shape and unit of one sample.

    shape: its first number is `ANY` where it differs from sample to sample. rate: samples or frames a second. names: of the
    identities of a mask, the columns of a table, or bands. encoding: of files that are stored as they are (`jpeg`, `png`,
    ...), dtype uint8 and shape (ANY,); they are decoded when they are read.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    rate: float | None = None
    names: tuple[str, ...] = ()
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of modality", self.kind, KINDS)
        if self.timed and not self.rate:
            raise MultiviewError(f"modality '{self.name}' is {self.kind} without a rate; give rate=PER_SECOND.")

    @property
    def spatial(self) -> bool:
        """Whether an image crop acts on it."""
        return self.kind in SPATIAL

    @property
    def timed(self) -> bool:
        """Whether a window in time is cut from it."""
        return self.kind in TIMED

    @property
    def ragged(self) -> bool:
        """Whether its samples differ in length."""
        return self.shape[:1] == (ANY,)

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a sample may have this shape."""
        own = (*shape[:1], *self.shape[1:]) if self.ragged else self.shape
        return len(shape) == len(self.shape) and shape == own

    def numbers(self, *names: str) -> tuple[int, ...]:
        """Where these names stand in `names`: the columns, bands or identities that are called so.

        Raises MultiviewError for a name that the store does not have.
        """
        for name in names:
            if name not in self.names:
                raise unknown_name(f"name in '{self.name}'", name, self.names)
        return tuple(self.names.index(name) for name in names)
