"""Syncs files to the disk, hashes them, and replaces them as a whole."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

PARTIAL = ".partial"
"""Ending of a file that is being written."""


def sync(path: Path) -> None:
    """Returns when the file, or the entries of the folder, have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_text(path: Path, text: str) -> None:
    """Writes a text file as a whole: a reader, even after a crash, finds the old text or the new.

    Several processes may write the same file at once: each has a partial file of its own, and the
    last rename counts. A link at `path` is replaced and never followed.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def size_text(count: float) -> str:
    """`1.5 MB`, in powers of 1000 as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
