"""The results of a study as a table on the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from multiview.files import replace_text
from multiview.measure.rows import RANDOM
from multiview.study.outcome import FOUND, PROBE, Outcome
from multiview.study.plan import Plan, Variant
from multiview.study.verdict import NO_EFFECT, UNCLEAR, Judged, Verdict

CSV, JSON = "study.csv", "study.json"
COLUMNS = ("variant", "kind", "subject", "measure", "seeds", "base", "value", "base_minus_value", "low", "high")
HEADINGS = (
    "variant",
    "seeds",
    "probe\nall %",
    "R@1\nmean %",
    "base minus variant,\nin points",
    "verdict",
    "minutes of\nall seeds",
)


def show(judged: Judged, console: Console) -> None:
    """Prints a line for every variant, then the verdicts in words.

    Where the base learned nothing, this comes first.
    """
    for line in judged.base:
        console.print(line, highlight=False, markup=False, soft_wrap=True, style="bold")
    verdicts = {verdict.variant: verdict for verdict in judged.verdicts}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    rows = [_cells(variant, runs, verdicts.get(variant)) for variant, runs in judged.found.items()]
    kept = [i for i, heading in enumerate(HEADINGS) if i in (0, 1) or any(row[i] != "-" for row in rows)]
    for i in kept:
        table.add_column(HEADINGS[i], vertical="bottom", overflow="fold")
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    console.print(table)
    if note := _about_retrieval(next(iter(judged.found.values()), [])):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    for verdict in judged.verdicts:
        console.print(f"  {verdict.sentence}", highlight=False, markup=False, soft_wrap=True)
    for line in judged.summary[len(judged.base) :]:
        console.print(line, highlight=False, markup=False, soft_wrap=True, style="bold")


def _cells(variant: Variant, runs: Sequence[Outcome], verdict: Verdict | None) -> list[str]:
    first = verdict.differences[0] if verdict else None
    margin = "-" if first is None else f"{100 * first.points:+.1f}"
    if first is not None and first.margin is not None:
        margin += f" [{100 * first.margin.low:.1f}, {100 * first.margin.high:.1f}]"
    minutes = f"{sum(run.seconds for run in runs) / 60:.1f}"
    means = [_percent(runs, [PROBE]), _percent(runs, found_names(runs))]
    return [variant.name, str(len(runs)), *means, margin, _in_words(verdict), minutes]


def _in_words(verdict: Verdict | None) -> str:
    return "-" if verdict is None else NO_EFFECT if verdict.state == UNCLEAR else verdict.state


def _about_retrieval(base: Sequence[Outcome]) -> str:
    """How many samples R@1 is measured on, and what chance and random weights find; of the base."""
    if not base or not base[0].queries:
        return ""
    names = [f"{RANDOM}/{name}" for name in found_names(base)]
    known = [run.controls[name] for run in base for name in names if name in run.controls]
    untrained = f", base with random weights {100 * fmean(known):.1f} %" if known else ""
    chance = f"chance {100 * base[0].chance:.2g} %{untrained}"
    return f"R@1 among {base[0].queries} test samples: {chance}. Every line is the mean over its own directions."


def found_names(runs: Sequence[Outcome]) -> list[str]:
    """The names of all directions of retrieval."""
    return [name for name in (runs[0].values if runs else {}) if name.startswith(f"{FOUND}/")]


def _percent(runs: Sequence[Outcome], names: Sequence[str]) -> str:
    known = [value for run in runs if (value := run.mean_of(names)) is not None]
    return f"{100 * fmean(known):.1f}" if known else "-"


def write_files(study: Path, plan: Plan, judged: Judged) -> list[Path]:
    """Writes the CSV and the JSON of a study; returns their paths."""
    replace_text(study / CSV, _csv(judged.verdicts))
    replace_text(study / JSON, json.dumps(as_plain(plan, judged), indent=1) + "\n")
    return [study / CSV, study / JSON]


def _csv(verdicts: Sequence[Verdict]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for verdict in verdicts:
        of = verdict.variant
        for d in verdict.differences:
            ends = ["", ""] if d.margin is None else [round(end, 5) for end in (d.margin.low, d.margin.high)]
            numbers = [round(d.base, 5), round(d.other, 5), round(d.points, 5), *ends]
            writer.writerow([of.name, of.kind, of.subject, d.measure, d.seeds, *numbers])
    return text.getvalue()


def as_plain(plan: Plan, judged: Judged) -> dict[str, Any]:
    """All runs and verdicts as plain values."""
    return {
        "schema": 1,
        "seeds": list(plan.seeds),
        "dim": plan.dim,
        "runs": {variant.name: [asdict(run) for run in runs] for variant, runs in judged.found.items()},
        "verdicts": [
            {
                "variant": verdict.variant.name,
                "kind": verdict.variant.kind,
                "subject": verdict.variant.subject,
                "state": verdict.state,
                "sentence": verdict.sentence,
                "differences": [each.as_plain() for each in verdict.differences],
            }
            for verdict in judged.verdicts
        ],
        "summary": judged.summary,
    }
