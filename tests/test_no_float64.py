"""Training, its measures and kNN on a device without float64, such as MPS; see `stand_in.py`."""

from __future__ import annotations

from pathlib import Path

import golden_losses
import pytest
import torch
from accelerate import Accelerator
from edges import agreeing
from goldens import STORE, command
from objective_cases import CASES
from small_runs import losses
from torch import Tensor

from multiview.check.device_numbers import on_device
from multiview.check.edges import SAMPLES, in_precision
from multiview.check.stand_in import DEVICE, NoFloat64, OnDevice
from multiview.measure import weighted_knn
from multiview.objectives import EdgeInput
from multiview.train.health import of_scores, of_view

CODES = torch.arange(SAMPLES) // 3
QUICK = ("cmc_lab", "spoken_letters")
SHORT = ["--steps", "3", "--batch", "8", "--log_every", "1", "--knn_every", "1", "--threads", "1", "--workers", "0"]
SHORT += ["--evaluate", "false"]


def stepped(edge: EdgeInput, name: str) -> tuple[list[float], list[Tensor]]:
    """The loss, the measures of the step, and all gradients."""
    objective = CASES[name].objective
    out = objective.scored(edge)
    out.loss.backward()
    z = next(x for side in edge.sides for x in (side.z, side.key) if x is not None).detach()
    scores = objective.scores(edge, 4)
    values = of_view(z) | (of_scores(scores, edge.present[:4]) if scores else {}) | out.log
    leaves = [x for side in edge.sides for x in (side.z, side.p) if x is not None] + list(edge.scalars.values())
    return [x.item() for x in (out.loss, *values.values())], [x.grad for x in leaves if x.grad is not None]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_an_objective_needs_no_float64(name: str, grouped: bool) -> None:
    """Its loss, gradients and measures are those of the CPU in single precision."""

    def edge() -> EdgeInput:
        made = agreeing(CASES[name].objective, torch.arange(9), 0.5, codes=CODES if grouped else None)
        return in_precision(made, torch.float32)

    expected, gradients = stepped(edge(), name)
    with NoFloat64():
        found, theirs = stepped(on_device(edge(), DEVICE), name)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert len(theirs) == len(gradients)
    for one, other in zip(gradients, theirs, strict=True):
        assert isinstance(other, OnDevice)
        torch.testing.assert_close(other.held, one, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    golden_losses.write_data(folder)
    return folder


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in golden_losses.RECIPES]
)
def test_a_run_needs_no_float64(recipe: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with kNN and checkpoints; its losses are those of the CPU."""
    kind, words = golden_losses.RECIPES[recipe]
    store = STORE if kind == "pictures" else data / kind
    rest = ["--data", str(store), *SHORT, *words]
    assert command("train", recipe, "--out", str(tmp_path / "cpu"), *rest) == 0
    with monkeypatch.context() as patched, NoFloat64():
        patched.setattr(Accelerator, "device", property(lambda _: DEVICE))
        assert command("train", recipe, "--out", str(tmp_path / "device"), *rest) == 0
    expected, found = losses(tmp_path / "cpu"), losses(tmp_path / "device")
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    if kind != "pictures":  # whose epochs are longer than the run
        assert any(name.startswith("knn/") for line in found for name in line)
    for ours, theirs in zip(expected, found, strict=True):
        for name in (name for name in ours if name.startswith(("loss", "knn"))):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("neighbours", [1, 5, 200])
def test_knn_is_the_same(neighbours: int) -> None:
    train, test = torch.randn(60, 8), torch.randn(30, 8)
    labels = torch.arange(60) % 4, torch.arange(30) % 4
    expected = weighted_knn(train, labels[0], test, labels[1], neighbours=neighbours)
    with NoFloat64():
        found = weighted_knn(train.to(DEVICE), labels[0], test.to(DEVICE), labels[1], neighbours=neighbours)
    assert found == expected


def test_the_stand_in_refuses_float64_and_a_mixture_of_devices() -> None:
    with NoFloat64():
        x = torch.ones(3, device=DEVICE)
        for make in (x.double, lambda: torch.zeros(2, dtype=torch.float64, device=DEVICE), lambda: x.to(torch.float64)):
            with pytest.raises(TypeError, match="no float64"):
                make()
        with pytest.raises(RuntimeError, match="some are on the CPU"):
            x + torch.ones(3)
        assert (x + 1).tolist() == [2, 2, 2]
        assert torch.ones(3, dtype=torch.float64).sum() == 3
