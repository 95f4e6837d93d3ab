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
    **{name: f"R@{k}" for k, name in RECALL.items()},
}
"""Measures, and how the page calls them; others by their own name."""
WEIGHTS = {**IN_WORDS, RAW: "raw values", FUSED: "fused"}
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
    """How the page calls what a row measured, with the target when it is not the class."""
    known = row.measure.startswith(KEPT) and isinstance(row.facts.get("fact"), str)
    name = f"kept: {row.facts['fact']}" if known else TITLES.get(row.measure, row.measure.replace("_", " "))
    target = row.facts.get("target")
    return f"{name} of {target}" if isinstance(target, str) and target else name


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
    value, *ends = (f"{x:.4g}" for x in (row.value, *low_high))
    return value + (f" ({' to '.join(ends)})" if ends else "")
