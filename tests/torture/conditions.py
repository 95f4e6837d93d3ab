"""Poor machines: full disk, read-only folder, few file handles, no shared memory."""

from __future__ import annotations

import ctypes
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

NEW_NAMESPACE = 0x20000


def can_mount() -> bool:
    """Whether this process may mount a file system of its own (root in most containers)."""
    words = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(words, capture_output=True).returncode == 0


def small_disk(folder: Path, kilobytes: int) -> Callable[[], None]:
    """In the child: `folder` becomes a disk of that size, empty at first."""

    def mount() -> None:
        _own_mounts()
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)

    return mount


def no_shared_memory() -> None:
    """In the child: `/dev/shm` holds four kilobytes."""
    _own_mounts()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/dev/shm"], check=True)


def few_handles() -> None:
    """In the child: at most 64 open files, as `ulimit -n 64` sets it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def read_only(folder: Path) -> Callable[[], None]:
    """In the child: `folder` cannot be written, not even by root."""

    def close() -> None:
        _own_mounts()
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)

    return close


def _own_mounts() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NAMESPACE) != 0:
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
