"""The host does not wait for the device in a steady step; one that is not finite moves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import multiview as mv
from multiview.check.stand_in import DEVICE, NoFloat64, counted_waits
from multiview.check.steps import Trial, on_stand_in, trial_of, waits
from multiview.errors import MultiviewError
from multiview.memory.bank import MemoryBank
from multiview.memory.queue import KeyQueue
from multiview.plugins import load

TRAIN = mv.Train(batch=6, threads=1, optimizer=mv.Optimizer(name="adamw", lr=1e-3))
SMALL = {"encoder": "convnet", "width": 0.1, "size": 14, "train": TRAIN}
STRONG = mv.Augment(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.5, grey=0.5, blur=0.5)
CMC = {"softmax": mv.CMC(variant="softmax", negatives=64), "nce": mv.CMC(negatives=64)}
RECIPES = {
    "softmax": ("cmc_lab", {"objective": CMC["softmax"]}),
    "nce": ("cmc_lab", {"objective": CMC["nce"]}),
    "moco": ("moco", {"objective": mv.MoCo(queue=64), "augment": STRONG}),
    "simclr": ("simclr", {"augment": STRONG}),
    "simsiam": ("simsiam", {"objective": mv.SimSiam(dim=16, predictor=8), "augment": STRONG}),
    "rgbd": ("cmc_rgbd", {"objective": CMC["softmax"]}),
    "comm": ("comm", {"objective": mv.CoMM(dim=16, width=8)}),
    "mixed": ("mixed", {"cmc": CMC["softmax"], "moco": mv.MoCo(queue=64), "simsiam": mv.SimSiam(dim=16, predictor=8)}),
}


def made(name: str, *, samples: int = 200, **others) -> Trial:
    recipe, options = RECIPES[name]
    return trial_of(load("recipes", recipe)(**{**SMALL, **options, **others}), hole=name == "rgbd", samples=samples)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "comm")) for n in RECIPES])
def test_the_host_does_not_wait_in_a_steady_step(name: str) -> None:
    assert not waits(lambda: made(name))


def test_the_host_waits_in_a_step_that_is_logged() -> None:
    assert waits(lambda: made("softmax"), examine=True)


def test_the_stand_in_counts_waits() -> None:
    with NoFloat64(), counted_waits() as found:
        x = torch.ones(3).to(DEVICE)
        x.sum().item()
        x.tolist()
        x[x > 0]
        (x > 0).nonzero()
        x.cpu()
        x.to("cpu", non_blocking=True)
        torch.ones(3).to(DEVICE, non_blocking=True)
        torch.tensor(1.0, device=DEVICE)
    assert found.total() == 7


def numbers(trial: Trial) -> list[Tensor]:
    parts = trial.parts
    buffers = [*parts.memories.stores.buffers(), *parts.memories.states.buffers()]
    return [x.held.clone() for x in (*parts.model.parameters(), *buffers)]


@pytest.mark.parametrize("name", ["nce", "moco", "mixed"])
def test_a_step_that_is_not_finite_moves_nothing_on_a_device(name: str) -> None:
    """The error comes before the next step moves anything, and names the step and its samples."""
    with on_stand_in():
        trial = made(name)
        for _ in range(2):
            trial.again()
        keys = [x.held.clone() for x in trial.parts.memories.key_encoders.parameters()]
        before, good = numbers(trial), trial.parts.layer.forward
        trial.parts.layer.forward = lambda *given: {view: x * float("nan") for view, x in good(*given).items()}
        trial.again()
        trial.parts.layer.forward = good
        assert all(torch.equal(x, y) for x, y in zip(before, numbers(trial), strict=True))
        with pytest.raises(MultiviewError, match=r"step 3: the loss of edge .* not finite of samples 12, 13"):
            trial.again()
        assert all(torch.equal(x, y) for x, y in zip(before, numbers(trial), strict=True))
        now = [x.held for x in trial.parts.memories.key_encoders.parameters()]
        assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(keys, now, strict=True))
        trial.parts.settle()
        trial.again()
        assert not any(torch.equal(x, y) for x, y in zip(before[:1], numbers(trial)[:1], strict=True))


def test_a_logged_step_that_is_not_finite_is_named_at_once_and_moves_nothing() -> None:
    """Health is not measured of such values, which would end in an error of linear algebra."""
    with on_stand_in():
        trial = made("moco")
        trial.again()
        before, good = numbers(trial), trial.parts.layer.forward
        trial.parts.layer.forward = lambda *given: {view: x * float("nan") for view, x in good(*given).items()}
        with pytest.raises(MultiviewError, match=r"step 2: the loss of edge .* not finite of samples"):
            trial.again(examine=True)
        assert all(torch.equal(x, y) for x, y in zip(before, numbers(trial), strict=True))


def test_with_a_grad_scaler_optimisers_are_not_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused one leaves overflows out by itself, and 50 in a row would end nothing."""
    assert made("simclr").parts.optimiser.param_groups[0]["fused"]
    monkeypatch.setattr("accelerate.Accelerator.scaler", object(), raising=False)
    monkeypatch.setattr("accelerate.Accelerator.__setattr__", _without_scaler)
    assert not made("simclr").parts.optimiser.param_groups[0].get("fused")


def _without_scaler(self: object, name: str, value: object) -> None:
    if name != "scaler":
        object.__setattr__(self, name, value)


def test_a_device_and_the_cpu_train_alike() -> None:
    losses = []
    for device in (False, True):
        if device:
            with on_stand_in():
                trial = made("rgbd")
                losses.append([trial.again().loss.item() for _ in range(4)])
        else:
            trial = made("rgbd")
            losses.append([trial.again().loss.item() for _ in range(4)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_present_rows_are_written_as_if_the_others_were_not_there(seed: int) -> None:
    torch.manual_seed(seed)
    rows, index, present = torch.randn(9, 4), torch.randint(6, (9,)), torch.rand(9) < (0, 0.3, 0.7, 1)[seed]
    banks = [MemoryBank(8, 4, 0.5, torch.Generator().manual_seed(0)) for _ in range(2)]
    queues = [KeyQueue(7, 4, grouped=True) for _ in range(2)]
    for _ in range(3):
        banks[0].update(rows[present], index[present])
        banks[1].update_present(rows, index, present)
        queues[0].update(rows[present], index[present], index[present] % 2)
        queues[1].update_present(rows, index, present, index % 2)
        assert torch.equal(banks[0].rows, banks[1].rows)
        assert len(queues[0]) == len(queues[1])
        for name, buffer in queues[0].named_buffers():
            assert torch.equal(buffer, queues[1].get_buffer(name)), name
        rows, present = rows.roll(1, 0) + 1, present.roll(2)


def test_a_loaded_queue_asks_for_its_length_again() -> None:
    full, queue = KeyQueue(4, 2), KeyQueue(4, 2)
    full.update(torch.ones(3, 2), torch.arange(3))
    queue.load_state_dict(full.state_dict())
    assert len(queue) == 3


def test_bf16_trains_with_channels_last() -> None:
    train = replace(TRAIN, precision="bf16", channels_last=True)
    trial = made("softmax", train=train)
    assert all(trial.again().loss.isfinite() for _ in range(2))
