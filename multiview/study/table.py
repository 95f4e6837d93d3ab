"""The results of a study as a table on the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from multiview.files import replace_text
from multiview.study.outcome import FOUND, PROBE, Outcome
from multiview.study.plan import Plan, Variant
from multiview.study.verdict import Verdict, summary, verdicts

CSV, JSON = "study.csv", "study.json"
COLUMNS = ("variant", "kind", "subject", "measure", "seeds", "base", "value", "base_minus_value", "low", "high")
HEADINGS = ("variant", "seeds", "probe\nall %", "R@1\nmean %", "base minus variant,\nin points", "verdict", "min")


def show(found: Mapping[Variant, Sequence[Outcome]], console: Console) -> None:
    """Prints a line for every variant, then the verdicts in words."""
    judged = {verdict.variant: verdict for verdict in verdicts(found)}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, vertical="bottom", overflow="fold")
    for variant, runs in found.items():
        table.add_row(*_cells(variant, runs, judged.get(variant)))
    console.print(table)
    for verdict in judged.values():
        console.print(f"  {verdict.sentence}", highlight=False, markup=False, soft_wrap=True)
    for line in [*summary(list(judged.values())), *gradient_lines(found)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True, style="bold")


def _cells(variant: Variant, runs: Sequence[Outcome], verdict: Verdict | None) -> list[str]:
    first = verdict.differences[0] if verdict else None
    margin = "-" if first is None else f"{100 * first.points:+.1f}"
    if first is not None and first.low is not None and first.high is not None:
        margin += f" [{100 * first.low:.1f}, {100 * first.high:.1f}]"
    minutes = f"{sum(run.seconds for run in runs) / 60:.1f}"
    means = [_percent(runs, [PROBE]), _percent(runs, found_names(runs))]
    return [variant.name, str(len(runs)), *means, margin, verdict.state if verdict else "-", minutes]


def found_names(runs: Sequence[Outcome]) -> list[str]:
    """The names of all directions of retrieval."""
    return [name for name in (runs[0].values if runs else {}) if name.startswith(f"{FOUND}/")]


def _percent(runs: Sequence[Outcome], names: Sequence[str]) -> str:
    known = [value for run in runs if (value := run.mean_of(names)) is not None]
    return f"{100 * fmean(known):.1f}" if known else "-"


def _mean_cosines(runs: Sequence[Outcome], encoder: str) -> dict[str, float]:
    """Pair of edges -> the cosine of their gradients on the encoder, as a mean over runs."""
    pairs: dict[str, list[float]] = {}
    for run in runs:
        for pair, value in run.gradients.get(encoder, {}).items():
            pairs.setdefault(pair, []).append(value)
    return {pair: fmean(values) for pair, values in pairs.items()}


def gradient_lines(found: Mapping[Variant, Sequence[Outcome]]) -> list[str]:
    """For each encoder, the pair of edges whose gradients agree least, as a mean over seeds."""
    runs = next(iter(found.values()), [])
    lines = []
    for encoder in dict.fromkeys(name for run in runs for name in run.gradients):
        means = _mean_cosines(runs, encoder)
        least = min(means, key=lambda pair: means[pair])
        lines.append(
            f"gradients on the encoder of {encoder}: cosine {fmean(means.values()):+.2f} on average over "
            f"{len(means)} pairs of edges, least for {least.replace(' | ', ' and ')} ({means[least]:+.2f})"
        )
    return lines


def write_files(study: Path, plan: Plan, found: Mapping[Variant, Sequence[Outcome]]) -> list[Path]:
    """Writes the CSV and the JSON of a study; returns their paths."""
    judged = verdicts(found)
    replace_text(study / CSV, _csv(judged))
    replace_text(study / JSON, json.dumps(as_plain(plan, found, judged), indent=1) + "\n")
    return [study / CSV, study / JSON]


def _csv(judged: Sequence[Verdict]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for verdict in judged:
        of = verdict.variant
        for d in verdict.differences:
            ends = ["" if end is None else round(end, 5) for end in (d.low, d.high)]
            numbers = [round(d.base, 5), round(d.other, 5), round(d.points, 5), *ends]
            writer.writerow([of.name, of.kind, of.subject, d.measure, d.seeds, *numbers])
    return text.getvalue()


def as_plain(plan: Plan, found: Mapping[Variant, Sequence[Outcome]], judged: Sequence[Verdict]) -> dict[str, Any]:
    """All runs and verdicts as plain values."""
    return {
        "schema": 1,
        "seeds": list(plan.seeds),
        "dim": plan.dim,
        "runs": {variant.name: [asdict(run) for run in runs] for variant, runs in found.items()},
        "verdicts": [
            {
                "variant": verdict.variant.name,
                "kind": verdict.variant.kind,
                "subject": verdict.variant.subject,
                "state": verdict.state,
                "sentence": verdict.sentence,
                "differences": [{**asdict(d), "points": d.points} for d in verdict.differences],
            }
            for verdict in judged
        ],
        "summary": [*summary(judged), *gradient_lines(found)],
    }
