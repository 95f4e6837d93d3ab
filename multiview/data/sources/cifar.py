"""CIFAR-10 and CIFAR-100 in the published files: pickled or binary batches of small photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from multiview.data.files.pickles import read_pickle
from multiview.data.listing.published import check_val, find_archive, training_split
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.errors import MultiviewError

SIDE = 32
PIXELS = 3 * SIDE * SIDE
IMAGE = Modality(name="image", kind="image", dtype="uint8", shape=(SIDE, SIDE, 3), unit="sRGB")


@dataclass(frozen=True, kw_only=True)
class Cifar10:
    """CIFAR-10 (Krizhevsky 2009): 50,000 training, 10,000 test photos of 32 x 32 px, ten classes.

    INPUT is the folder of the Python version (`cifar-10-batches-py`; no code in its pickles is run)
    or of the binary version (`cifar-10-batches-bin`), or the folder that holds it.

    Args:
        val: percent of the training samples that become the split `val`, by a hash of the id.
    """

    val: float = 0.0

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_val(self.val)

    def plan(self, root: Path | None) -> Plan:
        """Plans samples in published order. Raises MultiviewError for missing or damaged files."""
        assert root is not None
        batches = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
        binary = tuple(f"{name}.bin" for name in batches)
        layouts = [
            ("cifar-10-batches-py", (*batches, "batches.meta")),
            ("cifar-10-batches-bin", (*binary, "batches.meta.txt")),
        ]
        place, pickled = _located(root, layouts, "CIFAR-10")
        names = _names(place / "batches.meta", "label_names") if pickled else _lines(place / "batches.meta.txt")
        files = [_File(place / name, "labels", 1) for name in (batches if pickled else binary)]
        return _plan(files[:-1], files[-1], names, self.val)


@dataclass(frozen=True, kw_only=True)
class Cifar100:
    """CIFAR-100 (Krizhevsky 2009): 50,000 training, 10,000 test photos of 32 x 32 px, 100 classes.

    INPUT is the folder `cifar-100-python` (no code in its pickles is run) or `cifar-100-binary`, or
    the folder that holds it.

    Args:
        labels: the 100 `fine` classes, or their 20 `coarse` groups.
        val: percent of the training samples that become the split `val`, by a hash of the id.
    """

    labels: Literal["fine", "coarse"] = "fine"
    val: float = 0.0

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_val(self.val)
        if self.labels not in ("fine", "coarse"):
            raise MultiviewError(f"labels is '{self.labels}'; give fine or coarse.")

    def plan(self, root: Path | None) -> Plan:
        """Plans samples in published order. Raises MultiviewError for missing or damaged files."""
        assert root is not None
        text = f"{self.labels}_label_names.txt"
        layouts = [
            ("cifar-100-python", ("train", "test", "meta")),
            ("cifar-100-binary", ("train.bin", "test.bin", text)),
        ]
        place, pickled = _located(root, layouts, "CIFAR-100")
        names = _names(place / "meta", f"{self.labels}_label_names") if pickled else _lines(place / text)
        column = 1 if self.labels == "coarse" else 2  # of the binary version: coarse, fine, pixels
        files = [place / (name if pickled else f"{name}.bin") for name in ("train", "test")]
        train, test = (_File(file, f"{self.labels}_labels", column, 2) for file in files)
        return _plan([train], test, names, self.val)


@dataclass(frozen=True)
class _File:
    """A file of samples; labels have a `key` (pickle) or a `column` from 1 before the pixels."""

    path: Path
    key: str
    column: int
    columns: int = 1

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (n, 32, 32, 3) and labels (n,). Raises MultiviewError for other content."""
        pixels, labels = self._binary() if self.path.suffix == ".bin" else self._pickled()
        return np.ascontiguousarray(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels

    def _pickled(self) -> tuple[np.ndarray, np.ndarray]:
        found = read_pickle(self.path)
        pixels, labels = np.asarray(found.get("data")), np.asarray(found.get(self.key, ()))
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS) or labels.dtype.kind not in "iu":
            raise MultiviewError(
                f"{self.path} does not hold {PIXELS} pixels and one value of '{self.key}' for each image."
            )
        return pixels, labels

    def _binary(self) -> tuple[np.ndarray, np.ndarray]:
        stored = np.fromfile(self.path, "uint8")
        if not len(stored) or len(stored) % (self.columns + PIXELS):
            raise MultiviewError(
                f"{self.path} has {len(stored)} bytes, no multiple of {self.columns + PIXELS}: it is truncated, or "
                "belongs to another dataset."
            )
        table = stored.reshape(-1, self.columns + PIXELS)
        return table[:, self.columns :], table[:, self.column - 1]


def _located(root: Path, layouts: Sequence[tuple[str, Sequence[str]]], name: str) -> tuple[Path, bool]:
    place, number = find_archive(root, layouts, name)
    return place, number == 0


def _names(path: Path, key: str) -> tuple[str, ...]:
    names = read_pickle(path).get(key, ())
    return tuple(name.decode() if isinstance(name, bytes) else name for name in names)


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text("utf8").split())


def _plan(train: Sequence[_File], test: _File, names: tuple[str, ...], val: float) -> Plan:
    _images.cache_clear()  # a file may have been written again since
    rows: list[Row] = []
    places: list[tuple[int, int]] = []
    files = (*train, test)
    for number, file in enumerate(files):
        split, before = ("test", 0) if file is test else ("train", len(rows))
        labels = file.load()[1]
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise MultiviewError(f"{file.path} has labels {labels.min()} to {labels.max()} for {len(names)} classes.")
        for place, label in enumerate(labels.tolist()):
            name = f"{split}/{before + place:05d}"
            rows.append(Row(name, label=names[label], split=training_split(name, val) if split == "train" else split))
            places.append((number, place))
    return Plan(rows, (IMAGE,), _Reader(files, tuple(places)), classes=names)


@dataclass(frozen=True)
class _Reader:
    files: tuple[_File, ...]
    places: tuple[tuple[int, int], ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        file, place = self.places[number]
        return {"image": _images(self.files[file])[place]}


@lru_cache(maxsize=1)
def _images(file: _File) -> np.ndarray:
    """The images of the current file; rows are read file by file."""
    return file.load()[0]
