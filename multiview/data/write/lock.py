"""One writer per folder at a time, by a lock file that works on any file system."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from multiview.errors import MultiviewError

NAME = ".lock"
TAKEOVER = ".lock.takeover"


class LockedError(MultiviewError):
    """Another process is writing into the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder/.lock` while the block runs; takes over the lock of a process that is gone.

    Raises LockedError, which names the other process, when another process holds the lock.
    """
    lock = folder / NAME
    if not _create(lock):
        _take_over(folder)
    _remove_old_drafts(folder)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _remove_old_drafts(folder: Path) -> None:
    """Removes the drafts of processes of this machine that were killed while locking."""
    for draft in folder.glob(f"{NAME}.{socket.gethostname()}.*"):
        pid = draft.name.rpartition(".")[2]
        if pid.isdecimal() and not _is_running(int(pid)):
            draft.unlink(missing_ok=True)


def _create(path: Path) -> bool:
    # The file appears with its content at once: no process ever reads half a lock.
    draft = path.with_name(f"{NAME}.{socket.gethostname()}.{os.getpid()}")
    try:
        draft.write_text(f"{os.getpid()} {socket.gethostname()}\n")
    except OSError as cause:
        raise MultiviewError(f"{path.parent} cannot be written to: {cause}. Choose another OUT.") from cause
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return _create_without_links(path, draft.read_text())
    finally:
        draft.unlink()
    return True


def _create_without_links(path: Path, text: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _take_over(folder: Path) -> None:
    """Replaces a stale lock. A second, short-lived file lets only one process do that at a time."""
    lock, takeover = folder / NAME, folder / TAKEOVER
    _refuse_if_owned(lock)
    try:
        takeover.touch(exist_ok=False)
    except FileExistsError:
        raise LockedError(
            f"{folder} is being taken over by another run at this moment; try again. "
            f"If none is running, delete {takeover}."
        ) from None
    try:
        _refuse_if_owned(lock)
        lock.unlink(missing_ok=True)
        if not _create(lock):
            _refuse_if_owned(lock)
            raise LockedError(f"another run has just begun to write {folder}; wait for it or choose another OUT.")
    finally:
        takeover.unlink(missing_ok=True)


def _refuse_if_owned(lock: Path) -> None:
    owner = _owner(lock)
    if owner is None:
        return
    pid, host = owner
    elsewhere = host != socket.gethostname()
    if elsewhere or _is_running(pid):
        hint = f" If that process is gone, delete {lock}." if elsewhere else ""
        raise LockedError(
            f"{lock.parent} is being written by process {pid} on {host}; wait for it or choose another OUT.{hint}"
        )


def _owner(lock: Path) -> tuple[int, str] | None:
    with suppress(FileNotFoundError):
        words = lock.read_text().split()
        if len(words) == 2 and words[0].isdecimal():
            return int(words[0]), words[1]
        if time.time() - lock.stat().st_mtime < 10:  # still being written, without hard links
            raise LockedError(f"another run has just begun to write {lock.parent}; wait for it or choose another OUT.")
    return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
