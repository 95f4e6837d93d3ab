"""Image files to arrays: every fault of a file becomes a `BadSample` that names the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from multiview.data.files.failures import name_failures
from multiview.data.files.imagebytes import is_png_without_exif, require_whole_jpeg2000
from multiview.data.files.picture_formats import ENDINGS as ENDINGS
from multiview.data.files.picture_formats import FORMATS as FORMATS
from multiview.data.files.picture_formats import allow_pixels as allow_pixels
from multiview.data.files.picture_formats import name_format, readable_formats
from multiview.data.source import BadSample

if TYPE_CHECKING:
    from PIL.Image import Image

MARKED_ALPHA = (1, 2)
"""Values of the TIFF tag ExtraSamples that mean transparency."""
EXTRA_SAMPLES, SAMPLES, PHOTOMETRIC = 338, 277, 262
"""TIFF tags."""
ARRAY = ".npy"
ORIENTATION = 0x0112
NO_NORMAL = 0.5
"""A shorter vector is no normal: black is stored as length 0, grey 127 decodes to about 0."""


def header(path: Path | IO[bytes], name: str) -> tuple[int, int, str]:
    """(height, width, Pillow mode) of an upright image, from its first bytes. Raises BadSample."""
    with name_failures(name), _open(path) as image:
        width, height = image.size
        return (width, height, image.mode) if _orientation(image) >= 5 else (height, width, image.mode)


def rgb(path: Path | IO[bytes], name: str, reduce: int = 1) -> np.ndarray:
    """Reads any image as upright sRGB, uint8 (height, width, 3).

    Transparency is laid over white, 16-bit grey is scaled to 8 bits, the first frame is read.

    Args:
        name: stands for the file in messages.
        reduce: 2, 4 or 8 decodes a JPEG at that fraction of its size, which is much faster; other
            formats are decoded in full.

    Raises:
        BadSample: truncated, damaged, a decompression bomb, or grey values without a known range.
    """
    with name_failures(name):
        return np.array(to_rgb(_upright(path, reduce)))


@dataclass(frozen=True)
class DepthUnits:
    """How the numbers of a depth map become metres.

    Integers are multiplied by `scale`, then `shift` metres are added; floats are metres already.
    With `disparity` (baseline in metres x focal length in pixels x stored units per pixel),
    metres = disparity / (number + offset). The number `invalid` means not measured.
    """

    scale: float = 0.001
    invalid: float = 0.0
    disparity: float | None = None
    offset: float = 0.0
    shift: float = 0.0

    def metres(self, stored: np.ndarray, integers: bool) -> np.ndarray:
        """Converts float64 to float32, 0 where invalid, not finite or not above 0."""
        valid = np.isfinite(stored) & (stored != self.invalid) & (stored > 0)
        known = np.where(valid, stored, 1.0)
        if self.disparity is not None:
            shifted = known + self.offset
            valid &= shifted > 0
            metres = self.disparity / np.where(shifted > 0, shifted, 1.0)
        else:
            metres = known * self.scale + self.shift if integers else known
        return np.where(valid & (metres > 0), metres, 0).astype("float32")


def depth(path: Path | IO[bytes], name: str, units: DepthUnits) -> np.ndarray:
    """Reads a depth map as float32 (height, width), metres, 0 = not measured. Raises BadSample."""
    with name_failures(name):
        image = _upright(path)
        if image.mode not in ("L", "I", "F") and not image.mode.startswith("I;16"):
            raise BadSample(f"depth must have one channel of numbers; this file has the mode {image.mode}")
        return units.metres(np.asarray(image).astype("float64"), integers=image.mode != "F")


def normal(path: Path, name: str) -> np.ndarray:
    """Reads a normal map as float16 (height, width, 3) unit vectors, 0 = no normal.

    A pixel means value / 127.5 - 1; floats in a `.npy` file are normalised to length 1. The axes
    stay as stored: x right, y up, z towards the viewer (OpenGL). Raises BadSample.
    """
    with name_failures(name):
        stored = _array(path) if path.suffix == ARRAY else _normal_pixels(_upright(path))
        stored = np.moveaxis(stored, 0, -1) if stored.shape[:1] == (3,) != stored.shape[-1:] else stored
        if stored.ndim != 3 or stored.shape[-1] != 3 or not np.isfinite(stored).all():
            raise BadSample(f"normals are finite and have three channels, this is {stored.shape}")
        vectors = stored / 127.5 - 1 if stored.dtype == np.uint8 else stored.astype("float64")
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        there = (length >= NO_NORMAL) & stored.any(axis=-1, keepdims=True)
        return np.where(there, vectors / np.maximum(length, NO_NORMAL), 0).astype("float16")


def mask(path: Path | IO[bytes], name: str, dtype: str) -> np.ndarray:
    """Reads a mask of identities as `uint8` or `uint16` (height, width).

    A palette image gives its indices. Raises BadSample.
    """
    with name_failures(name):
        image = _upright(path)
        if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
            raise BadSample(f"a mask must have one channel of integers; this file has the mode {image.mode}")
        stored = np.asarray(image).astype("int64")
        if stored.min() < 0 or stored.max() > np.iinfo(dtype).max:
            raise BadSample(f"identities go from {stored.min()} to {stored.max()}; {dtype} cannot hold these numbers")
        return stored.astype(dtype)


def bands(path: Path, name: str, channels_first: bool = False) -> np.ndarray:
    """Reads bands as float32 (height, width, bands): a `.npy` file, or all channels of all pages.

    Raises BadSample.
    """
    with name_failures(name):
        stored = _array(path) if path.suffix == ARRAY else _pages(path)
        stored = stored[..., None] if stored.ndim == 2 else stored
        if stored.ndim != 3 or stored.dtype.kind not in "buif":
            raise BadSample(f"bands are numbers (height, width, bands), this is {stored.dtype}{stored.shape}")
        stored = np.moveaxis(stored, 0, -1) if channels_first else stored
        found = np.ascontiguousarray(stored, "float32")
        if not np.isfinite(found).all():
            raise BadSample("holds values that are not finite")
        return found


def bands_shape(path: Path, name: str) -> tuple[int, int, int]:
    """The shape of a file of bands, as stored, with three axes. Raises BadSample."""
    with name_failures(name):
        if path.suffix != ARRAY:
            return bands(path, name).shape
        shape = _array(path).shape
        if len(shape) not in (2, 3):
            raise BadSample(f"bands are numbers (height, width, bands), this is {shape}")
        return (*shape, 1) if len(shape) == 2 else shape


def _pages(path: Path) -> np.ndarray:
    from PIL import ImageOps

    planes = []
    with _open(path) as image:
        turn = _orientation(image)
        for page in range(getattr(image, "n_frames", 1)):
            image.seek(page)
            image.load()
            upright = ImageOps.exif_transpose(image) if turn > 1 else image
            planes.append(np.atleast_3d(np.asarray(upright)))
            stated = getattr(image, "tag_v2", {}).get(SAMPLES, 0) if image.format == "TIFF" else 0
            if stated > planes[-1].shape[-1]:
                raise BadSample(f"has {stated} channels, of which Pillow reads {planes[-1].shape[-1]}; save it as .npy")
    return np.concatenate(planes, axis=-1)


def orientation(path: Path | IO[bytes], name: str) -> int:
    """The EXIF orientation of a file, 1 to 8; 1 where none is stored. Raises BadSample."""
    with name_failures(name):
        if isinstance(path, Path) and path.suffix == ARRAY:
            return 1
        if is_png_without_exif(path):
            return 1
        with _open(path) as image:
            return _orientation(image)


@dataclass(frozen=True)
class Facts:
    """What a note may be about: mode, further pages, the fourth channel of a TIFF."""

    mode: str
    pages: bool
    fourth: bool


def facts(path: Path, name: str) -> Facts:
    """Reads what the header says beside the size. Raises BadSample."""
    with name_failures(name), _open(path) as image:
        tags = getattr(image, "tag_v2", {})
        fourth = image.format == "TIFF" and tags.get(SAMPLES) == 4 and tags.get(PHOTOMETRIC) == 2
        return Facts(image.mode, bool(getattr(image, "is_animated", False)), fourth)


def largest_grey(path: Path, name: str) -> int:
    """The largest value of a file of 16-bit greys. Raises BadSample."""
    with name_failures(name):
        return int(np.asarray(_upright(path)).max())


def _normal_pixels(image: Image) -> np.ndarray:
    if image.mode not in ("RGB", "RGBA", "P"):
        raise BadSample(f"normals have three channels, this is {image.mode}")
    return np.asarray(image.convert("RGB"))


def _upright(path: Path | IO[bytes], reduce: int = 1) -> Image:
    from PIL import ImageOps

    with _open(path) as image:
        if reduce > 1:
            image.draft(image.mode, (image.width // reduce, image.height // reduce))
        image.load()
        if image.format == "JPEG2000":
            require_whole_jpeg2000(path)
        return ImageOps.exif_transpose(image) if _orientation(image) > 1 else image


def _open(path: Path | IO[bytes]) -> Image:
    from PIL import Image, UnidentifiedImageError

    if isinstance(path, Path) and path.suffix == ARRAY:
        return _as_image(_array(path))
    try:
        return Image.open(path, formats=readable_formats())
    except UnidentifiedImageError:
        name_format(path)
        raise


def _array(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False, mmap_mode="r")


def _as_image(array: np.ndarray) -> Image:
    """An array of pixels or of numbers as an image; float64 and int64 are narrowed to 32 bits."""
    from PIL import Image

    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    elif array.ndim == 3 and array.shape[-1] not in (3, 4) and array.shape[0] in (1, 3, 4):
        array = array[0] if array.shape[0] == 1 else np.ascontiguousarray(np.moveaxis(array, 0, -1))
    narrow = {"f": "float32", "i": "int32"}.get(array.dtype.kind)
    return Image.fromarray(array.astype(narrow) if narrow else np.asarray(array))


def _orientation(image: Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the pixels of an image with a damaged EXIF block are still good
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def to_rgb(image: Image) -> Image:
    """Converts an image of any mode to RGB, transparency over white.

    Raises BadSample for grey values without a known range.
    """
    from PIL import Image

    if image.mode == "F":
        raise BadSample("floating-point greys have no known range; store 8 or 16 bits")
    if image.mode.startswith("I"):
        return _narrowed(image).convert("RGB")
    if image.has_transparency_data and not _is_band(image):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _narrowed(image: Image) -> Image:
    """16-bit greys scaled to 8 bits."""
    from PIL import Image

    stored = np.asarray(image).astype("int64")
    if stored.min() < 0 or stored.max() > 65535:
        raise BadSample(f"greys go from {stored.min()} to {stored.max()}; store 8 or 16 bits")
    return Image.fromarray(((stored + 128) // 257).astype("uint8"))


def _is_band(image: Image) -> bool:
    """Whether the fourth channel of a TIFF is not marked as transparency, so that it is a band."""
    tags = getattr(image, "tag_v2", None)
    marks = () if tags is None or image.format != "TIFF" else tags.get(EXTRA_SAMPLES, ())
    return tags is not None and image.format == "TIFF" and not set(np.atleast_1d(marks)) & set(MARKED_ALPHA)
