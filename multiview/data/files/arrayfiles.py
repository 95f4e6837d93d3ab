"""Files of arrays (`.npz`, HDF5, a folder of `.npy` files), read sample by sample.

The headers tell the shapes and dtypes, so that a plan needs no array in memory.
"""

from __future__ import annotations

import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from multiview.errors import MultiviewError

HDF5 = (".h5", ".hdf5", ".hdf", ".mat")
ENDINGS = (".npz", *HDF5)

ArrayHeader = tuple[tuple[int, ...], np.dtype]


def headers(path: Path) -> dict[str, ArrayHeader]:
    """Reads the shape and dtype of every array in the file or folder, by name.

    Raises MultiviewError for a truncated file, Python objects, or a file of another format.
    """
    close_files()
    if not path.exists():
        raise MultiviewError(f"{path} does not exist; give an .npz or HDF5 file, or a folder of .npy files.")
    try:
        if path.is_dir():
            found = {file.stem: _npy_header(file) for file in sorted(path.glob("*.npy"))}
        else:
            found = _npz_headers(path) if path.suffix.lower() == ".npz" else _hdf5_headers(path)
    except MultiviewError:
        raise
    except Exception as cause:  # readers raise nearly every kind of error on damaged files
        raise MultiviewError(f"{path} cannot be read as arrays: {cause}. Is it truncated?") from cause
    for name, (_, dtype) in found.items():
        if dtype.hasobject:
            raise MultiviewError(f"'{name}' in {path} holds Python objects, which are not read; save numbers or texts.")
    return found


def _npy_header(file: Path) -> ArrayHeader:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    return array.shape, array.dtype


def _npz_headers(path: Path) -> dict[str, ArrayHeader]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                formats = np.lib.format
                read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
                shape, _, dtype = read(file)
            found[member.removesuffix(".npy")] = shape, dtype
    return found


def _hdf5_headers(path: Path) -> dict[str, ArrayHeader]:
    import h5py

    found: dict[str, ArrayHeader] = {}
    with h5py.File(path, "r") as file:
        for name in _datasets(file, path):
            dataset = file[name]
            text = h5py.check_string_dtype(dataset.dtype)
            found[name] = dataset.shape, np.dtype("U") if text else dataset.dtype
    return found


def _datasets(group: Any, path: Path, above: str = "") -> list[str]:
    """Names of all datasets below a group. Raises MultiviewError if one lies in another file."""
    import h5py

    found = []
    for name in group:
        full = f"{above}{name}"
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise _elsewhere(full, path)
        item = group[name]
        if isinstance(item, h5py.Group):
            found += _datasets(item, path, f"{full}/")
        elif item.is_virtual or item.external:
            raise _elsewhere(full, path)
        else:
            found.append(full)
    return found


def _elsewhere(name: str, path: Path) -> MultiviewError:
    return MultiviewError(f"'{name}' in {path} lies in another file, which is not followed; copy it into one file.")


def read_array(path: Path, name: str) -> np.ndarray:
    """Reads a whole array, texts as str. Raises MultiviewError when it is damaged."""
    try:
        array = _open(path, os.getpid())[name][()]
    except Exception as cause:
        raise MultiviewError(f"'{name}' in {path} cannot be read: {cause}. Is the file truncated?") from cause
    if array.dtype.kind in "SO":
        return np.array([text.decode() if isinstance(text, bytes) else str(text) for text in array.tolist()])
    return array


def read_row(path: Path, name: str, number: int) -> np.ndarray:
    """Reads one row of an array. An `.npz` is loaded once and stays in memory."""
    return np.asarray(_open(path, os.getpid())[name][number])


def close_files() -> None:
    """Closes the open files, so that a file that was written again since is read again."""
    _open.cache_clear()


@lru_cache(maxsize=4)
def _open(path: Path, process: int) -> Any:
    """The arrays by name, opened once per process: an HDF5 handle does not survive a fork."""
    del process
    if path.is_dir():
        return {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in path.glob("*.npy")}
    if path.suffix.lower() == ".npz":
        return _NpzArrays(path)
    import h5py

    return h5py.File(path, "r")


class _NpzArrays:
    """An `.npz` file that decompresses each array once."""

    def __init__(self, path: Path) -> None:
        self.archive = np.load(path, allow_pickle=False)
        self.arrays: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            self.arrays[name] = self.archive[name]
        return self.arrays[name]
