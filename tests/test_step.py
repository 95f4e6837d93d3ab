"""The order of a step: all edges are scored first, then every memory is updated once."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from trials import trial

import multiview as mv
from multiview.check.parity import Trace, traced
from multiview.memory.memories import Memories
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.seeding import seed_begun_devices

EDGES = ("a-b", "b-c")


def losses(trace: Trace, step: int) -> list[float]:
    return [trace[f"loss/edge {name}/"][step].item() for name in EDGES]


def first_steps() -> Trace:
    return traced(trial(mv.MoCo(queue=11, dim=5, momentum=0.9, exclude=False)))


def test_the_first_step_of_moco_has_an_empty_queue() -> None:
    trace = first_steps()
    assert losses(trace, 0) == [0, 0]
    assert min(losses(trace, 1)) > 0.5
    queues = {name: x for name, x in trace.items() if name.endswith(".fill")}
    assert len(queues) == 3
    assert all(fill.item() == 11 for fill in queues.values())


def test_an_update_before_scoring_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a planted bug: the keys of the step enter the queue before the edges are scored."""
    scored = Memories.edge_inputs

    def update_first(self, embeddings, keys, index, present, *given):
        self.update(embeddings, keys, index, present, {})
        return scored(self, embeddings, keys, index, present, *given)

    monkeypatch.setattr(Memories, "edge_inputs", update_first)
    assert min(losses(first_steps(), 0)) > 0.5


def test_key_encoders_follow_before_keys_are_computed() -> None:
    """In the first step they equal the model, afterwards they follow it with their momentum."""
    one = trial(mv.MoCo(queue=11, dim=5, momentum=0.9))
    start = {name: x.clone().double() for name, x in one.model.state_dict().items()}
    one.batches = one.batches[:2]
    trace = traced(one)
    after_one = {n: start[n] - 0.1 * trace[f"gradient/{'.'.join(n.split('.')[:2])}/{n}"][0] for n in start}
    (name,) = [
        n for n in one.memories.state_dict() if n.startswith("key_encoders.a/") and n.endswith("hidden.0.weight")
    ]
    expected = 0.9 * start["encoders.a.hidden.0.weight"] + 0.1 * after_one["encoders.a.hidden.0.weight"]
    weight_decay = 0.1 * 0.1 * one.train.optimizer.weight_decay * start["encoders.a.hidden.0.weight"]
    assert torch.allclose(one.memories.state_dict()[name], expected - weight_decay, atol=1e-12)


def test_channels_last_is_applied_before_the_model_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise DistributedDataParallel warns at every step that gradients have another layout."""
    one = trial(mv.SimCLR(dim=5), train=mv.Train(batch=8, channels_last=True))
    image = one.model.encoders["a"].image = nn.Conv2d(2, 3, 2)
    accelerator = start(one.train, "x")
    seen = []

    prepared = accelerator.prepare

    def prepare(*parts: object, **options: object) -> tuple[object, ...]:
        seen.append(image.weight.is_contiguous(memory_format=torch.channels_last))
        return prepared(*parts, **options)

    monkeypatch.setattr(accelerator, "prepare", prepare)
    assemble(accelerator, one.views, one.model, one.memories, one.train, lambda index: [str(index)])
    assert seen == [True]


def test_a_step_leaves_nothing_behind_for_devices_that_are_not_in_use() -> None:
    """`torch.manual_seed` would note a stack in every step."""
    from torch.cuda import _queued_calls

    if torch.cuda.is_initialized():
        pytest.skip("this process uses a GPU")
    before = len(_queued_calls)
    seed_begun_devices(3)
    seeded = torch.rand(2)
    assert len(_queued_calls) == before
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), seeded)


def test_steps_do_not_look_for_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate's optimiser searches for a package that is not installed, twice in each step."""
    one = trial(mv.SimCLR(dim=5))
    asked: list[str] = []
    monkeypatch.setattr("accelerate.optimizer.is_lomo_available", lambda: asked.append("lomo") or False)
    traced(one)
    assert not asked
