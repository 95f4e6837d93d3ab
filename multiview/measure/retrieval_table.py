"""Rows of retrieval of one run, or of several, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import Box
from rich.table import Table

from multiview.measure.retrieval_sentences import FIRST_TRY, retrieval_rows
from multiview.measure.rows import CCA, FUSED, MEDIAN_RANK, RANDOM, RECALL, RIDGE, TRAINED, Measure, margin_of

BESIDE = "/ random"
"""Behind a value stands that of random weights."""
HEADINGS = (
    *("R@1 %", "95 %", "R@5 %", f"R@10 %\n{BESIDE}", f"median\nrank\n{BESIDE}"),
    *("random\nR@1 %", "chance\nR@1 %", "over\nrandom"),
)
FURTHER = {RIDGE: "ridge\nR@1 %", CCA: "CCA\nR@1 %", FUSED: "late\nfusion\nR@1 %"}
"""Columns that stand only where a run has such rows."""


def retrieval_table(runs: Mapping[str, Sequence[Measure]], box: Box) -> Table:
    """A line for every direction and run; margins within noise stand in brackets."""
    table = Table(box=box, pad_edge=False, padding=(0, 1, 0, 0))
    several = len(runs) > 1
    measured = {row.weights for rows in runs.values() for row in retrieval_rows(rows)}
    further = [weights for weights in FURTHER if weights in measured]
    for heading in ("query -> found", *(["run"] if several else [])):
        table.add_column(heading, vertical="bottom")
    for heading in (*HEADINGS, *(FURTHER[weights] for weights in further)):
        table.add_column(heading, justify="right", vertical="bottom", style="bold" if heading == "R@1 %" else "")
    for group in dict.fromkeys(row.group for rows in runs.values() for row in retrieval_rows(rows)):
        lines = {run: _cells([row for row in rows if row.group == group], further) for run, rows in runs.items()}
        for i, (run, cells) in enumerate((run, cells) for run, cells in lines.items() if cells):
            table.add_row("" if i else group, *([run] if several else []), *cells)
        if several:
            table.add_section()
    return table


def _cells(rows: Sequence[Measure], further: Sequence[str]) -> list[str]:
    """The texts of one direction; none where the run did not measure it."""
    known = {(row.measure, row.weights): row for row in rows}
    first, control = known.get((FIRST_TRY, TRAINED)), known.get((FIRST_TRY, RANDOM))
    if first is None:
        return []
    over, interval = margin_of(first), first.interval
    five, ten, median = (
        [known.get((measure, weights)) for weights in (TRAINED, RANDOM)]
        for measure in (RECALL[5], RECALL[10], MEDIAN_RANK)
    )
    return [
        f"{100 * first.value:.1f}",
        f"{100 * interval.low:.1f} to {100 * interval.high:.1f}" if interval else "-",
        f"{100 * five[0].value:.1f}" if five[0] else "-",
        " / ".join(f"{100 * row.value:.1f}" for row in ten if row) or "-",
        " / ".join(f"{row.value:g}" for row in median if row) or "-",
        f"{100 * control.value:.1f}" if control else "-",
        f"{100 * first.facts['chance']:.2g}",
        "-" if over is None else f"({100 * over.points:+.1f})" if over.noise else f"{100 * over.points:+.1f} ",
        *(f"{100 * known[FIRST_TRY, w].value:.1f}" if (FIRST_TRY, w) in known else "-" for w in further),
    ]
