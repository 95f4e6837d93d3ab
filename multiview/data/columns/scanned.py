"""Samples that come one by one as mappings: one pass finds the keys and what each holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multiview.data.columns.held_arrays import HeldColumn, array_of, column_of_cells
from multiview.errors import MultiviewError

Progress = Callable[[int, int, int], None]
REMEMBERED = 256
"""Most samples that a process keeps, so that the modalities of a batch read each sample once."""
EXAMPLE = 'a dict per sample, such as {"image": image, "audio": sound, "label": 3}'


def columns_of_samples(samples: Any, limit: int, progress: Progress) -> dict[str, HeldColumn]:
    """The columns of a map-style dataset whose samples are mappings.

    limit: values that need more bytes together are read again at each use, not kept.
    """
    count, used = len(samples), 0
    cells: dict[str, list[np.ndarray | None]] = {}
    kept: dict[str, list[np.ndarray | None]] | None = {}
    for number in range(count):
        sample = arrays_of_sample(samples, number)
        used += sum(value.nbytes for value in sample.values() if value is not None)
        kept = kept if used <= limit else None
        for name, value in sample.items():
            cells.setdefault(name, [None] * count)[number] = _placeholder(value)
            if kept is not None:
                kept.setdefault(name, [None] * count)[number] = value
        progress(number + 1, count, 0)
    if kept is not None:
        return {name: column_of_cells(name, values) for name, values in kept.items()}
    return _lazy_columns(_LazySamples(samples), cells)


def _lazy_columns(lazy: _LazySamples, cells: Mapping[str, list[np.ndarray | None]]) -> dict[str, HeldColumn]:
    """The columns of placeholders; only single numbers and texts stay in memory."""
    alone = {name: all(value is None or not value.ndim for value in values) for name, values in cells.items()}
    reads = {name: None if alone[name] else _LazyCells(lazy, name) for name in cells}
    return {name: column_of_cells(name, values, reads[name]) for name, values in cells.items()}


def arrays_of_sample(samples: Any, number: int) -> dict[str, np.ndarray | None]:
    """The values of one sample as arrays. Raises MultiviewError when it is no mapping."""
    try:
        sample = samples[number]
    except MultiviewError:
        raise
    except Exception as cause:  # whatever the user's dataset raises
        raise MultiviewError(f"data[{number}] failed: {type(cause).__name__}: {cause}.") from cause
    if not isinstance(sample, Mapping):
        raise MultiviewError(f"data[{number}] is a {type(sample).__name__}; give {EXAMPLE}.")
    for name in sample:
        if not isinstance(name, str):
            raise MultiviewError(f"data[{number}] has the key {name!r}; give {EXAMPLE}.")
    return {name: array_of(name, value) for name, value in sample.items()}


def _placeholder(value: np.ndarray | None) -> np.ndarray | None:
    """An array of the same shape and dtype without memory, which is missing or finite likewise.

    Single numbers and texts stay as they are.
    """
    if value is None or not value.size or not value.ndim:
        return value
    number = 0.0
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        number = np.nan if np.isnan(value).all() else np.inf
    return np.broadcast_to(np.array(number).astype(value.dtype), value.shape)


@dataclass
class _LazySamples:
    """Reads the samples of a dataset, and keeps the newest few."""

    samples: Any
    newest: dict[int, dict[str, np.ndarray | None]] = field(default_factory=dict)

    def __call__(self, number: int) -> dict[str, np.ndarray | None]:
        if number not in self.newest:
            if len(self.newest) >= REMEMBERED:
                self.newest.clear()
            self.newest[number] = arrays_of_sample(self.samples, number)
        return self.newest[number]

    def __getstate__(self) -> dict[str, Any]:
        return {"samples": self.samples, "newest": {}}


@dataclass(frozen=True)
class _LazyCells:
    """Reads one key of the samples of a dataset."""

    samples: Callable[[int], Mapping[str, np.ndarray | None]]
    name: str

    def __call__(self, number: int) -> np.ndarray:
        value = self.samples(number).get(self.name)
        if value is None:
            raise MultiviewError(
                f"data[{number}] had a value '{self.name}' when the data was opened, and has none now; give a dataset "
                "that returns the same sample each time. Views cut and augment at random by themselves."
            )
        return value
