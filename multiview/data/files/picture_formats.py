"""Which formats of pictures are read, whatever a file is called, and how large pictures may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from multiview.data.files.imagebytes import first_bytes
from multiview.data.source import BadSample

HEIC = ("heic", "heif")
READS_HEIC = find_spec("pillow_heif") is not None
USUAL = ["jpg", "jpeg", "jfif", "jpe", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "avif", "jp2", "j2k"]
ENDINGS = frozenset([*USUAL, *(HEIC if READS_HEIC else ())])
CONVERT = "which is not read; save PNG, TIFF or .npy files instead"
UNREAD = {
    **dict.fromkeys(HEIC, "HEIC, which needs `pip install 'multiview-cmc[heic]'`"),
    "exr": f"OpenEXR, {CONVERT}",
    "pfm": f"PFM, {CONVERT}",
    "hdr": f"Radiance HDR, {CONVERT}",
    "jxl": f"JPEG XL, {CONVERT}",
    "psd": f"Photoshop, {CONVERT}",
    "svg": f"SVG, {CONVERT}",
    **dict.fromkeys(("dng", "cr2", "cr3", "nef", "arw", "raf"), f"a raw photo, {CONVERT}"),
}
"""Endings of formats of pictures that are not read, and what to do."""
MAGIC = (
    (4, b"ftypheic", "heic"),
    (4, b"ftypheix", "heic"),
    (4, b"ftypmif1", "heic"),
    (4, b"ftypmsf1", "heic"),
    (4, b"ftyphevc", "heic"),
    (0, b"\x76\x2f\x31\x01", "exr"),
    (0, b"\xff\x0a", "jxl"),
    (0, b"\0\0\0\x0cJXL ", "jxl"),
    (0, b"8BPS", "psd"),
    (0, b"PF\n", "pfm"),
    (0, b"#?RADIANCE", "hdr"),
    (0, b"<svg", "svg"),
)
"""Position and bytes by which a file of such a format is known."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "PPM", "MPO", "JPEG2000", "AVIF", "HEIF")
"""Formats of Pillow that are read, whatever the file is called. EPS would start Ghostscript."""


def name_format(path: Path | IO[bytes]) -> None:
    """Raises BadSample with the format of a file that Pillow does not know."""
    start = first_bytes(path, 32)
    for place, magic, ending in MAGIC:
        if start[place:].startswith(magic):
            raise BadSample(f"is {UNREAD[ending]}")
    if start[4:12] in (b"ftypavif", b"ftypavis"):
        raise BadSample("is AVIF, which needs Pillow 11.3 or newer with AVIF: `pip install -U pillow`")


@cache
def readable_formats() -> tuple[str, ...]:
    """The formats of `FORMATS` that Pillow can read here; `HEIF` needs the extra `heic`."""
    from PIL import Image

    Image.init()
    if READS_HEIC:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]

        pillow_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def allow_pixels(megapixels: float | None) -> Iterator[None]:
    """Within the block pictures may have so many million pixels; None: Pillow's limit of 89."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = before if megapixels is None else int(megapixels * 1e6)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def only_listed_formats() -> Iterator[None]:
    """Within the block also other packages, such as torchvision, open only the listed formats."""
    from PIL import Image

    before = Image.open
    Image.open = partial(_open_listed, before)
    try:
        yield
    finally:
        Image.open = before


def _open_listed(usual: Any, fp: Any, mode: Any = "r", formats: Any = None) -> Any:
    """Image.open; the formats that the caller gives are narrowed to the listed ones."""
    readable = readable_formats()
    return usual(fp, mode, [name for name in readable if formats is None or name in formats])
