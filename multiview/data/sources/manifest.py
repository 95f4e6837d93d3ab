"""A table with one row per sample, and columns of files, numbers and texts."""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from multiview.data.columns import manifest_columns
from multiview.data.columns.file_columns import FileOptions, kind_of_files
from multiview.data.columns.picture_columns import DENSE, PICTURES, require_one_orientation
from multiview.data.files import images
from multiview.data.listing import splits
from multiview.data.listing.filetree import as_unicode
from multiview.data.listing.labels import OTHER_LABELS, SEVERAL, is_label_like
from multiview.data.listing.tables import ENDINGS as TABLES
from multiview.data.listing.tables import Columns, read_columns
from multiview.data.source import BadSample, Plan, Row
from multiview.data.values import NAMED, ModalityChoice, parse_modalities
from multiview.errors import MultiviewError, suggestion
from multiview.plurals import counted

LOOKED_AT = 100
"""Most rows whose images are compared by their orientation when the plan is made."""
IDS = ("id",)
LABELS = ("class", "label")
SPLITS = ("split",)
FILES = ("file", "file_name", "filename", "filepath", "path")
"""Names of columns that do not tell the kind of the files."""


@dataclass(frozen=True, kw_only=True)
class Manifest(FileOptions):
    """A table with one row per sample: CSV, JSON Lines (`.jsonl`) or Parquet.

    Columns become modalities: a column of file names becomes the images, sounds, ... in the files;
    columns of numbers together become a table; a column of lists becomes a table; texts become
    text. A sample with an empty cell lacks that modality. File names are relative to the folder of
    the manifest; absolute paths, `..` and links are refused. INPUT is the file, or the folder with
    `manifest.csv` (`.jsonl`, `.parquet`).

    Args:
        modalities: columns to read, as [COLUMN, ...], {NAME: COLUMN}, {NAME: [COLUMN, ...]},
            {NAME: 'f*'} for all columns f..., or {"NAME:KIND": COLUMN} to give the kind (null =
            columns of files or lists, columns called text or caption, and numbered columns of
            numbers, such as f1 to f76).
        id_column: column of ids (null = `id` if it exists, otherwise the number of the row).
        label_column: column of classes (null = `class` or `label`).
        split_column: column of splits (null = `split` if it exists, otherwise by a hash of ids).
        split: TRAIN/VAL/TEST in percent. A hash of each id decides the split where no column does.
        root: folder that file names may point into, absolute or with `..` (null = the folder of the
            manifest); links in it are refused.
    """

    modalities: dict[str, str | list[str]] | tuple[str, ...] | None = None
    id_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    split: str = "70/10/20"
    root: str | None = None

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        splits.parse_shares(self.split)
        parse_modalities(self.modalities or ())

    def plan(self, root: Path | None) -> Plan:
        """Plans one sample per row, in order. Raises MultiviewError for wrong columns or paths."""
        assert root is not None
        path = manifest_file(root)
        columns = read_columns(path)
        identity = _role(path, columns, self.id_column, IDS)
        label = _role(path, columns, self.label_column, LABELS) or _role(path, columns, None, OTHER_LABELS)
        split = _role(path, columns, self.split_column, SPLITS)
        ids = _ids(columns, identity)
        chosen, notes = self._chosen(path, columns, {name for name in (identity, label, split) if name})
        parts = [self._part(path, columns, each) for each in chosen]
        if label and label.casefold() not in LABELS and not self.label_column:
            notes.append(f"the classes come from the column '{label}'; choose another with --label_column.")
        notes += [note for part in parts for note in part.notes]
        labels = [_text(cell) or None for cell in columns[label]] if label else [None] * len(ids)
        linked = None
        if split:
            named = [splits.canonical_split(_text(cell)) or None for cell in columns[split]]
        else:
            named, linked, more = self._split_by_hash(ids, parts)
            notes += more
        rows = [Row(*each) for each in zip(ids, labels, named, strict=True)]
        modalities = tuple(part.modality for part in parts)
        used = {identity, label, split, *(name for each in chosen for name in each.where)}
        others = [name for name in columns if name and name not in used]
        reader, texts = _Reader(path, tuple(parts)), partial(_texts, path, columns)
        notes += reader.orientation_notes()
        return Plan(rows, modalities, reader, notes=tuple(notes), column=texts, linked=linked, others=others)

    def _split_by_hash(
        self, ids: Sequence[str], parts: Sequence[manifest_columns.CellColumn]
    ) -> tuple[list[str | None], list[str] | None, list[str]]:
        """Splits by hash, which samples share files, and notes.

        Samples with a shared file get one split: no test file is trained on.
        """
        shares = splits.parse_shares(self.split)
        leaders = splits.group_leaders(
            ids, [part.read.files for part in parts if isinstance(part.read, manifest_columns.FileCells)]
        )
        group_sizes = Counter(leaders)
        count = sum(group_sizes[name] for name in group_sizes if group_sizes[name] > 1)
        if count and max(group_sizes.values()) > len(ids) / 2:
            note = (
                f"shared files link {max(group_sizes.values())} of {len(ids)} samples, so no split can separate them: "
                "each sample is split by its own id, and test samples may share files with training samples. Give a "
                "column of splits to decide otherwise."
            )
            return [splits.split_by_hash(name, shares) for name in ids], None, [splits.hash_split_note(shares), note]
        notes = (
            [f"{count} samples share files with others; samples that share a file are in one split."] if count else []
        )
        named: list[str | None] = [splits.split_by_hash(name, shares) for name in leaders]
        return named, leaders if count else None, [splits.hash_split_note(shares), *notes]

    def _chosen(self, path: Path, columns: Columns, taken: set[str]) -> tuple[tuple[ModalityChoice, ...], list[str]]:
        if self.modalities is not None:
            return tuple(_expanded(path, columns, each) for each in parse_modalities(self.modalities)), []
        left = {name: column for name, column in columns.items() if name not in taken}
        chosen = _guessed(left)
        used = {column for each in chosen for column in each.where}
        others = [name for name in left if name not in used]
        if not chosen:
            numbers = [name for name, column in left.items() if manifest_columns.are_numbers(column)]
            choice = json.dumps({"numbers:table": numbers}, ensure_ascii=False) if numbers else "{NAME: COLUMN}"
            raise MultiviewError(
                f"{path} has no column that looks like a modality; it has: {', '.join(columns)}. Choose columns with "
                f"--modalities '{choice}'."
            )
        return chosen, _skipped(columns, others)

    def _part(self, path: Path, columns: Columns, each: ModalityChoice) -> manifest_columns.CellColumn:
        if len(each.where) > 1 or each.kind == "table":
            return manifest_columns.number_column(each, columns)
        column = columns[each.where[0]]
        manifest_columns.refuse_embedded_files(each.where[0], column)
        if each.kind != "text" and manifest_columns.are_files(column):
            return self._files(path, each, column)
        if each.kind not in (None, "text") or any(isinstance(cell, list) for cell in column):
            rate = self.rate if each.kind == "audio" or self.series_rate is None else self.series_rate
            return manifest_columns.list_column(each, column, rate)
        if each.kind is None and manifest_columns.are_numbers(column):
            return manifest_columns.number_column(each, columns)
        return manifest_columns.text_column(each, column, self.text_bytes)

    def _files(self, path: Path, each: ModalityChoice, column: Sequence[Any]) -> manifest_columns.CellColumn:
        where = f"column '{each.where[0]}'"
        root = Path(self.root) if self.root else path.parent
        if self.root:
            column = manifest_columns.paths_below(column, path.parent, root, f"{path}, {where}")
        for number, cell in enumerate(column):
            if cell is not None:
                manifest_columns.require_inside(cell, f"{path}, row {number + 1}, {where}")
        files = [cell for cell in column if cell is not None]
        found = self.column(each.name, each.kind, root, list(dict.fromkeys(files)))
        return manifest_columns.CellColumn(
            found.modality, manifest_columns.FileCells(root, tuple(column), found.read), found.notes
        )


def manifest_file(root: Path) -> Path:
    """`root` itself, or the manifest in that folder. Raises MultiviewError unless there is one."""
    if not root.is_dir():
        return root
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    usual = [path for path in tables if path.stem.casefold() == "manifest"] or tables
    if len(usual) != 1:
        there = ", ".join(path.name for path in usual) or "none"
        raise MultiviewError(
            f"{root} should hold one manifest ({', '.join(TABLES)}), but it holds: {there}. Give the path of the file."
        )
    return usual[0]


def _role(path: Path, columns: Columns, given: str | None, usual: Sequence[str]) -> str | None:
    if given is not None and given not in columns:
        raise _no_column(path, columns, given)
    return given or next((name for name in columns if name.casefold() in usual), None)


def _no_column(path: Path, columns: Columns, given: str) -> MultiviewError:
    return MultiviewError(f"{path} has no column '{given}'; it has: {', '.join(columns)}.{suggestion(given, columns)}")


def _texts(path: Path, columns: Columns, name: str) -> list[str | None]:
    """The texts of a column; None in empty cells."""
    if name not in columns:
        raise _no_column(path, columns, name)
    return [SEVERAL.join(cell) or SEVERAL if _is_text_list(cell) else _text(cell) or None for cell in columns[name]]


def _is_text_list(cell: Any) -> bool:
    return isinstance(cell, list) and all(isinstance(each, str) for each in cell)


def _expanded(path: Path, columns: Columns, each: ModalityChoice) -> ModalityChoice:
    """The entry with every pattern replaced by the columns that match."""
    found: list[str] = []
    for name in each.where:
        fits = [name] if name in columns else [column for column in columns if fnmatchcase(column, name)]
        if not fits:
            raise _no_column(path, columns, name)
        found += fits
    return ModalityChoice(each.name, each.kind, tuple(found))


def _skipped(columns: Columns, others: Sequence[str]) -> list[str]:
    """Notes on columns that become no modality."""
    notes = [f"skipped the columns {', '.join(others)}; add them with --modalities."] if others else []
    return notes + [
        f"the column '{name}' is called like a modality, but its cells, such as "
        f"{_example(columns[name])!r:.60}, are no files with a known ending."
        for name in others
        if name.casefold() in NAMED
    ]


def _is_modality(name: str, column: Sequence[Any]) -> bool:
    listed = any(isinstance(cell, (list, dict, bytes)) and not (cell and _is_text_list(cell)) for cell in column)
    listed = listed and any(not _is_text_list(cell) for cell in column if cell is not None)
    return listed or manifest_columns.are_files(column) or NAMED.get(name.casefold()) == "text"


def _guessed(columns: Columns) -> tuple[ModalityChoice, ...]:
    """Columns that look like modalities: files, lists, texts by name, numbered numbers."""
    chosen: list[ModalityChoice] = []
    numbered: dict[str, list[str]] = {}
    for name, column in columns.items():
        if is_label_like(name) and not manifest_columns.are_files(column):
            continue
        if _is_modality(name, column):
            chosen.append(ModalityChoice(_own_name(name, column), None, (name,)))
        elif (match := re.fullmatch(r"(.*?\D)[_.-]?\d+", name)) and manifest_columns.are_numbers(column):
            numbered.setdefault(match[1].rstrip("_.-"), []).append(name)
    return (
        *chosen,
        *(ModalityChoice(name, "table", tuple(names)) for name, names in numbered.items() if len(names) > 1),
    )


def _own_name(name: str, column: Sequence[Any]) -> str:
    """The name of the column, or the kind of its files if the name says only "file"."""
    if name.casefold() not in FILES:
        return name
    return kind_of_files(name, [cell for cell in column if isinstance(cell, str)])


def _ids(columns: Columns, identity: str | None) -> list[str]:
    count = len(next(iter(columns.values())))
    width = len(str(max(count - 1, 0)))
    ids = [_text(cell) for cell in columns[identity]] if identity else [f"{n:0{width}d}" for n in range(count)]
    if "" in ids:
        raise MultiviewError(f"the column '{identity}' is empty in row {ids.index('') + 1}; every sample needs an id.")
    return ids


def _example(column: Sequence[Any]) -> Any:
    return next((cell for cell in column if cell is not None), None)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


@dataclass(frozen=True)
class _Reader:
    manifest: Path
    parts: tuple[manifest_columns.CellColumn, ...]

    def input_files(self) -> list[Path]:
        """The table and the files that it names."""
        named = [part.read for part in self.parts if isinstance(part.read, manifest_columns.FileCells)]
        return [self.manifest, *(cells.root / file for cells in named for file in cells.files if file)]

    def file_of(self, number: int) -> Path | None:
        """The first file of a row; None when the row names none."""
        cells = (part.read for part in self.parts if isinstance(part.read, manifest_columns.FileCells))
        return next((each.root / file for each in cells if (file := each.files[number])), None)

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        sample = {}
        for part in self.parts:
            found = part.read(number, f"{self.manifest.name}, row {number + 1}")
            if found is not None:
                sample[part.modality.name] = found
        self._require_one_orientation(number, sample)
        return sample

    def orientation_notes(self) -> list[str]:
        """A note when images of a row are turned differently; beside a dense map it is rejected."""
        images_only = [part.modality.name for part in self.parts if part.modality.kind in PICTURES]
        kinds = {part.modality.kind for part in self.parts}
        if len(images_only) < 2 or kinds & set(DENSE):
            return []
        cells = (part.read for part in self.parts if isinstance(part.read, manifest_columns.FileCells))
        count = max((len(each.files) for each in cells), default=0)
        rows = np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)).tolist()
        turned = [row for row in rows if len(set(self._turns(row, images_only).values())) > 1]
        if not turned:
            return []
        return [
            f"{len(turned)} of {counted(len(rows), 'row')} have images with different EXIF orientations (row "
            f"{turned[0] + 1}: {self._listing(turned[0], images_only)}). Each image is turned upright by itself. If "
            "the images of a row show the same place pixel by pixel, turn them once and store them upright."
        ]

    def _listing(self, row: int, names: Sequence[str]) -> str:
        return ", ".join(f"{name} {turn}" for name, turn in self._turns(row, names).items())

    def _turns(self, number: int, names: Collection[str]) -> dict[str, int]:
        """The EXIF orientation of the files of a row by modality, without unreadable files."""
        turns = {}
        for part in self.parts:
            cells = part.read
            if part.modality.name in names and isinstance(cells, manifest_columns.FileCells) and cells.files[number]:
                file = str(cells.files[number])
                with suppress(BadSample):
                    turns[part.modality.name] = images.orientation(cells.root / file, as_unicode(file))
        return turns

    def _require_one_orientation(self, number: int, sample: Mapping[str, np.ndarray]) -> None:
        """Raises BadSample when dense maps and images of a sample are turned differently."""
        kinds = {part.modality.name: part.modality.kind for part in self.parts if part.modality.name in sample}
        pictures = [name for name, kind in kinds.items() if kind in PICTURES]
        if len(pictures) < 2 or not any(kinds[name] in DENSE for name in pictures):
            return
        require_one_orientation(f"{self.manifest.name}, row {number + 1}", self._turns(number, pictures), {})
