"""Text in pictures: in a font that has its characters, and what none has as its code."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

FONTS = ("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc")
"""Tried where Pillow's own font, which has little more than ASCII, lacks a character."""
NOWHERE = "\U0010ffff"
"""A character that no font has: what stands for it stands for all that are missing."""


def lettered(text: str, size: int) -> tuple[str, Font]:
    """The text and a font that has all of it: of the fonts that there are the first that lacks the fewest characters, and
    those written as in Python (`\\u4e2d`).
    """
    whole = unicodedata.normalize("NFC", text)
    fonts = [_default(size)] if whole.isascii() else _fonts(size)
    missing = [{each for each in set(whole) if not _has(font, each)} for font in fonts]
    fewest = min(range(len(fonts)), key=lambda place: len(missing[place]))
    codes = {ord(each): each.encode("unicode_escape").decode() for each in missing[fewest]}
    return whole.translate(codes), fonts[fewest]


def write(sheet: Image, corner: tuple[int, int], lines: Sequence[str], width: int) -> None:
    """Lines of text, the first one larger, each cut to `width`."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    left, top = corner
    for place, given in enumerate(lines):
        line, font = lettered(given, 12 if place else 14)
        while draw.textlength(line, font=font) > width and len(line) > 4:
            line = f"{line[:-2].rstrip('…')}…"
        draw.text((left, top), line, fill=(90, 90, 90) if place else (0, 0, 0), font=font)
        top += 17


@cache
def _default(size: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@cache
def _fonts(size: int) -> list[Font]:
    from PIL import ImageFont

    found: list[Font] = [_default(size)]
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return found


def _has(font: Font, character: str) -> bool:
    """Whether the font has a picture of its own for it."""
    if character.isspace() or (character.isascii() and character.isprintable()):
        return True
    try:
        return bytes(font.getmask(character)) != bytes(font.getmask(NOWHERE))
    except UnicodeEncodeError:  # Pillow without FreeType has a font of Latin letters
        return False
