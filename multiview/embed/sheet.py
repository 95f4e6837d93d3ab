"""A picture of queries and of the samples that were found, one row for each query."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from multiview.data.inspect.lettering import write
from multiview.embed.gallery import Gallery
from multiview.embed.queries import Answer
from multiview.errors import MultiviewError
from multiview.files import replace_bytes

CELL, GAP, TOP = 128, 8, 20


def draw_sheet(out: Path, gallery: Gallery, answers: Sequence[Answer]) -> Path:
    """Draws the query and the found samples of every answer as a PNG; returns its path.

    A sample without a picture file is an empty cell. Raises MultiviewError when no sample has one,
    and when the picture cannot be written.
    """
    from PIL import Image

    cells = [
        [(each.name, each.path), *((gallery.ids[row], gallery.paths[row]) for row in each.rows)] for each in answers
    ]
    if not any(path for row in cells for _, path in row):
        raise MultiviewError("the gallery knows no files of pictures (it was made from a store); leave out --sheet.")
    height = CELL + TOP + GAP
    sheet = Image.new("RGB", (max(map(len, cells)) * (CELL + GAP) + GAP, len(cells) * height + GAP), "white")
    for down, row in enumerate(cells):
        for right, (name, path) in enumerate(row):
            corner = (GAP + right * (CELL + GAP), GAP + down * height)
            write(sheet, corner, [("query " if right == 0 else "") + name], CELL)
            _paste(sheet, path, (corner[0], corner[1] + TOP))
    content = BytesIO()
    sheet.save(content, "PNG")
    try:
        replace_bytes(out, content.getvalue())
    except OSError as cause:
        raise MultiviewError(f"the picture {out} could not be written: {cause}.") from cause
    return out


def _paste(sheet: Any, path: str, corner: tuple[int, int]) -> None:
    """Pastes a small copy of a picture file; a file that is no picture leaves its cell empty."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.thumbnail((CELL, CELL))
            sheet.paste(picture.convert("RGB"), corner)
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return
