"""Three views, c = a xor b: any two are independent, all three are not (arXiv:2411.01053).

On them every pairwise objective must be at chance, and the hyperedge must be better.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from objective_cases import CASES
from torch import Tensor, nn

from multiview.encoder import Encoder
from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives import Objective, Situation, Symile

BITS, SAMPLES, BATCH, STEPS = 4, 1024, 128, 100
VIEWS = ("a", "b", "c")
PAIRWISE = {name: case.at_chance for name, case in CASES.items() if case.at_chance}


class Bits(Encoder):
    """(n, bits) of -1 and 1 -> (n, 32)."""

    axes = ("channels",)

    def __init__(self) -> None:
        super().__init__(BITS, 32, ("h",))
        self.h = nn.Sequential(nn.Linear(BITS, 32), nn.ReLU())


def xor(rows: int, seed: int) -> dict[str, Tensor]:
    """Bits as -1 and 1, for which a xor b is -a b."""
    a, b = torch.randint(2, (2, rows, BITS), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1
    return {"a": a, "b": b, "c": -a * b}


def trained(graph: ContrastGraph) -> MultiviewModel:
    torch.manual_seed(0)
    graph = graph.resolved(Situation(samples=SAMPLES, per_rank=BATCH))
    model = MultiviewModel({view: Bits() for view in VIEWS}, graph)
    memories = Memories(model, graph, SAMPLES, seed=0, steps=STEPS)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    data, order = xor(SAMPLES, 1), torch.Generator().manual_seed(0)
    present = {view: torch.ones(BATCH, dtype=torch.bool) for view in VIEWS}
    for step in range(1, STEPS + 1):
        index = torch.randperm(SAMPLES, generator=order)[:BATCH]
        views = {view: x[index] for view, x in data.items()}
        embeddings = model(views, present)
        memories.follow(model, step)
        keys = memories.keys(views, present, step)
        inputs = memories.edge_inputs(embeddings, keys, index, present, step)
        outputs = [edge.objective.loss(one) for edge, one in zip(graph.edges, inputs, strict=True)]
        optimiser.zero_grad()
        torch.stack([out.loss for out in outputs]).sum().backward()
        optimiser.step()
        model.bound()
        memories.update(
            embeddings, keys, index, present, dict(zip(graph.names(), (o.state for o in outputs), strict=True))
        )
    return model.eval()


def share_found(model: MultiviewModel, joint: bool) -> float:
    """How often a test sample's a and b find its c among 16 values. Chance is 1 / 16."""
    test = xor(512, 2)
    values = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * BITS)
    z = {view: x for (view, _), x in model(test).z.items()}
    candidates = {view: x for (view, _), x in model(dict.fromkeys(VIEWS, values)).z.items()}["c"]
    wanted = z["a"] * z["b"] if joint else z["a"] + z["b"]
    found = values[(wanted @ candidates.T).argmax(1)]
    return (found == test["c"]).all(1).double().mean().item()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only wait for a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


FAST = ("CMC-softmax", "MoCo", "SimCLR", "SimSiam")


def slow_or_fast() -> list[object]:
    marks = {name: () if name in FAST else pytest.mark.slow for name in PAIRWISE}
    return [pytest.param(objective, id=name, marks=marks[name]) for name, objective in PAIRWISE.items()]


@pytest.mark.parametrize("objective", slow_or_fast())
def test_pairs_are_at_chance(objective: Objective) -> None:
    assert share_found(trained(ContrastGraph.full(VIEWS, objective)), joint=False) < 2 / 16


@pytest.mark.parametrize("learn", [True, False])
def test_the_hyperedge_is_not(learn: bool) -> None:
    graph = ContrastGraph.joint(VIEWS, Symile(temperature=0.05, learn_temperature=learn, dim=16))
    assert share_found(trained(graph), joint=True) > 0.9
