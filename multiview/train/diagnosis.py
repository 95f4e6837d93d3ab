"""What the numbers of a run's health mean, in words, where something is wrong. Every line is said once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from multiview.objectives.base import Objective

SETTLED = 50
"""Steps before which nothing is wrong yet: embeddings of fresh weights are alike, and no edge has learned."""


class Symptom(NamedTuple):
    """A measure, whether its value (with the others of the same edge or view) is a bad sign, and what to say then."""

    measure: str
    name: str
    bad: Callable[[float, Mapping[str, float]], bool]
    text: str


SYMPTOMS = (
    Symptom(
        "bound",
        "chance",
        lambda x, of: x < 0.02 * of["ceiling"],
        "edge {name}: loss is ln(K+1), nothing learned yet (information shown {bound:.2f} of {ceiling:.2f} nats). If it stays, try milder "
        "crops, a higher learning rate, or another temperature.",
    ),
    Symptom(
        "bound",
        "ceiling",
        lambda x, of: x > 0.98 * of["ceiling"],
        "edge {name}: solved, the loss cannot show more than ln(K+1) = {ceiling:.2f} nats. More negatives would ask more; so would stronger "
        "crops, if the views share something trivial.",
    ),
    Symptom(
        "std",
        "collapse",
        lambda x, _: x < 0.05,
        "view {name}: std -> 0, collapsed ({std:.3f} of 1/sqrt(d)): all samples have nearly the same embedding. Lower the learning rate, and "
        "look at the predictor, the key encoder's momentum or the temperature.",
    ),
    Symptom(
        "effective_rank",
        "directions",
        lambda x, of: x < 2 and of["std"] >= 0.05,
        "view {name}: embeddings use {effective_rank:.1f} directions: samples differ in hardly more than one number.",
    ),
    Symptom(
        "z_drift",
        "drift",
        lambda x, _: abs(x) > 1,
        "edge {name}: Z of a batch is e^{z_drift:.1f} times the Z in use, so that NCE weighs its negatives wrongly.",
    ),
)


class Doctor:
    """Finds symptoms in the numbers of a run, and remembers in `file` what it has said, so that a resumed run does not say it again.

    objectives: of the run's edges by name, for what to change of them.
    """

    def __init__(
        self, file: Path, resumed_at: int | None = None, objectives: Mapping[str, Objective] | None = None
    ) -> None:
        self.file, self.objectives = file, objectives or {}
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if resumed_at and file.is_file() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        kept = [line for line in whole if line["step"] <= (resumed_at or 0)]
        self.said = {(line["symptom"], line["of"]) for line in kept}
        self._write("w", kept)

    def look(self, step: int, values: Mapping[str, float]) -> list[str]:
        """New lines for `measure/name` values at a step; they are written down with it."""
        seen = diagnosed(values, self.objectives) if step >= SETTLED else ()
        found = [x for x in seen if (x["symptom"], x["of"]) not in self.said]
        self.said |= {(x["symptom"], x["of"]) for x in found}
        self._write("a", [{"step": step, **x} for x in found])
        return [x["text"] for x in found]

    def _write(self, mode: str, lines: list[dict[str, object]]) -> None:
        with self.file.open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def diagnosed(
    values: Mapping[str, float], objectives: Mapping[str, Objective] | None = None
) -> Iterator[dict[str, str]]:
    """Every symptom in `measure/name` values, with what the edge's objective has against it."""
    names = dict.fromkeys(key.split("/", 1)[1] for key in values if "/" in key)
    for name in names:
        of = {key.split("/", 1)[0]: x for key, x in values.items() if key.endswith(f"/{name}") and key.count("/") == 1}
        for symptom in SYMPTOMS:
            if symptom.measure in of and symptom.bad(of[symptom.measure], of):
                remedy = objectives[name].remedy(symptom.name) if objectives and name in objectives else ""
                text = f"{symptom.text.format(name=name, **of)} {remedy}".rstrip()
                yield {"symptom": symptom.name, "of": name, "text": text}
