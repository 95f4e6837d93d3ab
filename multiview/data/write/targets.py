"""Columns of the input that the evaluation can predict are kept in the store beside the samples.

Numbers are kept as factors. Texts are kept as groups whose names begin with `TARGET`; a cell
`a;b;c` holds several labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.data.listing import labels
from multiview.data.listing.labels import repeats
from multiview.data.source import Plan, Row, Source
from multiview.data.store.shard import TARGET


def with_targets(plan: Plan, group: str | None, source: Source, root: Path | None) -> Plan:
    """The plan with the other columns of its input in the rows, as far as they can be predicted.

    group: a column that is left out, because it tells the groups.
    """
    rows, kept = list(plan.rows), []
    known = {name for row in rows[:1] for name in (*row.factors, *row.groups)} | {group}
    for name, cells in _columns(plan, source, root).items():
        if name in known or all(cell == row.label for row, cell in zip(rows, cells, strict=True)):
            continue
        numbers = _numbers(cells)
        if numbers is not None:
            if _is_enumeration(numbers):
                continue
            rows = [_with_number(row, name, each) for row, each in zip(rows, numbers.tolist(), strict=True)]
        elif repeats(cells):
            rows = [_with_text(row, name, cell) for row, cell in zip(rows, cells, strict=True)]
        else:
            continue
        kept.append(name)
    if not kept:
        return plan
    note = f"kept for --target: {', '.join(kept)}."
    return replace(plan, rows=rows, notes=(*plan.notes, note))


def _columns(plan: Plan, source: Source, root: Path | None) -> dict[str, Sequence[str | None]]:
    """The texts of the columns that have no other use, by name."""
    if plan.column is not None:
        return {name: plan.column(name) for name in plan.others}
    identity = getattr(source, "id_column", None)
    csv = getattr(source, "csv", None)
    if root is None or not hasattr(source, "csv") or not identity:
        return {}
    file = labels.find_csv(root, csv) if csv else root / labels.USUAL_CSV
    table = labels.read_table(file, identity) if file.is_file() else None
    if table is None:
        return {}
    taken = {table.id_column, getattr(source, "split_column", None)}
    label = table.label_column(getattr(source, "label_column", None))
    if csv and label:  # without --csv the folders are the classes
        taken.add(label)
    names = [name for name in table.columns if name and name not in taken]
    return {name: [table.rows.get(row.id, {}).get(name) or None for row in plan.rows] for name in names}


def _numbers(cells: Sequence[str | None]) -> np.ndarray | None:
    """The cells as float64, NaN where they are empty; None when one is no finite number."""
    try:
        found = np.array([np.nan if cell is None else float(cell) for cell in cells])
    except ValueError:
        return None
    known = found[[cell is not None for cell in cells]]
    return found if len(known) and np.isfinite(known).all() and len(np.unique(known)) > 1 else None


def _is_enumeration(numbers: np.ndarray) -> bool:
    """Whether the numbers only count the rows."""
    return len(numbers) > 2 and bool((np.abs(np.diff(numbers)) == 1).all())


def _with_number(row: Row, name: str, value: float) -> Row:
    return replace(row, factors={**row.factors, name: value}) if np.isfinite(value) else row


def _with_text(row: Row, name: str, cell: str | None) -> Row:
    return replace(row, groups={**row.groups, f"{TARGET}{name}": cell}) if cell else row
