"""The CSV file with the ids, labels and splits of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.listing.filetree import without_ending
from multiview.data.listing.splits import canonical_split
from multiview.data.listing.tables import csv_lines
from multiview.errors import MultiviewError, suggestion

SEVERAL = ";"
"""Stands between the labels of one cell; alone, it says that the sample has none of them."""
MOST_NAMES = 1000
"""Most different labels of a column that is kept."""
USUAL_CSV = "labels.csv"
USUAL_SPLIT = "split"
USUAL_ID = "id"
FILE_IDS = ("file", "file_name", "filename", "filepath", "path", "image")
"""Names of columns of ids whose cells may end as files do."""
OTHER_IDS = (*FILE_IDS, "name", "stem", "key", "sample", "sample_id")
"""Names of columns of ids that count when there is no `id`, the first one that is there."""
USUAL_LABELS = ("class", "label")
OTHER_LABELS = ("category", "class_name", "classname", "label_name", "categories", "classes", "labels")
"""Names of columns of classes that count when none of the usual ones is there."""
LABEL_WORDS = frozenset(
    re.findall(r"\w+", "label labels class classes target targets category categories onehot truth")
)
BESIDE_LABELS = frozenset(
    re.findall(
        r"\w+",
        "y true pred predicted hat score scores prob proba train training test val valid validation one hot oh id ids "
        "idx index name names code codes fine coarse int integer str encoded ground all data",
    )
)
"""Words that may stand beside a word for labels, as in `y_true` or `fine_labels`."""


def is_label_like(name: str) -> bool:
    """Whether the last part of a name (`train/y_true`: y_true) says that it holds labels."""
    last = name.rpartition("/")[2]
    if re.fullmatch("y_?(train|test|val|true|pred)", last.casefold()):
        return True
    words = set(re.findall("[A-Z]?[a-z]+|[A-Z]+|[0-9]+", last))
    plain = {word.casefold() for word in words if not word.isdecimal()}
    label = bool(plain & LABEL_WORDS) or plain >= {"one", "hot"} or ("y" in plain and len(plain) == len(words))
    return label and plain <= LABEL_WORDS | BESIDE_LABELS


@dataclass(frozen=True)
class Entry:
    """Class and split of one sample; None where the cell is empty or the column is missing."""

    label: str | None
    split: str | None


@dataclass(frozen=True)
class LabelTable:
    """A CSV file with a header; `rows` maps ids to cells by column.

    id_column: the column of the ids, which need not be the one that was asked for.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]
    id_column: str = USUAL_ID

    @property
    def id_note(self) -> str:
        """Says which column holds the ids, where it is not `id`."""
        return "" if self.id_column == USUAL_ID else f" The ids are its column '{self.id_column}'."

    def require_column(self, column: str, option: str, remedy: str = "") -> str:
        """Returns the column. Raises MultiviewError with the existing columns if it is missing."""
        if column not in self.columns:
            raise _no_column(self.path, self.columns, column, option, remedy)
        return column

    def require_split_column(self, given: str | None, named: bool = True) -> str | None:
        """The column of splits; None where a hash of the ids decides.

        named: whether the user named the table. One that was found by its name needs no splits,
            unless a column is spelled almost like `split`.
        """
        missing = given == USUAL_SPLIT and given not in self.columns
        if missing and not named and not suggestion(USUAL_SPLIT, self.columns):
            return None
        remedy = ", or split by a hash of the ids with --split_column null"
        return self.require_column(given, "split_column", remedy) if given else given

    def label_column(self, given: str | None) -> str | None:
        """The column of classes: the given one, else `class` or `label` or the like, else None."""
        if given:
            return self.require_column(given, "label_column")
        return next((name for name in (*USUAL_LABELS, *OTHER_LABELS) if name in self.columns), None)

    def entries(self, label: str | None, split: str | None, ignore_label: str | None = None) -> dict[str, Entry]:
        """Class and split of every id; the class `ignore_label` means unlabelled."""
        found = {
            name: Entry(
                cells[label] or None if label else None, canonical_split(cells[split]) or None if split else None
            )
            for name, cells in self.rows.items()
        }
        return found if ignore_label is None else self._without_label(found, ignore_label)

    def _without_label(self, found: Mapping[str, Entry], ignore_label: str) -> dict[str, Entry]:
        classes = sorted({entry.label for entry in found.values() if entry.label})
        if ignore_label not in classes:
            near = suggestion(ignore_label, classes)
            raise MultiviewError(
                f"--ignore_label '{ignore_label}' is no class of {self.path}; "
                f"there are {', '.join(classes) or 'none'}.{near}"
            )
        return {
            name: Entry(None, entry.split) if entry.label == ignore_label else entry for name, entry in found.items()
        }


def find_csv(root: Path, name: str) -> Path:
    """Finds the CSV file `name`, as given or below `root`. Raises MultiviewError otherwise."""
    for path in (Path(name), root / name):
        if path.is_file():
            return path
    there = sorted(path.name for path in root.glob("*.csv"))
    listing = f"; {root} holds {', '.join(there)}.{suggestion(name, there)}" if there else "."
    raise MultiviewError(f"there is no CSV file {name}, neither here nor in {root}{listing}")


def read_table(path: Path, id_column: str) -> LabelTable:
    """Reads a CSV file (comma, semicolon or tab; UTF-8; one header line).

    A table without `id` is read by the first column of `OTHER_IDS` whose cells all differ; file
    names there lose their ending. Raises MultiviewError with the number of the wrong line.
    """
    lines = csv_lines(path)
    columns = tuple(next(lines)[1])
    numbered = [(line, dict(zip(columns, cells, strict=True))) for line, cells in lines]
    found = id_column if id_column in columns else _other_ids(id_column, columns, [row for _, row in numbered])
    if found is None:
        raise _no_column(path, columns, id_column, "id_column")
    stripped = found in FILE_IDS and found != id_column
    rows: dict[str, dict[str, str]] = {}
    for line, row in numbered:
        name = without_ending(row[found]) if stripped else row[found]
        if not name:
            raise MultiviewError(f"{path}, line {line}: the column '{found}' is empty.")
        if name in rows:
            raise MultiviewError(f"{path}, line {line}: the id '{name}' was there before; ids must be unique.")
        rows[name] = row
    if not rows:
        raise MultiviewError(f"{path} has a header but no rows.")
    return LabelTable(path, columns, rows, found)


def _other_ids(given: str, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str | None:
    """The column that holds the ids of a table without `id`."""
    distinct = [name for name in OTHER_IDS if name in columns and len({row[name] for row in rows} - {""}) == len(rows)]
    return distinct[0] if given == USUAL_ID and distinct and rows else None


def _no_column(path: Path, columns: Sequence[str], given: str, option: str, remedy: str = "") -> MultiviewError:
    there = ", ".join(name for name in columns if name) or "none"
    text = f"{path} has no column '{given}'; it has: {there}.{suggestion(given, columns)} Name yours with --{option}"
    return MultiviewError(f"{text}{remedy}.")


def repeats(cells: Sequence[str | None]) -> bool:
    """Whether the labels of a column are few beside its cells."""
    known = [cell for cell in cells if cell]
    names = {name.strip() for cell in known for name in cell.split(SEVERAL)} - {""}
    return 2 <= len(names) <= min(MOST_NAMES, len(known) // 2)
