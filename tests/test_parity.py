"""Several processes train what one would: losses, gradients, parameters and memories in float64."""

from __future__ import annotations

from functools import partial

import pytest
from trials import trial

import multiview as mv
from multiview.check.parity import TOLERANCE, Difference, differences, traces

OBJECTIVES = {
    "cmc": partial(trial, mv.CMC(negatives=7, dim=5)),
    "moco": partial(trial, mv.MoCo(queue=11, dim=5, momentum=0.9)),
    "simclr": partial(trial, mv.SimCLR(dim=5)),
    "simsiam": partial(trial, mv.SimSiam(dim=5, predictor=4), evaluation=True),
}


@pytest.fixture(scope="module")
def found() -> dict[str, list[Difference]]:
    trials = OBJECTIVES | {f"{name}, missing": partial(make, missing=True) for name, make in OBJECTIVES.items()}
    return {name: differences(of) for name, of in traces(trials).items()}


@pytest.mark.parametrize("missing", ["", ", missing"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_and_four_processes_equal_one(name: str, missing: str, found: dict[str, list[Difference]]) -> None:
    of = found[name + missing]
    assert {d.kind for d in of} >= {"loss", "gradient", "parameter"}
    assert [d for d in of if d.value > TOLERANCE] == []
