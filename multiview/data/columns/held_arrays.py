"""Data in memory as if they were arrays in a file: one column for each key of the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.columns.array_file import ArrayFile, Share, is_missing
from multiview.data.modality import ANY, Modality
from multiview.data.values import number_text
from multiview.errors import MultiviewError, printable

NAME = Path("the data")
"""Stands for the file in messages."""
ROWS = 4096
"""Rows that are searched for missing numbers at a time."""
PICTURE_MODES = ("L", "RGB", "I", "I;16", "F")
"""Modes of Pillow whose pixels are read as they are; all others become RGB."""


@dataclass(frozen=True)
class HeldColumn:
    """The values of one key.

    Args:
        shape: of one sample; `ANY` where the samples differ.
        dtype: of all samples; `U` for texts.
        present: which samples have a value, bool (count,).
        finite: which samples hold finite numbers only, bool (count,).
        read: takes the number of a sample that is present.
        modality: what the values are, where that is known; None = by name, shape and dtype.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    present: np.ndarray
    finite: np.ndarray
    read: Callable[[int], np.ndarray]
    modality: Modality | None = None


@dataclass(frozen=True)
class HeldArrays(ArrayFile):
    """Arrays that are no file: what is read comes from `columns`."""

    columns: Mapping[str, HeldColumn] = field(default_factory=dict)

    def declared(self, name: str) -> Modality | None:
        """The modality of a column, where it is known."""
        return self.columns[name].modality

    def has(self, name: str, number: int) -> bool:
        """Whether a sample has a value."""
        return bool(self.columns[name].present[number])

    def value(self, name: str, number: int) -> np.ndarray | None:
        """See `ArrayFile.value`."""
        return self.read(name, number) if self.has(name, number) else None

    def read(self, name: str, number: int) -> np.ndarray:
        """One sample that has a value."""
        return self.columns[name].read(number)

    def read_all(self, name: str) -> np.ndarray:
        """All samples, with zeros or empty texts where they are absent."""
        column, count = self.columns[name], len(self.columns[name].present)
        if isinstance(column.read, _Rows) and column.present.all():
            return column.read.array
        empty = np.zeros([max(length, 0) for length in column.shape], column.dtype)
        return np.array([column.read(number) if column.present[number] else empty for number in range(count)])

    def texts(self, name: str) -> list[str]:
        """See `ArrayFile.texts`; also empty where a sample is absent."""
        column = self.columns[name]
        if column.present.all() or len(column.shape):
            return super().texts(name)
        values = [column.read(number) if there else None for number, there in enumerate(column.present)]
        return ["" if value is None else _text(value) for value in values]

    def loud_note(self, modality: str, name: str) -> list[str]:
        """See `ArrayFile.loud_note`; none where a sound is absent."""
        return super().loud_note(modality, name) if self.columns[name].present.all() else []


def held_arrays(columns: Mapping[str, HeldColumn], count: int) -> HeldArrays:
    """The arrays of these columns, each with `count` samples."""
    forms = {name: ((count, *column.shape), column.dtype) for name, column in columns.items()}
    return HeldArrays(NAME, (Share("{}", count),), forms, {}, (), columns)


def _text(value: np.ndarray) -> str:
    item: Any = value[()]
    return number_text(item) if value.dtype.kind == "f" else str(item.item())


@dataclass(frozen=True)
class _Rows:
    """Reads the rows of one array."""

    array: np.ndarray

    def __call__(self, number: int) -> np.ndarray:
        return np.asarray(self.array[number])


@dataclass(frozen=True)
class _Cells:
    """Reads the cells of a list of arrays."""

    cells: Sequence[np.ndarray | None]

    def __call__(self, number: int) -> np.ndarray:
        cell = self.cells[number]
        assert cell is not None
        return cell


def column_of(name: str, values: Any) -> HeldColumn:
    """The column of an array, a tensor or a list with one value per sample.

    A row of NaN alone, or None, is an absent sample. Raises MultiviewError for other values.
    """
    array = _array(values)
    if array is None or array.dtype.kind == "O":
        return column_of_cells(name, [array_of(name, value) for value in values])
    if array.ndim == 0:
        raise MultiviewError(f"data['{name}'] is {_kind(values)}, not an array with one row per sample.")
    _require_dtype(name, array.dtype, values)
    dtype = np.dtype("U") if array.dtype.kind == "U" else array.dtype
    return HeldColumn(array.shape[1:], dtype, ~_missing_rows(array), _finite_rows(array), _Rows(array))


def _finite_rows(array: np.ndarray) -> np.ndarray:
    """Which rows hold finite numbers only."""
    finite = np.ones(len(array), bool)
    for start in range(0, len(array) if array.dtype.kind == "f" else 0, ROWS):
        rows = array[start : start + ROWS]
        finite[start : start + ROWS] = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    return finite


def _missing_rows(array: np.ndarray) -> np.ndarray:
    """Which rows hold nothing but NaN."""
    missing = np.zeros(len(array), bool)
    if array.dtype.kind == "f" and array.size:
        flat = array.reshape(len(array), -1)
        for number in np.flatnonzero(np.isnan(flat[:, 0])):
            missing[number] = np.isnan(flat[number]).all()
    return missing


def column_of_cells(
    name: str, cells: Sequence[np.ndarray | None], read: Callable[[int], np.ndarray] | None = None
) -> HeldColumn:
    """The column of these cells, None where a sample is absent; `read` reads a cell again.

    Raises MultiviewError when the shapes do not fit each other.
    """
    cells = [None if cell is None or is_missing(cell) else cell for cell in cells]
    known = [(number, cell) for number, cell in enumerate(cells) if cell is not None]
    present = np.array([cell is not None for cell in cells], bool)
    finite = np.array([cell is None or cell.dtype.kind != "f" or bool(np.isfinite(cell).all()) for cell in cells], bool)
    if not known:
        return HeldColumn((), np.dtype("float32"), present, finite, read or _Cells(cells))
    dtype = _common_dtype(name, [cell for _, cell in known])
    return HeldColumn(_common_shape(name, known), dtype, present, finite, read or _Cells(cells))


def _common_dtype(name: str, cells: Sequence[np.ndarray]) -> np.dtype:
    texts = {cell.dtype.kind == "U" for cell in cells if cell.size} or {False}  # an empty list tells nothing
    if len(texts) > 1:
        raise MultiviewError(f"'{name}' holds texts in some samples and numbers in others; give one kind.")
    return np.dtype("U") if texts == {True} else np.result_type(*{cell.dtype for cell in cells})


def _common_shape(name: str, known: Sequence[tuple[int, np.ndarray]]) -> tuple[int, ...]:
    """The shape of all cells, with `ANY` in the one axis in which they differ."""
    first, shape = known[0]
    for number, cell in known:
        if cell.ndim != shape.ndim:
            raise _other_shapes(name, first, shape, number, cell)
    varying = [axis for axis in range(shape.ndim) if len({cell.shape[axis] for _, cell in known}) > 1]
    if len(varying) > 1 or (varying and shape.ndim > 2 and varying != [0]):
        number, cell = next((number, cell) for number, cell in known if cell.shape != shape.shape)
        raise _other_shapes(name, first, shape, number, cell)
    return tuple(ANY if axis in varying else length for axis, length in enumerate(shape.shape))


def _other_shapes(name: str, first: int, one: np.ndarray, number: int, other: np.ndarray) -> MultiviewError:
    return MultiviewError(
        f"'{name}' has the shape {one.shape} in sample {first} and {other.shape} in sample {number}; bring all samples "
        "to one shape (pictures for example with torchvision.transforms.Resize((64, 64))). Only the length in time of "
        "sounds, series and clips, and the number of points, may differ."
    )


def array_of(name: str, value: Any) -> np.ndarray | None:
    """One value of one sample as an array; None for None. Raises MultiviewError for an object."""
    if value is None:
        return None
    array = _array(value)
    if array is None or array.dtype.kind not in "buifU":
        raise MultiviewError(
            f"'{name}' holds {_kind(value)}; give numbers, text, an array, a tensor or a picture of Pillow."
        )
    return array


def _array(value: Any) -> np.ndarray | None:
    """The array of a value; None when numpy makes none of it."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        return (tensor.float() if str(tensor.dtype) in ("torch.bfloat16",) else tensor).numpy()
    if hasattr(value, "mode") and hasattr(value, "getbands"):
        return np.asarray(value if value.mode in PICTURE_MODES else value.convert("RGB"))
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):  # lists of different lengths
        return None
    return array.astype(str) if array.dtype.kind == "T" else array


def _require_dtype(name: str, dtype: np.dtype, value: Any) -> None:
    if dtype.kind not in "buifU":
        raise MultiviewError(
            f"data['{name}'] is {_kind(value)} of {dtype}; give whole numbers, floating-point numbers or texts."
        )


def _kind(value: Any) -> str:
    word = type(value).__name__
    article = "an" if word[:1].casefold() in "aeiou" else "a"
    return printable(f"{article} {word}")
