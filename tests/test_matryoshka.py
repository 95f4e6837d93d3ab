"""Losses of prefixes: which objectives can have them, and what they read."""

from __future__ import annotations

import pytest
import torch
from edges import DIM, agreeing
from torch.nn.functional import normalize

import multiview as mv
from multiview.errors import MultiviewError
from multiview.memory.queue import KeyQueue
from multiview.objectives import CMC, BarlowTwins, MoCo, Objective, SimCLR, SimSiam
from multiview.objectives.matryoshka import prefix


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (SimCLR(matryoshka=(32, 16, 128)), r"SimCLR: matryoshka is \(32, 16, 128\); give rising widths that end with"),
        (SimCLR(matryoshka=(16, 16, 128)), "give rising widths"),
        (SimCLR(matryoshka=(0, 128)), "give rising widths"),
        (SimCLR(matryoshka=(16, 64)), r"end with the width of the embedding, such as \(16, 32, 64, 128\)"),
        (CMC(matryoshka=(16, 128)), "CMC keeps a memory bank .* Use SimCLR or MoCo, or leave matryoshka out"),
    ],
)
def test_widths_that_cannot_work_are_refused(objective: Objective, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        mv.Edge("a", "b", objective)


def test_the_graph_shows_the_prefixes() -> None:
    graph = mv.ContrastGraph.full("ab", SimCLR(matryoshka=(16, 128)))
    assert graph.draw().endswith("weight 1  prefixes 16, 128")
    assert "prefixes" not in mv.ContrastGraph.full("ab", SimCLR()).draw()


@pytest.mark.parametrize("objective", [SimCLR(dim=DIM), SimSiam(dim=DIM), MoCo(dim=DIM, queue=12)])
def test_a_prefix_has_length_one_again(objective: Objective) -> None:
    edge = prefix(objective, agreeing(objective, torch.arange(5), 0.5), 3)
    for x in [x for side in edge.sides for x in (side.z, side.p, side.key) if x is not None]:
        assert x.shape == (5, 3)
        assert torch.allclose(x.norm(dim=1), torch.ones(5, dtype=x.dtype))


def test_raw_embeddings_stay_raw() -> None:
    whole = agreeing(BarlowTwins(dim=DIM), torch.arange(5), 0.5)
    assert torch.equal(prefix(BarlowTwins(dim=DIM), whole, 3).a.z, whole.a.z[:, :3])


def test_a_prefix_of_a_queue_reads_its_keys() -> None:
    queue, keys = KeyQueue(4, DIM), normalize(torch.randn(6, DIM, generator=torch.Generator().manual_seed(0)), dim=1)
    queue.update(keys[:3], torch.arange(3))
    short = queue.prefix(2)
    assert torch.equal(short.filled_keys(), normalize(keys[:3, :2], dim=1))
    assert short.filled_ids().tolist() == [0, 1, 2]
    assert queue.filled_keys().shape == (3, DIM)


def test_one_whole_prefix_is_the_plain_loss() -> None:
    for objective in (SimCLR(dim=DIM), MoCo(dim=DIM, queue=12)):
        edge = agreeing(objective, torch.arange(6), 0.5)
        nested = type(objective)(**{**vars(objective), "matryoshka": (DIM,)})
        assert nested.scored(edge).loss.item() == pytest.approx(objective.loss(edge).loss.item(), rel=1e-12)
