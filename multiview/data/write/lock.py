"""One writer at a time: a lock file that exists or does not, on any file system."""

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
    """Another process is writing the folder at this moment."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder/.lock` while the block runs. A lock whose process is gone is taken over.

    Raises LockedError, naming the other process, when somebody else holds it.
    """
    lock = folder / NAME
    if not _made(lock):
        _take_over(folder)
    _sweep(folder)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Removes the drafts of processes of this machine that were killed while they asked for the lock."""
    for draft in folder.glob(f"{NAME}.{socket.gethostname()}.*"):
        pid = draft.name.rpartition(".")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            draft.unlink(missing_ok=True)


def _made(path: Path) -> bool:
    # The file appears whole, name and content at once: nobody ever reads half a lock.
    draft = path.with_name(f"{NAME}.{socket.gethostname()}.{os.getpid()}")
    try:
        draft.write_text(f"{os.getpid()} {socket.gethostname()}\n")
    except OSError as cause:
        raise MultiviewError(f"{path.parent} cannot be written to: {cause}. Choose another OUT.") from cause
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # no hard links here
        return _made_without_links(path, draft.read_text())
    finally:
        draft.unlink()
    return True


def _made_without_links(path: Path, text: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _take_over(folder: Path) -> None:
    """Replaces a stale lock. Two that try at once are told apart by a second file, held for a moment."""
    lock, takeover = folder / NAME, folder / TAKEOVER
    _refuse_if_alive(lock)
    try:
        takeover.touch(exist_ok=False)
    except FileExistsError:
        raise LockedError(
            f"{folder} is being taken over by another run at this moment; try again. "
            f"If none is running, delete {takeover}."
        ) from None
    try:
        _refuse_if_alive(lock)
        lock.unlink(missing_ok=True)
        if not _made(lock):
            _refuse_if_alive(lock)
            raise LockedError(f"another run has just begun to write {folder}; wait for it or choose another OUT.")
    finally:
        takeover.unlink(missing_ok=True)


def _refuse_if_alive(lock: Path) -> None:
    owner = _owner(lock)
    if owner is None:
        return
    pid, host = owner
    elsewhere = host != socket.gethostname()
    if elsewhere or _alive(pid):
        hint = f" If that process is gone, delete {lock}." if elsewhere else ""
        raise LockedError(
            f"{lock.parent} is being written by process {pid} on {host}; wait for it or choose another OUT.{hint}"
        )


def _owner(lock: Path) -> tuple[int, str] | None:
    with suppress(FileNotFoundError):
        words = lock.read_text().split()
        if len(words) == 2 and words[0].isdecimal():
            return int(words[0]), words[1]
        if time.time() - lock.stat().st_mtime < 10:  # being written this moment, where there are no hard links
            raise LockedError(f"another run has just begun to write {lock.parent}; wait for it or choose another OUT.")
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
