"""Image files as modalities: pixels of one size, or the bytes of the files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from multiview.data.columns.headers import MOST_HEADERS, read_headers
from multiview.data.files import images
from multiview.data.files.failures import name_failures
from multiview.data.files.resize import Resizer
from multiview.data.listing.filetree import as_unicode
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import DTYPES, UNITS
from multiview.errors import unknown_name
from multiview.plurals import counted

Reader = Callable[[Path, str], np.ndarray]
"""Takes a path and the file's name in messages; returns a sample, or raises BadSample."""

PICTURES = ("image", "depth", "normal", "mask", "bands")
DENSE = ("depth", "normal", "mask", "bands")
"""Kinds whose pixels are meant to lie on those of the images."""
MOST_GREYS = 16
"""Number of files of 16-bit greys that are decoded for their range."""
FULL_GREYS = 4096
"""16-bit greys below this are 12-bit greys or less."""
STORED = ("raw", "encoded")


@dataclass(frozen=True)
class Column:
    """A modality, the reader of its files, and notes for the user."""

    modality: Modality
    read: Reader
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conventions:
    """Meaning of numbers in depth and normal files; positive y of normals is `up` or `down`."""

    depth: images.DepthUnits = images.DepthUnits()
    normal_y: str = "up"


DEFAULT_CONVENTIONS = Conventions()


@dataclass(frozen=True)
class PictureReader:
    """Reads image files of one kind and resizes them to one size."""

    kind: str
    dtype: str
    resizer: Resizer
    conventions: Conventions
    megapixels: float | None = None
    channels_first: bool = False

    def __call__(self, path: Path, name: str) -> np.ndarray:
        """Reads and resizes one file. Raises BadSample."""
        return self.resized(self.decoded(path, name), name)

    def decoded(self, path: Path, name: str) -> np.ndarray:
        """Reads one file in its own size. Raises BadSample."""
        with images.allow_pixels(self.megapixels):
            return self._decoded(path, name)

    def _decoded(self, path: Path, name: str) -> np.ndarray:
        if self.kind == "bands":
            return images.bands(path, name, self.channels_first)
        if self.kind == "depth":
            return images.depth(path, name, self.conventions.depth)
        if self.kind == "normal":
            vectors = images.normal(path, name)
            return vectors if self.conventions.normal_y == "up" else vectors * np.array([1, -1, 1], "float16")
        return images.mask(path, name, self.dtype) if self.kind == "mask" else images.rgb(path, name)

    def resized(self, array: np.ndarray, name: str) -> np.ndarray:
        """Resizes a decoded file. Raises BadSample for another size under the policy `keep`."""
        with name_failures(name):
            return self.resizer.resize(self.kind, array)


def picture_column(
    name: str,
    kind: str,
    root: Path,
    files: Sequence[str],
    resizer: Resizer,
    conventions: Conventions = DEFAULT_CONVENTIONS,
    megapixels: float | None = None,
) -> Column:
    """The column of these image files below `root`, as pixels of one size."""
    dtype = _mask_dtype(root, files) if kind == "mask" else DTYPES.get(kind, "float32")
    shape = (resizer.height, resizer.width, 3) if kind in ("image", "normal") else (resizer.height, resizer.width)
    modality = Modality(name=name, kind=kind, dtype=dtype, shape=shape, unit=UNITS[kind])
    notes = picture_notes(name, kind, root, files, conventions)
    return Column(modality, PictureReader(kind, dtype, resizer, conventions, megapixels), notes)


def picture_notes(
    name: str, kind: str, root: Path, files: Sequence[str], conventions: Conventions = DEFAULT_CONVENTIONS
) -> tuple[str, ...]:
    """Notes about files that are read in part, or whose numbers are probably meant otherwise."""
    few = files[:: -(-len(files) // MOST_HEADERS) or 1]
    found = {}
    for file in few:
        with suppress(BadSample):
            found[file] = images.facts(root / file, as_unicode(file))
    pages = [file for file, facts in found.items() if facts.pages]
    notes = []
    if pages:
        notes.append(f"{_of(name, pages, found)} hold several pages or frames, of which only the first is read.")
    fourth = [file for file, facts in found.items() if facts.fourth]
    if fourth and kind == "image":
        notes.append(
            f"{_of(name, fourth, found)} are TIFFs with a fourth channel: one marked as transparency is laid over "
            "white, another is left out; keep four bands, such as near infrared, with the kind bands."
        )
    deep = [file for file, facts in found.items() if facts.mode.startswith("I;16") or facts.mode == "I"]
    if deep and kind == "image":
        notes += _dark_note(name, root, deep, found)
    depth = conventions.depth
    flat = [file for file, facts in found.items() if facts.mode in ("L", "P", "1")]
    if kind == "depth" and flat and depth.disparity is None and 255 * depth.scale < 1:
        notes.append(
            f"{_of(name, flat, found)} hold 8 bits: their depth ends at {255 * depth.scale + depth.shift:g} m with "
            f"--depth_scale {depth.scale:g}; give the metres per stored unit with --depth_scale."
        )
    return tuple(notes)


def _of(name: str, some: Sequence[str], looked_at: Collection[str]) -> str:
    return f"{len(some)} of {counted(len(looked_at), 'file')} of '{name}' ({as_unicode(some[0])})"


def _dark_note(name: str, root: Path, deep: Sequence[str], looked_at: Collection[str]) -> list[str]:
    largest = 0
    for file in deep[:: -(-len(deep) // MOST_GREYS) or 1]:
        with suppress(BadSample):
            largest = max(largest, images.largest_grey(root / file, as_unicode(file)))
    if not 0 < largest < FULL_GREYS:
        return []
    return [
        f"{_of(name, deep, looked_at)} have 16-bit greys that end at {largest}, which become nearly black: white is "
        f"65535. Multiply the greys by {65535 // largest}, or read them with the kind bands."
    ]


def have_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (height, width) have the same proportions, to within a pixel."""
    return one == other or abs(other[1] - other[0] * one[1] / one[0]) < 1 > abs(one[1] - one[0] * other[1] / other[0])


def require_one_orientation(identity: str, turns: Mapping[str, int], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raises BadSample for a sample whose pictures carry different EXIF orientations.

    A quarter turn passes when the shapes show that the other pictures are upright already.

    Args:
        turns: EXIF orientation, 1 to 8, by modality.
        sizes: height and width of the upright pictures, all of one shape.
    """
    different = set(turns.values())
    quarter = len(different) == 2 and 1 in different and max(different) >= 5
    if len(different) < 2 or (quarter and any(height != width for height, width in sizes.values())):
        return
    listing = ", ".join(f"{name} {turn}" for name, turn in turns.items())
    raise BadSample(
        f"{identity}: its pictures carry different EXIF orientations: {listing} (1 = none); turn them once and store "
        "them upright"
    )


def encoded_column(name: str, files: Sequence[str], megapixels: float | None = None) -> Column:
    """The column of these image files as the bytes of the files, each in its own size.

    megapixels: largest picture that is decoded, in million pixels (None = 89).
    """
    endings = {PurePosixPath(file).suffix[1:].lower().replace("jpg", "jpeg") for file in files}
    encoding = endings.pop() if len(endings) == 1 else "mixed"
    return Column(
        Modality(
            name=name,
            kind="image",
            dtype="uint8",
            shape=(ANY,),
            unit=UNITS["image"],
            encoding=encoding,
            max_megapixels=megapixels,
        ),
        file_bytes,
    )


def file_bytes(path: Path, name: str) -> np.ndarray:
    """Reads the bytes of a file, uint8 (bytes,). Raises BadSample."""
    with name_failures(name):
        return np.fromfile(path, "uint8")


def check_store(store: str) -> None:
    """Raises MultiviewError for an unknown way to store images."""
    if store not in STORED:
        raise unknown_name("way to store images", store, STORED)


def _mask_dtype(root: Path, files: Sequence[str]) -> str:
    modes = [mode for _, _, mode in read_headers(root, files, images.header, "mask")]
    return "uint16" if any(mode.startswith("I") for mode in modes) else "uint8"
