"""Warnings about the health of a run, in words. Every warning is printed once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from multiview.config import Optimizer
from multiview.jsonlines import LineFile
from multiview.objectives.base import Objective
from multiview.objectives.collapse import collapse_advice
from multiview.plurals import counted

SETTLED, EARLIEST = 50, 20
"""Steps without warnings: at first, embeddings are alike and no edge has learned anything."""


def settled_after(steps: int) -> int:
    """From which step on a run of so many steps is warned; half of a short run, but never early."""
    return min(SETTLED, max(EARLIEST, steps // 2))


COLLAPSE = "collapse"
NO_LOSS = "no loss"
"""The symptom of an edge that had nothing to contrast."""


class Symptom(NamedTuple):
    """A bad sign in one measure.

    bad: takes the value and all measures of the same edge or view. text: the warning.
    """

    measure: str
    name: str
    bad: Callable[[float, Mapping[str, float]], bool]
    text: str


SYMPTOMS = (
    Symptom(
        "bound",
        "chance",
        lambda x, of: x < 0.02 * of["ceiling"],
        "edge {name}: almost nothing is learned yet. The loss is about that of a random guess, ln(K+1) = {ceiling:.2f} "
        "nats for K negatives. If this does not change in later epochs, try milder crops, a higher learning rate, or "
        "another temperature.",
    ),
    Symptom(
        "bound",
        "ceiling",
        lambda x, of: x > 0.98 * of["ceiling"],
        "edge {name}: the task is solved: the mutual information that the loss can show is near its maximum, ln(K+1) = "
        "{ceiling:.2f} nats for K negatives. Use more negatives. If the views share something trivial, use "
        "stronger crops.",
    ),
    Symptom(
        "std",
        COLLAPSE,
        lambda x, _: x < 0.05,
        "view {name}: collapsed: all samples have nearly the same embedding (std is {std:.3f} of 1/sqrt(d)).",
    ),
    Symptom(
        "effective_rank",
        "directions",
        lambda x, of: x < 2 and of["std"] >= 0.05,
        "view {name}: the embeddings use only {effective_rank:.1f} directions (effective rank): samples differ in "
        "little more than one number.",
    ),
    Symptom(
        "z_drift",
        "drift",
        lambda x, _: abs(x) > 1,
        "edge {name}: Z of a batch is e^{z_drift:.1f} times the Z in use. NCE therefore weights the negatives wrongly.",
    ),
)


class Doctor:
    """Finds symptoms in the numbers of a run, and gives each warning once, also in a resumed run.

    Args:
        file: where warnings are written down.
        resumed_at: the step at which the run continues; None for a new run.
        objectives: the objective of each edge by name; it says what to change.
        settled: steps without warnings at the start.
        optimizer: of the run, for advice; None when it is not known.
        python: whether the run was started from Python, for advice.
        patience: steps for which an edge must have learned nothing before that is said.
        constant: views whose values are all alike, which has been said: they get no other advice.
    """

    def __init__(
        self,
        file: Path,
        resumed_at: int | None = None,
        objectives: Mapping[str, Objective] | None = None,
        patience: int = 0,
        constant: Collection[str] = (),
        settled: int = SETTLED,
        optimizer: Optimizer | None = None,
        python: bool = False,
    ) -> None:
        self.settled, self.optimizer, self.python = settled, optimizer, python
        self.objectives = objectives or {}
        self.patience, self.constant = patience, constant
        self.since: dict[tuple[str, str], int] = {}
        self.lines = LineFile(file)
        earlier = self.lines.keep_until(resumed_at or 0)
        self.reported = {(str(line.get("symptom")), str(line.get("of"))) for line in earlier}

    def look(self, step: int, values: Mapping[str, float]) -> list[str]:
        """New warnings for the values `measure/name` of a step; also writes them down."""
        symptoms = self._noted(step, values)
        lasting = [x for x in symptoms if self._lasts(x["symptom"], x["of"], step)]
        new = [x for x in lasting if (x["symptom"], x["of"]) not in self.reported]
        self.reported |= {(x["symptom"], x["of"]) for x in new}
        self.lines.append([{"step": step, **x} for x in new])
        return [x["text"] for x in new]

    def recall(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Notes since when each symptom was there in the lines of metrics before a resume."""
        for line in lines:
            values = {name: x for name, x in line.items() if isinstance(x, int | float)}
            if "lr" in values:
                with suppress(LookupError):  # an older version wrote fewer measures
                    self._noted(int(values["step"]), values)

    def _noted(self, step: int, values: Mapping[str, float]) -> list[dict[str, str]]:
        """The symptoms of a step; also notes since when each of them is there."""
        found = [*diagnosed(values, self.objectives, self.optimizer, self.python), *self._without_loss(step, values)]
        symptoms = [x for x in found if not self._is_constant(x["of"])]
        seen = {(x["symptom"], x["of"]): step for x in symptoms}
        self.since = {key: self.since.get(key, now) for key, now in seen.items()}
        return symptoms

    def _lasts(self, symptom: str, of: str, step: int) -> bool:
        """Whether a symptom has been there long enough: every edge begins at chance."""
        if symptom == NO_LOSS:
            return True
        return step >= self.settled and (symptom != "chance" or step - self.since[symptom, of] >= self.patience)

    def _without_loss(self, step: int, values: Mapping[str, float]) -> list[dict[str, str]]:
        """The edges that a line of training lacks; at step 1 a queue may still be empty."""
        silent = [name for name in self.objectives if f"loss/{name}" not in values]
        if step == 1 or "samples_per_second" not in values:
            return []
        return [{"symptom": NO_LOSS, "of": name, "text": self._why_no_loss(name)} for name in silent]

    def _why_no_loss(self, name: str) -> str:
        least = counted(self.objectives[name].least_rows, "sample")
        return (
            f"edge {name}: no loss, because no batch since the last line held anything to contrast, which is at least "
            f"{least} with all views of the edge. `multiview inspect STORE` shows how many samples have each view; "
            "give a larger --batch, or leave the edge out."
        )

    def _is_constant(self, of: str) -> bool:
        """Whether an edge `a-b:objective` or a view `a:edge` has a constant view."""
        return any(view in self.constant for view in of.split(":")[0].split("-"))


def diagnosed(
    values: Mapping[str, float],
    objectives: Mapping[str, Objective] | None = None,
    optimizer: Optimizer | None = None,
    python: bool = False,
) -> Iterator[dict[str, str]]:
    """Every symptom in the values `measure/name`, with the remedy of the edge's objective."""
    names = dict.fromkeys(key.split("/", 1)[1] for key in values if "/" in key)
    for name in names:
        of = {key.split("/", 1)[0]: x for key, x in values.items() if key.endswith(f"/{name}") and key.count("/") == 1}
        for symptom in SYMPTOMS:
            if symptom.measure in of and symptom.bad(of[symptom.measure], of):
                remedy = objectives[name].remedy(symptom.name) if objectives and name in objectives else ""
                if symptom.name == COLLAPSE:
                    remedy = collapse_advice(_edges_of(name, objectives or {}), optimizer, python)
                text = f"{symptom.text.format(name=name, **of)} {remedy}".rstrip()
                yield {"symptom": symptom.name, "of": name, "text": text}


def _edges_of(view: str, objectives: Mapping[str, Objective]) -> dict[str, Objective]:
    """The objectives of the edges of a view, or of `view:projector`; of all edges if none fits."""
    name = view.partition(":")[0]
    return {edge: each for edge, each in objectives.items() if name in edge.split(":")[0].split("-")} or {**objectives}
