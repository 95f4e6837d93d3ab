"""Locks of the kernel on small files: many may share one, or one process has it alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from multiview.errors import MultiviewError

ASK_SECONDS = 0.02
PATIENCE = 3600.0
"""Most seconds to wait for another process, which may be fetching a large file."""


class LockFile:
    """An open file to lock. The lock ends with `close`, or with the process that opened the file.

    A child process, made by a fork, has a copy of the open file: its `close` leaves the lock.
    """

    def __init__(self, path: Path) -> None:
        self._handle, self._owner = -1, os.getpid()
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def fileno(self) -> int:
        """The number of the open file."""
        return self._handle

    def close(self) -> None:
        """Gives the lock back, also where a child process has a copy, and closes the file."""
        if self._handle >= 0:
            if self._owner == os.getpid():
                _unlock(self._handle)
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _unlock(handle: int) -> None:
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)


def try_lock(handle: LockFile, alone: bool) -> bool:
    """Takes the lock of an open file if no other holder is in the way."""
    try:
        import fcntl
    except ImportError as cause:  # Windows
        raise MultiviewError(
            "stores at an address need file locks of Linux or macOS; copy the store to a folder and give that folder."
        ) from cause
    fcntl.flock(handle, fcntl.LOCK_UN)
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(handle: LockFile, alone: bool, path: Path) -> None:
    """Waits for the lock of an open file. Raises MultiviewError after an hour."""
    until = time.monotonic() + PATIENCE
    while not try_lock(handle, alone):
        if time.monotonic() > until:
            raise MultiviewError(
                f"another process has held {path} for {PATIENCE:.0f} s. End that process, then run the same command "
                "again."
            )
        time.sleep(ASK_SECONDS)


def open_lock(path: Path) -> LockFile:
    """The open file of a lock, which is made when it is not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return LockFile(path)
    except OSError as cause:
        raise MultiviewError(
            f"{path.parent} cannot be written: {cause}. Set MULTIVIEW_CACHE_DIR to a folder on a local disk."
        ) from cause


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a lock alone while the block runs."""
    with open_lock(path) as handle:
        lock(handle, True, path)
        yield


class Held:
    """A shared lock that says: this file is in use. It ends with `release`, or with the process.

    As a context manager, it is released at the end of the block.
    """

    def __init__(self, handle: LockFile) -> None:
        self._handle = handle

    def release(self) -> None:
        """Gives the lock back, also where a child process has a copy of it."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
