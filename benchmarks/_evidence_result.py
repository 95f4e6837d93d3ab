"""What the runs of a claim measured, and whether the claim holds."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from _commits import commits_of
from _evidence_page import FAILS, HOLDS
from _evidence_variants import Claim, said_of

from multiview.measure.rows import CCA, LINEAR, RIDGE, TRAINED, Measure
from multiview.measure.sentences import headline
from multiview.runs import evaluation, read
from multiview.settings import t_interval
from multiview.study.outcome import FOUND, PROBE, Outcome, outcome_of
from multiview.study.plan import Job, Plan

CONTROLS = ("random", "raw")
"""The controls on the page."""
SPREAD = "spread"
"""The last logged spread of the embeddings, times sqrt(dim): 1 on a whole sphere, 0 in collapse."""

Found = Mapping[str, Sequence[Outcome]]


def result_of(claim: Claim, plan: Plan, study: Path) -> dict[str, Any] | None:
    """Numbers of every variant, differences and verdict; None while runs are missing."""
    jobs = {name: _jobs_of(said_of(claim, name, "runs_of", name), plan, study) for name in claim["variants"]}
    if not all(job.done for each in jobs.values() for job in each):
        return None
    measures = {name: said_of(claim, name, "measure", claim["measure"]) for name in jobs}
    result = judged(claim, {name: [_outcome(job, measures[name]) for job in each] for name, each in jobs.items()})
    if claim["measure"] == FOUND:
        result["plain"] = plain_controls(next(iter(jobs.values()))[0])
    result["widths"] = sorted({width for name, each in jobs.items() for width in _widths(measures[name], each)})
    return result | {
        "commit": commits_of([job.folder for each in jobs.values() for job in each]),
        "date": time.strftime("%Y-%m-%d"),
    }


def _jobs_of(variant: str, plan: Plan, study: Path) -> list[Job]:
    return [job for job in plan.jobs(study) if job.variant.name == variant]


def _outcome(job: Job, measure: str) -> Outcome:
    found = outcome_of(job)
    return replace(found, values={**found.values, SPREAD: spread_of(job.folder)}) if measure == SPREAD else found


def spread_of(folder: Path) -> float:
    """The last logged spread of a run's embeddings, as a share of that of a whole sphere."""
    run = read(folder)
    dim = run.config["objective"]["dim"]
    return fmean(each["spread"] for each in run.health.values() if "spread" in each) * math.sqrt(dim)


def judged(claim: Claim, found: Found) -> dict[str, Any]:
    """The verdict, the differences in words, and the numbers of every variant by seed."""
    measures = {name: said_of(claim, name, "measure", claim["measure"]) for name in found}
    numbers = {name: _numbers(measures[name], runs) for name, runs in found.items()}
    base, *others = numbers
    pairs = {other: _minus(numbers[base]["trained"], numbers[other]["trained"]) for other in others}
    over = {
        name: _minus(each["trained"], each["random"]) for name, each in numbers.items() if None not in each["random"]
    }
    decisive = [over[base]] if claim["expect"] == "untrained" else list(pairs.values())
    return {
        "claim": claim["claim"],
        "verdict": verdict(claim["expect"], least_of(claim), decisive),
        "differences": [f"{base} minus {other}: {in_points(each)}" for other, each in pairs.items()],
        "over_random": {name: in_points(each) for name, each in over.items()},
        "pairs": pairs,
        "seeds": [run.seed for run in found[base]],
        "variants": numbers,
    }


def least_of(claim: Claim) -> float:
    """What a difference must lie above: `by` of a higher base, minus `within` of the others."""
    return (claim.get("by", 0) if claim["expect"] == "higher" else -claim["within"]) / 100


def verdict(expect: str, least: float, pairs: Sequence[Sequence[float]]) -> str:
    """Whether a claim holds: all 95 % intervals of its paired differences lie above `least`.

    equal: also all below -`least`.
    """
    if any(len(pair) < 2 for pair in pairs):
        return f"{FAILS} (one seed: no interval)"
    ends = [(interval.low, interval.high) for interval in map(t_interval, pairs)]
    if expect == "equal":
        return HOLDS if all(least < low and high < -least for low, high in ends) else FAILS
    if all(low > least for low, _ in ends):
        return HOLDS
    if all(low > 0 for low, _ in ends):
        return f"{FAILS} (the difference is clear, but smaller)"
    return f"{FAILS} (the opposite is clear)" if any(high < 0 for _, high in ends) else f"{FAILS} (no clear difference)"


def in_points(pair: Sequence[float]) -> str:
    """`+7.0 [4.1, 9.8] points`; without the interval for one seed."""
    if len(pair) < 2:
        return f"{100 * pair[0]:+.1f} points"
    margin = t_interval(pair)
    return f"{100 * margin.points:+.1f} [{100 * margin.low:.1f}, {100 * margin.high:.1f}] points"


def plain_controls(job: Job) -> dict[str, float]:
    """Ridge regression and CCA, which depend on the data alone: measured once, on the first run."""
    found = outcome_of(job)
    if not any(name.startswith(f"{RIDGE}/") for name in found.controls):
        _evaluate_again(job.folder)
        found = outcome_of(job)
    names = [name for name in found.values if name.startswith(f"{FOUND}/")]
    return {kind: value for kind in (RIDGE, CCA) if (value := _mean(found.controls, kind, names)) is not None}


def _evaluate_again(folder: Path) -> None:
    from rich.console import Console

    import multiview as mv
    from multiview.measure.evaluate import evaluate

    evaluate(mv.load(folder), console=Console(quiet=True))


def _numbers(measure: str, runs: Sequence[Outcome]) -> dict[str, list[float | None]]:
    """The trained value, the controls and the CPU seconds of every run."""
    names = [name for name in runs[0].values if name.startswith(f"{FOUND}/")] if measure == FOUND else [measure]
    controls = {kind: [_mean(run.controls, kind, names) for run in runs] for kind in CONTROLS}
    trained = [run.mean_of(names) for run in runs]
    return {"trained": trained, **controls, "cpu_seconds": [run.cpu_seconds for run in runs]}


def _mean(values: Mapping[str, float], kind: str, names: Sequence[str]) -> float | None:
    known = [values[f"{kind}/{name}"] for name in names if f"{kind}/{name}" in values]
    return round(fmean(known), 5) if known else None


def _minus(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[float]:
    """The paired differences of seeds."""
    return [round(x - y, 5) for x, y in zip(ours, theirs, strict=True) if x is not None and y is not None]


def _widths(measure: str, jobs: Sequence[Job]) -> set[int]:
    """How many numbers the probes of the trained features saw."""
    if not measure.startswith(PROBE):
        return set()
    return {_probe_of(measure, evaluation(job.folder) or ()).width for job in jobs}


def _probe_of(measure: str, rows: Sequence[Measure]) -> Measure:
    probed = [row for row in rows if row.measure == LINEAR and row.weights == TRAINED]
    view = measure.partition("/")[2]
    return next(row for row in probed if row.group == view) if view else headline(probed)[0]
