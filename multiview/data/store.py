"""Reading a store: columns and samples by row number, lazily, in any process."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data import manifest as manifests
from multiview.data.manifest import Manifest
from multiview.data.modality import Modality
from multiview.errors import MultiviewError, unknown_name

OPEN_SHARDS = 64


class Store:
    """A prepared dataset on disk. Rows are numbered from 0 over all shards.

    Cheap to open and to pickle: HDF5 files are opened on first use in each process, at most `OPEN_SHARDS` at a time.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._memory: dict[str, np.ndarray] = {}
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
        self._forget()

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Opens the store in folder `path`. Raises MultiviewError when it is none, is unfinished, too new, or lacks a
        shard.
        """
        path = Path(path)
        file = path / manifests.NAME
        if not file.is_file():
            raise _no_store(path)
        manifest = Manifest.from_json(file.read_text(encoding="utf-8"))
        for shard in manifest.shards:
            _check_size(path / shard.name, shard.size)
        return cls(path, manifest)

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names of the splits, `train` first."""
        return tuple(self.manifest.splits)

    @property
    def ids(self) -> list[str]:
        """The id of every row."""
        return [each.decode() for each in self._column("id").tolist()]

    @property
    def labels(self) -> np.ndarray:
        """The class of every row, int64 (count,), an index into `manifest.classes`; -1 = unlabelled."""
        return self._column("label")

    def rows(self, split: str | None = None) -> np.ndarray:
        """The row numbers of a split, int64, ascending; None = all rows."""
        if split is None:
            return np.arange(len(self))
        if split not in self.split_names:
            raise unknown_name("split of this store", split, self.split_names)
        return np.flatnonzero(self._column("split") == self.split_names.index(split))

    def present(self, modality: str) -> np.ndarray:
        """Which rows have a modality, bool (count,)."""
        return self._column(f"present/{self.modality(modality).name}").astype(bool)

    def factor(self, name: str) -> np.ndarray:
        """A named number of every row, float64 (count,); NaN where there is none."""
        if name not in self.manifest.factors:
            raise unknown_name("factor of this store", name, self.manifest.factors)
        return self._column(f"factor/{name}")

    def modality(self, name: str) -> Modality:
        """What is stored under a name."""
        for each in self.manifest.modalities:
            if each.name == name:
                return each
        raise unknown_name("modality of this store", name, (each.name for each in self.manifest.modalities))

    def read(self, rows: Sequence[int] | np.ndarray, modality: str) -> np.ndarray:
        """Samples of a modality, (len(rows), *shape) in the stored dtype, in the order asked; rows may repeat, absent
        ones are 0.

        Raises IndexError for a row that does not exist, MultiviewError naming shard and row when the checksum does not
        match.
        """
        kind = self.modality(modality)
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} asked of a store with rows 0 to {len(self) - 1}")
        if modality in self._memory:
            return self._memory[modality][wanted]
        out = np.empty((len(wanted), *kind.shape), dtype=kind.dtype)
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        for shard in np.unique(shard_of):
            places = np.flatnonzero(shard_of == shard)
            self._gather(out, places, wanted[places] - self._starts[shard], int(shard), modality)
        return out

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> Store:
        """This store, which from now on holds these modalities in memory, for all who use it; each is read once.

        It holds no more than it did when all together would need more than `limit_bytes`.
        """
        kinds = [self.modality(name) for name in dict.fromkeys([*self._memory, *modalities])]
        needed = sum(len(self) * int(np.prod(kind.shape)) * np.dtype(kind.dtype).itemsize for kind in kinds)
        if needed <= limit_bytes:
            for kind in kinds:
                if kind.name not in self._memory:
                    self._memory[kind.name] = self.read(self.rows(), kind.name)
        return self

    def close(self) -> None:
        """Closes this process's files; the store stays usable."""
        for file in self._files().values():
            file.close()
        self._forget()

    def _forget(self) -> None:
        self._handles: OrderedDict[int, Any] = OrderedDict()
        self._owner = os.getpid()
        self._columns: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        kept = ("path", "manifest", "_memory", "_starts")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _files(self) -> OrderedDict[int, Any]:
        """The open files of this process: HDF5's handles do not survive a fork."""
        if self._owner != os.getpid():
            self._handles = OrderedDict()
            self._owner = os.getpid()
        return self._handles

    def _file(self, shard: int) -> Any:
        import h5py

        files = self._files()
        if shard not in files:
            path = self.path / self.manifest.shards[shard].name
            try:
                # Nobody writes to a finished shard, and locks fail on some network file systems.
                files[shard] = h5py.File(path, "r", locking=False)
            except OSError as cause:
                raise _damaged(path, str(cause)) from cause
            if len(files) > OPEN_SHARDS:
                files.popitem(last=False)[1].close()
        files.move_to_end(shard)
        return files[shard]

    def _dataset(self, shard: int, name: str) -> Any:
        file = self._file(shard)
        path = self.path / self.manifest.shards[shard].name
        dataset = file.get(name)
        if dataset is None:
            raise _damaged(path, f"it has no /{name}")
        if dataset.is_virtual or dataset.external or Path(dataset.file.filename) != path:
            raise _damaged(path, f"/{name} lies in another file, which a store never does")
        if len(dataset) != self.manifest.shards[shard].rows:
            raise _damaged(path, f"/{name} has {len(dataset)} rows, not {self.manifest.shards[shard].rows}")
        return dataset

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            parts = []
            for index, shard in enumerate(self.manifest.shards):
                try:
                    parts.append(self._dataset(index, name)[()])
                except OSError as cause:
                    raise _damaged(self.path / shard.name, f"the checksum of /{name} does not match") from cause
            self._columns[name] = np.concatenate(parts)
        return self._columns[name]

    def _gather(self, out: np.ndarray, places: np.ndarray, local: np.ndarray, shard: int, modality: str) -> None:
        """Fills `out[places]` with rows `local` of one shard: neighbours in one read, repeated rows once."""
        dataset = self._dataset(shard, modality)
        order = np.argsort(local, kind="stable")
        places, local = places[order], local[order]
        for run in np.split(np.arange(len(local)), np.flatnonzero(np.diff(local) > 1) + 1):
            first, last = int(local[run[0]]), int(local[run[-1]])
            try:
                out[places[run]] = dataset[first : last + 1][local[run] - first]
            except OSError as cause:
                raise self._bad_row(dataset, shard, modality, range(first, last + 1)) from cause

    def _bad_row(self, dataset: Any, shard: int, modality: str, rows: range) -> MultiviewError:
        path = self.path / self.manifest.shards[shard].name
        for row in rows:
            try:
                dataset[row]
            except OSError:
                whole = int(self._starts[shard]) + row
                return _damaged(
                    path, f"the checksum of /{modality} does not match at its row {row} (row {whole} of the store)"
                )
        return _damaged(path, f"/{modality} could not be read")


def _no_store(path: Path) -> MultiviewError:
    if not path.exists():
        return MultiviewError(f"{path} does not exist; make a store with `multiview preprocess SOURCE INPUT {path}`.")
    if (path / ".unfinished").exists():
        return MultiviewError(
            f"{path} is an unfinished store: give the `multiview preprocess` command again, it goes on from there."
        )
    return MultiviewError(
        f"{path} is no store (no {manifests.NAME}); make one with `multiview preprocess SOURCE INPUT OUT`."
    )


def _check_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise _damaged(path, "it is missing")
    if path.stat().st_size != size:
        raise _damaged(path, f"it has {path.stat().st_size} bytes, not {size}")


def _damaged(path: Path, reason: str) -> MultiviewError:
    return MultiviewError(
        f"{path} is damaged: {reason}. Restore it from a copy, or make the store again with "
        "`multiview preprocess ... --overwrite`."
    )
