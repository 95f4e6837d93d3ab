"""Columns of a dataset of Hugging Face `datasets`: what each feature is, and reading its cells."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.columns.headers import most_common_of
from multiview.data.columns.held_arrays import HeldColumn, column_of, column_of_cells
from multiview.data.columns.picture_columns import DEFAULT_CONVENTIONS
from multiview.data.columns.scanned import columns_of_samples
from multiview.data.columns.sound_columns import sound_modality
from multiview.data.files import images
from multiview.data.files.audiofiles import SoundReader
from multiview.data.files.failures import name_failures
from multiview.data.listing.labels import SEVERAL
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import NAMED, UNITS, declare_modality
from multiview.errors import MultiviewError, unknown_name
from multiview.plurals import counted

HELD = 2 * 2**30
"""Most bytes of the arrays of a dataset that stay in memory."""
PIXELS = ("depth", "mask")
"""Kinds of pictures that are stored as numbers, not as the bytes of their files."""


@dataclass(frozen=True)
class Parts:
    """Datasets one after another, as one: the splits of a dataset."""

    parts: tuple[Any, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, number: int) -> dict[str, Any]:
        for part in self.parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise IndexError(number)

    def only(self, names: Sequence[str]) -> Parts:
        """The same samples with some of the columns."""
        return Parts(tuple(part.select_columns(list(names)) for part in self.parts))

    def column(self, name: str) -> list[Any]:
        """All cells of a column of numbers or texts."""
        return [cell for part in self.parts for cell in part.with_format(None)[name]]


def undecoded(dataset: Any) -> Any:
    """The dataset with pictures and sounds as the bytes of their files."""
    for name, feature in dataset.features.items():
        if type(feature).__name__ in ("Image", "Audio"):
            dataset = dataset.cast_column(name, replace(feature, decode=False))
    return dataset


def kind_of_feature(feature: Any) -> str:
    """`image`, `audio`, `class`, `text`, `number`, `array`, or the name of the feature's type."""
    name = type(feature).__name__
    if name in ("Image", "Audio"):
        return name.casefold()
    if name == "ClassLabel":
        return "class"
    if name == "Value":
        text = feature.dtype in ("string", "large_string")
        return "text" if text else "number" if feature.dtype.startswith(("int", "uint", "float", "bool")) else "value"
    if name.startswith("Array") or (name in ("List", "LargeList", "Sequence") and _holds_numbers(feature.feature)):
        return "array"
    return name


def _holds_numbers(feature: Any) -> bool:
    kind = kind_of_feature(feature)
    return kind in ("number", "array")


def file_column(parts: Parts, name: str, kind: str, rate: float | None) -> tuple[HeldColumn, list[str]]:
    """The column of a feature Image or Audio, and notes. Raises MultiviewError when it is empty."""
    cells = _FileCells(parts.only([name]), name)
    count = len(parts)
    present = np.array([_has_file(cell) for cell in parts.only([name]).column(name)], bool)
    if not present.any():
        raise MultiviewError(f"the column '{name}' holds no {kind} in any sample.")
    if kind == "audio":
        return _sounds(name, cells, present, rate)
    meant = NAMED.get(name.casefold())
    if meant in PIXELS:
        return _pixels(name, meant, cells, present), []
    modality = Modality(name=name, kind="image", dtype="uint8", shape=(ANY,), unit=UNITS["image"], encoding="mixed")
    return HeldColumn((ANY,), np.dtype("uint8"), present, np.ones(count, bool), _Bytes(cells), modality), []


def _has_file(cell: Mapping[str, Any] | None) -> bool:
    return cell is not None and (cell.get("bytes") is not None or cell.get("path") is not None)


@dataclass(frozen=True)
class _FileCells:
    """The bytes of the files in a column."""

    parts: Parts
    name: str

    def __call__(self, number: int) -> bytes:
        cell = self.parts[number][self.name]
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        with name_failures(f"{self.name} of sample {number}"):
            return Path(cell["path"]).read_bytes()


@dataclass(frozen=True)
class _Bytes:
    """Cells as uint8 (bytes,)."""

    cells: _FileCells

    def __call__(self, number: int) -> np.ndarray:
        return np.frombuffer(self.cells(number), "uint8").copy()


def _pixels(name: str, kind: str, cells: _FileCells, present: np.ndarray) -> HeldColumn:
    first = cells(int(np.flatnonzero(present)[0]))
    try:
        height, width, mode = images.header(io.BytesIO(first), name)
    except BadSample as cause:
        raise MultiviewError(f"the first picture of '{name}' cannot be read: {cause}.") from cause
    dtype = np.dtype("uint16" if mode.startswith("I") else "uint8")
    modality = declare_modality(name, kind, (height, width), dtype)
    read = _Pixels(cells, kind, modality.dtype)
    return HeldColumn((height, width), np.dtype(modality.dtype), present, np.ones(len(present), bool), read, modality)


@dataclass(frozen=True)
class _Pixels:
    """Cells as metres, or as identities."""

    cells: _FileCells
    kind: str
    dtype: str

    def __call__(self, number: int) -> np.ndarray:
        file, name = io.BytesIO(self.cells(number)), f"{self.cells.name} of sample {number}"
        if self.kind == "depth":
            return images.depth(file, name, DEFAULT_CONVENTIONS.depth)
        return images.mask(file, name, self.dtype)


def _sounds(name: str, cells: _FileCells, present: np.ndarray, rate: float | None) -> tuple[HeldColumn, list[str]]:
    found: list[tuple[int, int]] = []
    for number in np.flatnonzero(present).tolist():
        with suppress(BadSample):
            found.append(_header(cells(number), name))
    rates, channels = [each[0] for each in found], [each[1] for each in found]
    if not rates:
        raise MultiviewError(f"none of the sounds in the column '{name}' can be read.")
    reader = SoundReader(round(rate or most_common_of(rates)), most_common_of(channels), ANY)
    others = ", ".join(map(str, sorted(set(rates) - {reader.rate})))
    notes = [f"sounds at {others} Hz are resampled to {reader.rate} Hz; choose with --rate."] if others else []
    modality = sound_modality(name, reader)
    read = _Sounds(cells, reader)
    return HeldColumn(modality.shape, np.dtype("int16"), present, np.ones(len(present), bool), read, modality), notes


def _header(data: bytes, name: str) -> tuple[int, int]:
    import soundfile

    with name_failures(name):
        found = soundfile.info(io.BytesIO(data))
        return found.samplerate, found.channels


@dataclass(frozen=True)
class _Sounds:
    """Cells as int16 (samples,) or (samples, channels)."""

    cells: _FileCells
    reader: SoundReader

    def __call__(self, number: int) -> np.ndarray:
        import soundfile

        with name_failures(f"{self.cells.name} of sample {number}"):
            found, rate = soundfile.read(io.BytesIO(self.cells(number)), dtype="float64", always_2d=True)
            if not len(found):
                raise BadSample("holds no sound: its length is 0")
            return self.reader.convert(found, rate)


def class_column(parts: Parts, name: str, names: Sequence[str]) -> HeldColumn:
    """The column of a ClassLabel as the names of the classes; -1 and None are unlabelled."""
    return column_of(name, [None if cell is None or cell < 0 else names[cell] for cell in parts.column(name)])


def value_column(parts: Parts, name: str) -> HeldColumn:
    """The column of numbers or texts."""
    return column_of_cells(name, [None if cell is None else np.asarray(cell) for cell in parts.column(name)])


@dataclass(frozen=True)
class LabelTexts:
    """The texts of a column of labels, names or numbers: None where a cell is empty."""

    parts: Parts

    def names(self) -> list[str]:
        """The columns whose cells are texts, numbers, classes, or lists of texts or classes."""
        kinds = ("class", "text", "number")
        return [name for name, each in self.parts.parts[0].features.items() if kind_of_feature(_inner(each)) in kinds]

    def __call__(self, name: str) -> list[str | None]:
        """Raises MultiviewError for an unknown column."""
        features = self.parts.parts[0].features
        if name not in features:
            raise unknown_name("column of the dataset", name, features)
        inner = _inner(features[name])
        names = inner.names if kind_of_feature(inner) == "class" else None
        return [_label_text(cell, names) for cell in self.parts.column(name)]


def _inner(feature: Any) -> Any:
    """The feature of the entries of a list of texts or classes; another feature itself."""
    inner = getattr(feature, "feature", None)
    return inner if inner is not None and kind_of_feature(inner) in ("class", "text") else feature


def _label_text(cell: Any, names: Sequence[str] | None) -> str | None:
    if isinstance(cell, list):
        return SEVERAL.join(_label_text(each, names) or "" for each in cell) or SEVERAL
    if cell is None or (names is not None and cell < 0):
        return None
    return names[cell] if names is not None else str(float(cell) if isinstance(cell, bool) else cell) or None


def array_columns(parts: Parts, names: Sequence[str]) -> dict[str, HeldColumn]:
    """The columns of lists and arrays of numbers."""
    if not names:
        return {}
    whole = Parts(tuple(part.with_format("numpy") for part in parts.only(names).parts))
    types = {name: _leaf_dtype(parts.parts[0].features[name]) for name in names}
    return columns_of_samples(_Typed(whole, types), HELD, lambda *_: None)


def _leaf_dtype(feature: Any) -> np.dtype:
    """The type of the numbers of a list or array."""
    inner = getattr(feature, "feature", None)
    return np.dtype(feature.dtype) if inner is None else _leaf_dtype(inner)


@dataclass(frozen=True)
class _Typed:
    """Samples whose whole numbers have the type of their feature; `datasets` gives int64."""

    parts: Parts
    types: Mapping[str, np.dtype]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {name: self._typed(name, cell) for name, cell in self.parts[number].items()}

    def _typed(self, name: str, cell: Any) -> Any:
        whole = isinstance(cell, np.ndarray) and cell.dtype == np.int64
        return cell.astype(self.types[name]) if whole and self.types[name].kind in "ui" else cell


def skipped_note(names: Sequence[str]) -> list[str]:
    """The note about columns that become no modality."""
    if not names:
        return []
    return [f"skipped {counted(len(names), 'column')}: {', '.join(names)}; add them with --modalities."]
