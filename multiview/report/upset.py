"""Which views count, as an UpSet plot: every measured set of views with its value and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multiview.measure.rows import (
    ALIGNMENT,
    BALANCED,
    BESIDE,
    CONCAT,
    EFFECTIVE_RANK,
    KEPT,
    KNN,
    LINEAR,
    RANDOM,
    RAW,
    TRAINED,
    UNIFORMITY,
    Measure,
)
from multiview.report.matrix import NAMES
from multiview.report.measured import title_of

MOST = 32
"""Most sets of a drawing."""
FIRST = (LINEAR, KNN, BALANCED)
"""Measures that come first."""
NO_SETS = (*NAMES, EFFECTIVE_RANK, ALIGNMENT, UNIFORMITY)
"""Measures of a pair or of a single view, whose rows name no set of views."""


def upsets(rows: Sequence[Measure]) -> list[dict[str, Any]]:
    """A drawing for each measure of at least two sets of views, as plain values.

    Each has `title`, `unit`, `views`, `more` (sets that are left out) and `sets`, the best one
    first: `views` and `values`, weights -> value, low, high.
    """
    named: dict[str, list[Measure]] = {}
    for row in rows:
        if is_of_set(row):
            named.setdefault(title_of(row), []).append(row)
    order = sorted(named, key=lambda title: _place(named[title][0].measure))
    drawn = [_upset(title, named[title]) for title in order]
    return [each for each in drawn if len(each["sets"]) > 1]


def is_of_set(row: Measure) -> bool:
    """Whether a row is about the features of some views side by side."""
    return (
        row.measure not in NO_SETS
        and not row.measure.startswith((KEPT, "retrieval_"))
        and row.group in (CONCAT, BESIDE.join(row.views))
    )


def _place(measure: str) -> int:
    return FIRST.index(measure) if measure in FIRST else len(FIRST)


def _upset(title: str, rows: Sequence[Measure]) -> dict[str, Any]:
    sets: dict[frozenset[str], dict[str, list[float | None]]] = {}
    for row in rows:
        sets.setdefault(frozenset(row.views), {})[row.weights] = _value(row)
    views = list(dict.fromkeys(view for row in rows for view in row.views))
    sign = 1 if rows[0].higher_is_better else -1
    ordered = sorted(sets, key=lambda each: -sign * _first(sets[each]))
    kept = [each for i, each in enumerate(ordered) if i < MOST or len(each) in (1, len(views))]
    return {
        "title": title,
        "unit": rows[0].unit,
        "views": views,
        "more": len(ordered) - len(kept),
        "sets": [{"views": [v for v in views if v in each], "values": _in_order(sets[each])} for each in kept],
    }


def _value(row: Measure) -> list[float | None]:
    return [row.value, row.interval.low, row.interval.high] if row.interval else [row.value, None, None]


def _first(values: Mapping[str, list[float | None]]) -> float:
    value = values.get(TRAINED, next(iter(values.values())))[0]
    return float("-inf") if value is None else value


def _in_order(values: Mapping[str, list[float | None]]) -> dict[str, list[float | None]]:
    known = [TRAINED, RANDOM, RAW]
    return {name: values[name] for name in [*known, *(each for each in values if each not in known)] if name in values}
