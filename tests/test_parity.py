"""Several processes train what one would: losses, gradients, parameters and memories in float64."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from groups_by_hand import GROUPED as GROUPED_BY_HAND
from objective_cases import CASES
from trials import Forgetful, trial

import multiview as mv
from multiview.check.parity import TOLERANCE, Difference, Trace, differences, traces
from multiview.check.recipe import verdict
from multiview.cli import run

OBJECTIVES = {name: partial(trial, case.small, **case.trial) for name, case in CASES.items() if case.small}
MISSING = {f"{name}, views missing": partial(make, missing=True) for name, make in OBJECTIVES.items()}


def trained(make: partial, **options: object) -> partial:
    """The trial with other options of training."""
    return partial(make, train=mv.Train(**{"batch": 8, "optimizer": mv.Optimizer(lr=0.1), **options}))


GROUPED = {
    f"{name}, views missing, groups": partial(make, missing=True, grouped=True)
    for name, make in OBJECTIVES.items()
    if name in GROUPED_BY_HAND
}
LOOPS = {
    "clipped and accumulated": trained(OBJECTIVES["CMC"], clip=0.1, accumulate=2),
    "lars": trained(OBJECTIVES["SimCLR"], optimizer=mv.Optimizer(name="lars", lr=0.1)),
    "adamw": trained(OBJECTIVES["SimCLR"], optimizer=mv.Optimizer(name="adamw", lr=0.01)),
}
CACHED = {
    "CMC, cached": trained(OBJECTIVES["CMC"], micro_batch=3),
    "MoCo, views missing, cached": trained(MISSING["MoCo, views missing"], micro_batch=3),
    "SimCLR, views missing, cached": trained(MISSING["SimCLR, views missing"], micro_batch=1),
    "SimSiam, cached": trained(OBJECTIVES["SimSiam"], micro_batch=3),
    "SigLIP, views missing, cached": trained(MISSING["SigLIP, views missing"], micro_batch=3),
    "Symile, views missing, cached": trained(MISSING["Symile, views missing"], micro_batch=3),
    "clipped and accumulated, cached": trained(OBJECTIVES["CMC"], clip=0.1, accumulate=2, micro_batch=1),
}
NORMED = {
    "norms in training": partial(OBJECTIVES["SimCLR"], normed=True),
    "norms in evaluation": partial(OBJECTIVES["SimCLR"], normed=True, evaluation=True),
}
BUG = {"a gradient forgotten": partial(trial, Forgetful(dim=5))}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[int, list[Trace]]]:
    return traces({**OBJECTIVES, **MISSING, **GROUPED, **LOOPS, **CACHED, **NORMED, **BUG})


@pytest.fixture(scope="module")
def apart(found: dict[str, dict[int, list[Trace]]]) -> dict[str, list[Difference]]:
    return {name: differences(of) for name, of in found.items()}


@pytest.mark.parametrize("name", [*OBJECTIVES, *MISSING, *GROUPED, *LOOPS, *CACHED, "norms in evaluation"])
def test_two_and_four_processes_equal_one(name: str, apart: dict[str, list[Difference]]) -> None:
    assert {d.kind for d in apart[name]} >= {"loss", "gradient", "parameter"}
    assert {d.world for d in apart[name]} == {2, 4}
    assert [d for d in apart[name] if d.value > TOLERANCE] == []


@pytest.mark.parametrize("name", CACHED)
@pytest.mark.parametrize("world", [1, 2])
def test_micro_batches_give_the_gradient_of_the_whole_batch(
    name: str, world: int, found: dict[str, dict[int, list[Trace]]]
) -> None:
    whole = found[name.removesuffix(", cached")]
    assert [d for d in differences({1: whole[1], world + 1: found[name][world]}) if d.value > TOLERANCE] == []


@pytest.mark.parametrize("name", [*OBJECTIVES, "norms in evaluation"])
def test_something_was_trained(name: str, found: dict[str, dict[int, list[Trace]]]) -> None:
    gradients = [x for key, x in found[name][1][0].items() if key.startswith("gradient/")]
    assert all(x.isfinite().all() for x in gradients)
    assert sum(x.abs().sum() > 1e-4 for x in gradients) > len(gradients) / 2


def test_a_gradient_that_does_not_reach_other_ranks_is_seen(apart: dict[str, list[Difference]]) -> None:
    of = apart["a gradient forgotten"]
    first = [d for d in of if d.kind == "gradient"]
    assert max(d.value for d in first) > 0.01
    text, code = verdict({"in training": of, "as in evaluation": of})
    assert code == 1
    assert "gather_with_gradient" in text


def test_batch_norm_sees_a_part_of_the_batch_and_the_verdict_says_so(apart: dict[str, list[Difference]]) -> None:
    pair = {"in training": apart["norms in training"], "as in evaluation": apart["norms in evaluation"]}
    assert max(d.value for d in pair["in training"]) > 1e-3
    text, code = verdict(pair)
    assert code == 0
    assert "batch norm and dropout see only the rows of their own process" in text
    assert "1, 2 and 4 processes train the same" in text


def test_numbers_that_are_nowhere_numbers_are_equal_and_else_far_apart() -> None:
    def of(value: float) -> list[Trace]:
        return [{"memory/states.a-b/log_z": torch.tensor([value])}]

    assert differences({1: of(torch.nan), 2: of(torch.nan)})[0].value == 0
    assert differences({1: of(torch.nan), 2: of(1.0)})[0].value > 1e9


def test_the_command_compares_a_recipe(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "parity", "cmc_lab", "--data", str(scenes), "--size", "16", "--width", "0.25", "--steps", "2"]
    assert run(words) == 0
    said = capsys.readouterr().out
    for text in ("loss of edge L-ab", "gradient of encoders.L", "memory of stores.ab", "4 processes train the same"):
        assert text in said


def test_a_batch_that_four_cannot_share_is_refused(scenes: Path) -> None:
    with pytest.raises(mv.MultiviewError, match="such as 16"):
        run(["check", "parity", "simclr", "--data", str(scenes), "--batch", "6"])
