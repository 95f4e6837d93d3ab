"""What the evaluation predicts: any column of the data as classes, several labels, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multiview.data.listing.labels import SEVERAL, read_table
from multiview.data.listing.tables import read_columns
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, unknown_name

CLASSES, LABELS, NUMBER = "classes", "labels", "number"
KINDS = (CLASSES, LABELS, NUMBER)
LABEL = "label"
"""The column of the classes of the data."""
FEW = 10
"""Most different whole numbers of a column that is taken for classes."""
MOST = 6
"""Most columns that the sentence on further targets names."""
TABLES = (".csv", ".tsv", ".parquet", ".jsonl")


@dataclass(frozen=True, eq=False)
class Target:
    """One column to predict.

    Args:
        name: of the column.
        kind: `classes`, `labels` (several a sample) or `number`.
        values: of every row of the store: classes int64 (n,), -1 where there is none; labels int8
            (n, m) of 0 and 1, -1 where there are none; numbers float64 (n,), NaN where none is.
        names: of classes or labels.
        asked: whether the user named it.
    """

    name: str
    kind: str
    values: NDArray[np.int64] | NDArray[np.float64]
    names: tuple[str, ...] = ()
    asked: bool = False

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have a value, (n,)."""
        if self.kind == NUMBER:
            return np.isfinite(self.values)
        found: NDArray[np.bool_] = (self.values if self.kind == CLASSES else self.values[:, 0]) >= 0
        return found


def targets_of(store: Store, wanted: Sequence[str]) -> list[Target]:
    """The named targets; of none, all columns that look like targets and can be measured.

    Args:
        store: the data.
        wanted: COLUMN, COLUMN:KIND, or TABLE.csv:COLUMN to take a column of another table, by id.

    Raises MultiviewError for an unknown column, or one that has no two values.
    """
    if wanted:
        return [_asked(store, each) for each in dict.fromkeys(wanted)]
    names = [name for name in column_names(store) if name != LABEL]
    found = [made for name in names if (made := _made(name, _texts_or_numbers(store, name))) is not None]
    usable = [target for target in found if not why_not(store, target)]
    label = [_label(store)] if store.manifest.classes else []
    return [*(target for target in label if not why_not(store, target)), *usable]


def others_in_words(targets: Sequence[Target]) -> str:
    """One line on targets that were not chosen, and how to measure them; empty without any."""
    names = [target.name for target in targets]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"columns that can be targets: {', '.join(names[:MOST])}{more} (--target NAME)" if names else ""


def column_names(store: Store) -> list[str]:
    """All columns that can be predicted."""
    groups = [name for name in store.group_names if name not in store.target_names]
    return list(dict.fromkeys([LABEL, *store.target_names, *store.manifest.factors, *groups]))


def why_not(store: Store, target: Target) -> str:
    """The reason why a target cannot be measured in train and test, "" when it can."""
    known = target.known
    for split in ("train", "test"):
        if split not in store.split_names:
            return f"the store has no {split} split"
        rows = store.rows(split)
        values = target.values[rows][known[rows]]
        if len(values) < 2 or (values == values[0]).all():
            return f"the {split} split has no two values of it"
    if target.kind == CLASSES:
        train, test = (target.values[store.rows(split)] for split in ("train", "test"))
        if np.isin(test[test >= 0], train).mean() < 0.5:
            return "most of its classes in the test split are not in the train split"
    return ""


def _asked(store: Store, spec: str) -> Target:
    column, kind = spec, None
    if spec.rpartition(":")[2] in KINDS:
        column, _, kind = spec.rpartition(":")
    table, _, name = column.rpartition(":")
    if table and Path(table).suffix in TABLES:
        cells = _of_table(store, Path(table), name)
        target = _made(name, cells, kind, asked=True)
    elif column == LABEL and kind in (None, CLASSES) and store.manifest.classes:
        target = _label(store, asked=True)
    elif column in column_names(store):
        target = _made(column, _texts_or_numbers(store, column), kind, asked=True)
    else:
        raise unknown_name(
            "column of this data", column, column_names(store), "For a column of a table, give FILE.csv:COLUMN."
        )
    reason = why_not(store, target) if target else "it holds no two different values"
    if target is None or reason:
        raise MultiviewError(f"--target '{spec}' cannot be measured: {reason}.")
    return target


def _label(store: Store, asked: bool = False) -> Target:
    return Target(LABEL, CLASSES, store.labels, store.manifest.classes, asked)


def _texts_or_numbers(store: Store, name: str) -> Sequence[str | None] | NDArray[np.float64]:
    if name == LABEL:
        names = store.manifest.classes
        return [names[code] if code >= 0 else None for code in store.labels.tolist()]
    if name in store.target_names:
        return store.target(name)
    return store.factor(name) if name in store.manifest.factors else store.group(name)


def _of_table(store: Store, path: Path, name: str) -> Sequence[str | None]:
    """A column of a table by the ids of the store."""
    if not path.is_file():
        raise MultiviewError(f"there is no table {path}; give the path of the file, as in labels.csv:COLUMN.")
    columns = read_columns(path)
    identity = next((column for column in columns if column.casefold() == "id"), next(iter(columns)))
    if name not in columns:
        raise unknown_name(f"column of {path}", name, columns)
    by_id: Mapping[str, object]
    if path.suffix == ".csv":
        by_id = {row: cells[name] or None for row, cells in read_table(path, identity).rows.items()}
    else:
        by_id = dict(zip(map(str, columns[identity]), columns[name], strict=True))
    cells = [by_id.get(row) for row in store.ids]
    if all(cell is None for cell in cells):
        raise MultiviewError(
            f"no id in the column '{identity}' of {path} is in the data; the ids of the data look like "
            f"'{store.ids[0]}'."
        )
    return [None if cell is None else _text(cell) for cell in cells]


def _text(cell: object) -> str:
    return SEVERAL.join(map(str, cell)) or SEVERAL if isinstance(cell, list) else str(cell)


def _made(
    name: str, cells: Sequence[str | None] | NDArray[np.float64], kind: str | None = None, asked: bool = False
) -> Target | None:
    """The target of these cells; None when they hold no two values. Raises MultiviewError."""
    numbers = cells if isinstance(cells, np.ndarray) else _numbers(cells)
    if kind == NUMBER and numbers is None:
        raise MultiviewError(f"--target '{name}:number' is a column of texts; give classes or labels.")
    if numbers is not None and kind != LABELS:
        known = numbers[np.isfinite(numbers)]
        values = np.unique(known)
        few = len(values) <= FEW and bool((values == np.rint(values)).all())
        if len(values) < 2:
            return None
        if kind == NUMBER or (kind is None and not few):
            return Target(name, NUMBER, numbers, asked=asked)
        cells = [f"{value:.15g}" if np.isfinite(value) else None for value in numbers.tolist()]
    texts = [None if cell is None else str(cell) for cell in cells]
    if kind == LABELS or (kind is None and any(SEVERAL in cell for cell in texts if cell)):
        return _several(name, texts, asked)
    names = tuple(sorted({cell for cell in texts if cell}))
    places = {each: place for place, each in enumerate(names)}
    codes = np.array([places[cell] if cell else -1 for cell in texts], np.int64)
    return Target(name, CLASSES, codes, names, asked) if len(names) > 1 else None


def _several(name: str, texts: Sequence[str | None], asked: bool) -> Target | None:
    lists = [None if not cell else [each.strip() for each in cell.split(SEVERAL) if each.strip()] for cell in texts]
    names = tuple(sorted({each for cell in lists for each in cell or ()}))
    places = {each: place for place, each in enumerate(names)}
    hot = np.zeros((len(lists), max(1, len(names))), np.int64)
    for row, cell in enumerate(lists):
        hot[row, [places[each] for each in cell or ()]] = 1
        if cell is None:
            hot[row] = -1
    return Target(name, LABELS, hot, names, asked) if len(names) > 1 else None


def _numbers(cells: Sequence[str | None]) -> NDArray[np.float64] | None:
    try:
        found = np.array([np.nan if cell is None else float(cell) for cell in cells])
    except ValueError:
        return None
    return found if np.isfinite(found).any() else None
