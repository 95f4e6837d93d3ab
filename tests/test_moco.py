"""MoCo against the paper written by hand in float64; how queues and key encoders are shared."""

from __future__ import annotations

import math
from dataclasses import replace

import by_hand
import pytest
import torch
from edges import DIM, assert_same, edge_of, unit
from torch import nn

from multiview.encoder import Encoder
from multiview.graph import ContrastGraph, Edge
from multiview.memory.memories import Memories
from multiview.memory.queue import KeyQueue
from multiview.model import MultiviewModel
from multiview.objectives import CMC, Keys, MoCo, Side, Situation


def queues() -> tuple[KeyQueue, KeyQueue]:
    """Two queues of 9 keys after 15 keys: the first six are gone, and one update wrapped round."""
    made = KeyQueue(9, DIM).double(), KeyQueue(9, DIM).double()
    for seed, queue in enumerate(made):
        for step in range(3):
            queue.update(unit(5, 10 * seed + step).detach(), torch.arange(5) + step)
    return made


def newest(seed: int) -> list[tuple[int, torch.Tensor]]:
    """What a queue of 9 then holds, with the samples."""
    pairs = [(i + step, key) for step in range(3) for i, key in enumerate(unit(5, 10 * seed + step).detach())]
    return pairs[-9:]


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_it_equals_the_paper(rows: int, exclude: bool, symmetric: bool) -> None:
    q, k = (unit(rows, 31), unit(rows, 32)), (unit(rows, 33).detach(), unit(rows, 34).detach())
    sides = tuple(Side(z=q[i], key=k[i], memory=queue) for i, queue in enumerate(queues()))
    index = torch.arange(rows) + 2
    objective = MoCo(queue=9, temperature=0.2, dim=DIM, symmetric=symmetric, exclude=exclude)
    ids = index.tolist() if exclude else None
    expected = by_hand.moco(q[0], k[1], newest(1), ids, 0.2)
    if symmetric:
        expected = (expected + by_hand.moco(q[1], k[0], newest(0), ids, 0.2)) / 2
    assert_same(objective.loss(edge_of(objective, sides, index)), expected, list(q))


def test_with_an_empty_queue_there_is_no_loss() -> None:
    side = Side(z=unit(3, 1), key=unit(3, 2).detach(), memory=KeyQueue(4, DIM))
    objective = MoCo(queue=4, dim=DIM)
    assert objective.loss(edge_of(objective, (side, side), torch.arange(3))).loss.item() == 0


@pytest.mark.parametrize("fill", [1, 5, 9])
def test_what_tells_nothing_apart_costs_the_logarithm_of_the_keys(fill: int) -> None:
    z, queue = unit(1, 0).expand(3, DIM), KeyQueue(9, DIM).double()
    queue.update(z[:1].detach().expand(fill, DIM), torch.arange(100, 100 + fill))
    objective = MoCo(queue=9, dim=DIM)
    side = Side(z=z, key=z.detach(), memory=queue)
    out = objective.loss(edge_of(objective, (side, side), torch.arange(3)))
    assert out.loss.item() == pytest.approx(math.log(1 + fill))


def test_the_presets_are_the_original() -> None:
    first, second = MoCo.original(), MoCo.original("v2")
    assert (first.queue, first.temperature, first.momentum, first.dim, first.mlp) == (65536, 0.07, 0.999, 128, False)
    assert (first.symmetric, first.exclude, first.shuffle_bn) == (False, False, True)
    assert second == replace(first, temperature=0.2, mlp=True)


def test_an_open_queue_is_settled_by_the_data() -> None:
    few, many = Situation(samples=300, per_rank=8), Situation(samples=10**6, per_rank=8)
    assert (MoCo().resolved(few).queue, MoCo().resolved(many).queue) == (300, 65536)


class Tiny(Encoder):
    """A linear map with batch norm: (n, 3) -> (n, 4)."""

    axes = ("channels",)

    def __init__(self) -> None:
        super().__init__(3, 4, ("h",))
        self.h = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def built(edges: list[Edge], **shared: str) -> tuple[MultiviewModel, Memories]:
    torch.manual_seed(0)
    views = tuple(dict.fromkeys(view for edge in edges for view in edge.views))
    graph = ContrastGraph(views, tuple(edges))
    model = MultiviewModel({view: shared.get(view) or Tiny() for view in views}, graph)
    return model, Memories(model, graph, samples=30, seed=0)


def test_edges_share_the_queue_and_the_key_encoder_of_a_view_whatever_their_temperature() -> None:
    a, b = MoCo(queue=8, temperature=0.1, dim=DIM), MoCo(queue=8, temperature=0.5, dim=DIM, exclude=False)
    _, memories = built([Edge("x", "y", a), Edge("x", "z", b), Edge("y", "z", a)])
    assert [name.split("/")[0] for name in memories.stores] == ["x", "y", "z"]
    assert [name.split("/")[0] for name in memories.key_encoders] == ["x", "y", "z"]
    _, memories = built([Edge("x", "y", a), Edge("x", "z", replace(b, momentum=0.5))])
    assert sorted(name.split("/")[0] for name in memories.key_encoders) == ["x", "x", "y", "z"]


def test_views_that_share_an_encoder_share_its_key_encoder_and_keep_queues_of_their_own() -> None:
    _, memories = built([Edge("query", "key", MoCo(queue=8, dim=DIM))], key="query")
    assert len(memories.key_encoders) == 1
    assert [name.split("/")[0] for name in memories.stores] == ["query", "key"]
    _, one_way = built([Edge("query", "key", MoCo(queue=8, dim=DIM, symmetric=False))], key="query")
    assert [name.split("/")[0] for name in one_way.stores] == ["key"]


def test_a_queue_takes_the_present_rows_once_and_none_where_there_is_none() -> None:
    moco = MoCo(queue=8, dim=DIM)
    model, memories = built([Edge("x", "y", moco), Edge("x", "z", moco)])
    views = {name: torch.randn(4, 3) for name in "xyz"}
    present = {"x": torch.tensor([True, True, True, False]), "y": torch.ones(4, dtype=torch.bool)}
    present["z"] = torch.zeros(4, dtype=torch.bool)
    keys, embeddings = memories.keys(views, present, 1), model(views, present)
    memories.update(embeddings, keys, torch.tensor([5, 6, 7, 8]), present, {})
    filled = {name.split("/")[0]: store.filled_ids().tolist() for name, store in memories.stores.items()}
    assert filled == {"x": [5, 6, 7], "y": [5, 6, 7, 8], "z": []}


def test_the_key_encoder_starts_equal_and_then_keeps_statistics_of_its_own() -> None:
    model, memories = built([Edge("x", "y", MoCo(queue=8, dim=DIM))])
    (name,) = [name for name in memories.key_encoders if name.startswith("x")]
    keys = memories.key_encoders[name]
    everyone = {view: torch.ones(6, dtype=torch.bool) for view in "xy"}
    views = {view: torch.randn(6, 3) for view in "xy"}
    embeddings, found = model(views), memories.keys(views, everyone, 1)
    assert torch.equal(
        found["x", model.online["x"][0].projector, model.online["x"][0].keys], next(iter(embeddings.z.values()))
    )
    mean = keys.encoder.h[1].running_mean.clone()
    model({view: torch.randn(6, 3) + 9 for view in "xy"})
    memories.follow(model)
    assert torch.equal(keys.encoder.h[1].running_mean, mean)
    assert keys.encoder.h[1].num_batches_tracked == 1


def test_split_batch_norm_is_what_so_many_processes_would_see() -> None:
    """Queries keep the batch's order; keys are shuffled at each step and put back in order."""
    split = MoCo(queue=8, dim=DIM, split_bn=2)
    views = {view: torch.randn(8, 3) for view in "xy"}
    everyone = {view: torch.ones(8, dtype=torch.bool) for view in "xy"}
    model, memories = built([Edge("x", "y", split)])
    needs = model.online["x"][0]
    z = model(views).z["x", needs.projector]
    halves = [built([Edge("x", "y", split)])[0] for _ in range(2)]
    for half in halves:
        half.online = {view: [replace(n, groups=1) for n in listed] for view, listed in half.online.items()}
    parts = [half({view: x[4 * i : 4 * i + 4] for view, x in views.items()}) for i, half in enumerate(halves)]
    assert torch.equal(z, torch.cat([part.z["x", needs.projector] for part in parts]))
    first, second = (memories.keys(views, everyone, step)["x", needs.projector, needs.keys] for step in (1, 2))
    assert not torch.allclose(first, z)
    assert not torch.allclose(first, second)
    model, memories = built([Edge("x", "y", replace(split, shuffle_bn=False))])
    keys = Keys(momentum=0.999)
    assert torch.equal(memories.keys(views, everyone, 1)["x", needs.projector, keys], z)


def test_the_finest_grouping_of_a_view_holds() -> None:
    model, memories = built(
        [Edge("x", "y", MoCo(queue=8, dim=DIM, split_bn=2)), Edge("x", "y", CMC(dim=DIM, negatives=3))]
    )
    assert max(n.groups for n in model.online["x"]) == 2
    assert all(keys.groups == 2 for keys in memories.key_encoders.values())
