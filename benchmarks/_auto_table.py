"""Tables of the runs of benchmarks/auto_on_data.py: means over seeds, and what beats what."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from _auto_record import FEW, PROBE, RETRIEVAL, Record

from multiview.settings import t_interval

COLUMNS = {
    RETRIEVAL: ("trained", "random", "ridge", "cca", "fused"),
    PROBE: ("trained", "random", "raw", "statistics"),
    FEW: ("trained", "random", "raw", "statistics"),
}
"""Of each measure: the weights, those of the run first."""


def tables(records: Sequence[Record]) -> str:
    """Costs and verdicts, then a table for every measure: a row for each set and graph."""
    parts = [costs(records)]
    for measure in COLUMNS:
        lines = [row_of(record, measure) for record in records if "trained" in record.means(measure)]
        parts.append("\n".join([*head(measure), *lines]) if lines else "")
    return "\n\n".join(part for part in parts if part)


def head(measure: str) -> list[str]:
    """The two first lines of a table."""
    names = ["data", "graph", "over random weights", "over the best without a network", *COLUMNS[measure], "seeds"]
    return [f"**{measure}**, %:\n", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def row_of(record: Record, measure: str) -> str:
    """The row of one set and graph: means, and differences on equal seeds with their intervals."""
    means, best = record.means(measure), record.best_without(measure)
    cells = [f"{means[name]:.1f}" if name in means else "-" for name in COLUMNS[measure]]
    beyond = [difference(record.beyond(measure, "random"))]
    beyond += [f"{difference(record.beyond(measure, best))} ({best})" if best else "-"]
    return f"| {' | '.join([record.data, record.graph, *beyond, *cells, str(len(record.seeds))])} |"


def difference(points: Sequence[float]) -> str:
    """`+11.5 [9.8, 13.2]`: the mean and its interval over seeds; bold when all of it is above 0."""
    if len(points) < 2:
        return f"{points[0]:+.1f}"
    margin = t_interval(points)
    text = f"{margin.points:+.1f} [{margin.low:.1f}, {margin.high:.1f}]"
    return f"**{text}**" if margin.low > 0 else text


def costs(records: Sequence[Record]) -> str:
    """Test samples, steps, CPU minutes, and where training is above its controls."""
    names = ["data", "graph", "test samples", "steps", "CPU minutes a run", "above both kinds of controls"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for each in records:
        steps = " / ".join(map(str, each.steps))
        minutes = f"{statistics.mean(each.cpu_seconds) / 60:.1f}"
        test = str(each.samples.get("test", "-"))
        lines.append(f"| {' | '.join([each.data, each.graph, test, steps, minutes, verdict(each)])} |")
    return "\n".join(lines)


def verdict(record: Record) -> str:
    """The measures in which training is above both kinds of controls in all of the interval."""
    won = [measure for measure in COLUMNS if "trained" in record.means(measure) and is_above(record, measure)]
    return "; ".join(won) or "in none of the measures"


def is_above(record: Record, measure: str) -> bool:
    """Whether the intervals over random weights and the best without a network are above 0."""
    controls = [name for name in ("random", record.best_without(measure)) if name]
    return all(_low(record.beyond(measure, name)) > 0 for name in controls)


def _low(points: Sequence[float]) -> float:
    return t_interval(points).low if len(points) > 1 else float("-inf")
