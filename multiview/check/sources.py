"""The laws of a source, and `multiview check source NAME [INPUT]`."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from multiview.check.laws import Broken, Law, demand, frozen, judged, refused, report, undocumented
from multiview.commandline import HELP
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample, Plan
from multiview.errors import MultiviewError
from multiview.options import parse
from multiview.plugins import load

READ = 16
"""Samples that are read, spread over the plan."""


@dataclass(frozen=True)
class Trial:
    """A source under test and what it is to read (None where it needs no input)."""

    source: Any
    root: Path | None

    @cached_property
    def plan(self) -> Plan:
        """What it plans."""
        made: Plan = self.source.plan(self.root)
        return made

    @cached_property
    def chosen(self) -> list[int]:
        """Row numbers of some samples."""
        return np.unique(np.linspace(0, len(self.plan.rows) - 1, READ).astype(int)).tolist()

    @cached_property
    def samples(self) -> dict[int, Mapping[str, np.ndarray]]:
        """What those rows give, without the ones that cannot be read."""
        return {number: sample for number in self.chosen if (sample := _read(self.plan, number)) is not None}


def _read(plan: Plan, number: int) -> Mapping[str, np.ndarray] | None:
    try:
        return plan.read(number)
    except BadSample:
        return None


def options(trial: Trial) -> str:
    """It is a frozen dataclass, says whether it needs input, and its docstring explains every field."""
    kind = type(trial.source)
    demand(
        frozen(kind),
        "it is no frozen dataclass; write @dataclass(frozen=True, kw_only=True)",
    )
    demand(isinstance(kind.needs_input, bool), "say needs_input: ClassVar[bool] = True or False")
    silent = undocumented(kind)
    demand(not silent, f"its docstring's Args say nothing of {', '.join(silent)}")
    return ", ".join(field.name for field in fields(kind)) or "none"


def same_plan(trial: Trial) -> str:
    """Planned twice, it is the same; there is a row, and ids are unique."""
    first, again = trial.plan, trial.source.plan(trial.root)
    demand(len(first.rows) > 0, "it plans no row of this input; raise a MultiviewError that says what it looks for")
    demand(
        list(first.rows) == list(again.rows) and first.modalities == again.modalities,
        "two plans differ; let the order depend on the input alone, sorted",
    )
    ids = [row.id for row in first.rows]
    twice = next((name for name in ids if ids.count(name) > 1), None) if len(set(ids)) < len(ids) else None
    demand(twice is None, f"the id '{twice}' stands twice; ids must be unique")
    return f"{len(ids)} rows"


def modalities(trial: Trial) -> str:
    """Its modalities have distinct names, and at least one sample each."""
    declared = [each.name for each in trial.plan.modalities]
    demand(
        declared and len(set(declared)) == len(declared),
        f"modalities are {', '.join(declared) or 'none'}; give distinct names",
    )
    demand(trial.samples, "not one of the samples tried can be read")
    unknown = {name for sample in trial.samples.values() for name in sample} - set(declared)
    demand(not unknown, f"samples hold {', '.join(sorted(unknown))}, which the plan does not declare")
    return ", ".join(f"{each.name} {each.kind}" for each in trial.plan.modalities)


def labels(trial: Trial) -> str:
    """Classes and splits are words, and the plan's classes hold every label."""
    rows, classes = trial.plan.rows, trial.plan.classes
    found = {row.label for row in rows if row.label is not None}
    demand(
        all(isinstance(word, str) for row in rows for word in (row.label, row.split) if word is not None),
        "a label or split is no string",
    )
    unknown = sorted(found - set(classes)) if classes is not None else []
    demand(not unknown, f"the label '{(unknown or [''])[0]}' is not among the plan's classes")
    splits = sorted({str(row.split) for row in rows})
    return f"{len(found)} classes, splits {', '.join(splits)}"


def shape_and_dtype(trial: Trial) -> None:
    """Every array has the dtype and shape that its modality declares."""
    for number, sample in trial.samples.items():
        for each in trial.plan.modalities:
            if each.name in sample:
                trouble = _misfit(each, sample[each.name])
                demand(not trouble, f"row {number}, {each.name}: {trouble}")


def finite(trial: Trial) -> None:
    """No number is NaN or infinite."""
    for number, sample in trial.samples.items():
        for name, array in sample.items():
            demand(
                array.dtype.kind != "f" or np.isfinite(array).all(),
                f"row {number}, {name}: NaN or infinite; raise BadSample with the reason",
            )


def missing(trial: Trial) -> str:
    """A sample that lacks a modality leaves it out; one that cannot be read raises BadSample."""
    holes = sum(len(sample) < len(trial.plan.modalities) for sample in trial.samples.values())
    return f"of {len(trial.chosen)} samples tried {holes} lack a modality, {len(trial.chosen) - len(trial.samples)} cannot be read"


def deterministic(trial: Trial) -> None:
    """Read twice, a sample is the same."""
    for number, sample in trial.samples.items():
        demand(
            _same(sample, trial.plan.read(number)),
            f"row {number} read twice differs; draw from a seed and the row's number",
        )


def picklable(trial: Trial) -> None:
    """Its reader can be sent to another process and reads the same there."""
    try:
        read = pickle.loads(pickle.dumps(trial.plan.read))
    except Exception as error:
        raise Broken(
            f"{type(error).__name__}: {error}; make read a frozen dataclass with __call__, no lambda or open file"
        ) from error
    for number, sample in trial.samples.items():
        demand(_same(sample, read(number)), f"row {number} read by a pickled reader differs")


def wrong_input(trial: Trial) -> str | None:
    """An empty folder and one that does not exist are refused in words."""
    if not trial.source.needs_input:
        return "it needs no input"
    with tempfile.TemporaryDirectory() as folder:
        refused(lambda: trial.source.plan(Path(folder)), "an empty folder")
        refused(lambda: trial.source.plan(Path(folder) / "nowhere"), "a folder that does not exist")
    return None


def _misfit(modality: Modality, array: Any) -> str:
    if not isinstance(array, np.ndarray):
        return f"it is a {type(array).__name__}, not an array"
    if array.dtype != np.dtype(modality.dtype):
        return f"its dtype is {array.dtype}, declared is {modality.dtype}"
    fits = array.ndim == len(modality.shape) and all(
        want in (ANY, have) for want, have in zip(modality.shape, array.shape, strict=True)
    )
    return "" if fits else f"its shape is {array.shape}, declared is {modality.shape}"


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


LAWS: tuple[Law[Trial], ...] = (
    options,
    same_plan,
    modalities,
    labels,
    shape_and_dtype,
    finite,
    missing,
    deterministic,
    picklable,
    wrong_input,
)


def run(name: str, words: Sequence[str]) -> int:
    """multiview check source SOURCE [INPUT] [options]: 0 when all laws hold, 1 when one is broken."""
    kind, prog, rest = load("sources", name), f"multiview check source {name}", list(words)
    if kind.needs_input:
        prog += " INPUT"
    if kind.needs_input and not set(HELP) & set(rest) and (not rest or rest[0].startswith("-")):
        raise MultiviewError(f"INPUT is missing: the source '{name}' reads a folder or file; type `{prog}`.")
    root = Path(rest.pop(0)) if kind.needs_input and not rest[0].startswith("-") else None
    subject = Trial(parse(kind, rest, prog=prog), root)
    _ = subject.plan  # an INPUT that the source refuses is the user's mistake, not the source's
    return report(f"source {name}", judged(LAWS, subject))
