"""Text in pictures, in a font that has the characters; missing characters appear as codes."""

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
"""Fonts for characters that Pillow's own font, little more than ASCII, lacks."""
MISSING = "\U0010ffff"
"""A character that no font has. Fonts draw all missing characters alike."""


def choose_font(text: str, size: int) -> tuple[str, Font]:
    """The text and the installed font that lacks the fewest of its characters.

    Characters that the font lacks are replaced by Python escapes (`\\u4e2d`).
    """
    whole = unicodedata.normalize("NFC", text)
    fonts = [_default_font(size)] if whole.isascii() else _all_fonts(size)
    missing = [{each for each in set(whole) if not _has(font, each)} for font in fonts]
    fewest = min(range(len(fonts)), key=lambda place: len(missing[place]))
    codes = {ord(each): each.encode("unicode_escape").decode() for each in missing[fewest]}
    return whole.translate(codes), fonts[fewest]


def write(sheet: Image, corner: tuple[int, int], lines: Sequence[str], width: int) -> None:
    """Writes lines of text, the first in a larger font, each cut to `width` pixels."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    left, top = corner
    for place, given in enumerate(lines):
        line, font = choose_font(given, 12 if place else 14)
        while draw.textlength(line, font=font) > width and len(line) > 4:
            line = f"{line[:-2].rstrip('…')}…"
        draw.text((left, top), line, fill=(90, 90, 90) if place else (0, 0, 0), font=font)
        top += 17


@cache
def _default_font(size: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@cache
def _all_fonts(size: int) -> list[Font]:
    from PIL import ImageFont

    fonts: list[Font] = [_default_font(size)]
    for name in FONTS:
        try:
            fonts.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return fonts


def _has(font: Font, character: str) -> bool:
    """Whether the font draws the character differently from a missing one."""
    if character.isspace() or (character.isascii() and character.isprintable()):
        return True
    try:
        return bytes(font.getmask(character)) != bytes(font.getmask(MISSING))
    except UnicodeEncodeError:  # Pillow without FreeType: its font has only Latin letters
        return False
