"""Options of sources that read files of several kinds, and the column that files become."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from multiview.data.columns.headers import read_headers
from multiview.data.columns.picture_columns import (
    DEFAULT_CONVENTIONS,
    PICTURES,
    Column,
    check_store,
    encoded_column,
    picture_column,
)
from multiview.data.columns.sound_columns import sound_modality
from multiview.data.columns.video_columns import VideoOptions
from multiview.data.files import audiofiles, images, videofiles
from multiview.data.files.failures import name_failures
from multiview.data.files.resize import Resizer
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import NAMED, as_stored, declare_modality, kind_of
from multiview.errors import MultiviewError

RAGGED = ("points", "series", "audio", "video")
"""Kinds of modality whose samples may differ in length."""
ARRAY = frozenset(["npy"])
ENDINGS = images.ENDINGS | audiofiles.ENDINGS | videofiles.ENDINGS | ARRAY


@dataclass(frozen=True, kw_only=True)
class FileOptions(VideoOptions):
    """Options of files of several kinds.

    Args:
        store: store images as `raw` pixels of one size, or `encoded`: the bytes of the files, each
            image in its own size.
        depth_scale: metres per unit of integer depth; floating-point depth is in metres.
        disparity: if depth files hold disparities: baseline in metres x focal length in pixels x
            stored units per pixel, so metres = disparity / (stored + disparity_offset)
            (null = the files hold depth).
        disparity_offset: number that is added to every disparity, in stored units.
        invalid: stored depth or disparity that means not measured, beside 0 and numbers that are
            not finite.
        normal_y: direction of positive y in stored normals: `up` (OpenGL) or `down` (DirectX,
            OpenCV).
        mask_names: names of the identities in masks, the name of identity 0 first.
    """

    store: Literal["raw", "encoded"] = "raw"
    depth_scale: float = 0.001
    disparity: float | None = None
    disparity_offset: float = 0.0
    invalid: float = 0.0
    normal_y: Literal["up", "down"] = "up"
    mask_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_store(self.store)
        if self.normal_y not in ("up", "down"):
            raise MultiviewError(f"normal_y is '{self.normal_y}'; give up or down.")
        if not self.depth_scale > 0:
            raise MultiviewError(
                f"depth_scale is {self.depth_scale}; give metres per stored unit, 0.001 for millimetres."
            )
        if self.disparity is not None and not self.disparity > 0:
            raise MultiviewError(
                f"disparity is {self.disparity}; give baseline x focal length x stored units per pixel."
            )

    def column(
        self, name: str, kind: str | None, root: Path, files: Sequence[str], resizer: Resizer | None = None
    ) -> Column:
        """The column `name` of these files below `root`; without a `kind`, name and endings decide.

        `resizer` is given where another modality sets the size of images. Raises MultiviewError if
        no file can be read, or if files with these endings cannot be of that kind.
        """
        kind = kind or kind_of_files(name, files)
        if kind in PICTURES:
            return self._pictures(name, kind, root, files, resizer)
        if kind == "audio":
            reader, notes = self.sound_reader(root, files)
            return Column(sound_modality(name, reader), reader, notes)
        if kind == "video":
            clips, notes = self.clip_reader(read_headers(root, files, videofiles.header, "clip"))
            return Column(clips.modality(name), clips, notes)
        return _arrays(name, kind, root, files, self.rate)

    def _pictures(self, name: str, kind: str, root: Path, files: Sequence[str], resizer: Resizer | None) -> Column:
        if kind == "image" and self.store == "encoded":
            return encoded_column(name, files)
        resizer, notes = (resizer, ()) if resizer else self.resizer_for(root, files)
        depth = images.DepthUnits(self.depth_scale, self.invalid, self.disparity, self.disparity_offset)
        column = picture_column(
            name, kind, root, files, resizer, replace(DEFAULT_CONVENTIONS, depth=depth, normal_y=self.normal_y)
        )
        names = self.mask_names if kind == "mask" else ()
        return Column(replace(column.modality, names=names), column.read, notes)


def npy(modality: Modality, path: Path, name: str) -> np.ndarray:
    """Reads a `.npy` file. Raises BadSample, also for pickled objects and another shape."""
    with name_failures(name):
        value = np.load(path, allow_pickle=False)
        form = declare_modality(modality.name, modality.kind, value.shape, value.dtype, modality.rate)
        if not modality.takes(form.shape):
            raise BadSample(f"is {value.shape}, the others {modality.shape}")
        return as_stored(form, value)


def kind_of_files(name: str, files: Sequence[str]) -> str:
    """The kind that a word of the name means, if the endings allow it, else that of the endings.

    The kind is `array` for `.npy` files whose name means no kind. Raises MultiviewError for endings
    of several kinds.
    """
    endings = {PurePosixPath(file).suffix[1:].lower() for file in files}
    words = re.findall("[a-z]+", name.casefold())
    by_name = next((NAMED[word] for word in words if word in NAMED), None)
    if endings <= ARRAY:
        return NAMED.get(name.casefold(), "array")
    if endings <= images.ENDINGS:
        return by_name if by_name in PICTURES else "image"
    if endings <= audiofiles.ENDINGS:
        return "audio"
    if endings <= videofiles.ENDINGS:
        return "video"
    raise MultiviewError(
        f"the files of '{name}' are of several kinds ({', '.join(sorted(endings))}); give the kind, as in {name}:image."
    )


def _arrays(name: str, kind: str, root: Path, files: Sequence[str], rate: float | None) -> Column:
    forms = read_headers(root, files, _npy_form, "array")
    shape, dtype = forms[0]
    kind = kind_of(name, shape, dtype, rate) if kind == "array" else kind
    if kind in RAGGED and len({form[0][0] for form in forms}) > 1:
        shape = (ANY, *shape[1:])
    modality = declare_modality(name, kind, shape, dtype, rate)
    return Column(modality, partial(npy, modality))


def _npy_form(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with name_failures(name):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.shape, array.dtype
