"""The columns of data in memory: of a mapping, a data frame, or a dataset."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from multiview.data.columns.array_roles import has_role
from multiview.data.columns.held_arrays import HeldArrays, HeldColumn, column_of, held_arrays
from multiview.data.columns.scanned import columns_of_samples
from multiview.data.source import Plan, Source
from multiview.data.sources.arrays import Arrays
from multiview.data.sources.hf import HuggingFace
from multiview.data.write.progress import progress_bar
from multiview.errors import MultiviewError

WAYS = (
    "a dict of arrays or tensors (name -> one row per sample), a pandas data frame, a dataset of PyTorch whose samples "
    "are dicts, a datasets.Dataset, or the path of a store or of files"
)
ITERABLE = frozenset(["IterableDataset", "IterDataPipe", "IterableDatasetDict"])
EMPTY_CELLS = ("NAType", "NaTType", "NoneType")


def is_in_memory(data: object) -> bool:
    """Whether data is given itself, not its path."""
    return not isinstance(data, (str, os.PathLike))


def check_data(data: Any) -> None:
    """Raises MultiviewError unless data in memory has one of the forms that can be read."""
    kinds, name = {kind.__name__ for kind in type(data).__mro__}, type(data).__name__
    if kinds & ITERABLE:
        raise MultiviewError(
            f"data is an iterable {name}, which has no length and no order; give a dataset with __len__ and "
            "__getitem__, or save its samples as files first."
        )
    if "DataLoader" in kinds:
        raise MultiviewError("data is a DataLoader; give its dataset, as in data=loader.dataset.")
    sized = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if not sized or isinstance(data, (bytes, np.ndarray)) or "Tensor" in kinds:
        raise MultiviewError(f"data is a {name}; give {WAYS}.")
    if len(data) == 0:
        raise MultiviewError(f"data is a {name} without a sample; give {WAYS}.")


def planned(data: Any) -> tuple[Plan, Source]:
    """The plan of the data, and the source that made it."""
    if _is_hugging_face(data):
        source = HuggingFace()
        return source.plan_dataset(data), source
    arrays, options = _arrays(data)
    return options.plan_arrays(arrays), options


def _is_hugging_face(data: Any) -> bool:
    """Whether data is a dataset, or splits, of `datasets` without a transform of the user's own."""
    if type(data).__module__.partition(".")[0] != "datasets":
        return False
    parts = data.values() if isinstance(data, Mapping) else [data]
    return all(part.format["type"] != "custom" for part in parts)


def _arrays(data: Any) -> tuple[HeldArrays, Arrays]:
    columns = _columns(data)
    rate = _rate(columns.pop("rate", None))
    renamed = {name.partition(":")[0]: column for name, column in columns.items()}
    if len(renamed) < len(columns):
        raise MultiviewError(f"two keys of the data have the same name before the colon: {', '.join(columns)}.")
    arrays = held_arrays(renamed, _common_count(columns))
    if not any(":" in name for name in columns):
        return arrays, Arrays(rate=rate)
    chosen = {
        name: name.partition(":")[0]
        for name, column in columns.items()
        if ":" in name or not has_role(name, arrays.forms[name][0])
    }
    return arrays, Arrays(rate=rate, modalities=chosen)


def _columns(data: Any) -> dict[str, HeldColumn]:
    if isinstance(data, Mapping):
        return _columns_of_mapping(data)
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
        return _columns_of_frame(data)
    with progress_bar("reading the data once") as progress:
        from multiview.data.load.dataset import CACHE

        return columns_of_samples(data, CACHE, progress)


def _columns_of_mapping(data: Mapping[Any, Any]) -> dict[str, HeldColumn]:
    columns = {}
    for name, values in data.items():
        if not isinstance(name, str):
            raise MultiviewError(f"data has the key {name!r}; give texts as the names.")
        if isinstance(values, (int, float)) and name == "rate":
            columns[name] = column_of(name, [values])
        elif isinstance(values, Mapping) or not hasattr(values, "__len__") or isinstance(values, (str, bytes)):
            raise MultiviewError(
                f"data['{name}'] is a {type(values).__name__}; give an array, a tensor or a list with one entry per "
                "sample. A key `split` with `train`, `val` or `test` for each sample names the splits."
            )
        else:
            columns[name] = column_of(name, values)
    return columns


def _columns_of_frame(frame: Any) -> dict[str, HeldColumn]:
    """The columns of a data frame; numbered columns of numbers (f1, f2, ...) are one table."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise MultiviewError(f"two columns of the data frame have the same name: {', '.join(names)}.")
    values = {name: frame.iloc[:, place] for place, name in enumerate(names)}
    tables = _numbered(values)
    joined = {name for group in tables.values() for name in group}
    columns = {name: column_of(name, _cells(column)) for name, column in values.items() if name not in joined}
    for name, group in tables.items():
        parts = [np.asarray(values[each].to_numpy(), "float64") for each in group]
        columns[name] = column_of(name, np.stack(parts, axis=1))
    return columns


def _numbered(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Table -> its columns: numbers whose names differ in the number at the end alone."""
    numbered: dict[str, list[str]] = {}
    for name, column in values.items():
        if (match := re.fullmatch(r"(.*?\D)[_.-]?\d+", name)) and getattr(column.dtype, "kind", "O") in "buif":
            numbered.setdefault(match[1].rstrip("_.-"), []).append(name)
    return {stem: group for stem, group in numbered.items() if len(group) > 1 and stem not in values}


def _cells(column: Any) -> Any:
    """Numbers as an array, everything else as a list with None for empty cells."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "buif":
        return column.to_numpy()
    return [None if type(cell).__name__ in EMPTY_CELLS else cell for cell in column.tolist()]


def _rate(column: HeldColumn | None) -> float | None:
    """The one number of the key `rate`, samples per second."""
    if column is None:
        return None
    values = {float(column.read(number)) for number in np.flatnonzero(column.present).tolist() if not column.shape}
    if len(values) != 1 or not min(values) > 0:
        raise MultiviewError("the key `rate` must hold one number above 0 for all samples: samples per second.")
    return values.pop()


def _common_count(columns: Mapping[str, HeldColumn]) -> int:
    counts = {name: len(column.present) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise MultiviewError(f"the entries of the data differ in length: {listing}. Give each one row per sample.")
    count = next(iter(counts.values()), 0)
    if not count:
        raise MultiviewError("the data has no sample; give one row per sample.")
    return count
