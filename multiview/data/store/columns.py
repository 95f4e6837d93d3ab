"""What a store knows of all samples: read from its column file, else from its shards."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

from multiview.data.store.columnfile import NAME, ColumnFile, ColumnFileError, column_names, write_columns
from multiview.data.store.grouped import places_of
from multiview.data.store.manifest import Manifest
from multiview.data.store.shardfiles import ShardFiles
from multiview.errors import MultiviewError
from multiview.plurals import counted

MANY_SHARDS = 32
"""A store of so many shards gets a column file when it lacks one; of fewer they are soon read."""

LARGE = 2_000_000
"""Of a store with so many samples, columns are read in parts, and only those of shards in use."""
NUMBER = 8
"""Bytes of a row number or a label."""
HELD_PARTS = 512
"""Parts of columns in memory: several columns of the shards of two windows."""


def is_large(manifest: Manifest) -> bool:
    """Whether columns of all rows are too much to hold, so that they are read shard by shard."""
    return manifest.count >= LARGE and bool(manifest.shards)


def columns_held(samples: int, modalities: int) -> tuple[int, str]:
    """Bytes that the columns of a store of so many samples take in a run, and how they come about.

    modalities: how many the run reads.
    """
    if samples >= LARGE:
        return 0, "read shard by shard, unless an edge reads labels"
    each = 3 * NUMBER + modalities
    return each * samples, f"{each} bytes a sample: row, label (twice), presence of each modality"


class Columns:
    """The columns of a store. Cheap to make and to pickle: each process maps the file itself.

    A column file that is missing, of other shards or damaged is made again when the store has many
    shards and its folder may be written to. Otherwise the columns are read from the shards.
    """

    def __init__(self, manifest: Manifest, files: ShardFiles) -> None:
        self.manifest = manifest
        self.files = files
        self._file: ColumnFile | None = None
        self._asked = False

    def read(self, name: str) -> np.ndarray:
        """A column of all rows. Raises MultiviewError when a shard that is read is damaged."""
        try:
            if (file := self._right_file()) and name in file:
                return file[name]
        except ColumnFileError:
            self._file = self._made_again()
            if self._file and name in self._file:
                return self._file[name]
        parts = [self.files.column(shard, name) for shard in range(len(self.manifest.shards))]
        return np.concatenate(parts)

    def part(self, name: str, shard: int, first: int) -> np.ndarray:
        """The rows of one shard, which begins at row `first`; the other rows are not read.

        Raises MultiviewError when the column file does not hold them and the shard is damaged.
        """
        try:
            if file := self._right_file():
                return file.part(name, shard, first, self.manifest.shards[shard].rows)
        except ColumnFileError:
            pass
        column = self.files.column(shard, name)
        self.files.rest()
        return column

    def _right_file(self) -> ColumnFile | None:
        if not self._asked:
            self._asked = True
            try:
                self._file = ColumnFile(self.files.folder, self.manifest)
            except (OSError, ColumnFileError):
                self._file = self._made_again()
        return self._file

    def _made_again(self) -> ColumnFile | None:
        """A new column file, without the many factors; None when the shards do not allow it."""
        if len(self.manifest.shards) < MANY_SHARDS:
            return None
        folder = self.files.folder
        shards = counted(len(self.manifest.shards), "shard")
        print(f"{folder / NAME} is made once, from {shards}.", file=sys.stderr, flush=True)
        try:
            names = [name for name in column_names(self.manifest) if not name.startswith("factor/")]
            write_columns(folder, self.manifest, names)
            return ColumnFile(folder, self.manifest)
        except (OSError, MultiviewError, ColumnFileError):
            return None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None, "_asked": False}


class ColumnParts:
    """Columns of a large store, by row: only the parts of the shards in use are in memory.

    starts: the first row of every shard, then the number of all rows.
    """

    def __init__(self, columns: Columns, starts: np.ndarray) -> None:
        self.columns, self.starts = columns, starts
        self._held: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def of_shard(self, name: str, shard: int) -> np.ndarray:
        """The rows of a column in a shard; do not write into them."""
        key = name, shard
        if key not in self._held:
            while len(self._held) >= HELD_PARTS:
                self._held.popitem(last=False)
            self._held[key] = self.columns.part(name, shard, int(self.starts[shard]))
        self._held.move_to_end(key)
        return self._held[key]

    def at(self, name: str, rows: np.ndarray) -> np.ndarray:
        """The values of a column in these rows, in their order."""
        shards = np.searchsorted(self.starts, rows, side="right") - 1
        pieces = [(places, self.of_shard(name, n), self.starts[n]) for n, places in places_of(shards)]
        if not pieces:
            return self.of_shard(name, 0)[:0]
        whole = np.empty((len(rows), *pieces[0][1].shape[1:]), np.result_type(*(part.dtype for _, part, _ in pieces)))
        for places, part, start in pieces:
            whole[places] = part[rows[places] - start]
        return whole

    def each(self, name: str) -> Iterator[np.ndarray]:
        """The column, shard by shard; no part stays in memory."""
        for shard, start in enumerate(self.starts[:-1]):
            yield self.columns.part(name, shard, int(start))

    def for_thread(self) -> ColumnParts:
        """The same columns with files and memory of their own, which another thread may use."""
        columns = copy(self.columns)
        columns.files = copy(self.columns.files)
        return ColumnParts(columns, self.starts)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_held": OrderedDict()}


class SplitRows:
    """The row numbers of a split of a large store; `rows[positions]` computes those asked for.

    code: of the split in its column, None = all rows. counts: (shards,) samples of the split in
    each shard. `np.asarray(rows)` gives all, 8 bytes each.
    """

    def __init__(self, parts: ColumnParts, code: int | None, count: int) -> None:
        self.parts, self.code = parts, code
        rows = np.diff(parts.starts)
        whole = code is None or count == parts.starts[-1]
        self.code = None if whole else code
        self.counts = rows if whole else np.array([int((part == code).sum()) for part in parts.each("split")], np.int64)
        self._ends = np.concatenate([[0], np.cumsum(self.counts)])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        if self.code is None:
            return positions
        shards = np.searchsorted(self._ends, positions, side="right") - 1
        rows = np.empty_like(positions)
        for shard, places in places_of(shards):
            there = np.flatnonzero(self.parts.of_shard("split", shard) == self.code)
            rows[places] = self.parts.starts[shard] + there[positions[places] - self._ends[shard]]
        return rows

    def for_thread(self) -> SplitRows:
        """The same rows, which another thread may use at the same time."""
        rows = copy(self)
        rows.parts = self.parts.for_thread()
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[np.arange(len(self))].astype(dtype or np.int64)

    def tolist(self) -> list[int]:
        """All row numbers."""
        return np.asarray(self).tolist()
