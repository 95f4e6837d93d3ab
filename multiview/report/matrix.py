"""Every view against every view: how often one finds the other, and other measures of two views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multiview.measure.retrieval_sentences import FIRST_TRY
from multiview.measure.rows import CCA, CKA, MEDIAN_RANK, MODALITY_GAP, TRAINED, Measure

NAMES = {CKA: "CKA", MODALITY_GAP: "modality gap"}
"""Further measures of two views, and how the page calls them."""


Rows = dict[tuple[str, tuple[str, ...]], Measure]
"""The rows by measure and views."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One ordered pair of views.

    Args:
        shade: 0 to 100.
        lines: what stands below the value.
        controls: the same measure with random weights, ridge regression and the like.
    """

    query: str
    gallery: str
    value: str
    shade: int
    title: str
    lines: Sequence[str]
    controls: Sequence[str] = ()


def compared(rows: Sequence[Measure], views: Sequence[str]) -> list[str]:
    """The views of which a pair was measured, in their order."""
    there = {view for measure, pair in _known(rows) if measure in (FIRST_TRY, *NAMES) for view in pair}
    return [view for view in views if view in there]


def matrix(rows: Sequence[Measure], views: Sequence[str]) -> list[list[Cell | None]]:
    """A row of cells for every query view; None for pairs that were not measured."""
    known = _known(rows)
    controls = [row for row in rows if row.measure == FIRST_TRY and row.weights != TRAINED]
    return [[_cell(known, controls, a, b) for b in views] for a in views]


def _known(rows: Sequence[Measure]) -> Rows:
    return {(row.measure, row.views): row for row in rows if row.weights == TRAINED and len(row.views) == 2}


def _cell(known: Mapping[Any, Measure], controls: Sequence[Measure], a: str, b: str) -> Cell | None:
    first, median = known.get((FIRST_TRY, (a, b))), known.get((MEDIAN_RANK, (a, b)))
    others = [_other(name, known.get((key, (a, b))) or known.get((key, (b, a)))) for key, name in NAMES.items()]
    lines = [text for text in others if text]
    if first is None:
        return Cell(query=a, gallery=b, value="", shade=0, title="", lines=lines) if lines and a != b else None
    most = first.facts.get("pool", first.tested)
    lines = ([f"median rank {median.value:g} of {most}"] if median else []) + lines
    between = f", 95 % {100 * first.interval.low:.1f} to {100 * first.interval.high:.1f}" if first.interval else ""
    return Cell(
        query=a,
        gallery=b,
        value=f"{100 * first.value:.1f} %",
        shade=round(100 * first.value),
        title=f"{a} finds {b} at the first try: {100 * first.value:.1f} %{between}; by chance {100 / most:.2g} %",
        lines=lines,
        controls=[_control(row) for row in controls if row.views == (a, b)],
    )


def _control(row: Measure) -> str:
    return f"{row.weights.upper() if row.weights == CCA else row.weights} {100 * row.value:.1f} %"


def _other(name: str, row: Measure | None) -> str:
    return f"{name} {row.value:.2f}" if row else ""
