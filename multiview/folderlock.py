"""One writer per folder at a time, by a lock file that works on any file system."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from multiview.errors import MultiviewError

NAME = ".lock"
TAKEOVER = ".lock.takeover"
UNKNOWN = "-"
"""Stands in a lock file for a fact that this system does not tell."""
HALF_WRITTEN_SECONDS = 2.0
"""How long a lock without readable content may be one that is being written."""


class LockedError(MultiviewError):
    """Another process is writing into the folder."""


@contextmanager
def locked(folder: Path, instead: str = "another OUT") -> Iterator[None]:
    """Holds `folder/.lock` while the block runs; takes over the lock of a process that is gone.

    `instead` ends the sentence `wait for it or choose ...` of the error. Raises LockedError, which
    names the other process and the lock file, when another process holds the lock.
    """
    lock = folder / NAME
    try:
        handle = _create(lock)
        if handle is None:
            handle = _take_over(folder, instead)
    except OSError as cause:
        raise MultiviewError(f"{folder} cannot be written to: {cause}. Choose {instead}.") from cause
    try:
        _remove_old_drafts(folder)
        yield
    finally:
        with suppress(OSError):  # somebody may have deleted the lock, and another process may hold a new one
            if os.path.samestat(os.fstat(handle), lock.stat()):
                lock.unlink()
        os.close(handle)


@dataclass(frozen=True)
class _Owner:
    """The process that a lock names.

    Args:
        boot: id of the start of the machine; a restart and another machine have other ids.
        start: start time of the process in clock ticks since that start.
        kernel: `held` when the process also holds the lock of the kernel (flock) on the file.
    """

    pid: int
    host: str
    boot: str = UNKNOWN
    start: str = UNKNOWN
    kernel: str = UNKNOWN

    @classmethod
    def of_this_process(cls) -> _Owner:
        stat = _process_stat(os.getpid())
        boot = UNKNOWN
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return cls(os.getpid(), socket.gethostname() or UNKNOWN, boot or UNKNOWN, stat[1] if stat else UNKNOWN)

    @classmethod
    def of_file(cls, lock: Path) -> _Owner | None:
        """None for a missing file, and for one that still has no readable content after a while."""
        until = time.monotonic() + HALF_WRITTEN_SECONDS
        while True:
            try:
                words = lock.read_text(errors="replace").split()
            except FileNotFoundError:
                return None
            # Older versions wrote the first two words only.
            if len(words) in (2, 5) and words[0].isdecimal():
                return cls(int(words[0]), *words[1:])
            if time.monotonic() > until:
                return None
            time.sleep(0.02)

    def line(self, kernel: str) -> str:
        return f"{self.pid} {self.host} {self.boot} {self.start} {kernel}\n"


def _is_alive(owner: _Owner, lock: Path) -> bool:
    """Whether the process may still be running. No clock is asked, because clocks jump."""
    here = _Owner.of_this_process()
    known = UNKNOWN not in (owner.boot, here.boot)
    if (owner.boot != here.boot) if known else (owner.host != here.host):
        return owner.host != here.host  # of this machine before it was restarted, or of another machine
    if owner.kernel == "held":
        held = _is_held(lock)
        if held is not None:
            return held
    if owner.pid == here.pid and owner.start == UNKNOWN:
        return here.start == UNKNOWN  # an older version wrote it: in a container processes often have the same pid
    return _is_running(owner.pid, owner.start)


def _is_running(pid: int, start: str = UNKNOWN) -> bool:
    """Whether the process runs that had this number when `start` was written."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    stat = _process_stat(pid)
    return stat is None or (stat[0] not in "ZX" and start in (UNKNOWN, stat[1]))


def _process_stat(pid: int) -> tuple[str, str] | None:
    """State (Z = ended, but not yet waited for) and start time of a process; None without /proc."""
    with suppress(OSError, IndexError):
        # The name of the program, in brackets, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    return None


def _hold(handle: int) -> bool:
    """Takes the kernel's lock on an open file, which ends with the process; False without one."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_held(lock: Path) -> bool | None:
    """Whether a process holds the kernel's lock on the file; None when the kernel cannot tell."""
    try:
        import fcntl

        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return None


def _create(path: Path) -> int | None:
    """The open file of a new lock; None when there is one already."""
    # The file appears with its content at once: no process ever reads half a lock.
    draft = path.with_name(f"{NAME}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = _write_new(draft)
    try:
        os.link(draft, path)
    except FileExistsError:
        os.close(handle)
        return None
    except OSError:  # a file system without hard links
        os.close(handle)
        try:
            return _write_new(path)
        except FileExistsError:
            return None
    finally:
        draft.unlink()
    return handle


def _write_new(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(handle, _Owner.of_this_process().line("held" if _hold(handle) else UNKNOWN).encode())
    return handle


def _take_over(folder: Path, instead: str) -> int:
    """Replaces a stale lock. A second, short-lived file lets only one process do that at a time."""
    lock, takeover = folder / NAME, folder / TAKEOVER
    _refuse_if_owned(lock, instead)
    try:
        takeover.touch(exist_ok=False)
    except FileExistsError:
        raise LockedError(
            f"{folder} is being taken over by another run at this moment; try again. "
            f"If none is running, delete {takeover}."
        ) from None
    try:
        _refuse_if_owned(lock, instead)
        lock.unlink(missing_ok=True)
        handle = _create(lock)
        if handle is None:
            _refuse_if_owned(lock, instead)
            raise LockedError(
                f"another run has just begun to write {folder}; wait for it or choose {instead}. "
                f"If none is running, delete {lock}."
            )
        return handle
    finally:
        takeover.unlink(missing_ok=True)


def _refuse_if_owned(lock: Path, instead: str) -> None:
    owner = _Owner.of_file(lock)
    if owner is not None and _is_alive(owner, lock):
        raise LockedError(
            f"{lock.parent} is being written by process {owner.pid} on {owner.host}; wait for it or choose {instead}. "
            f"If that process is gone, delete {lock}."
        )


def _remove_old_drafts(folder: Path) -> None:
    """Removes the drafts of processes of this machine that were killed while locking."""
    name = re.compile(re.escape(f"{NAME}.{socket.gethostname()}.") + r"(\d+)(\.[0-9a-f]+)?")
    for draft in folder.iterdir():
        match = name.fullmatch(draft.name)
        if match and not _is_running(int(match[1])):
            draft.unlink(missing_ok=True)
