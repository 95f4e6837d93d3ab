"""Files in class folders: which samples there are, their classes and their splits."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from multiview.data.listing import labels, splits
from multiview.data.listing.filetree import FileTree, as_unicode, find_files, ids_of
from multiview.data.source import BadSample, Row
from multiview.errors import MultiviewError
from multiview.plurals import counted

LINKS = ("follow", "skip")


@dataclass(frozen=True)
class Listing:
    """The samples of a class tree: their rows, and their files below the root (empty = missing)."""

    rows: tuple[Row, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClassTreeOptions:
    """Options of the sources that read class folders.

    Args:
        split: TRAIN/VAL/TEST in percent. A hash of each id decides the split where neither folders
            nor a CSV file name one.
        csv: CSV file that lists the samples with their classes and splits (null = `labels.csv`,
            if it lists files of the folder and has the split column; otherwise the folders decide).
        id_column: CSV column of ids: the path of the file, with or without its ending.
        label_column: CSV column of classes (null = `class` or `label`; without these columns the
            name of the folder is the class).
        split_column: CSV column of splits (null = split by a hash of the ids).
        links: `follow` symbolic links to files and folders, or `skip` them.
    """

    split: str = "70/10/20"
    csv: str | None = None
    id_column: str = "id"
    label_column: str | None = None
    split_column: str | None = labels.USUAL_SPLIT
    links: Literal["follow", "skip"] = "follow"

    def __post_init__(self) -> None:
        splits.parse_shares(self.split)
        if self.links not in LINKS:
            raise MultiviewError(f"links is '{self.links}'; give {' or '.join(LINKS)}.")

    def list_samples(self, root: Path, kind: str, endings: Collection[str]) -> Listing:
        """Lists the samples below `root`, in the order of the paths (with a CSV file: of the ids).

        `kind` is the word for the files in messages: image, sound or clip. Raises MultiviewError
        when there is no file, or when two classes have the same name.
        """
        found = find_files(root, kind, endings, links=self.links == "follow")
        found.require_files()
        return self.list_files(root, found)

    def list_files(self, root: Path, found: FileTree) -> Listing:
        """Lists the samples of files that were found; see `list_samples`."""
        by_id = {as_unicode(path): path for path in found.files} | dict(
            zip(ids_of(found.files), found.files, strict=True)
        )
        table = self._table(root, by_id, flat=not any("/" in path for path in found.files))
        rows, files, notes = self._by_table(found, table, by_id) if table else self._by_folder(found)
        names = {row.label for row in rows if row.label is not None}
        return Listing(tuple(rows), tuple(files), (*found.notes(), *notes, *_namesakes(names)))

    def _by_folder(self, found: FileTree) -> tuple[list[Row], list[str], list[str]]:
        shares = splits.parse_shares(self.split)
        by_folder = _splits_on_top(found.files)
        ids = ids_of(found.files)
        rows = [
            Row(
                name,
                label=_class(path, int(by_folder)),
                split=_folder_split(path) if by_folder else splits.split_by_hash(name, shares),
            )
            for name, path in zip(ids, found.files, strict=True)
        ]
        notes = [] if by_folder else [splits.hash_split_note(shares)]
        notes += _without_class(found, rows) + _empty_classes(found, rows, int(by_folder))
        return rows, list(found.files), notes

    def _table(self, root: Path, by_id: Collection[str], flat: bool) -> labels.LabelTable | None:
        """The table that lists the files: the one of --csv, else a `labels.csv` with their ids.

        Without a column of splits it counts for files without folders, which have no classes.
        """
        if self.csv:
            return labels.read_table(labels.find_csv(root, self.csv), self.id_column)
        usual = root / labels.USUAL_CSV
        try:
            table = labels.read_table(usual, self.id_column) if usual.is_file() else None
        except MultiviewError:  # a `labels.csv` of another format is ignored
            return None
        lists = table and (flat or self.split_column in table.columns) and any(name in by_id for name in table.rows)
        return table if lists else None

    def _by_table(
        self, found: FileTree, table: labels.LabelTable, by_id: Mapping[str, str]
    ) -> tuple[list[Row], list[str], list[str]]:
        split = table.require_split_column(self.split_column, named=self.csv is not None)
        label = table.label_column(self.label_column)
        shares = splits.parse_shares(self.split)
        level = int(_splits_on_top(found.files))
        rows, paths = [], []
        for name, entry in sorted(table.entries(label, split).items()):
            path = by_id.get(name, "")
            kind = entry.label if label or not path else _class(path, level)
            rows.append(Row(name, label=kind, split=entry.split if split else splits.split_by_hash(name, shares)))
            paths.append(path)
        return rows, paths, _table_notes(table, found, paths, shares if not split else None)


def _table_notes(
    table: labels.LabelTable, found: FileTree, paths: Sequence[str], shares: Sequence[float] | None
) -> list[str]:
    used, csv = set(paths) - {""}, table.path
    if not used:
        article = "an" if found.kind[0] in "aeiou" else "a"
        raise MultiviewError(
            f"no id of {csv} is {article} {found.kind} below {found.root}; an id is the path without the ending, "
            f"such as '{ids_of(found.files[:1])[0]}'. Name the right column with --id_column."
        )
    notes = [f"samples, classes and splits come from {csv}.{table.id_note}"]
    if len(used) < len(found.files):
        notes.append(f"{len(found.files) - len(used)} {found.kind}s are left out: {csv} does not list them.")
    return notes + ([splits.hash_split_note(shares)] if shares else [])


def _without_class(found: FileTree, rows: Sequence[Row]) -> list[str]:
    bare = sum(row.label is None for row in rows)
    return [f"{bare} of {len(rows)} {found.kind}s are in no class folder; they have no label."] if bare else []


def _empty_classes(found: FileTree, rows: Sequence[Row], level: int) -> list[str]:
    """A note about class folders without files, which become no class of the store."""
    folders = {
        as_unicode(parts[level]) for path in found.folders if len(parts := PurePosixPath(path).parts) == level + 1
    }
    empty = sorted(folders - {row.label for row in rows})
    if not empty:
        return []
    names = ", ".join(f"'{name}'" for name in empty[:5]) + (", ..." if len(empty) > 5 else "")
    return [f"{counted(len(empty), 'class folder')} without {found.kind}s left out: {names}."]


def _namesakes(names: Collection[str]) -> list[str]:
    """Notes on classes that differ only in capitals. Raises MultiviewError if they look alike."""
    alike = _groups(names, lambda name: " ".join(unicodedata.normalize("NFKC", name).split()))
    if alike:
        raise MultiviewError(
            f"two classes have one name: {' and '.join(map(ascii, alike[0]))} look the same, but differ in spaces or "
            "in the encoding of letters. Rename the folders, or name the classes in a CSV file (--csv)."
        )
    return [
        f"the classes {' and '.join(group)} differ only in capitals and stay apart; rename one if they are the same."
        for group in _groups(names, str.casefold)
    ]


def _groups(names: Collection[str], key: Callable[[str], str]) -> list[list[str]]:
    """Groups of names that have the same key."""
    counts = Counter(map(key, names))
    shared = sorted(value for value, count in counts.items() if count > 1)
    return [sorted(name for name in names if key(name) == value) for value in shared]


def _splits_on_top(paths: Sequence[str]) -> bool:
    """Whether every file is below a folder with the name of a split."""
    return all(len(parts := PurePosixPath(path).parts) > 1 and parts[0].casefold() in splits.ALIASES for path in paths)


def _folder_split(path: str) -> str:
    return splits.canonical_split(PurePosixPath(path).parts[0])


def _class(path: str, level: int) -> str | None:
    folders = PurePosixPath(path).parts[:-1]
    return as_unicode(folders[level]) if len(folders) > level else None


@dataclass(frozen=True)
class FileReader:
    """Reads one modality from one file per sample."""

    modality: str
    root: Path
    files: tuple[str, ...]
    names: tuple[str, ...]
    read: Callable[[Path, str], np.ndarray]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """Raises BadSample when the file is missing or cannot be read."""
        return {self.modality: self.read(*self.locate(number))}

    def input_files(self) -> list[Path]:
        """The files of all samples."""
        return [self.root / file for file in self.files if file]

    def file_of(self, number: int) -> Path | None:
        """The file of a sample; None when it is missing."""
        return self.root / self.files[number] if self.files[number] else None

    def locate(self, number: int) -> tuple[Path, str]:
        """The path of a file, and its name in messages. Raises BadSample if it is missing."""
        file = self.files[number]
        if not file:
            raise BadSample(f"{self.names[number]}: missing file")
        return self.root / file, as_unicode(file)
