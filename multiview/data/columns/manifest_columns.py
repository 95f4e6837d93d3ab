"""Cells of a manifest as samples: columns of files, numbers, lists and texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from multiview.data.columns.file_columns import ENDINGS, text_modality
from multiview.data.columns.picture_columns import Reader
from multiview.data.files.failures import name_failures
from multiview.data.listing.filetree import as_unicode
from multiview.data.listing.tables import Columns
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import ModalityChoice, as_stored, declare_modality, kind_of, text_bytes
from multiview.errors import MultiviewError

CELLS_LOOKED_AT = 100
"""Number of cells that decide what a column holds."""
SHARE_OF_NUMBERS = 0.9
"""A column with this share of numbers is a column of numbers; its other cells are mistakes."""


@dataclass(frozen=True)
class CellColumn:
    """One modality of a manifest, its reader, and notes for the user.

    `read(row, where)` returns a sample, or None for an empty cell, or raises BadSample.
    """

    modality: Modality
    read: Callable[[int, str], np.ndarray | None]
    notes: tuple[str, ...] = ()


def are_files(column: Sequence[Any]) -> bool:
    """Whether the first cells that are not empty all name files with a known ending."""
    first = list(islice((cell for cell in column if cell is not None), CELLS_LOOKED_AT))
    return bool(first) and all(
        isinstance(cell, str) and PurePosixPath(cell).suffix[1:].lower() in ENDINGS for cell in first
    )


def are_numbers(column: Sequence[Any]) -> bool:
    """Whether nearly all of the first cells that are not empty are numbers."""
    first = list(islice((cell for cell in column if cell is not None), CELLS_LOOKED_AT))
    return bool(first) and sum(_number(cell) is not None for cell in first) >= SHARE_OF_NUMBERS * len(first)


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def require_inside(file: Any, where: str) -> None:
    """Raises MultiviewError unless `file` is a relative path that stays in its folder."""
    if not isinstance(file, str) or "\0" in file:
        raise MultiviewError(f"{where}: {file!r:.60} is no file name.")
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise MultiviewError(
            f"{where}: '{file}' is outside the folder of the manifest and is refused; give paths inside this folder, "
            "or name the folder that paths may point into with --root."
        )


def paths_below(column: Sequence[Any], folder: Path, root: Path, where: str) -> list[str | None]:
    """The cells as paths below `root`; relative names start at `folder`, or else at `root`.

    Raises MultiviewError for a name that leads out of `root`.
    """
    found: list[str | None] = []
    base = os.path.realpath(root)
    for number, cell in enumerate(column):
        if cell is None:
            found.append(None)
            continue
        if not isinstance(cell, str) or "\0" in cell:
            raise MultiviewError(f"{where}, row {number + 1}: {cell!r:.60} is no file name.")
        places = [os.path.normpath(Path(os.path.realpath(start)) / cell) for start in (folder, root)]
        inside = [place for place in places if place.startswith(base.rstrip("/") + "/")]
        if not inside:
            raise MultiviewError(
                f"{where}, row {number + 1}: '{cell}' leads out of {root}; name a folder above with --root."
            )
        place = next((place for place in inside if Path(place).exists()), inside[0])
        found.append(os.path.relpath(place, base))
    return found


def refuse_embedded_files(name: str, column: Sequence[Any]) -> None:
    """Raises MultiviewError for cells that contain files, as in Parquet files of `datasets`."""
    if any(isinstance(cell, (bytes, dict)) for cell in islice(column, CELLS_LOOKED_AT)):
        raise MultiviewError(
            f"the column '{name}' holds files or objects inside the table, which this source does not read; read "
            "the table with the source hf, as in `multiview preprocess hf:FILE OUT`, or save them as files next to the "
            "table and give their names."
        )


@dataclass(frozen=True)
class FileCells:
    """Cells that name files below `root`."""

    root: Path
    files: tuple[str | None, ...]
    decode: Reader

    def __call__(self, number: int, where: str) -> np.ndarray | None:
        """Raises BadSample: missing, damaged, or reached through a link."""
        del where
        file = self.files[number]
        if file is None:
            return None
        name = as_unicode(file)
        for part in (PurePosixPath(file), *PurePosixPath(file).parents):
            if part.name and (self.root / part).is_symlink():
                raise BadSample(f"{name}: '{part}' is a link; a manifest does not follow links")
        return self.decode(self.root / file, name)


def number_column(each: ModalityChoice, columns: Columns) -> CellColumn:
    """One or more columns of numbers as a table."""
    table = np.column_stack([_values(columns[name]) for name in each.where])
    there = np.array([[cell is not None for cell in columns[name]] for name in each.where]).T
    some, largest = np.any(there, axis=1), np.finfo("float32").max
    wrong = some[:, None] & (~(np.abs(table) <= largest) | ~there)
    bad: dict[int, str] = {}
    for row, place in np.argwhere(wrong).tolist():
        name = each.where[place]
        bad.setdefault(row, _complaint(name, columns[name][row], each.name))
    if some.any() and len(bad) == some.sum():
        raise MultiviewError(f"modality '{each.name}': {bad[min(bad)]}. Give another kind, as in '{each.name}:text'.")
    modality = declare_modality(each.name, "table", (len(each.where),), np.dtype("float32"), names=each.where)
    numbers = np.clip(np.nan_to_num(table), -largest, largest).astype("float32")
    return CellColumn(modality, NumberCells(numbers, some, bad))


def _values(column: Sequence[Any]) -> np.ndarray:
    """The cells as float64 (n,), NaN for empty cells and cells that are no numbers."""
    cells = ["nan" if cell is None else cell for cell in column]
    try:
        return np.array(cells, "float64")
    except (TypeError, ValueError):
        found = [_number(cell) for cell in cells]
        return np.array([np.nan if value is None else value for value in found])


def _complaint(name: str, cell: Any, modality: str) -> str:
    if cell is None:
        return f"'{name}' is empty, other columns of '{modality}' are not"
    value = _number(cell)
    finite = value is not None and np.isfinite(value)
    return f"'{name}' is {cell!r:.60}, " + ("too large for float32" if finite else "which is no finite number")


@dataclass(frozen=True, eq=False)
class NumberCells:
    """Rows of numbers: float32 (n, columns), which rows are there, and the faults of bad rows."""

    table: np.ndarray
    there: np.ndarray
    bad: dict[int, str]

    def __call__(self, number: int, where: str) -> np.ndarray | None:
        """Raises BadSample for a row that is incomplete or not finite."""
        if number in self.bad:
            raise BadSample(f"{where}: {self.bad[number]}")
        return self.table[number].copy() if self.there[number] else None


def list_column(each: ModalityChoice, column: Sequence[Any], rate: float | None) -> CellColumn:
    """A column of lists of numbers (or of lists of such lists).

    All have one shape, except for series, which may differ in length. Without a kind, lists of
    which many differ in length are series.
    """
    value = _first_numbers(each, column)
    lengths = Counter(len(cell) for cell in column if isinstance(cell, Sized))
    other = len(lengths) > 1 and 2 * lengths.most_common(1)[0][1] < lengths.total()
    guessed = "series" if other and value.ndim in (1, 2) else kind_of(each.name, value.shape, value.dtype, rate)
    kind = each.kind or guessed
    shape = (ANY, *value.shape[1:]) if kind == "series" and len(lengths) > 1 and value.ndim else value.shape
    return CellColumn(
        declare_modality(each.name, kind, shape, value.dtype, rate),
        ListCells(tuple(column), each.name, kind, rate, shape),
    )


def _first_numbers(each: ModalityChoice, column: Sequence[Any]) -> np.ndarray:
    first = next((cell for cell in column if cell is not None), None)
    try:
        return np.asarray(first, "float64")
    except (TypeError, ValueError) as cause:
        kind = each.kind or "table"
        raise MultiviewError(
            f"the column '{each.where[0]}' holds {first!r:.60}, which is no {kind} of numbers."
        ) from cause


@dataclass(frozen=True)
class ListCells:
    """Cells with lists of numbers. The first number of `shape` is ANY where lengths differ."""

    cells: tuple[Any, ...]
    name: str
    kind: str
    rate: float | None
    shape: tuple[int, ...]

    def __call__(self, number: int, where: str) -> np.ndarray | None:
        """Raises BadSample for another shape, or for values that are no finite numbers."""
        cell = self.cells[number]
        if cell is None:
            return None
        with name_failures(where):
            value = np.asarray(cell, "float64")
            ragged = self.shape[:1] == (ANY,)
            if value.ndim != len(self.shape) or value.shape[ragged:] != self.shape[ragged:]:
                raise BadSample(f"{self.name} has shape {value.shape}, the others {self.shape[ragged:] or 'one axis'}")
            return as_stored(declare_modality(self.name, self.kind, value.shape, value.dtype, self.rate), value)


def text_column(each: ModalityChoice, column: Sequence[Any], limit: int | None) -> CellColumn:
    """A column of texts, padded with zeros to the longest text, or cut at `limit` bytes."""
    lengths = [len(str(cell).encode()) for cell in column if cell is not None]
    modality, notes = text_modality(each.name, lengths, limit)
    cells = tuple(None if cell is None else str(cell) for cell in column)
    return CellColumn(modality, TextCells(cells, modality.shape[0]), notes)


@dataclass(frozen=True)
class TextCells:
    """Cells with texts."""

    cells: tuple[str | None, ...]
    length: int

    def __call__(self, number: int, where: str) -> np.ndarray | None:
        """Returns None for an empty cell."""
        del where
        cell = self.cells[number]
        return None if cell is None else text_bytes(cell, self.length)
