"""STL-10 in the published binary files: labelled and unlabelled photos."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from multiview.data.listing.published import check_val, find_archive, training_split
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.errors import MultiviewError

SIDE = 96
PIXELS = 3 * SIDE * SIDE
FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
UNLABELLED = "unlabeled_X.bin"
"""The archive spells the word this way."""
PLACES = ("train", "own", "none")


@dataclass(frozen=True, kw_only=True)
class Stl10:
    """STL-10 (Coates et al. 2011): photos of 96 x 96 px, most of them without a label.

    There are 5,000 training, 8,000 test photos of ten classes, and 100,000 unlabelled photos.
    INPUT is the folder `stl10_binary`, or the folder that holds it.

    Args:
        unlabelled: split of the photos without a class: `train`, where encoders learn from them and
            probes skip them (the paper's setting), their `own` split `unlabelled`, or `none`, which
            leaves them out.
        val: percent of the labelled training samples that become the split `val`, by a hash of the
            id.
    """

    unlabelled: Literal["train", "own", "none"] = "train"
    val: float = 0.0

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_val(self.val)
        if self.unlabelled not in PLACES:
            raise MultiviewError(f"unlabelled is '{self.unlabelled}'; give {', '.join(PLACES)}.")

    def plan(self, root: Path | None) -> Plan:
        """Plans training, test, unlabelled photos. Raises MultiviewError for damaged files."""
        assert root is not None
        files = FILES if self.unlabelled == "none" else (*FILES, UNLABELLED)
        place, _ = find_archive(root, [("stl10_binary", files)], "STL-10")
        names = tuple((place / "class_names.txt").read_text("utf8").split())
        parts = [self._labelled(place, split, names) for split in ("train", "test")]
        if self.unlabelled != "none":
            parts.append(self._unlabelled(place))
        image = Modality(name="image", kind="image", dtype="uint8", shape=(SIDE, SIDE, 3), unit="sRGB")
        starts = np.cumsum([0, *(len(rows) for _, rows in parts)]).tolist()
        reader = _Reader(tuple(path for path, _ in parts), tuple(starts))
        return Plan([row for _, rows in parts for row in rows], (image,), reader, classes=names)

    def _labelled(self, place: Path, split: str, names: tuple[str, ...]) -> tuple[Path, list[Row]]:
        path = place / f"{split}_X.bin"
        labels = np.fromfile(place / f"{split}_y.bin", "uint8").tolist()
        count = _count(path)
        if len(labels) != count:
            raise MultiviewError(f"{path} holds {count} images, {split}_y.bin {len(labels)} labels; one is truncated.")
        if labels and not 1 <= min(labels) <= max(labels) <= len(names):
            raise MultiviewError(
                f"{split}_y.bin has labels {min(labels)} to {max(labels)}; there are classes 1 to {len(names)}."
            )
        ids = [f"{split}/{number:06d}" for number in range(count)]
        return path, [
            Row(name, label=names[label - 1], split=training_split(name, self.val) if split == "train" else split)
            for name, label in zip(ids, labels, strict=True)
        ]

    def _unlabelled(self, place: Path) -> tuple[Path, list[Row]]:
        path = place / UNLABELLED
        split = "train" if self.unlabelled == "train" else "unlabelled"
        return path, [Row(f"unlabelled/{number:06d}", split=split) for number in range(_count(path))]


def _count(path: Path) -> int:
    size = path.stat().st_size
    if not size or size % PIXELS:
        raise MultiviewError(f"{path} has {size} bytes, no multiple of {PIXELS}: it is truncated. Unpack it again.")
    return size // PIXELS


@dataclass(frozen=True)
class _Reader:
    files: tuple[Path, ...]
    starts: tuple[int, ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        part = int(np.searchsorted(self.starts, number, side="right")) - 1
        stored = np.fromfile(self.files[part], "uint8", PIXELS, offset=(number - self.starts[part]) * PIXELS)
        if len(stored) != PIXELS:
            raise BadSample(f"{self.files[part].name}: truncated while it was read")
        return {"image": np.ascontiguousarray(stored.reshape(3, SIDE, SIDE).transpose(2, 1, 0))}  # column by column
