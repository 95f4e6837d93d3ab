"""The HDF5 files of a store, opened on first use in each process and checked before any read."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.store.manifest import Shard
from multiview.errors import MultiviewError

OPEN_SHARDS = 64
FLETCHER32 = 3
"""HDF5's number of the only filter that a shard may use."""


class ShardFiles:
    """The shards of a store in `folder`. Cheap to make and to pickle.

    Each process opens its own files, at most `OPEN_SHARDS` at a time, because open HDF5 files can
    neither be pickled nor survive a fork.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self.folder = folder
        self.shards = tuple(shards)
        self._forget()

    def dataset(self, shard: int, name: str, rows: int | None = None) -> Any:
        """A dataset of a shard. `rows`: the expected number of rows, by default that of the shard.

        Raises MultiviewError when the dataset is missing, in another file or compressed, or when
        the number of rows differs.
        """
        file, known = self._file(shard)
        if name not in known:
            known[name] = self._checked(file.get(name), shard, name)
        rows = self.shards[shard].rows if rows is None else rows
        if len(known[name]) != rows:
            raise self.damaged(shard, f"/{name} has {len(known[name])} rows, not {rows}")
        return known[name]

    def _checked(self, found: Any, shard: int, name: str) -> Any:
        if found is None:
            raise self.damaged(shard, f"it has no /{name}")
        if found.is_virtual or found.external or Path(found.file.filename) != self.path(shard):
            raise self.damaged(shard, f"/{name} lies in another file, which a store never does")
        if not only_checksums(found):
            raise self.damaged(shard, f"/{name} is compressed, which a store never is")
        if found.ndim == 0:
            raise self.damaged(shard, f"/{name} has no rows")
        return found

    def column(self, shard: int, name: str) -> np.ndarray:
        """All rows of a dataset of a shard."""
        try:
            whole: np.ndarray = self.dataset(shard, name)[()]
        except OSError as cause:
            raise self.damaged(shard, f"the checksum of /{name} does not match") from cause
        return whole

    def path(self, shard: int) -> Path:
        """The path of a shard."""
        return self.folder / self.shards[shard].name

    def damaged(self, shard: int, reason: str) -> MultiviewError:
        """The error for a damaged shard."""
        return damaged(self.path(shard), reason)

    def bad_checksum(self, shard: int, name: str, row: int, first: int) -> MultiviewError:
        """The error for a damaged row of a shard, whose first row is row `first` of the store."""
        return self.damaged(
            shard, f"the checksum of /{name} does not match at its row {row} (row {first + row} of the store)"
        )

    def close(self) -> None:
        """Closes the files of this process; the next read opens them again."""
        for file, _ in self._open().values():
            file.close()
        self._forget()

    def _forget(self) -> None:
        self._handles: OrderedDict[int, tuple[Any, dict[str, Any]]] = OrderedDict()
        self._owner = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "shards": self.shards}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _open(self) -> OrderedDict[int, tuple[Any, dict[str, Any]]]:
        if self._owner != os.getpid():
            self._forget()
        return self._handles

    def _file(self, shard: int) -> tuple[Any, dict[str, Any]]:
        """The open file of a shard, and those of its datasets that were checked."""
        import h5py

        files = self._open()
        if shard not in files:
            try:
                # Nobody writes into a finished shard; locks fail on some network file systems.
                files[shard] = h5py.File(self.path(shard), "r", locking=False), {}
            except OSError as cause:
                raise self.damaged(shard, str(cause)) from cause
            if len(files) > OPEN_SHARDS:
                files.popitem(last=False)[1][0].close()
        files.move_to_end(shard)
        return files[shard]


def only_checksums(dataset: Any) -> bool:
    """Whether a dataset is not compressed: compressed data may grow a thousandfold."""
    properties = dataset.id.get_create_plist()
    return all(properties.get_filter(place)[0] == FLETCHER32 for place in range(properties.get_nfilters()))


def check_size(path: Path, size: int) -> None:
    """Raises MultiviewError unless the file of a shard exists with its full size."""
    if not path.is_file():
        raise damaged(path, "it is missing")
    if path.stat().st_size != size:
        raise damaged(path, f"it has {path.stat().st_size} bytes, not {size}")


def damaged(path: Path, reason: str) -> MultiviewError:
    """The error for a damaged shard: the file, the reason and what to do."""
    return MultiviewError(
        f"{path} is damaged: {reason}. Restore it from a copy, or make the store again with "
        "`multiview preprocess ... --overwrite`."
    )
