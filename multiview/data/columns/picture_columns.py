"""Image files as modalities: pixels of one size, or the bytes of the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from multiview.data.columns.headers import read_headers
from multiview.data.files import images
from multiview.data.files.failures import name_failures
from multiview.data.files.resize import Resizer
from multiview.data.modality import ANY, Modality
from multiview.data.values import DTYPES, UNITS
from multiview.errors import unknown_name

Reader = Callable[[Path, str], np.ndarray]
"""Takes a path and the file's name in messages; returns a sample, or raises BadSample."""

PICTURES = ("image", "depth", "normal", "mask")
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

    def __call__(self, path: Path, name: str) -> np.ndarray:
        """Reads and resizes one file. Raises BadSample."""
        return self.resized(self.decoded(path, name), name)

    def decoded(self, path: Path, name: str) -> np.ndarray:
        """Reads one file in its own size. Raises BadSample."""
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
) -> Column:
    """The column of these image files below `root`, as pixels of one size."""
    dtype = _mask_dtype(root, files) if kind == "mask" else DTYPES.get(kind, "float32")
    shape = (resizer.height, resizer.width, 3) if kind in ("image", "normal") else (resizer.height, resizer.width)
    modality = Modality(name=name, kind=kind, dtype=dtype, shape=shape, unit=UNITS[kind])
    return Column(modality, PictureReader(kind, dtype, resizer, conventions))


def encoded_column(name: str, files: Sequence[str]) -> Column:
    """The column of these image files as the bytes of the files, each in its own size."""
    endings = {PurePosixPath(file).suffix[1:].lower().replace("jpg", "jpeg") for file in files}
    encoding = endings.pop() if len(endings) == 1 else "mixed"
    modality = Modality(name=name, kind="image", dtype="uint8", shape=(ANY,), unit=UNITS["image"], encoding=encoding)
    return Column(modality, file_bytes)


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
