"""The source `thermal`: colour and thermal pictures in two folders with the same file names."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from multiview.data.listing.splits import parse_shares, split_by_hash
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.errors import MultiviewError

KELVIN = 0.01
"""Kelvin per stored unit: radiometric cameras write 16 bit files in hundredths of a kelvin."""


@dataclass(frozen=True, kw_only=True)
class Thermal:
    """Folders `visible` and `thermal`, each with `CLASS/NAME.png`.

    Thermal pictures are 16 bit, in hundredths of a kelvin.

    A picture without a partner becomes a sample that lacks the other modality.

    Args:
        size: every picture is resized to a square with this side, in pixels.
        split: TRAIN/VAL/TEST in percent, by a hash of the name.
    """

    size: int = 64
    split: str = "70/10/20"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        parse_shares(self.split)

    def plan(self, root: Path | None) -> Plan:
        """One row per name in either folder, sorted. Raises MultiviewError when there is none."""
        assert root is not None
        found = {
            kind: {str(path.relative_to(root / kind).with_suffix("")) for path in root.glob(f"{kind}/*/*.png")}
            for kind in ("visible", "thermal")
        }
        names = sorted(found["visible"] | found["thermal"])
        if not names:
            raise MultiviewError(
                f"{root} has no visible/CLASS/NAME.png and no thermal/CLASS/NAME.png; give the folder that holds both."
            )
        rows = [
            Row(name, label=name.split("/")[0], split=split_by_hash(name, parse_shares(self.split))) for name in names
        ]
        side = (self.size, self.size)
        modalities = (
            Modality(name="image", kind="image", dtype="uint8", shape=(*side, 3), unit="sRGB"),
            Modality(name="thermal", kind="bands", dtype="float32", shape=(*side, 1), unit="K"),
        )
        alone = len(found["visible"] ^ found["thermal"])
        notes = (f"{alone} samples lack one of the two pictures.",) if alone else ()
        return Plan(rows, modalities, Reader(root, tuple(names), self.size), notes=notes)


@dataclass(frozen=True)
class Reader:
    """Reads one sample by its number. A frozen value, so that it can be sent to other processes."""

    root: Path
    names: tuple[str, ...]
    size: int

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """The pictures of the sample that exist. Raises BadSample when a picture cannot be read."""
        visible, thermal = (self.root / kind / f"{self.names[number]}.png" for kind in ("visible", "thermal"))
        sample = {}
        if visible.is_file():
            sample["image"] = np.asarray(self._opened(visible).convert("RGB").resize((self.size, self.size)))
        if thermal.is_file():
            kelvin = np.asarray(self._opened(thermal), dtype="float32") * KELVIN
            square = Image.fromarray(kelvin).resize((self.size, self.size), Image.Resampling.BILINEAR)
            sample["thermal"] = np.asarray(square)[..., None]
        return sample

    def _opened(self, path: Path) -> Image.Image:
        try:
            picture = Image.open(path)
            picture.load()
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise BadSample(f"{path.relative_to(self.root)}: {error}") from error
        return picture
