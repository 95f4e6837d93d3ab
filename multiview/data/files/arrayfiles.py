"""Files of arrays (`.npz`, HDF5, a folder of `.npy` files), read sample by sample.

The headers tell the shapes and dtypes, so that a plan needs no array in memory.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from multiview.data.files.bombs import complaint, require_chunks, require_size
from multiview.errors import MultiviewError

HDF5 = (".h5", ".hdf5", ".hdf", ".mat")
ENDINGS = (".npz", *HDF5)

ArrayHeader = tuple[tuple[int, ...], np.dtype]
PLAIN = "buifUS"
"""Kinds of dtype that are read: numbers and texts."""


class Headers(NamedTuple):
    """Shape and dtype of every array that can be read, and a sentence for every other array."""

    forms: dict[str, ArrayHeader]
    refused: dict[str, str]


def headers(path: Path) -> Headers:
    """Reads the shape and dtype of every array in the file or folder, by name.

    Arrays of Python objects or records, and arrays in another file, are refused one by one: the
    other arrays can still be read. Raises MultiviewError for a damaged file, a file of another
    format, or when every array is refused.
    """
    close_files()
    if not path.exists():
        raise MultiviewError(f"{path} does not exist; give an .npz or HDF5 file, or a folder of .npy files.")
    try:
        if path.is_dir():
            found: dict[str, Any] = {file.stem: _npy_header(file) for file in sorted(path.glob("*.npy"))}
        else:
            found = _npz_headers(path) if path.suffix.lower() == ".npz" else _hdf5_headers(path)
    except Exception as cause:  # readers raise nearly every kind of error on damaged files
        raise MultiviewError(f"{path} cannot be read as arrays: {cause}. Is it truncated?") from cause
    refused = {name: form if isinstance(form, str) else _complaint(form[1]) for name, form in found.items()}
    refused = {name: f"'{name}' in {path} {reason}" for name, reason in refused.items() if reason}
    forms = {name: form for name, form in found.items() if name not in refused and not isinstance(form, str)}
    if refused and not forms:
        raise MultiviewError(next(iter(refused.values())))
    return Headers(forms, refused)


def _complaint(dtype: np.dtype) -> str:
    """Why an array of this dtype is not read, or an empty text."""
    if dtype.hasobject:
        return (
            "holds Python objects, which are not read; save numbers or texts. Where samples differ in length, write a "
            "folder with a .npy file for each of them."
        )
    return "" if dtype.kind in PLAIN else f"holds {dtype}, which is not read; save numbers or texts."


def _npy_header(file: Path) -> ArrayHeader:
    with file.open("rb") as stream:
        form = _read_header(stream)
    if not form[1].hasobject:
        np.load(file, mmap_mode="r", allow_pickle=False)  # raises an error when the file is truncated
    return form


def _npz_headers(path: Path) -> dict[str, ArrayHeader | str]:
    found: dict[str, ArrayHeader | str] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                found[member] = "is no array; only .npy files in an .npz file are read."
                continue
            with archive.open(member) as file:
                form = _read_header(file)
                begin = file.tell()
            found[member.removesuffix(".npy")] = _member_complaint(archive.getinfo(member), begin, form) or form
    return found


def _member_complaint(member: zipfile.ZipInfo, begin: int, form: ArrayHeader) -> str:
    """Why a member of an archive is not read: its header promises more than it holds, or a bomb."""
    size, there = math.prod(form[0]) * form[1].itemsize, member.file_size - begin
    if not form[1].hasobject and size > there:
        return f"says that it has {size} bytes of numbers and has {there}; it is damaged."
    return complaint(partial(require_size, member.compress_size, member.file_size))


def _read_header(file: IO[bytes]) -> ArrayHeader:
    version = np.lib.format.read_magic(file)
    formats = np.lib.format
    read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _hdf5_headers(path: Path) -> dict[str, ArrayHeader | str]:
    import h5py

    with h5py.File(path, "r") as file:
        found = {name: _hdf5_header(dataset) for name, dataset in _datasets(file)}
    return {name: header for name, header in found.items() if header is not None}


def _hdf5_header(dataset: Any) -> ArrayHeader | str | None:
    """Shape and dtype, or why the dataset cannot be read; None for a dataset that holds nothing."""
    import h5py

    if dataset is None:
        return "is in another file, which is not followed; copy it into one file."
    if reason := complaint(partial(require_chunks, dataset)):
        return reason
    text = h5py.check_string_dtype(dataset.dtype)
    return None if dataset.shape is None else (dataset.shape, np.dtype("U") if text else dataset.dtype)


def _datasets(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Names and datasets below a group; None for a dataset that lies in another file."""
    import h5py

    for name in group:
        full = f"{above}{name}"
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            yield full, None
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{full}/")
        elif isinstance(item, h5py.Dataset):
            yield full, None if item.is_virtual or item.external else item


def read_array(path: Path, name: str) -> np.ndarray:
    """Reads a whole array, texts as str. Raises MultiviewError when it is damaged."""
    try:
        array = _open(path, os.getpid())[name][()]
    except Exception as cause:
        raise MultiviewError(f"'{name}' in {path} cannot be read: {cause}. Is the file truncated?") from cause
    if array.dtype.kind in "SO":
        return np.array([text.decode() if isinstance(text, bytes) else str(text) for text in array.tolist()])
    return array


def read_row(path: Path, name: str, number: int | tuple[()]) -> np.ndarray:
    """Reads one row of an array, or with `()` all of it. An `.npz` is loaded once, into memory."""
    return np.asarray(_open(path, os.getpid())[name][number])


def close_files() -> None:
    """Closes the open files, so that a file that was written again since is read again."""
    _open.cache_clear()


@lru_cache(maxsize=4)
def _open(path: Path, process: int) -> Any:
    """The arrays by name, opened once per process: an HDF5 handle does not survive a fork."""
    del process
    if path.is_dir():
        return _NpyArrays(path)
    if path.suffix.lower() == ".npz":
        return _NpzArrays(path)
    import h5py

    return h5py.File(path, "r")


class _NpyArrays:
    """A folder of `.npy` files that opens each file once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            self.arrays[name] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return self.arrays[name]


class _NpzArrays:
    """An `.npz` file that decompresses each array once."""

    def __init__(self, path: Path) -> None:
        self.archive = np.load(path, allow_pickle=False)
        self.arrays: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            self.arrays[name] = self.archive[name]
        return self.arrays[name]
