"""Aligned files: the files of a sample have one name, in several folders or by patterns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from multiview.data.columns.file_columns import TEXT, WITH_TEXTS, FileOptions
from multiview.data.columns.picture_columns import (
    PICTURES,
    Column,
    PictureReader,
    have_one_shape,
    require_one_orientation,
)
from multiview.data.files import images
from multiview.data.files.resize import Resizer
from multiview.data.listing import labels, splits
from multiview.data.listing.filetree import FileTree, as_unicode, ending_of, find_files, without_ending
from multiview.data.source import BadSample, Plan, Row
from multiview.data.values import NAMED, ModalityChoice, parse_modalities
from multiview.errors import MultiviewError, unknown_name
from multiview.plurals import counted

KINDS = ("image", "depth", "normal", "mask", "audio", "video", "bands", "points", "series", "text")
FOLDERS = {name: kind for name, kind in NAMED.items() if kind in KINDS and name not in ("photo", "sound")}
"""Names of folders and the kinds of modality that they mean."""
MISSING = ("reject", "keep")


@dataclass(frozen=True, kw_only=True)
class Aligned(FileOptions):
    """Folders `rgb` (or `image`), `depth`, `normal`, `mask`, `audio`, ... with one file per sample.

    The files of a sample have the same name, apart from the ending. Images are aligned pixel
    by pixel. Normals have 8 bits, value / 127.5 - 1: x right, y up, z to the viewer, black = none.
    A `.npy` file holds numbers: metres, unit vectors, identities, bands or points. A `.txt` file
    holds a text.

    Args:
        modalities: folders to read, as [NAME, ...], or patterns in which * stands for the id, as
            {left: 'scenes/*_left.png', "far:depth": 'scenes/*_disp.png'} (null = every folder with
            the name of a modality).
        csv: CSV file that lists the samples with their classes and splits (null = `labels.csv` if
            it exists; otherwise every file name is a sample).
        id_column: CSV column of ids: file names without ending.
        label_column: CSV column of classes (null = `class` or `label`).
        split_column: CSV column of splits (null = split by a hash of the ids).
        ignore_label: class that means unlabelled.
        split: TRAIN/VAL/TEST in percent. A hash of each id decides the split where no CSV column
            does.
        missing: `reject` samples that lack a file, or `keep` them without that modality.
    """

    modalities: dict[str, str] | tuple[str, ...] | None = None
    csv: str | None = None
    id_column: str = "id"
    label_column: str | None = None
    split_column: str | None = labels.USUAL_SPLIT
    ignore_label: str | None = None
    split: str = "70/10/20"
    missing: Literal["reject", "keep"] = "reject"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        splits.parse_shares(self.split)
        if self.missing not in MISSING:
            raise unknown_name("way to take incomplete samples", self.missing, MISSING)
        if self.store == "encoded" and self.resize in ("crop", "pad"):
            raise MultiviewError(
                f"encoded images are stored whole, and depth or normals cut by '{self.resize}' would not be aligned "
                "with them; add --resize keep (images of one size) or --resize squash."
            )

    def plan(self, root: Path | None) -> Plan:
        """Plans every id of the CSV file, or every stem. Raises MultiviewError if none fits."""
        assert root is not None
        chosen = self._chosen(root)
        found = self._data_files(root)
        files = {each.name: _by_stem(found, each.where[0]) for each in chosen}
        rows, notes = self._rows(root, files)
        if self.modalities is None:
            chosen, more = _with_samples(chosen, files, rows)
            notes += more
        notes += _partners(root, chosen, files, rows)
        columns = self._columns(root, chosen, files)
        table = {each.name: tuple(_the_file(files[each.name], row.id) for row in rows) for each in chosen}
        reader = _Reader(root, tuple(row.id for row in rows), table, columns, self.missing == "keep")
        notes += [*(note for column in columns.values() for note in column.notes), *found.passed_note()]
        return Plan(rows, tuple(column.modality for column in columns.values()), reader, notes=tuple(notes))

    def share_with_holes(self, root: Path) -> float:
        """The share of the samples that lack a file, by the names of the files."""
        chosen, found = self._chosen(root), self._data_files(root)
        files = {each.name: _by_stem(found, each.where[0]) for each in chosen}
        rows, _ = self._rows(root, files)
        if self.modalities is None:
            chosen, _ = _with_samples(chosen, files, rows)
        return sum(any(row.id not in files[each.name] for each in chosen) for row in rows) / max(len(rows), 1)

    def _data_files(self, root: Path) -> FileTree:
        found = find_files(root, "file", WITH_TEXTS)
        return replace(found, files=tuple(file for file in found.files if file not in (labels.USUAL_CSV, self.csv)))

    def _chosen(self, root: Path) -> tuple[ModalityChoice, ...]:
        """The modalities and the pattern of each."""
        if isinstance(self.modalities, Mapping):
            return parse_modalities(self.modalities)
        if self.modalities and any(FOLDERS.get(name) is None for name in self.modalities):
            own = [name for name in self.modalities if (root / name).is_dir()]
            if not modality_folders(root) and len(own) < len(self.modalities):
                missing = next(name for name in self.modalities if name not in own)
                raise unknown_name(f"folder of {root}", missing, _folders(root))
            if len(own) == len(self.modalities):
                return tuple(ModalityChoice(name, FOLDERS.get(name), (name,)) for name in own)
        there = modality_folders(root)
        if not there:
            raise MultiviewError(
                f"{root} has no folder of a modality; looked for {', '.join(FOLDERS)}. For images in class folders use "
                "the source `folder`; give other names with --modalities '{NAME: FOLDER}'."
            )
        kinds = list(there) if self.modalities is None else [FOLDERS.get(name, name) for name in self.modalities]
        for given, name in zip(self.modalities or kinds, kinds, strict=True):
            if name not in there:
                raise unknown_name(f"modality of {root}", given, {*there, *_folders(root)})
        return tuple(ModalityChoice(kind, kind, (folder,)) for kind, folder in there.items() if kind in kinds)

    def _columns(
        self, root: Path, chosen: Sequence[ModalityChoice], files: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> dict[str, Column]:
        """The column of each modality; the first modality of images sets the size of all."""
        columns: dict[str, Column] = {}
        resizer = None
        for each in chosen:
            first = [paths[0] for paths in files[each.name].values()]
            columns[each.name] = column = self.column(each.name, each.kind, root, first, resizer)
            if isinstance(column.read, PictureReader):
                resizer = resizer or column.read.resizer
        return columns

    def _rows(self, root: Path, files: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[list[Row], list[str]]:
        stems = sorted(set().union(*files.values()))
        shares = splits.parse_shares(self.split)
        csv = labels.find_csv(root, self.csv) if self.csv else root / labels.USUAL_CSV
        if not self.csv and not csv.is_file():
            rows = [Row(stem, split=splits.split_by_hash(stem, shares)) for stem in stems]
            return rows, ["no CSV file: the samples have no classes.", splits.hash_split_note(shares)]
        table = labels.read_table(csv, self.id_column)
        split = table.require_split_column(self.split_column, named=self.csv is not None)
        label = table.label_column(self.label_column)
        entries = sorted(table.entries(label, split, self.ignore_label).items())
        of = {name: entry.split if split else splits.split_by_hash(name, shares) for name, entry in entries}
        rows = [Row(name, label=entry.label, split=of[name]) for name, entry in entries]
        notes = _table_notes(table, label, stems, rows)
        return rows, notes if split else [*notes, splits.hash_split_note(shares)]


def modality_folders(root: Path) -> dict[str, str]:
    """Modality -> its folder in `root`. Raises MultiviewError if two folders mean one modality."""
    names = _folders(root)
    found: dict[str, str] = {}
    for kind in KINDS:
        folders = [name for name in names if FOLDERS.get(name.casefold()) == kind]
        if len(folders) > 1:
            raise MultiviewError(f"{root} has {' and '.join(folders)}, which both mean {kind}; rename one of them.")
        if folders:
            found[kind] = folders[0]
    return found


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _table_notes(table: labels.LabelTable, label: str | None, stems: Sequence[str], rows: Sequence[Row]) -> list[str]:
    known = set(stems)
    if not any(row.id in known for row in rows):
        raise MultiviewError(
            f"no id of {table.path} is the name of a file without its ending; ids are like '{rows[0].id}', names like "
            f"'{stems[0]}'. Name the right column with --id_column."
        )
    notes = [
        f"samples come from {table.path}"
        + (f", classes from its column '{label}'." if label else ", without classes.")
        + table.id_note
    ]
    extra = len(known - {row.id for row in rows})
    if extra:
        whose = "its file name is" if extra == 1 else "their file names are"
        notes.append(f"{counted(extra, 'sample')} left out: {whose} not in {table.path}.")
    return notes


def _with_samples(
    chosen: Sequence[ModalityChoice], files: Mapping[str, Mapping[str, Sequence[str]]], rows: Sequence[Row]
) -> tuple[tuple[ModalityChoice, ...], list[str]]:
    """The modalities that have files of these samples, and notes about the other folders."""
    ids = {row.id for row in rows}
    strange = [each for each in chosen if ids.isdisjoint(files[each.name])]
    notes = [f"skipped the folder {each.where[0]}: no file in it has the name of a sample." for each in strange]
    return tuple(each for each in chosen if each not in strange), notes


def _partners(
    root: Path, chosen: Sequence[ModalityChoice], files: Mapping[str, Mapping[str, Sequence[str]]], rows: Sequence[Row]
) -> list[str]:
    """Notes on modalities of which few files have a partner. Raises MultiviewError for none."""
    ids = {each.name: {row.id for row in rows if row.id in files[each.name]} for each in chosen}
    notes = []
    for each in chosen if len(chosen) > 1 else ():
        own = ids[each.name]
        paired = len(own & set().union(*(ids[name] for name in ids if name != each.name)))
        if 2 * paired >= len(own):
            continue
        two = chosen[:2] if each in chosen[:2] else (chosen[0], each)
        examples = " and ".join(as_unicode(next(iter(files[of.name].values()))[0]) for of in two)
        patterns = ", ".join(f"{of.name}: '{_pattern(of, files, chosen)}'" for of in chosen)
        said = (
            f"of {counted(len(own), 'file')} of {each.name} in {root}, {paired or 'none'} "
            f"{'have' if paired > 1 else 'has'} the name of a file of another modality. The files of a sample have one "
            f"name; here are {examples}. Where names differ, give patterns in which * stands for the common part: "
            f'multiview preprocess aligned {root} STORE --modalities "{{{patterns}}}"'
        )
        if not paired:
            raise MultiviewError(said)
        notes.append(f"{said}.")
    return notes


def _pattern(
    each: ModalityChoice, files: Mapping[str, Mapping[str, Sequence[str]]], chosen: Sequence[ModalityChoice]
) -> str:
    """`depth/d_*.png`, where another modality has the stem without `d_`; else `depth/*.png`."""
    stem, paths = next(iter(files[each.name].items()))
    others = {other for choice in chosen if choice is not each for other in files[choice.name]}
    inner = max((other for other in others if other in stem), key=len, default=stem)
    folder, _, name = as_unicode(paths[0]).rpartition("/")
    return f"{folder}/{name.replace(stem, stem.replace(inner, '*', 1), 1)}"


def _by_stem(found: FileTree, pattern: str) -> dict[str, list[str]]:
    """Stem -> its files below the root. Raises MultiviewError when no file fits the pattern."""
    if pattern in found.files:
        raise MultiviewError(
            f"'{pattern}' is one file; write a * for the part of the name that all files of a sample share, such as "
            f"'{_starred(pattern)}', or give a folder."
        )
    before, _, after = (pattern if "*" in pattern else f"{pattern.rstrip('/')}/*").partition("*")
    if "*" in after:
        raise MultiviewError(
            f"the pattern '{pattern}' has two *; give one, for the part of the name that all files of a sample share."
        )
    ending = "" if "." in after else r"\.[^./]+"
    fits = re.compile(re.escape(before) + "(.+)" + re.escape(after) + ending)
    stems: dict[str, list[str]] = {}
    for path in found.files:
        if match := fits.fullmatch(path):
            stem = match[1] if after else without_ending(f"{match[1]}{path[match.end(1) :]}")
            stems.setdefault(as_unicode(stem), []).append(path)
    stems = _without_notes(stems)
    if not stems:
        raise MultiviewError(
            f"no file below {found.root} fits '{pattern}'; there is {', '.join(found.files[:3]) or 'none'}."
            f"{found.unread_formats()}"
        )
    return stems


def _without_notes(stems: dict[str, list[str]]) -> dict[str, list[str]]:
    """The files without texts where a folder holds others: a text beside a picture is a note."""
    kept = {stem: [path for path in paths if ending_of(path)[1:] not in TEXT] for stem, paths in stems.items()}
    kept = {stem: paths for stem, paths in kept.items() if paths}
    return kept or stems


def _starred(path: str) -> str:
    """The path with a * for the first word of the file's name."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + re.sub(r"^[^\W_]+", "*", name, count=1)


@dataclass(frozen=True)
class _NoFile:
    """Why a sample has no file of a modality. `missing`: there is none, and not two of them."""

    reason: str
    missing: bool


def _the_file(files: Mapping[str, Sequence[str]], stem: str) -> str | _NoFile:
    """The file of a stem."""
    paths = files.get(stem, ())
    if len(paths) == 1:
        return paths[0]
    if paths:
        return _NoFile(f"{' and '.join(map(as_unicode, paths))} are two files of one sample", missing=False)
    other, example = next(iter(files.items()))
    return _NoFile(f"missing file {as_unicode(example[0]).replace(other, stem)}", missing=True)


@dataclass(frozen=True)
class _Reader:
    root: Path
    ids: tuple[str, ...]
    files: Mapping[str, tuple[str | _NoFile, ...]]
    columns: Mapping[str, Column]
    keep: bool

    def input_files(self) -> list[Path]:
        """The files of all samples."""
        return [self.root / file for paths in self.files.values() for file in paths if isinstance(file, str)]

    def file_of(self, number: int) -> Path | None:
        """The first file of a sample."""
        files = (paths[number] for paths in self.files.values())
        return next((self.root / file for file in files if isinstance(file, str)), None)

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        there: dict[str, str] = {}
        for name, paths in self.files.items():
            file = paths[number]
            if isinstance(file, str):
                there[name] = file
            elif not (file.missing and self.keep):
                raise BadSample(file.reason)
        sample = {name: self._read(name, file) for name, file in there.items()}
        size = self._common_size(self.ids[number], sample, there)
        return {name: self._resized(name, array, there[name], size) for name, array in sample.items()}

    def _read(self, name: str, file: str) -> np.ndarray:
        read = self.columns[name].read
        decode = read.decoded if isinstance(read, PictureReader) else read
        return decode(self.root / file, as_unicode(file))

    def _common_size(
        self, identity: str, sample: Mapping[str, np.ndarray], files: Mapping[str, str]
    ) -> tuple[int, int] | None:
        """The size of the first picture. Raises BadSample for other shapes or orientations."""
        pictures = [name for name in sample if isinstance(self.columns[name].read, PictureReader)]
        sizes = {name: (sample[name].shape[0], sample[name].shape[1]) for name in pictures}
        turned = [name for name in sample if self.columns[name].modality.kind in PICTURES]
        first = next(iter(sizes.values()), None)
        if first and not all(have_one_shape(first, size) for size in sizes.values()):
            listing = ", ".join(f"{name} {width}x{height}" for name, (height, width) in sizes.items())
            raise BadSample(f"{identity}: its modalities differ in size: {listing}")
        if len(turned) > 1:
            turns = {name: images.orientation(self.root / files[name], as_unicode(files[name])) for name in turned}
            require_one_orientation(identity, turns, sizes)
        return first

    def _resized(self, name: str, array: np.ndarray, file: str, size: tuple[int, int] | None) -> np.ndarray:
        read = self.columns[name].read
        if not isinstance(read, PictureReader):
            return array
        if size and read.resizer.policy == "keep" and array.shape[:2] != size:
            array = Resizer(*size, "squash").resize(read.kind, array)
        return read.resized(array, as_unicode(file))
