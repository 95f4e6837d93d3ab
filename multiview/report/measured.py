"""Every measured value: a table for each measure, a column for the weights and each control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from multiview.measure.rows import (
    BALANCED,
    BESIDE,
    CKA,
    CONCAT,
    EFFECTIVE_RANK,
    FUSED,
    IN_WORDS,
    KEPT,
    KNN,
    LINEAR,
    MEDIAN_RANK,
    MIOU,
    PIXEL_ACCURACY,
    RANDOM,
    RAW,
    RECALL,
    TRAINED,
    Measure,
)

TITLES = {
    LINEAR: "linear accuracy",
    KNN: "kNN accuracy",
    BALANCED: "balanced linear accuracy",
    MEDIAN_RANK: "median rank",
    EFFECTIVE_RANK: "effective rank (RankMe)",
    PIXEL_ACCURACY: "pixel accuracy",
    MIOU: "mean IoU",
    CKA: "linear CKA",
    "target_top1": "accuracy",
    "target_balanced": "balanced accuracy",
    "target_auroc": "AUROC",
    "target_map": "mAP",
    "target_r2": "R²",
    "target_mae": "mean absolute error",
    **{name: f"R@{k}" for k, name in RECALL.items()},
}
"""Measures, and how the page calls them; others by their own name."""
WEIGHTS = {**IN_WORDS, RAW: "raw values", FUSED: "late fusion"}
"""Weights and controls, and how the page calls them."""
MOST = 60
"""Most lines of a table."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one measure. columns: weights and controls. lines: a name and its cells."""

    title: str
    columns: Sequence[str]
    lines: Sequence[tuple[str, Sequence[str]]]
    left_out: int = 0
    split: str = ""


def title_of(row: Measure) -> str:
    """How the page calls what a row measured, with the target, its labels and its probe."""
    if row.measure.startswith(KEPT) and isinstance(row.facts.get("fact"), str):
        return f"kept: {row.facts['fact']}"
    name, facts = TITLES.get(row.measure, row.measure.replace("_", " ")), row.facts
    said = [f"{name} of {facts['target']}" if facts.get("target") else name]
    said += [f"{facts['labels']} of the labels"] if facts.get("labels") not in (None, "all") else []
    said += [f"{facts['probe']} probe"] if facts.get("probe") not in (None, "linear") else []
    said += ["transfer from view to view"] if "trained_on" in facts else []
    return ", ".join(map(str, said))


def legend(rows: Sequence[Measure]) -> list[tuple[str, str]]:
    """The weights and controls of some rows, each with its name on the page; trained ones first."""
    order = (TRAINED, RANDOM, RAW)
    names = dict.fromkeys([*order, *(row.weights for row in rows)] if rows else order)
    return [(name, WEIGHTS.get(name, name)) for name in names]


def tables(rows: Sequence[Measure]) -> list[Table]:
    """A table for each measure, in the order of the rows."""
    named: dict[str, list[Measure]] = {}
    for row in rows:
        named.setdefault(title_of(row), []).append(row)
    return [_table(title, of) for title, of in named.items()]


def _table(title: str, rows: Sequence[Measure]) -> Table:
    order = [TRAINED, RANDOM, RAW]
    weights = dict.fromkeys(row.weights for row in rows)
    columns = [name for name in order if name in weights] + [name for name in weights if name not in order]
    lines = list(dict.fromkeys(name_of(row) for row in rows))
    known = {(name_of(row), row.weights): row for row in rows}
    shown = [(line, [text_of(known.get((line, each))) for each in columns]) for line in lines[:MOST]]
    return Table(
        title=title,
        columns=[WEIGHTS.get(name, name) for name in columns],
        lines=shown,
        left_out=max(len(lines) - MOST, 0),
        split=rows[0].split,
    )


def name_of(row: Measure) -> str:
    """The views of a row as a table names them."""
    return BESIDE.join(row.views) if row.group == CONCAT else row.group


def text_of(row: Measure | None) -> str:
    """The value of a row with its interval, in percent for fractions; empty for no row."""
    if row is None:
        return ""
    low_high = [row.interval.low, row.interval.high] if row.interval else []
    if row.unit == "fraction":
        value, *ends = (f"{100 * x:.1f}" for x in (row.value, *low_high))
        return f"{value} %" + (f" ({' to '.join(ends)})" if ends else "")
    value, *ends = (f"{x:.3g}" for x in (row.value, *low_high))
    return value + (f" ({' to '.join(ends)})" if ends else "")
