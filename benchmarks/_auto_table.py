"""Tables of the runs of benchmarks/auto_on_data.py: means over seeds, and what beats what."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multiview.settings import t_interval

RETRIEVAL, PROBE, FEW = "R@1", "probe, all labels", "probe, 2 labels a class"
COLUMNS = {
    RETRIEVAL: ("trained", "random", "ridge", "cca", "fused"),
    PROBE: ("trained", "random", "raw", "statistics"),
    FEW: ("trained", "random", "raw", "statistics"),
}
"""Of each measure: the weights, those of the run first."""
WITHOUT = ("ridge", "cca", "raw", "statistics")
"""Controls that need no network."""

Scores = Mapping[tuple[str, str], float]


def tables(root: Path, graphs: Iterable[tuple[str, str]]) -> str:
    """A table for every measure, in Markdown: one row per set and graph that has runs."""
    runs = {pair: sorted(root.glob(f"{pair[0]}/{pair[1]}-*/evaluation.json")) for pair in graphs}
    known = {pair: [path.parent for path in paths] for pair, paths in runs.items() if paths}
    found = {pair: [scores(path) for path in paths] for pair, paths in known.items()}
    parts = [costs(known)]
    for measure in COLUMNS:
        lines = [row_of(pair, measure, found[pair]) for pair in known if (measure, "trained") in found[pair][0]]
        parts.append("\n".join([*head(measure), *lines]) if lines else "")
    return "\n\n".join(part for part in parts if part)


def scores(run: Path) -> Scores:
    """(measure, weights) -> %: mean R@1 of all ordered pairs; probes of all views together."""
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    groups = {row["group"] for row in rows if row["measure"] == "linear"}
    whole = "concat" if "concat" in groups else next(iter(sorted(groups)), "")
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if measure := measure_of(row, whole):
            found.setdefault((measure, row["weights"]), []).append(100 * row["value"])
    return {key: statistics.mean(values) for key, values in found.items()}


def measure_of(row: Mapping[str, Any], whole: str) -> str:
    """The measure of a row of evaluation.json in these tables; empty when it is in none."""
    if row["measure"] == "retrieval_recall_1":
        return RETRIEVAL if row["split"] == "test" else ""
    facts = row["facts"]
    if row["group"] != whole or row["measure"] != "target_top1":
        return ""
    if (facts["target"], facts["probe"], facts["space"]) != ("label", "linear", "h"):
        return ""
    return {"all": PROBE, "2 a class": FEW}.get(facts["labels"], "")


def head(measure: str) -> list[str]:
    """The two first lines of a table."""
    names = ["data", "graph", *COLUMNS[measure], "over random weights", "over the best without a network", "seeds"]
    return [f"**{measure}**, %:\n", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def row_of(pair: tuple[str, str], measure: str, found: Sequence[Scores]) -> str:
    """The row of one set and graph: means, and differences on equal seeds with their intervals."""
    means = {
        name: statistics.mean([each[measure, name] for each in found])
        for name in COLUMNS[measure]
        if (measure, name) in found[0]
    }
    plain = {name: value for name, value in means.items() if name in WITHOUT}
    best = max(plain, key=lambda name: plain[name], default="")
    cells = [f"{means[name]:.1f}" if name in means else "-" for name in COLUMNS[measure]]
    beyond = [difference(found, measure, "random"), f"{difference(found, measure, best)} ({best})" if best else "-"]
    return f"| {' | '.join([*pair, *cells, *beyond, str(len(found))])} |"


def difference(found: Sequence[Scores], measure: str, control: str) -> str:
    """`+11.5 [9.8, 13.2]`: trained minus control on equal seeds; bold when all above 0."""
    points = [each[measure, "trained"] - each[measure, control] for each in found]
    if len(points) < 2:
        return f"{points[0]:+.1f}"
    margin = t_interval(points)
    text = f"{margin.points:+.1f} [{margin.low:.1f}, {margin.high:.1f}]"
    return f"**{text}**" if margin.low > 0 else text


def costs(known: Mapping[tuple[str, str], Sequence[Path]]) -> str:
    """Steps and CPU minutes of the runs."""
    lines = ["| data | graph | steps | CPU minutes a run |", "|---|---|---|---|"]
    for (name, recipe), runs in known.items():
        steps = dict.fromkeys(str(steps_of(run)) for run in runs)
        minutes = statistics.mean([json.loads(run.with_suffix(".time.json").read_text())["cpu"] for run in runs]) / 60
        lines.append(f"| {name} | {recipe} | {' / '.join(steps)} | {minutes:.1f} |")
    return "\n".join(lines)


def steps_of(run: Path) -> int:
    """The last step of a run."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return max(json.loads(line).get("step", 0) for line in lines)
