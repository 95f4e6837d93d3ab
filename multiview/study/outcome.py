"""What a run of a study measured, as numbers by name. Read without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from multiview.measure.retrieval_sentences import FIRST_TRY
from multiview.measure.rows import CCA, KEPT, LINEAR, RANDOM, RAW, RIDGE, TRAINED, Measure
from multiview.measure.sentences import headline, knows_one_class
from multiview.runs import evaluation
from multiview.study.plan import Job, Plan, Variant

PROBE, FOUND, KEEPS = "probe", "R@1", "kept"
"""The linear probe, retrieval between views at the first try, R² of simple facts from features."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One finished run.

    Args:
        seed: of the run.
        values: name -> value of the trained encoders: `probe` of all views together, `probe/VIEW`,
            `R@1/A -> B`, `kept/FACT/VIEW`; from 0 to 1 (a negative R² counts as 0).
        controls: the same names behind `random/`, `raw/`, `ridge/` or `cca/`.
        seconds: wall time with the evaluation.
        cpu_seconds: CPU time of the process, over all of its threads.
        gradients: encoder -> pair of edges -> cosine; only of the base.
        probed: test samples of the linear probe of all views; 0 = it was not measured.
        queries: test samples that retrieval between views was measured on; 0 = it was not measured.
        chance: the share of them that chance finds at the first try, as a mean over directions.
        one_class: whether the probe of all views names the commonest class for every sample, with
            every encoder; then `values` lacks it, because it cannot tell encoders apart.
    """

    seed: int
    values: dict[str, float]
    controls: dict[str, float]
    seconds: float
    cpu_seconds: float
    gradients: dict[str, dict[str, float]] = field(default_factory=dict)
    probed: int = 0
    queries: int = 0
    chance: float = 0.0
    one_class: bool = False

    def mean_of(self, names: Sequence[str]) -> float | None:
        """The mean over those of the names that were measured; None when none was."""
        found = [self.values[name] for name in names if name in self.values]
        return fmean(found) if found else None


def values_of(rows: Sequence[Measure], weights: str) -> dict[str, float]:
    """The numbers of one kind of weights."""
    own = [row for row in rows if row.weights == weights]
    probed = [row for row in own if row.measure == LINEAR]
    values = {f"{PROBE}/{row.group}": row.value for row in probed if len(row.views) == 1}
    if probed:
        values |= {PROBE: headline(probed)[0].value}
    values |= {f"{FOUND}/{row.group}": row.value for row in own if row.measure == FIRST_TRY}
    kept = (row for row in own if row.measure.startswith(KEPT))
    return values | {f"{KEEPS}/{row.measure.removeprefix(KEPT)}/{row.group}": max(0.0, row.value) for row in kept}


def outcome_of(job: Job) -> Outcome:
    """The numbers of a finished run."""
    measured = evaluation(job.folder) or ()
    rows = [row for row in measured if row.measure != LINEAR or _tells(row, measured)]
    cost = json.loads((job.folder / "study.json").read_text("utf-8"))
    found = [row for row in rows if row.measure == FIRST_TRY and row.weights == TRAINED]
    probed = [row for row in rows if row.measure == LINEAR and row.weights == TRAINED]
    controls = {
        f"{weights}/{name}": value
        for weights in (RANDOM, RAW, RIDGE, CCA)
        for name, value in values_of(rows, weights).items()
    }
    return Outcome(
        seed=job.seed,
        values=values_of(rows, TRAINED),
        controls=controls,
        seconds=cost["seconds"],
        cpu_seconds=cost["cpu_seconds"],
        gradients=_gradients(job.folder / "gradients.json"),
        probed=headline(probed)[0].tested if probed else 0,
        queries=max((row.tested for row in found), default=0),
        chance=fmean([row.facts.get("chance", 0.0) for row in found]) if found else 0.0,
        one_class=len(rows) < len(measured) and not any(row.measure == LINEAR and len(row.views) > 1 for row in rows),
    )


def _tells(row: Measure, rows: Sequence[Measure]) -> bool:
    """Whether the probe of a group of views can tell its encoders apart."""
    return not knows_one_class([each for each in rows if each.measure == LINEAR and each.group == row.group])


def _gradients(file: Path) -> dict[str, dict[str, float]]:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def outcomes(study: Path, plan: Plan) -> dict[Variant, list[Outcome]]:
    """The finished runs of every variant, by rising seed."""
    found: dict[Variant, list[Outcome]] = {variant: [] for variant in plan.variants}
    for job in plan.jobs(study):
        if job.done:
            found[job.variant].append(outcome_of(job))
    return found
