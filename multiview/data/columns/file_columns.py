"""Options of sources that read files of several kinds, and the column that files become."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from multiview.data.columns.headers import most_common_of, read_headers
from multiview.data.columns.picture_columns import (
    DEFAULT_CONVENTIONS,
    PICTURES,
    Column,
    PictureReader,
    check_store,
    encoded_column,
    picture_column,
    picture_notes,
)
from multiview.data.columns.sound_columns import sound_modality
from multiview.data.columns.video_columns import VideoOptions
from multiview.data.files import audiofiles, images, videofiles
from multiview.data.files.failures import name_failures
from multiview.data.files.resize import Resizer, choose_resizer
from multiview.data.listing.filetree import as_unicode
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import (
    NAMED,
    ChannelAxis,
    UnknownRateError,
    as_stored,
    channels_first_note,
    channels_last,
    check_channel_axis,
    declare_modality,
    has_channels_first,
    kind_of,
    text_bytes,
)
from multiview.errors import MultiviewError
from multiview.plurals import counted

RAGGED = ("points", "series", "audio", "video")
"""Kinds of modality whose samples may differ in length."""
ARRAY = frozenset(["npy"])
SERIES = frozenset(["csv", "tsv"])
"""Endings of files that hold a series, one line per time and one column per channel."""
TIMES = ("time", "timestamp", "times", "timestamps", "t", "seconds", "date", "datetime")
"""Headers of columns that hold the times of a series and are left out."""
TEXT = frozenset(["txt"])
"""Ending of files that hold a text, in UTF-8."""
READABLE = {
    "bands": (ARRAY | images.ENDINGS, "images or .npy files (height, width, bands)"),
    "points": (ARRAY, ".npy files (points, numbers)"),
    "series": (ARRAY | SERIES, ".npy or .csv files (times, channels)"),
    "table": (ARRAY, ".npy files of numbers"),
    "text": (TEXT, ".txt files"),
}
"""Endings of the files of each kind, and the words for them."""
ENDINGS = images.ENDINGS | audiofiles.ENDINGS | videofiles.ENDINGS | ARRAY | SERIES
WITH_TEXTS = ENDINGS | TEXT


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
        depth_offset: metres that are added to integer depth after the scale, such as -1000 where
            files hold metres + 1000 (with --depth_scale 1).
        series_rate: samples per second of series in `.npy` and `.csv` files (null = --rate).
        channel_axis: place of the channels in `.npy` files: `last`, as in (height, width, bands)
            and (times, channels), `first`, as in PyTorch, or `guess`.
        text_bytes: largest length of a text in bytes; longer texts are cut (null = the length of
            the longest).
    """

    store: Literal["raw", "encoded"] = "raw"
    depth_scale: float = 0.001
    disparity: float | None = None
    disparity_offset: float = 0.0
    invalid: float = 0.0
    normal_y: Literal["up", "down"] = "up"
    mask_names: tuple[str, ...] = ()
    depth_offset: float = 0.0
    series_rate: float | None = None
    channel_axis: ChannelAxis = "guess"
    text_bytes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_positive("text_bytes", self.text_bytes, "1 or more")
        check_store(self.store)
        check_channel_axis(self.channel_axis)
        _require_positive("series_rate", self.series_rate, "samples per second, more than 0")
        if self.normal_y not in ("up", "down"):
            raise MultiviewError(f"normal_y is '{self.normal_y}'; give up or down.")
        _require_positive("depth_scale", self.depth_scale, "metres per stored unit, 0.001 for millimetres")
        _require_positive("disparity", self.disparity, "baseline x focal length x stored units per pixel")

    def column(
        self, name: str, kind: str | None, root: Path, files: Sequence[str], resizer: Resizer | None = None
    ) -> Column:
        """The column `name` of these files below `root`; without a `kind`, name and endings decide.

        `resizer` is given where another modality sets the size of images. Raises MultiviewError if
        no file can be read, or if files with these endings cannot be of that kind.
        """
        kind = kind or kind_of_files(name, files)
        if kind == "bands":
            return self._bands(name, root, files, resizer)
        if kind in PICTURES:
            return self._pictures(name, kind, root, files, resizer)
        if kind == "audio":
            reader, notes = self.sound_reader(root, files)
            return Column(sound_modality(name, reader), reader, notes)
        if kind == "video":
            clips, notes = self.clip_reader(read_headers(root, files, videofiles.header, "clip"))
            return Column(clips.modality(name), clips, notes)
        if kind == "text":
            return self._texts(name, root, files)
        return _arrays(name, kind, root, files, self.series_rate or self.rate, self.channel_axis)

    def _texts(self, name: str, root: Path, files: Sequence[str]) -> Column:
        _require_endings(name, "text", files)
        modality, notes = text_modality(name, [(root / file).stat().st_size for file in files], self.text_bytes)
        return Column(modality, partial(text, modality.shape[0]), notes)

    def _bands(self, name: str, root: Path, files: Sequence[str], resizer: Resizer | None) -> Column:
        _require_endings(name, "bands", files)
        with images.allow_pixels(self.max_megapixels):
            shapes = read_headers(root, files, images.bands_shape, "file")
        given = most_common_of(shapes)
        array = PurePosixPath(files[0]).suffix[1:].lower() in ARRAY
        first = array and has_channels_first("bands", given, self.channel_axis)
        notes: tuple[str, ...] = (channels_first_note(name, "bands", given),) if first else ()
        sizes = [shape[1:] if first else shape[:2] for shape in shapes]
        resizer, more = (resizer, ()) if resizer else choose_resizer(sizes, self.size, self.resize)
        count = given[0] if first else given[2]
        shape = (resizer.height, resizer.width, count)
        modality = declare_modality(name, "bands", shape, np.dtype("float32"))
        reader = PictureReader("bands", "float32", resizer, DEFAULT_CONVENTIONS, self.max_megapixels, first)
        return Column(modality, reader, (*notes, *more))

    def _pictures(self, name: str, kind: str, root: Path, files: Sequence[str], resizer: Resizer | None) -> Column:
        if kind == "image" and self.store == "encoded":
            column = encoded_column(name, files, self.max_megapixels)
            with images.allow_pixels(self.max_megapixels):
                return replace(column, notes=picture_notes(name, kind, root, files))
        resizer, notes = (resizer, ()) if resizer else self.resizer_for(root, files)
        depth = images.DepthUnits(
            self.depth_scale, self.invalid, self.disparity, self.disparity_offset, self.depth_offset
        )
        conventions = replace(DEFAULT_CONVENTIONS, depth=depth, normal_y=self.normal_y)
        with images.allow_pixels(self.max_megapixels):
            column = picture_column(name, kind, root, files, resizer, conventions, self.max_megapixels)
        names = self.mask_names if kind == "mask" else ()
        return Column(replace(column.modality, names=names), column.read, (*notes, *column.notes))


def _require_positive(option: str, value: float | None, right: str) -> None:
    if value is not None and not value > 0:
        raise MultiviewError(f"{option} is {value}; give {right}.")


def npy(modality: Modality, path: Path, name: str, channels_first: bool = False) -> np.ndarray:
    """Reads numbers. Raises BadSample, also for pickled objects and another shape."""
    with name_failures(name):
        value = _numbers(path)
        value = channels_last(modality.kind, value) if channels_first else value
        form = declare_modality(modality.name, modality.kind, value.shape, value.dtype, modality.rate)
        if not modality.takes(form.shape):
            raise BadSample(f"is {value.shape}, the others {modality.shape}")
        return as_stored(form, value)


def text_modality(name: str, lengths: Sequence[int], limit: int | None) -> tuple[Modality, tuple[str, ...]]:
    """Texts of these lengths in bytes, cut at `limit` bytes if given, and a note on the cuts."""
    longest = max(lengths, default=1)
    length = max(1, min(longest, limit or longest))
    cut = sum(each > length for each in lengths)
    notes = (f"{counted(cut, 'text')} of '{name}' cut at {counted(length, 'byte')}.",) if cut else ()
    return declare_modality(name, "text", (length,), np.dtype("U")), notes


def text(length: int, path: Path, name: str) -> np.ndarray:
    """Reads a text as at most `length` bytes of UTF-8. Raises BadSample, also where it is empty."""
    with name_failures(name):
        if not (words := path.read_text("utf-8-sig").strip()):
            raise BadSample("is an empty file")
        return text_bytes(words, length)


def _numbers(path: Path, mapped: bool = False) -> np.ndarray:
    """The array of a `.npy` file, or the lines of a CSV file as float64 (times, channels)."""
    if path.suffix[1:].lower() not in SERIES:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise BadSample("is an empty file")
    delimiter = max(",;\t", key=lines[0].count)
    cells = [[cell.strip() for cell in line.split(delimiter if delimiter in lines[0] else None)] for line in lines]
    header = [cell.strip('"').casefold() for cell in cells[0]] if any(map(_is_word, cells[0])) else []
    kept = [number for number in range(len(cells[0])) if not header or header[number] not in TIMES]
    if any(len(row) != len(cells[0]) for row in cells):
        raise BadSample("has lines of different lengths")
    return np.array([[float(row[number]) for number in kept] for row in cells[bool(header) :]], "float64")


def _is_word(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return True
    return False


def _require_endings(name: str, kind: str, files: Sequence[str]) -> None:
    endings, words = READABLE[kind]
    other = next((file for file in files if PurePosixPath(file).suffix[1:].lower() not in endings), None)
    if other:
        raise MultiviewError(f"'{name}' is {kind}, which {words} hold, and '{as_unicode(other)}' is none of these.")


def kind_of_files(name: str, files: Sequence[str]) -> str:
    """The kind that a word of the name means, if the endings allow it, else that of the endings.

    The kind is `array` for `.npy` files whose name means no kind. Raises MultiviewError for endings
    of several kinds.
    """
    endings = {PurePosixPath(file).suffix[1:].lower() for file in files}
    words = re.findall("[a-z]+", name.casefold())
    by_name = next((NAMED[word] for word in words if word in NAMED), None)
    if endings <= TEXT:
        return "text"
    if endings <= ARRAY:
        return NAMED.get(name.casefold(), "array")
    if endings <= ARRAY | SERIES:
        return "series"
    if by_name == "bands" and endings <= ARRAY | images.ENDINGS:
        return "bands"
    if by_name in ("points", "series") and endings <= images.ENDINGS:
        _require_endings(name, by_name, files)
    if endings <= images.ENDINGS:
        return by_name if by_name in PICTURES else "image"
    if endings <= audiofiles.ENDINGS:
        return "audio"
    if endings <= videofiles.ENDINGS:
        return "video"
    raise MultiviewError(
        f"the files of '{name}' are of several kinds ({', '.join(sorted(endings))}); give the kind, as in {name}:image."
    )


def _arrays(name: str, kind: str, root: Path, files: Sequence[str], rate: float | None, axis: ChannelAxis) -> Column:
    if kind in READABLE:
        _require_endings(name, kind, files)
    forms = read_headers(root, files, _npy_form, "array")
    shape, dtype = forms[0]
    kind = kind_of(name, shape, dtype, rate) if kind == "array" else kind
    if kind == "series" and not rate:
        raise UnknownRateError(f"'{name}' is a series of an unknown rate; give --series_rate, in samples per second.")
    first = _varying_axis(forms) == 1 if axis == "guess" and kind in RAGGED and len(shape) == 2 else None
    if first is None or (not first and _varying_axis(forms) is None):
        first = has_channels_first(kind, shape, axis)
    first = first and PurePosixPath(files[0]).suffix[1:].lower() in ARRAY
    notes = (channels_first_note(name, kind, shape),) if first and axis == "guess" else ()
    shapes = [tuple(form[0]) for form in forms]
    if first:
        shapes = [channels_last(kind, np.broadcast_to(np.uint8(0), each)).shape for each in shapes]
    shape = shapes[0]
    if kind in RAGGED and len({each[0] for each in shapes}) > 1:
        shape = (ANY, *shape[1:])
    modality = declare_modality(name, kind, shape, dtype, rate)
    return Column(modality, partial(npy, modality, channels_first=first), notes)


def _varying_axis(forms: Sequence[tuple[tuple[int, ...], np.dtype]]) -> int | None:
    """The only axis of arrays with two axes that differs from file to file: the times."""
    lengths = [{form[0][axis] for form in forms if len(form[0]) == 2} for axis in (0, 1)]
    varying = [axis for axis in (0, 1) if len(lengths[axis]) > 1]
    return varying[0] if len(varying) == 1 else None


def _npy_form(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with name_failures(name):
        array = _numbers(path, mapped=True)
        return array.shape, array.dtype
