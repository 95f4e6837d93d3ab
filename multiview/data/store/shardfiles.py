"""The HDF5 files of a store, opened on first use in each process and checked before any read."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np

from multiview.data.store.manifest import DIGEST, Shard
from multiview.data.store.structure import FLETCHER32 as FLETCHER32
from multiview.data.store.structure import HDF5_ERRORS, sample_faults, structure_faults, unwritten
from multiview.data.store.structure import only_checksums as only_checksums
from multiview.errors import MultiviewError
from multiview.parsing import reason
from multiview.remote.cache import ShardCache
from multiview.remote.filelocks import Held

TEXT = "text"
OPEN_SHARDS = 64
"""Most shards that a process holds open; fewer where the system allows few open files."""
COLUMNS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "label": ("int64", ()),
    "split": ("uint8", ()),
    "digest": ("uint8", (DIGEST,)),
    "factor": ("float64", ()),
    "group": ("int64", ()),
    "present": ("uint8", ()),
    "length": ("int64", ()),
}
"""First part of a column's name -> its dtype and the shape of a row. Texts have any width."""


OF_ONE_PROCESS = ("_handles", "_held", "_owner")


class ShardFiles:
    """The shards of a store in `folder`. Cheap to make and to pickle.

    cache: fetches a shard into `folder` before it is opened, and keeps it while it is open.

    Each process opens its own files, at most `OPEN_SHARDS` at a time, because open HDF5 files can
    neither be pickled nor survive a fork. The structure of the samples of a shard is checked before
    the first sample is read, that of the whole shard before a column is read; processes that are
    made afterwards need not check again.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], cache: ShardCache | None = None) -> None:
        self.folder = folder
        self.shards = tuple(shards)
        self.cache = cache
        self._is_large = cache is not None and sum(shard.size for shard in self.shards) > cache.limit
        self._checked: set[tuple[int, str]] = set()
        self._forget()

    def dataset(self, shard: int, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        """A dataset of samples, of this dtype and shape, after a check of all samples of the shard.

        Raises MultiviewError when the dataset is missing or has another form, or when the shard
        is damaged or holds what no shard holds beside its columns.
        """
        self._require(shard, sample_faults)
        return self._dataset(shard, name, dtype, shape)

    def _require(self, shard: int, faults: Callable[[Any, int], Iterator[str]]) -> None:
        """Raises MultiviewError for the first fault; asks once per shard."""
        if not self._checked.isdisjoint({(shard, faults.__name__), (shard, structure_faults.__name__)}):
            return
        file, _ = self._file(shard)
        with self.damage(shard):
            for fault in faults(file, self.path(shard).stat().st_size):
                self._close(shard)
                raise self.damaged(shard, fault)
        self._checked.add((shard, faults.__name__))

    def _dataset(self, shard: int, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        file, known = self._file(shard)
        if name not in known:
            with self.damage(shard):
                known[name] = self._require_form(file.get(name), shard, name, dtype)
        if known[name].shape != shape:
            raise self.damaged(shard, f"/{name} has the shape {known[name].shape}, not {shape}")
        return known[name]

    def _require_form(self, found: Any, shard: int, name: str, dtype: str) -> Any:
        import h5py

        if not isinstance(found, h5py.Dataset):
            raise self.damaged(shard, f"it has no /{name}")
        if dtype == TEXT:
            # With another padding HDF5 would cut the last letter.
            if found.dtype.kind != "S" or found.id.get_type().get_strpad() != h5py.h5t.STR_NULLPAD:
                raise self.damaged(shard, f"/{name} holds no texts of one width")
        else:
            wanted = np.dtype(dtype)
            wanted = wanted if wanted.byteorder == ">" else wanted.newbyteorder("<")
            if not found.id.get_type().equal(h5py.h5t.py_create(wanted, logical=True)):
                raise self.damaged(shard, f"/{name} does not hold {dtype}")
        return found

    def column(self, shard: int, name: str) -> np.ndarray:
        """All rows of a column of a shard."""
        dtype, row = COLUMNS.get(name.partition("/")[0], (TEXT, ()))
        self._require(shard, structure_faults)  # the index of a column may lead to another one
        dataset = self._dataset(shard, name, dtype, (self.shards[shard].rows, *row))
        with self.damage(shard, f"the checksum of /{name} does not match"):
            whole: np.ndarray = dataset[()]
            if len(whole) and unwritten(dataset, whole, 0):
                raise self.damaged(shard, f"/{name} lacks parts that its index lists")
        return whole

    def path(self, shard: int) -> Path:
        """The path of a shard."""
        return self.folder / self.shards[shard].name

    def damaged(self, shard: int, reason: str) -> MultiviewError:
        """The error for a damaged shard."""
        if self.cache:
            return MultiviewError(f"{self.path(shard)} is damaged: {reason}. Delete this file: it is fetched again.")
        return damaged(self.path(shard), reason)

    def bad_checksum(self, shard: int, name: str, row: int, first: int, cause: BaseException) -> MultiviewError:
        """The error for a damaged row of a shard, whose first row is row `first` of the store."""
        if isinstance(cause, MemoryError):
            return too_little_memory(f"/{name} of {self.path(shard)}")
        return self.damaged(
            shard, f"the checksum of /{name} does not match at its row {row} (row {first + row} of the store)"
        )

    def close(self) -> None:
        """Closes the files of this process; the next read opens them again."""
        while self._close_oldest():
            pass
        self._forget()

    def rest(self) -> None:
        """Gives back the shards of this process when the cache cannot hold the whole store."""
        if self._is_large:
            self.close()

    def _forget(self) -> None:
        self._handles: OrderedDict[int, tuple[Any, dict[str, Any]]] = OrderedDict()
        self._held: dict[int, Held] = {}
        self._owner = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in OF_ONE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _open(self) -> OrderedDict[int, tuple[Any, dict[str, Any]]]:
        if self._owner != os.getpid():
            self._forget()
        return self._handles

    def _file(self, shard: int) -> tuple[Any, dict[str, Any]]:
        """The open file of a shard, and those of its datasets that were checked."""
        files = self._open()
        if shard not in files:
            while len(files) >= most_open():
                self._close_oldest()
            files[shard] = self._opened(shard), {}
        files.move_to_end(shard)
        return files[shard]

    def _opened(self, shard: int) -> Any:
        import h5py

        if self.cache:
            self._held[shard] = self.cache.hold(self.shards[shard], self._close_oldest)
        # Nobody writes into a finished shard; locks fail on some network file systems.
        with self.damage(shard):
            return h5py.File(self.path(shard), "r", locking=False)

    def _close_oldest(self) -> bool:
        """Closes the file that was read from longest ago; False when none is open."""
        oldest = next(iter(self._open()), None)
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def _close(self, shard: int) -> None:
        self._open().pop(shard)[0].close()
        if shard in self._held:
            self._held.pop(shard).release()

    @contextmanager
    def damage(self, shard: int, fault: str = "") -> Iterator[None]:
        """Every error of the block names the shard; a lack of handles or memory is no damage."""
        try:
            yield
        except HDF5_ERRORS as cause:
            if is_out_of_handles(cause):
                raise MultiviewError(
                    f"{self.path(shard)} cannot be opened: this process has too many open files. Raise the limit with "
                    "`ulimit -n 4096` and run the same command again; the shard is not damaged."
                ) from cause
            if isinstance(cause, MemoryError):
                raise too_little_memory(str(self.path(shard))) from cause
            raise self.damaged(shard, fault or reason(cause)) from cause


def most_open() -> int:
    """How many shards a process may hold open: a quarter of the files that the system allows."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):  # not on Windows
        return OPEN_SHARDS
    return OPEN_SHARDS if limit < 0 else max(1, min(OPEN_SHARDS, limit // 4))


def is_out_of_handles(cause: BaseException) -> bool:
    """Whether an error means that this process, or the machine, has too many open files."""
    codes = (errno.EMFILE, errno.ENFILE)
    named = getattr(cause, "errno", None) in codes
    return named or any(f"errno = {code}," in str(cause) for code in codes)


def too_little_memory(name: str) -> MultiviewError:
    """The error when something does not fit into memory."""
    return MultiviewError(
        f"{name} needs more memory than there is: use a smaller --batch or fewer --workers, or raise the memory limit."
    )


def check_size(path: Path, size: int) -> None:
    """Raises MultiviewError unless the file of a shard exists with its full size."""
    try:
        found = path.stat()
    except OSError as cause:
        raise damaged(path, "it is missing") from cause
    if not S_ISREG(found.st_mode):
        raise damaged(path, "it is no file")
    if found.st_size != size:
        raise damaged(path, f"it has {found.st_size} bytes, not {size}")


def damaged(path: Path, reason: str) -> MultiviewError:
    """The error for a damaged shard: the file, the reason and what to do."""
    return MultiviewError(
        f"{path} is damaged: {reason}. Restore it from a copy, or make the store again with "
        "`multiview preprocess ... --overwrite`."
    )
