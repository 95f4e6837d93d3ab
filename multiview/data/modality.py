"""What is stored of a sample under one name, and how geometry acts on it."""

from __future__ import annotations

from dataclasses import dataclass

from multiview.errors import MultiviewError, unknown_name

KINDS = {
    "image": "uint8 (H, W, 3) RGB; resized bilinearly with antialiasing",
    "depth": "float32 (H, W) metres, 0 = not measured; resized to the nearest sample",
    "normal": "float16 (H, W, 3) unit vectors, x right, y up, z towards the viewer, 0 = none; nearest, x changes sign in a mirror",
    "mask": "uint8 or uint16 (H, W) identities, 0 = background; nearest",
    "audio": "int16 (samples,) or (samples, channels) at `rate` Hz",
    "table": "float32 (columns,)",
}


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One stored modality: its name, its kind (a key of `KINDS`), and dtype, shape and unit of one sample."""

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    rate: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of modality", self.kind, KINDS)
        if self.kind == "audio" and not self.rate:
            raise MultiviewError(f"modality '{self.name}' is audio without a sampling rate; give rate=HZ.")

    @property
    def spatial(self) -> bool:
        """Whether an image crop acts on it."""
        return self.kind in ("image", "depth", "normal", "mask")
