"""What the runs of benchmarks/auto_on_data.py measured, as one file for each set and graph."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _commits import commits_of

RETRIEVAL, PROBE, FEW = "R@1", "probe, all labels", "probe, 2 labels a class"
WITHOUT = ("ridge", "cca", "raw", "statistics")
"""Controls that need no network."""

Scores = Mapping[str, Mapping[str, float]]
"""Measure -> weights -> %."""


@dataclass(frozen=True)
class Record:
    """The runs of one set and graph; lists have one entry a run, in the order of the seeds.

    `scores`: measure -> weights -> % of each run. `steps`: the lengths of the runs.
    """

    data: str
    graph: str
    seeds: list[int]
    steps: list[int]
    cpu_seconds: list[float]
    samples: dict[str, int]
    scores: dict[str, dict[str, list[float]]]
    command: str
    commit: str
    date: str

    def means(self, measure: str) -> dict[str, float]:
        """Weights -> the mean over the seeds; empty when the runs lack the measure."""
        return {name: statistics.mean(values) for name, values in self.scores.get(measure, {}).items()}

    def best_without(self, measure: str) -> str:
        """The control without a network that finds most; empty when there is none."""
        plain = {name: value for name, value in self.means(measure).items() if name in WITHOUT}
        return max(plain, key=lambda name: plain[name], default="")

    def beyond(self, measure: str, control: str) -> list[float]:
        """Trained minus control, in points, on equal seeds."""
        of = self.scores[measure]
        return [ours - theirs for ours, theirs in zip(of["trained"], of[control], strict=True)]


def record_of(root: Path, data: str, graph: str) -> Record | None:
    """The runs of a set and graph below `root`; None without one that has been evaluated."""
    found = (path.parent for path in root.glob(f"{data}/{graph}-*/evaluation.json"))
    runs = sorted((run for run in found if run.with_suffix(".time.json").is_file()), key=_seed)  # others still run
    if not runs:
        return None
    costs = [json.loads(run.with_suffix(".time.json").read_text()) for run in runs]
    return Record(
        data=data,
        graph=graph,
        seeds=[_seed(run) for run in runs],
        steps=list(dict.fromkeys(map(steps_of, runs))),
        cpu_seconds=[round(each["cpu"], 1) for each in costs],
        samples=samples_of(runs[0]),
        scores=together([scores(run) for run in runs]),
        command=command_of(costs[0].get("command", "")),
        commit=commits_of(runs),
        date=time.strftime("%Y-%m-%d", time.gmtime(max((run / "evaluation.json").stat().st_mtime for run in runs))),
    )


def write(record: Record, folder: Path) -> None:
    """Writes a record below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record.data}-{record.graph}.json").write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")


def read(folder: Path) -> list[Record]:
    """The records below `folder`, by name."""
    return [Record(**json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


def together(runs: Sequence[Scores]) -> dict[str, dict[str, list[float]]]:
    """Measure -> weights -> one number a run, of what every run has."""
    first = runs[0]
    return {
        measure: {
            name: [round(run[measure][name], 3) for run in runs]
            for name in values
            if all(name in run.get(measure, {}) for run in runs)
        }
        for measure, values in first.items()
    }


def scores(run: Path) -> Scores:
    """The mean R@1 of all ordered pairs of views, and the probes of all views together."""
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    groups = {row["group"] for row in rows if row["measure"] == "linear"}
    whole = "concat" if "concat" in groups else next(iter(sorted(groups)), "")
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if measure := measure_of(row, whole):
            found.setdefault(measure, {}).setdefault(row["weights"], []).append(100 * row["value"])
    return {measure: {name: statistics.mean(all_) for name, all_ in of.items()} for measure, of in found.items()}


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


def samples_of(run: Path) -> dict[str, int]:
    """The largest number of samples in each split that a measure of the run used."""
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    each = [row["samples"] for row in rows if row.get("samples")]
    return {
        split: max(one.get(split, 0) for one in each) for split in dict.fromkeys(key for one in each for key in one)
    }


def steps_of(run: Path) -> int:
    """The last step of a run."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return max(json.loads(line).get("step", 0) for line in lines)


def command_of(words: str) -> str:
    """The command without what is of this machine: the run's own folder, seed and threads."""
    kept, left = [], iter(words.split())
    for word in left:
        if word in ("--out", "--seed", "--train.threads"):
            next(left, None)
        elif word != "--overwrite":
            kept.append(Path(word).name if word.startswith("/") else word)
    return " ".join(kept)


def _seed(run: Path) -> int:
    return int(run.name.rpartition("-")[2])
