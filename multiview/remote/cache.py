"""Fetched shards on the local disk, shared by the processes of a machine, below a limit of size.

Every shard has a lock: shared while a process reads the shard, exclusive while it is fetched or
removed. So a shard is fetched once for all processes, and never removed under a reader.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from multiview.errors import MultiviewError
from multiview.files import size_text
from multiview.remote.address import last_name
from multiview.remote.filelocks import ASK_SECONDS, Held, alone, lock, open_lock, try_lock
from multiview.remote.transfer import fetch

DIR_VARIABLE, SIZE_VARIABLE = "MULTIVIEW_CACHE_DIR", "MULTIVIEW_CACHE_SIZE"
DEFAULT_SIZE = "20 GB"
ROOM = ".room.lock"
LOCKS = ".locks"
SHARD = re.compile(r"shard-\d+\.h5")
PARTIAL = re.compile(r"\.(shard-\d+\.h5)\.(\d+)\.[\w-]+\.partial")
"""A file that is being fetched; its name tells its shard and the size that it will have."""
UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
}
ROOM_SECONDS = 300.0
"""Longest wait for other processes to stop using shards."""


class Whole(Protocol):
    """A file at an address: its name, its size in bytes and its sha256."""

    @property
    def name(self) -> str:
        """The name of the file."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def sha256(self) -> str:
        """Its sha256, hexadecimal."""


def cache_root() -> Path:
    """The folder of all fetched stores of this user."""
    given = os.environ.get(DIR_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given or Path(base, "multiview", "stores")).expanduser().absolute()


def cache_limit(given: str | int | None = None) -> int:
    """Bytes that fetched stores may take: `given`, such as `20 GB`, else the variable's value."""
    text = str(given if given is not None else os.environ.get(SIZE_VARIABLE) or DEFAULT_SIZE)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in UNITS or not (size := int(float(match[1]) * UNITS[match[2]])):
        raise MultiviewError(f"the size of the cache is '{text}'; give a size such as 500MB or 20GB.")
    return size


@dataclass(frozen=True)
class ShardCache:
    """The fetched shards of the store at an address. Cheap to make and to pickle.

    root: the folder of all stores. limit: bytes that all of them may take together.
    key: tells two stores apart that stood at one address at different times.
    """

    address: str
    root: Path
    limit: int
    key: str

    @property
    def folder(self) -> Path:
        """The folder of this store."""
        digest = hashlib.sha256(f"{self.address.rstrip('/')} {self.key}".encode()).hexdigest()[:12]
        return self.root / f"{last_name(self.address)}-{digest}"

    def hold(self, file: Whole, free: Callable[[], bool] = bool) -> Held:
        """Fetches a shard unless it is there, and keeps it from being removed until the release.

        free: gives back a shard that this process holds, when there is no room; False = holds none.
        Raises MultiviewError when the shard cannot be fetched, or there is no room for it.
        """
        path = self.folder / LOCKS / file.name
        handle = open_lock(path)
        try:
            while True:
                lock(handle, False, path)
                if self.has(file):
                    with suppress(OSError):
                        os.utime(self.folder / file.name)
                    return Held(handle)
                lock(handle, True, path)
                if not self.has(file):
                    self._download(file, free)
        except BaseException:
            handle.close()
            raise

    def has(self, file: Whole) -> bool:
        """Whether a shard is there; it got its name after its hash was checked."""
        with suppress(OSError):
            return (self.folder / file.name).stat().st_size == file.size
        return False

    def _download(self, file: Whole, free: Callable[[], bool]) -> None:
        partial = self._reserved(file, free)
        try:
            fetch(self.address, file.name, partial, file.size, file.sha256)
            partial.replace(self.folder / file.name)
        except FileNotFoundError as cause:
            raise MultiviewError(
                f"{self.address} lacks {file.name}, which its manifest lists: write the store there again."
            ) from cause
        finally:
            partial.unlink(missing_ok=True)

    def _partial(self, file: Whole) -> Path:
        token = f"{os.getpid()}-{secrets.token_hex(4)}"
        return self.folder / f".{file.name}.{file.size}.{token}.partial"

    def _reserved(self, file: Whole, free: Callable[[], bool]) -> Path:
        """The empty file to write a shard into, which counts with its whole size from now on."""
        for remains in self.folder.glob(f".{file.name}.*.partial"):  # of a process that was killed
            remains.unlink(missing_ok=True)
        partial = self._partial(file)
        until = time.monotonic() + ROOM_SECONDS
        while True:
            with alone(self.root / ROOM):
                if self._made_room(file):
                    partial.touch()
                    return partial
            if not free():
                if time.monotonic() > until:
                    raise self._too_small(file, "the other shards there are in use")
                time.sleep(ASK_SECONDS)

    def _made_room(self, file: Whole) -> bool:
        """Removes shards, longest unused first, until a file has room; False when it has none."""
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        fixed = sum(size for _, size, path in entries if not _shard_of(path))
        if file.size + fixed > self.limit:
            raise self._too_small(file, f"manifests and columns take {size_text(fixed)}")
        for _, size, path in sorted(entries):
            if total + file.size <= self.limit:
                break
            if _shard_of(path) and _removed(path):
                total -= size
        return total + file.size <= self.limit

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of the last use, bytes and path of all files of all stores."""
        found = []
        for path in self.root.glob("*/*"):
            with suppress(OSError):
                stat = path.stat()
                if not path.is_dir():
                    reserved = PARTIAL.fullmatch(path.name)
                    found.append((stat.st_mtime, max(stat.st_size, int(reserved[2]) if reserved else 0), path))
        return found

    def _too_small(self, file: Whole, reason: str) -> MultiviewError:
        return MultiviewError(
            f"the cache {self.root} of {size_text(self.limit)} has no room for {file.name} of {size_text(file.size)}: "
            f"{reason}. Give more with --cache_size or {SIZE_VARIABLE}, such as {SIZE_VARIABLE}=50GB."
        )


def _shard_of(path: Path) -> str | None:
    """The shard that a file is, or will become."""
    if match := PARTIAL.fullmatch(path.name):
        return match[1]
    return path.name if SHARD.fullmatch(path.name) else None


def _removed(path: Path) -> bool:
    """Removes a shard that nobody uses, or what a killed process left of one."""
    with open_lock(path.parent / LOCKS / str(_shard_of(path))) as handle:
        if not try_lock(handle, True):
            return False
        path.unlink(missing_ok=True)
        return True
