"""Facts about PNG and JPEG 2000 files that Pillow does not tell, from their bytes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

from multiview.data.source import BadSample

PNG_WITH_EXIF = (b"eXIf", b"zTXt", b"tEXt", b"iTXt")
"""Chunks of a PNG that may hold the orientation."""


def is_png_without_exif(path: Path | IO[bytes]) -> bool:
    """Whether a file is a PNG without a chunk that may hold an orientation. Decodes nothing."""
    file = path.open("rb") if isinstance(path, Path) else path
    try:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in PNG_WITH_EXIF:
                return False
            file.seek(length + 4, 1)
        return True
    finally:
        file.close() if isinstance(path, Path) else file.seek(0)


def require_whole_jpeg2000(path: Path | IO[bytes]) -> None:
    """Raises BadSample unless the codestream has its end; OpenJPEG reads a part without error."""
    data = first_bytes(path)
    start, end = (0, len(data)) if data[:2] == b"\xff\x4f" else _codestream(data)
    if end > len(data) or not data[start:end].rstrip(b"\0").endswith(b"\xff\xd9"):
        raise BadSample("truncated: the end of its codestream is missing")


def _codestream(data: bytes) -> tuple[int, int]:
    """Where the codestream in a JP2 file starts and ends (ISO/IEC 15444-1, Annex I)."""
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        head = 16 if length == 1 else 8
        length = int.from_bytes(data[place + 8 : place + 16], "big") if length == 1 else length
        end = place + length if length else len(data)
        if kind == b"jp2c":
            return place + head, end
        place = max(end, place + 8)
    return 0, len(data) + 1


def first_bytes(path: Path | IO[bytes], count: int = -1) -> bytes:
    """The first `count` bytes of a file, or all; of an open file too, wherever it stands."""
    if isinstance(path, Path):
        with path.open("rb") as file:
            return file.read(count)
    path.seek(0)
    return path.read(count)
