"""SupCon, NNCLR and GRAM beyond the laws: labels, queues, volumes."""

from __future__ import annotations

import by_hand
import pytest
import torch
from edges import DIM, assert_same, edge_of, unit
from torch import Tensor

from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph, Edge, HyperEdge
from multiview.memory.queue import KeyQueue
from multiview.objectives import EdgeInput, Objective, Side, SimCLR, Situation, Symile
from multiview.objectives.gram import GRAM
from multiview.objectives.nnclr import NNCLR
from multiview.objectives.supcon import SupCon
from multiview.ops import nearest, same_class, volume

CLASSES = [2, 0, 0, -1, 2, 2, -1]


def labelled(objective: SupCon, labels: list[int], present: Tensor | None = None) -> EdgeInput:
    sides = Side(z=unit(len(labels), 1)), Side(z=unit(len(labels), 2))
    edge = edge_of(objective, sides, torch.arange(len(labels)), present)
    edge.labels = torch.tensor(labels)
    return edge


@pytest.mark.parametrize(("negatives", "paper"), [("both", by_hand.supcon), ("cross", by_hand.supcon_cross)])
def test_supcon_of_several_classes_equals_the_paper(negatives: str, paper) -> None:
    edge = labelled(SupCon(dim=DIM, negatives=negatives), CLASSES)
    out = SupCon(dim=DIM, negatives=negatives).loss(edge)
    assert_same(out, paper(edge.a.z, edge.b.z, CLASSES, 0.1), [side.z for side in edge.sides])


@pytest.mark.parametrize("negatives", ["both", "cross"])
def test_supcon_without_labels_is_simclr(negatives: str) -> None:
    edge = labelled(SupCon(dim=DIM, negatives=negatives), [-1] * 7, torch.arange(7) != 3)
    expected = SimCLR(dim=DIM, negatives=negatives, temperature=0.1).loss(edge)
    out = SupCon(dim=DIM, negatives=negatives).loss(edge)
    assert out.log["found"] == expected.log["found"]
    assert_same(out, expected.loss, [side.z for side in edge.sides])


def test_absent_samples_of_the_class_take_no_part() -> None:
    present = torch.tensor([True, True, True, True, False, True, True])
    edge, kept = (
        labelled(SupCon(dim=DIM), CLASSES, present),
        [x for x, here in zip(CLASSES, present, strict=True) if here],
    )
    a, b = (side.z[present] for side in edge.sides)
    assert_same(SupCon(dim=DIM).loss(edge), by_hand.supcon(a, b, kept, 0.1), [side.z for side in edge.sides])


def test_the_health_of_supcon_leaves_out_the_own_class() -> None:
    scores = SupCon(dim=DIM).scores(labelled(SupCon(dim=DIM), CLASSES), 4)
    others = [sum(x != own or own < 0 for x in CLASSES) - (own < 0) for own in CLASSES[:4]]
    assert [x.isfinite().sum(1).tolist() for x in scores] == [[1 + 2 * n for n in others]] * 2


def test_supcon_says_what_it_needs() -> None:
    with pytest.raises(MultiviewError, match=r"no training sample has a label; give data with labels .* or use SimCLR"):
        SupCon().resolved(Situation(samples=50, per_rank=8, labelled=0))
    for labelled_samples in (None, 3):
        assert SupCon().resolved(Situation(samples=50, per_rank=8, labelled=labelled_samples)) == SupCon()
    edge = labelled(SupCon(dim=DIM), CLASSES)
    edge.labels = None
    with pytest.raises(MultiviewError, match="reads the labels of the batch, but none were given"):
        SupCon(dim=DIM).loss(edge)


def neighbours(rows: int, keys: Tensor, samples: Tensor) -> EdgeInput:
    sides = []
    for seed in (1, 2):
        queue = KeyQueue(len(keys) + 3, DIM).double()
        queue.update(keys, samples)
        sides.append(Side(z=unit(rows, seed), p=unit(rows, seed + 5), memory=queue))
    return edge_of(NNCLR(dim=DIM), tuple(sides), torch.arange(rows))


@pytest.mark.parametrize("exclude", [True, False])
def test_a_sample_is_its_own_neighbour_only_if_asked(exclude: bool) -> None:
    edge = neighbours(3, unit(3, 1).detach(), torch.arange(3))
    near = nearest.nearest(edge.a.z, *edge.queues()[0], edge.index if exclude else None)
    assert torch.equal(near, edge.a.z) == (not exclude)
    assert not near.requires_grad


def test_an_empty_queue_or_one_with_own_keys_alone_gives_the_embedding_itself() -> None:
    edge = neighbours(3, unit(0, 1).detach(), torch.arange(0))
    (z, *_), own = edge.embeddings(), torch.tensor([4, 4, 4])
    assert torch.equal(nearest.nearest(z, *edge.queues()[0], None), z)
    assert torch.equal(nearest.nearest(z, unit(5, 3).detach(), torch.full((5,), 4), own), z)
    assert NNCLR(dim=DIM).loss(edge).loss.requires_grad


def test_only_predictions_of_nnclr_take_gradient() -> None:
    edge = neighbours(5, unit(6, 4).detach(), torch.arange(100, 106))
    NNCLR(dim=DIM).loss(edge).loss.backward()
    assert all(side.z.grad is None and side.p.grad.abs().sum() > 0 for side in edge.sides)


def test_an_open_queue_is_settled_by_the_data() -> None:
    few, many = Situation(samples=300, per_rank=8), Situation(samples=10**6, per_rank=8)
    assert (NNCLR().resolved(few).queue, NNCLR().resolved(many).queue) == (300, 98304)
    with pytest.raises(MultiviewError, match="NNCLR: queue is 0"):
        NNCLR(queue=0)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_volume_is_the_root_of_the_determinant(count: int) -> None:
    views = [unit(6, seed, 16).detach() for seed in range(count)]
    stacked = torch.stack(views, dim=1)
    expected = torch.linalg.det(stacked @ stacked.mT).sqrt()
    found = volume.volumes(views[0], *volume.spanned(views[1:])).diagonal()
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_and_absent_embeddings_have_a_finite_gradient(count: int, dtype: torch.dtype) -> None:
    z = unit(4, 0).detach().to(dtype)
    z[3] = 0
    views = [z.clone().requires_grad_() for _ in range(count)]
    terms = volume.gram(views, views, None, 0, 0.01)
    terms.loss.sum().backward()
    assert all(x.grad.isfinite().all() for x in views)
    assert volume.volumes(z, *volume.spanned(views[1:])).diagonal().max() <= 2e-3


def test_gram_joins_two_views_or_more_and_symile_does_not() -> None:
    assert Edge("a", "b", GRAM()).objective == HyperEdge(("a", "b", "c"), GRAM()).objective
    assert ContrastGraph.full("abc", GRAM()).names() == ("a-b", "a-c", "b-c")
    with pytest.raises(MultiviewError, match="Symile contrasts three views or more together"):
        Edge("a", "b", Symile())


@pytest.mark.parametrize(
    ("objective", "module"),
    [(GRAM(dim=DIM), volume), (SupCon(dim=DIM), same_class), (NNCLR(dim=DIM, exclude=False), nearest)],
)
def test_chunks_give_the_same(objective: Objective, module, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = neighbours(7, unit(6, 4).detach(), torch.arange(6))
    edge.scalars = {name: torch.tensor(x.start, dtype=torch.float64) for name, x in objective.scalars().items()}
    edge.present, whole = torch.arange(7) != 2, objective.loss(edge)
    monkeypatch.setattr(module, "HELD_FLOATS", 20)
    read = [side.p if isinstance(objective, NNCLR) else side.z for side in edge.sides]
    whole = objective.loss(edge)
    monkeypatch.undo()
    assert_same(objective.loss(edge), whole.loss, read)
