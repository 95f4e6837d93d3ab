"""A process of a study: trains and measures the runs whose numbers it reads, one after the other.

`python -m multiview.study.worker STUDY NUMBER PROCESSES` reads the number of a run per line and
answers each with one line of JSON. The first imports of PyTorch, which take seconds, are paid once
per process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from rich.console import Console

from multiview.errors import MultiviewError
from multiview.files import replace_text
from multiview.launch import parse_named
from multiview.measure.linear import Probes
from multiview.recipe import Recipe
from multiview.recipe_origin import origin_of, remember, short_name
from multiview.study.plan import BASE, DONE, Job, Plan, read_plan
from multiview.train.checkpoint import any_saved
from multiview.train.runfolder import CHECKPOINTS, CONFIG
from multiview.trained import Trained

GRADIENTS = "gradients.json"
SPENT = "spent.json"
"""Seconds of a run until it was stopped; it becomes `DONE` when the run is finished."""


def main(study: Path, number: int, processes: int) -> None:
    """Answers until the input ends, or until a signal stopped a run."""
    _take_cores(number, processes)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    plan = read_plan(study)
    jobs, probes = plan.jobs(study), Probes()
    for line in sys.stdin:
        answer = _answer(jobs[int(line)], plan, probes)
        answers.write(json.dumps({"job": int(line), **answer}) + "\n")
        if answer.get("stopped"):
            return


def _take_cores(number: int, processes: int) -> None:
    """Gives this process cores of its own, because threads that wait for a core are slow."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if mine := cores[number::processes]:
        os.sched_setaffinity(0, mine)


def _answer(job: Job, plan: Plan, probes: Probes) -> dict[str, object]:
    """Runs a job with its output in its log."""
    with job.log.open("a", encoding="utf-8") as log:
        _redirect(log)
        try:
            return {"stopped": run_job(job, plan, probes)}
        except MultiviewError as error:
            return {"error": str(error)}


def _redirect(log: TextIO) -> None:
    sys.stdout.flush()
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)


@dataclass(frozen=True)
class Clock:
    """Seconds since it was made, and those of earlier parts of a run."""

    seconds: float
    cpu_seconds: float

    @classmethod
    def begun(cls, folder: Path | None) -> Clock:
        """A clock that goes on from what the run in `folder` had taken (None = from zero)."""
        spent = {"seconds": 0.0, "cpu_seconds": 0.0}
        if folder is not None and (folder / SPENT).is_file():
            spent = json.loads((folder / SPENT).read_text("utf-8"))
        return cls(spent["seconds"] - time.monotonic(), spent["cpu_seconds"] - time.process_time())

    def write(self, folder: Path) -> None:
        """Writes what the run has taken until now, if it has a folder already."""
        seconds, cpu = self.seconds + time.monotonic(), self.cpu_seconds + time.process_time()
        if folder.is_dir():
            cost = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
            replace_text(folder / SPENT, json.dumps(cost) + "\n")


def run_job(job: Job, plan: Plan, probes: Probes | None = None) -> int:
    """Trains and measures one run, or continues it; returns the signal that stopped it, else 0.

    probes: those of earlier runs in this process, which have the same raw control.
    """
    recipe = _recipe(job)
    clock = Clock.begun(job.folder if recipe.resume else None)
    try:
        stopped = _trained_and_measured(job, plan, recipe, probes)
    finally:
        clock.write(job.folder)
    if not stopped:
        (job.folder / SPENT).replace(job.folder / DONE)
    return stopped


def _trained_and_measured(job: Job, plan: Plan, recipe: Recipe, probes: Probes | None) -> int:
    from multiview.run import run
    from multiview.study.gradients import agreement

    origin = origin_of(type(recipe))
    remember(origin)

    def measure(trained: Trained, _: Recipe, console: Console) -> None:
        from multiview.measure.evaluate import evaluate

        controls = plan.controls_of(job)
        evaluate(trained, console=console, dim=plan.dim, subsets=plan.subsets, controls=controls, probes=probes)

    trained = run(recipe, name=short_name(type(recipe)), origin=origin, steps=(measure,))
    if trained is not None and trained.stopped_by:
        return trained.stopped_by
    if plan.gradients and job.variant.kind == BASE:
        replace_text(job.folder / GRADIENTS, json.dumps(agreement(job.folder)) + "\n")
    return 0


def _recipe(job: Job) -> Recipe:
    """The recipe of a job, which continues the run where a checkpoint was left."""
    words = [*job.variant.words, f"--seed={job.seed}", f"--out={job.folder}"]
    recipe = parse_named(job.variant.recipe, words, f"multiview train {job.variant.recipe}")
    begun = (job.folder / CONFIG).is_file()
    resume = begun and any_saved(job.folder / CHECKPOINTS)
    return replace(recipe, resume=resume, overwrite=begun and not resume, plan=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
