"""NYU Depth v2 in the published .mat file: photos, depth, semantic labels; normals are computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from multiview.data.columns.picture_sizes import SizeOptions
from multiview.data.columns.surface_normals import Camera, normals
from multiview.data.files import arrayfiles
from multiview.data.files.failures import name_failures
from multiview.data.files.images import DepthUnits
from multiview.data.files.resize import Resizer, choose_resizer
from multiview.data.listing import splits
from multiview.data.listing.published import check_val, training_split
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.values import DTYPES, UNITS
from multiview.errors import MultiviewError, unknown_name

FILE = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
CAMERA = Camera(fx=518.85790117450188, fy=519.46961112127485, cx=324.58244941119034, cy=252.73616633400465)
"""The colour camera at 640 x 480 px: camera_params.m of the toolbox, which counts pixels from 1."""
MODALITIES = ("image", "depth", "normal", "mask")
ARRAYS = {"image": "images", "depth": "depths", "normal": "depths", "mask": "labels"}


@dataclass(frozen=True, kw_only=True)
class NyuV2(SizeOptions):
    """NYU Depth v2 (Silberman et al. 2012): 1,449 photos of rooms, depth, normals, semantic labels.

    INPUT is `nyu_depth_v2_labeled.mat` or its folder. The file holds `image`, `depth` (metres, with
    holes filled as published) and `mask` (894 semantic labels with names, 0 = unlabelled).
    `normal` is computed from depth and camera. The class of a sample is its type of scene.

    Args:
        modalities: the modalities to store.
        split_file: file with the published split (null = `splits.mat` next to the data if present,
            otherwise by a hash of the sample's number).
        split: TRAIN/VAL/TEST in percent. A hash of the sample's number decides the split where no
            file does.
        val: percent of the published training samples that become the split `val`, by a hash of the
            sample's number.
    """

    modalities: tuple[str, ...] = MODALITIES
    split_file: str | None = None
    split: str = "70/10/20"
    val: float = 0.0

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        splits.parse_shares(self.split)
        check_val(self.val)
        for name in self.modalities:
            if name not in MODALITIES:
                raise unknown_name("modality of NYU Depth v2", name, MODALITIES)

    def plan(self, root: Path | None) -> Plan:
        """Plans samples `0001` to `1449`. Raises MultiviewError for a missing or damaged file."""
        assert root is not None
        path = _located(root)
        content = _content(path)
        count, height, width = content.shape
        resizer, notes = choose_resizer([(height, width)], self.size, self.resize)
        ids = [f"{number + 1:04d}" for number in range(count)]
        given, more = self._splits(path, ids)
        rows = [Row(*each) for each in zip(ids, content.scenes, given, strict=True)]
        modalities = tuple(_modality(name, resizer, content.names) for name in MODALITIES if name in self.modalities)
        return Plan(
            rows, modalities, _Reader(path, tuple(each.name for each in modalities), resizer), notes=(*notes, *more)
        )

    def _splits(self, path: Path, ids: Sequence[str]) -> tuple[list[str], list[str]]:
        file = Path(self.split_file) if self.split_file else path.with_name(SPLITS)
        if not file.is_file():
            if self.split_file:
                raise MultiviewError(f"{file} is not there; give the published splits.mat, or leave --split_file out.")
            shares = splits.parse_shares(self.split)
            return [splits.split_by_hash(name, shares) for name in ids], [
                f"no {SPLITS}: {splits.hash_split_note(shares)}"
            ]
        train, test = _published_split(file)
        if sorted(train | test) != list(range(1, len(ids) + 1)) or train & test:
            raise MultiviewError(f"{file} does not split samples 1 to {len(ids)}; give the splits.mat of this dataset.")
        return [training_split(name, self.val) if int(name) in train else "test" for name in ids], []


@dataclass(frozen=True)
class _Content:
    shape: tuple[int, int, int]
    names: tuple[str, ...]
    scenes: tuple[str | None, ...]


def _located(root: Path) -> Path:
    path = root / FILE if root.is_dir() else root
    if not path.is_file():
        raise MultiviewError(f"there is no {path}; give {FILE}, or the folder that holds it.")
    return path


def _content(path: Path) -> _Content:
    """Sizes, names and scenes; MATLAB's axes are reversed: (n, 3, width, height)."""
    import h5py

    arrayfiles.close_files()
    try:
        with h5py.File(path, "r") as file:
            lacking = {"images", "depths", "labels", "names"} - set(file)
            if lacking:
                raise MultiviewError(f"{path} has no {', '.join(sorted(lacking))}; give the published {FILE}.")
            count, channels, width, height = file["images"].shape
            plane = (count, width, height)
            if channels != 3 or file["depths"].shape != plane or file["labels"].shape != plane:
                raise MultiviewError(f"images, depths and labels of {path} differ in size; give the published {FILE}.")
            types = _words(file, "sceneTypes") if "sceneTypes" in file else ()
            scenes = types if len(types) == count else (None,) * count
            return _Content((count, height, width), ("unlabelled", *_words(file, "names")), scenes)
    except (OSError, RuntimeError, KeyError, ValueError) as cause:
        raise MultiviewError(f"{path} cannot be read: {cause}. Is it truncated?") from cause


def _words(file: Any, name: str) -> tuple[str, ...]:
    """Reads a MATLAB cell array of texts: references to arrays of UTF-16 units."""
    return tuple(file[each][()].astype("uint16").tobytes().decode("utf-16-le") for each in file[name][()].ravel())


def _published_split(file: Path) -> tuple[set[int], set[int]]:
    from scipy.io import loadmat

    try:
        found = loadmat(str(file))
        return set(found["trainNdxs"].ravel().tolist()), set(found["testNdxs"].ravel().tolist())
    except Exception as cause:  # readers raise nearly every kind of error on damaged files
        raise MultiviewError(f"{file} cannot be read as the published split: {cause}.") from cause


def _modality(name: str, resizer: Resizer, names: tuple[str, ...]) -> Modality:
    shape = (resizer.height, resizer.width, 3) if name in ("image", "normal") else (resizer.height, resizer.width)
    dtype = "uint16" if name == "mask" else DTYPES.get(name, "float32")
    labels = names if name == "mask" else ()
    return Modality(name=name, kind=name, dtype=dtype, shape=shape, unit=UNITS[name], names=labels)


@dataclass(frozen=True)
class _Reader:
    path: Path
    modalities: tuple[str, ...]
    resizer: Resizer

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        with name_failures(f"{self.path.name}, sample {number + 1}"):
            return {name: self.resizer.resize(name, self._stored(name, number)) for name in self.modalities}

    def _stored(self, name: str, number: int) -> np.ndarray:
        array = arrayfiles.read_row(self.path, ARRAYS[name], number).T
        if name in ("image", "mask"):
            return np.ascontiguousarray(array)
        metres = DepthUnits().metres(array.astype("float64"), integers=False)
        return metres if name == "depth" else normals(metres, _camera(metres.shape))


def _camera(shape: tuple[int, ...]) -> Camera:
    """The published camera at this size (height, width)."""
    y, x = shape[0] / 480, shape[1] / 640
    return Camera(CAMERA.fx * x, CAMERA.fy * y, CAMERA.cx * x, CAMERA.cy * y)
