"""Syncs files to the disk, hashes them, and replaces them as a whole."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from multiview.errors import MultiviewError

PARTIAL = ".partial"
"""Ending of a file that is being written."""
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


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


def in_full(words: str) -> str:
    """The words, with a path that exists written as an absolute path; `folder:` before it stays.

    So two spellings of one place are equal.
    """
    kind, colon, rest = words.partition(":") if words.startswith("folder:") else ("", "", words)
    return f"{kind}{colon}{Path(rest).resolve()}" if rest and Path(rest).exists() else words


def replace_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8 as `replace_bytes` does."""
    replace_bytes(path, text.encode("utf-8", "surrogateescape"))


def replace_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a file as a whole: a reader finds the old or the new content, even after a crash.

    A link at `path` is replaced by a file; the file that the link names stays as it is.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file to write into, which becomes `path` when the block ends without an error."""
    partial = partial_path(path)
    try:
        with create(partial) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """A new name in the folder of `path`, for a file that becomes `path` when it is whole."""
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")


def create(path: Path) -> BinaryIO:
    """Opens a file that must not exist yet for writing; never follows a link."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666), "wb")


def open_to_append(path: Path) -> TextIO:
    """Opens a text file for writing at its end. Raises MultiviewError when `path` is a link."""
    refuse_link(path)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_FOLLOW, 0o666), "a", encoding="utf-8")


def refuse_link(path: Path) -> None:
    """Raises MultiviewError when a file or folder to write to is a link to another place."""
    if path.is_symlink():
        raise MultiviewError(
            f"{path} is a link to {str(path.readlink())!r}, and links are not written to. Remove the link, or move "
            "here what it names."
        )


def size_text(count: float) -> str:
    """`1.5 MB`, in powers of 1000 as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
