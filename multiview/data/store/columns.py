"""What a store knows of all samples: read from its column file, else from its shards."""

from __future__ import annotations

import sys

import numpy as np

from multiview.data.store.columnfile import NAME, ColumnFile, ColumnFileError, column_names, write_columns
from multiview.data.store.manifest import Manifest
from multiview.data.store.shardfiles import ShardFiles
from multiview.errors import MultiviewError

MANY_SHARDS = 32
"""A store of so many shards gets a column file when it lacks one; of fewer they are soon read."""


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
        print(f"{folder / NAME} is made once, from {len(self.manifest.shards)} shards.", file=sys.stderr, flush=True)
        try:
            names = [name for name in column_names(self.manifest) if not name.startswith("factor/")]
            write_columns(folder, self.manifest, names)
            return ColumnFile(folder, self.manifest)
        except (OSError, MultiviewError, ColumnFileError):
            return None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None, "_asked": False}
