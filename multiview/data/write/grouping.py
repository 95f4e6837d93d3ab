"""Gives the rows of a plan their groups and targets; keeps groups whole in splits made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.data.listing import labels
from multiview.data.listing.groups import FOLDER, LABEL, PATTERN, groups_by_id
from multiview.data.listing.splits import hash_split_note, linked_leaders, parse_shares, split_by_hash
from multiview.data.source import Plan, Row, Source
from multiview.data.store.shard import TARGET
from multiview.data.values import number_text
from multiview.data.write.targets import with_targets
from multiview.errors import MultiviewError, unknown_name


def with_groups(plan: Plan, column: str | None, source: Source, root: Path | None) -> Plan:
    """The plan with the group of every row in `column`; None leaves the groups as they are.

    Other columns that can be predicted are kept too, see `with_targets`.

    Splits that the source made by a hash of the ids are made by a hash of the groups instead, so
    that no group is in two splits. Given splits stay. Raises MultiviewError for an unknown column.
    """
    plan = with_targets(plan, column, source, root)
    if column is None:
        return replace(plan, column=None, linked=None)
    values = values_of_plan(plan, column, source, root)
    if not any(values):
        raise MultiviewError(f"--group '{column}' has no value in any sample; give another column.")
    rows = [_grouped(row, column, value) for row, value in zip(plan.rows, values, strict=True)]
    kept = tuple(each for each in plan.modalities if each.name != column or len(plan.modalities) == 1)
    shares, notes = _shares_of_hash(plan, source), plan.notes
    if shares:
        rows, notes = _split(rows, column, shares, plan)
    if len(kept) < len(plan.modalities):
        notes = (*notes, f"'{column}' tells the groups, so it is no modality.")
    return replace(plan, rows=rows, modalities=kept, notes=notes, column=None, linked=None)


def _grouped(row: Row, column: str, value: str | None) -> Row:
    return replace(row, groups={**row.groups, column: value}) if value else row


def _shares_of_hash(plan: Plan, source: Source) -> tuple[float, ...] | None:
    """The percentages by which the source split the samples by a hash; None for given splits.

    Every source that does so says it in a note.
    """
    text = getattr(source, "split", None)
    shares = parse_shares(text) if isinstance(text, str) else None
    return shares if shares and any(hash_split_note(shares) in note for note in plan.notes) else None


def _split(rows: Sequence[Row], column: str, shares: Sequence[float], plan: Plan) -> tuple[list[Row], tuple[str, ...]]:
    """The rows split by a hash of their groups, and the notes of the plan that say so."""
    note = hash_split_note(shares)
    notes = [each.replace(note, note.replace("each id", f"each group of '{column}'")) for each in plan.notes]
    keys = [f"{column}={row.groups[column]}" if column in row.groups else row.id for row in rows]
    if plan.linked:  # samples that share files are in one split too
        ids = [row.id for row in rows]
        leaders = linked_leaders(ids, [[f"files {each}" for each in plan.linked], keys])
        largest = Counter(leaders).most_common(1)[0][1]
        if largest <= len(rows) / 2:
            keys = leaders
        else:
            notes.append(
                f"shared files and groups link {largest} of {len(rows)} samples: only the groups are kept whole, and "
                "test samples may share files with training samples."
            )
    split = [replace(row, split=split_by_hash(key, shares)) for row, key in zip(rows, keys, strict=True)]
    return split, tuple(notes)


def values_of_plan(plan: Plan, column: str, source: Source, root: Path | None) -> list[str | None]:
    """The group of every row in `column`, None where it is missing.

    column: `folder`, `id:REGEX`, a column of the input, a factor, or `label`. Raises MultiviewError
    for any other.
    """
    found = groups_by_id(column, [row.id for row in plan.rows])
    found = _of_rows(plan.rows, column) if found is None else found
    found = list(plan.column(column)) if found is None and plan.column is not None else found
    found = _of_table(plan.rows, column, source, root) if found is None else found
    if found is None:
        known = {name.removeprefix(TARGET) for row in plan.rows for name in (*row.groups, *row.factors)}
        raise unknown_name("column of groups", column, known | {LABEL, FOLDER, f"{PATTERN}REGEX"})
    return found


def _of_rows(rows: Sequence[Row], column: str) -> list[str | None] | None:
    """The values that the rows hold: groups of a store, factors, labels."""
    if any(column in row.groups for row in rows):
        return [row.groups.get(column) for row in rows]
    if any(column in row.factors for row in rows):
        return [number_text(np.float64(row.factors.get(column, np.nan))) or None for row in rows]
    return [row.label for row in rows] if column == LABEL else None


def _of_table(rows: Sequence[Row], column: str, source: Source, root: Path | None) -> list[str | None] | None:
    """A column of the CSV file of a source of folders, by id; None when there is no such column."""
    identity = getattr(source, "id_column", None)
    if root is None or not hasattr(source, "csv") or not identity:
        return None
    file = labels.find_csv(root, source.csv) if source.csv else root / labels.USUAL_CSV
    table = labels.read_table(file, identity) if file.is_file() else None
    if table is None or column not in table.columns:
        return None
    return [table.rows.get(row.id, {}).get(column) or None for row in rows]
