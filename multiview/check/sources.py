"""The laws of a source, and `multiview check source SOURCE [INPUT]`."""

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
from multiview.plurals import counted

READ = 16
"""Number of samples to read, spread over the plan."""


@dataclass(frozen=True)
class Trial:
    """A source under test and its input (None for a source without input)."""

    source: Any
    root: Path | None

    @cached_property
    def plan(self) -> Plan:
        """The plan of the source."""
        made: Plan = self.source.plan(self.root)
        return made

    @cached_property
    def chosen(self) -> list[int]:
        """The row numbers of the samples to read."""
        return np.unique(np.linspace(0, len(self.plan.rows) - 1, READ).astype(int)).tolist()

    @cached_property
    def samples(self) -> dict[int, Mapping[str, np.ndarray]]:
        """The chosen samples by row number, without unreadable ones."""
        return {number: sample for number in self.chosen if (sample := _read(self.plan, number)) is not None}


def _read(plan: Plan, number: int) -> Mapping[str, np.ndarray] | None:
    try:
        return plan.read(number)
    except BadSample:
        return None


def options(trial: Trial) -> str:
    """The source is a frozen dataclass with `needs_input` and a docstring for every field."""
    kind = type(trial.source)
    demand(
        frozen(kind),
        "it is not a frozen dataclass; write @dataclass(frozen=True, kw_only=True)",
    )
    demand(isinstance(kind.needs_input, bool), "say needs_input: ClassVar[bool] = True or False")
    missing = undocumented(kind)
    demand(not missing, f"the Args of its docstring leave out {', '.join(missing)}; explain every option there")
    return ", ".join(field.name for field in fields(kind)) or "none"


def same_plan(trial: Trial) -> str:
    """Two plans are equal, have at least one row, and have unique ids."""
    first, again = trial.plan, trial.source.plan(trial.root)
    demand(
        len(first.rows) > 0, "its plan of this input has no rows; raise a MultiviewError that says which files it needs"
    )
    demand(
        list(first.rows) == list(again.rows) and first.modalities == again.modalities,
        "two plans differ; let the order depend on the input alone, sorted",
    )
    ids = [row.id for row in first.rows]
    twice = next((name for name in ids if ids.count(name) > 1), None) if len(set(ids)) < len(ids) else None
    demand(twice is None, f"two rows have the id '{twice}'; make ids unique")
    return counted(len(ids), "row")


def modalities(trial: Trial) -> str:
    """Modalities have distinct names, and samples hold only declared modalities."""
    declared = [each.name for each in trial.plan.modalities]
    demand(
        declared and len(set(declared)) == len(declared),
        f"modalities are {', '.join(declared) or 'none'}; give distinct names",
    )
    demand(trial.samples, "none of the samples that were tried can be read")
    unknown = {name for sample in trial.samples.values() for name in sample} - set(declared)
    demand(not unknown, f"samples hold {', '.join(sorted(unknown))}, which the plan does not declare")
    return ", ".join(f"{each.name} {each.kind}" for each in trial.plan.modalities)


def labels(trial: Trial) -> str:
    """Labels and splits are strings, and the classes of the plan hold every label."""
    rows, classes = trial.plan.rows, trial.plan.classes
    found = {row.label for row in rows if row.label is not None}
    demand(
        all(isinstance(word, str) for row in rows for word in (row.label, row.split) if word is not None),
        "a label or split is not a string; give strings",
    )
    unknown = sorted(found - set(classes)) if classes is not None else []
    demand(not unknown, f"the label '{(unknown or [''])[0]}' is not among the plan's classes")
    splits = sorted({str(row.split) for row in rows})
    return f"{counted(len(found), 'class', 'classes')}, splits {', '.join(splits)}"


def shape_and_dtype(trial: Trial) -> None:
    """Every array has the dtype and shape that its modality declares."""
    for number, sample in trial.samples.items():
        for each in trial.plan.modalities:
            if each.name in sample:
                trouble = _misfit(each, sample[each.name])
                demand(not trouble, f"row {number}, {each.name}: {trouble}")


def finite(trial: Trial) -> None:
    """All numbers are finite."""
    for number, sample in trial.samples.items():
        for name, array in sample.items():
            demand(
                array.dtype.kind != "f" or np.isfinite(array).all(),
                f"row {number}, {name}: NaN or infinite; raise BadSample with the reason",
            )


def missing(trial: Trial) -> str:
    """A sample leaves out a modality that it lacks; an unreadable sample raises BadSample."""
    tried = len(trial.chosen)
    holes = sum(len(sample) < len(trial.plan.modalities) for sample in trial.samples.values())
    return f"{holes} of {tried} samples lack a modality, {tried - len(trial.samples)} cannot be read"


def deterministic(trial: Trial) -> None:
    """A sample that is read twice is the same."""
    for number, sample in trial.samples.items():
        demand(
            _same(sample, trial.plan.read(number)),
            f"row {number} read twice differs; draw random numbers from a seed and the row's number",
        )


def picklable(trial: Trial) -> None:
    """The reader can be pickled, and the copy reads the same."""
    try:
        read = pickle.loads(pickle.dumps(trial.plan.read))
    except Exception as error:
        raise Broken(
            f"{type(error).__name__}: {error}; make read a frozen dataclass with __call__, no lambda or open file"
        ) from error
    for number, sample in trial.samples.items():
        demand(_same(sample, read(number)), f"row {number} read by a pickled reader differs")


def wrong_input(trial: Trial) -> str | None:
    """An empty folder and a folder that does not exist raise MultiviewError."""
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
    """multiview check source SOURCE [INPUT] [options]: 0 when all laws hold, else 1."""
    kind, prog, rest = load("sources", name), f"multiview check source {name}", list(words)
    if kind.needs_input:
        prog += " INPUT"
    if kind.needs_input and not set(HELP) & set(rest) and (not rest or rest[0].startswith("-")):
        raise MultiviewError(f"INPUT is missing: the source '{name}' reads a folder or file; type `{prog}`.")
    root = Path(rest.pop(0)) if kind.needs_input and not rest[0].startswith("-") else None
    subject = Trial(parse(kind, rest, prog=prog), root)
    _ = subject.plan  # an INPUT that the source refuses is the user's mistake, not the source's
    return report(f"source {name}", judged(LAWS, subject))
