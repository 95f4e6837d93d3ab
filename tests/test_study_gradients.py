"""How the gradients of edges agree: as a plain backward pass says, also in micro-batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from trials import trial

import multiview as mv
from multiview.check.steps import on_stand_in, trial_of
from multiview.counter_rng import Draws
from multiview.plugins import load
from multiview.study.gradients import cosines
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.step import seen_views


def loop_of(micro_batch: int | None) -> tuple[SimpleNamespace, mv.Batch]:
    made = trial(mv.MoCo(queue=11, dim=5, momentum=0.9), missing=True)
    train = replace(made.train, micro_batch=micro_batch)
    parts = assemble(start(train, "S.py"), made.views, made.model, made.memories, train, lambda index: ["x"])
    for store in made.memories.stores.values():
        store.update(torch.nn.functional.normalize(torch.randn(11, 5), dim=1), torch.arange(50, 61))
    return SimpleNamespace(parts=parts, seed=0, step=1), made.batches[1]


def by_backward(loop: SimpleNamespace, batch: mv.Batch) -> dict[str, dict[str, float]]:
    """One backward pass of the whole batch for each edge."""
    parts = loop.parts
    views, present, _ = seen_views(parts, batch, Draws(0, 1, batch.index.numpy(), "augment"))
    embeddings, keys = parts.model(views, present), parts.memories.keys(views, present, 1)
    inputs = parts.memories.edge_inputs(embeddings, keys, batch.index, present, 1)
    found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in "abc"}
    for (name, edge), x in zip(parts.graph.named_edges().items(), inputs, strict=True):
        parts.model.zero_grad()
        edge.objective.scored(x).loss.backward(retain_graph=True)
        for view in "abc":
            grads = [p.grad for p in parts.model.encoder(view).parameters()]
            if all(grad is not None for grad in grads):
                found[view][name] = torch.cat([grad.flatten() for grad in grads])
    pairs = {view: list(combinations(of, 2)) for view, of in found.items()}
    cosine = torch.nn.functional.cosine_similarity
    return {
        view: {f"{a} | {b}": float(cosine(found[view][a], found[view][b], dim=0)) for a, b in each}
        for view, each in pairs.items()
        if each
    }


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_the_cosines_are_those_of_a_backward_pass(micro_batch: int | None) -> None:
    loop, batch = loop_of(micro_batch)
    expected, found = by_backward(loop, batch), cosines(loop, batch)
    assert found.keys() == expected.keys() == {"b"}
    assert found["b"]["a-b | b-c"] == pytest.approx(expected["b"]["a-b | b-c"], abs=1e-5)
    assert abs(found["b"]["a-b | b-c"]) > 1e-3


def test_the_index_is_on_the_device() -> None:
    """The stand-in for a GPU refuses tensors of two devices in one operation."""
    with on_stand_in():
        recipe = load("recipes", "mixed")(encoder="convnet", width=0.1, size=14, train=mv.Train(batch=8))
        made = trial_of(recipe, samples=200)
        found = cosines(SimpleNamespace(parts=made.parts, seed=0, step=1), made.batch)
    assert {"L-ab | L-depth", "L-ab | L-normal"} < found["L"].keys()
