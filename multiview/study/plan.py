"""The plan of a study: its variants, its seeds, and where each run lies. Read without PyTorch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError
from multiview.files import in_full, replace_text
from multiview.measure.rows import RANDOM, RAW
from multiview.parsing import parsing

FILE, RUNS, LOGS, DONE = "plan.json", "runs", "logs", "study.json"
"""Names within a study, and of the file that a finished run holds."""
BASE, VIEW, EDGE, TOPOLOGY, ALONE, OPTION = "base", "view", "edge", "topology", "alone", "option"
"""What a variant changes: nothing, a view or edge less, other edges, one view, an option."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One setting of a study.

    Args:
        name: of its runs; letters, digits, `_`, `-`, `.` and `=`.
        kind: what it changes, such as `view`.
        subject: the view, edge or option that it is about; `all` for the base.
        recipe: the recipe that trains it.
        words: the options of the recipe.
    """

    name: str
    kind: str
    subject: str
    recipe: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a study: a variant with a seed, in a folder."""

    variant: Variant
    seed: int
    folder: Path
    log: Path

    @property
    def done(self) -> bool:
        """Whether the run was trained and measured to its end."""
        return (self.folder / DONE).is_file()

    @property
    def seconds(self) -> float:
        """Wall time of the finished run, with its evaluation."""
        return float(json.loads((self.folder / DONE).read_text("utf-8"))["seconds"])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study trains.

    Args:
        variants: the base first.
        seeds: every variant is trained with each of them.
        dim: width to which the features of every run are reduced before a probe (None = the width
            of the narrowest encoder of the run).
        subsets: whether every set of views is probed.
        gradients: whether the runs of the base measure how the gradients of edges agree.
        controls: what is measured beside the trained weights; runs of the first seed also measure
            random weights and raw values, which hardly depend on the seed.
    """

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    dim: int | None = None
    subsets: bool = False
    gradients: bool = True
    controls: tuple[str, ...] = ()

    def controls_of(self, job: Job) -> tuple[str, ...]:
        """The controls that a run measures."""
        return tuple(dict.fromkeys((*self.controls, *((RANDOM, RAW) if job.seed == self.seeds[0] else ()))))

    def jobs(self, study: Path) -> list[Job]:
        """Every run, seed by seed, so that a stopped study has complete pairs."""
        return [job_of(study, variant, seed) for seed in self.seeds for variant in self.variants]


def job_of(study: Path, variant: Variant, seed: int) -> Job:
    """The run of a variant and a seed."""
    name = f"{variant.name}.seed-{seed}"
    return Job(variant=variant, seed=seed, folder=study / RUNS / name, log=study / LOGS / f"{name}.log")


def write_plan(study: Path, plan: Plan) -> None:
    """Writes the plan into the folder of the study, which is made.

    Raises MultiviewError when finished runs belong to another setting of the same name, or the
    folder cannot be written.
    """
    try:
        study.mkdir(parents=True, exist_ok=True)
        _refuse_another(study, plan)
        (study / LOGS).mkdir(exist_ok=True)
        replace_text(study / FILE, json.dumps(asdict(plan), indent=1) + "\n")
    except OSError as cause:
        raise MultiviewError(f"{study} cannot be written: {cause.strerror or cause}; give another --out.") from cause


def _refuse_another(study: Path, plan: Plan) -> None:
    if not (study / FILE).is_file():
        if any(study.iterdir()):
            raise MultiviewError(f"{study} is not empty and holds no study; give another --out.")
        return
    before = {variant.name: variant for variant in read_plan(study).variants}
    for variant in plan.variants:
        old = before.get(variant.name, variant)
        if _in_full(old) != _in_full(variant) and any((study / RUNS).glob(f"{variant.name}.seed-*/{DONE}")):
            raise MultiviewError(
                f"{study} holds finished runs of another setting called {variant.name}; give another --out, or "
                "repeat the command of that study to continue it."
            )


def _in_full(variant: Variant) -> Variant:
    """The variant with the paths among its words written out, as --out may be given in two ways."""
    return replace(variant, words=tuple(map(in_full, variant.words)))


def read_plan(study: Path) -> Plan:
    """The plan of a study; raises MultiviewError for a folder that holds none."""
    with parsing(f"{study} is no study: its {FILE}", "Type the folder that `multiview study` wrote."):
        plain: dict[str, Any] = json.loads((study / FILE).read_text("utf-8"))
        variants = tuple(Variant(**{**each, "words": tuple(each["words"])}) for each in plain.pop("variants"))
        seeds, controls = (tuple(plain.pop(name)) for name in ("seeds", "controls"))
        return Plan(variants=variants, seeds=seeds, controls=controls, **plain)
