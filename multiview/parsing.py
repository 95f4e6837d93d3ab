"""One guard around all parsing: a malformed file ends in one sentence that names the file."""

from __future__ import annotations

import errno
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from multiview.errors import MultiviewError

LARGEST = 256 << 20
"""Bytes of the largest text file that is read at once."""

MALFORMED: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    BadZipFile,
)
"""What parsers raise for a malformed file. h5py and safetensors raise these too, or subclasses."""


@contextmanager
def parsing(name: str, remedy: str, *also: type[Exception]) -> Iterator[None]:
    """Turns errors of the block into the MultiviewError `NAME cannot be read: REASON. REMEDY`.

    also: further exceptions of a parser, such as `yaml.YAMLError`. A MultiviewError of the block
    passes unchanged.
    """
    try:
        yield
    except MultiviewError:
        raise
    except (*MALFORMED, *also) as cause:
        raise MultiviewError(f"{name} cannot be read: {reason(cause)}. {remedy}".strip()) from cause


def read_text(path: Path, remedy: str) -> str:
    """The text of a UTF-8 file. Raises MultiviewError when the file is missing or malformed."""
    with parsing(str(path), remedy):
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"it has {size} bytes, more than {LARGEST}")
        return path.read_text(encoding="utf-8")


def read_json(path: Path, remedy: str) -> Any:
    """The value in a JSON file; raises MultiviewError when the file is missing or malformed."""
    text = read_text(path, remedy)
    with parsing(str(path), remedy):
        return json.loads(text)


def reason(cause: BaseException) -> str:
    """The cause in one line that a user understands."""
    if isinstance(cause, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {cause.start})"
    if isinstance(cause, RecursionError):
        return "it is nested too deeply"
    if isinstance(cause, MemoryError):
        return "it needs more memory than there is"
    if isinstance(cause, KeyError):
        return f"{cause.args[0]!r} is missing" if cause.args else "a key is missing"
    if isinstance(cause, OSError) and cause.errno == errno.EMFILE:
        return "this process has too many open files (raise the limit with `ulimit -n 4096`)"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__
