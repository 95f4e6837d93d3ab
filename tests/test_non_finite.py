"""A loss or gradient that is not finite stops a run in every process, before weights change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trials import SAMPLES, trial

import multiview as mv
from multiview.check.parity import Trial, process, spread, traced
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.train.finite import require_finite_gradients
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.step import contrast_step

LAST_ROWS = (6, 7)
"""Rows that the second of two processes holds."""


def poisoned(views: tuple[str, ...] = ("b",), objective: mv.Objective | None = None) -> Trial:
    """A trial whose third step has NaN pixels in two rows."""
    case = trial(objective or mv.CMC(negatives=7, dim=5))
    for view in views:
        case.batches[2].crops["crop"][view][list(LAST_ROWS)] = torch.nan
    return case


@pytest.mark.parametrize(
    "objective", [mv.CMC(negatives=7, dim=5), mv.MoCo(queue=9, dim=5), mv.SimCLR(dim=5), mv.SimSiam(dim=5, predictor=3)]
)
def test_the_error_names_step_edge_and_samples_and_nothing_changes(objective: mv.Objective) -> None:
    case = poisoned(objective=objective)
    parts = assemble(start(case.train, "x"), case.views, case.model.train(), case.memories, case.train, store_ids)

    def step(number: int) -> None:
        batch = case.batches[number]
        contrast_step(parts, batch, number + 1, Draws(0, number, batch.index.numpy()))

    step(0)
    step(1)
    weights = {name: p.detach().clone() for name, p in case.model.named_parameters()}
    memories = {name: x.clone() for name, x in case.memories.stores.state_dict().items()}
    states = {name: x.clone() for name, x in case.memories.states.state_dict().items()}
    keys = [p.clone() for p in case.memories.key_encoders.parameters()]
    with pytest.raises(MultiviewError) as caught:
        step(2)
    first, second = (f"sample_{i}" for i in case.batches[2].index[list(LAST_ROWS)].tolist())
    assert str(caught.value).startswith(
        "step 3: the loss of edge a-b, b-c is not finite. View tensors are not finite of "
    )
    assert f"samples {first}, {second}. Weights" in str(caught.value)
    assert all(torch.equal(p, weights[name]) for name, p in case.model.named_parameters())
    assert all(torch.equal(x, memories[name]) for name, x in case.memories.stores.state_dict().items())
    after = case.memories.states.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in states.items())
    for was, now in zip(keys, case.memories.key_encoders.parameters(), strict=True):
        assert torch.allclose(was, now, rtol=1e-6, atol=1e-8)


def test_a_sample_whose_view_is_absent_is_not_named() -> None:
    """Absent views are filled with zeros, from which a view may compute 0 / 0."""
    case = poisoned()
    case.batches[2].present["b"][LAST_ROWS[1]] = False
    named = case.batches[2].index[LAST_ROWS[0]]
    with pytest.raises(MultiviewError, match=f"View tensors are not finite of samples {named}\\. Weights"):
        traced(case)


def store_ids(index: torch.Tensor) -> list[str]:
    return [f"sample_{i}" for i in index.tolist()]


def refuse(number: int, folder: Path) -> None:
    """One of two processes: writes down the error message that it gets."""
    with process(number, 2, folder), pytest.raises(MultiviewError) as caught:
        traced(poisoned())
    (folder / f"message-{number}").write_text(str(caught.value))


def test_every_process_stops_with_the_same_message(tmp_path: Path) -> None:
    spread(refuse, 2, tmp_path)
    first, second = ((tmp_path / f"message-{number}").read_text() for number in range(2))
    ids = poisoned().batches[2].index[list(LAST_ROWS)].tolist()
    assert first == second
    assert (
        f"step 3: the loss of edge a-b, b-c is not finite. View tensors are not finite of samples {ids[0]}, {ids[1]}."
        in first
    )


class Overflowing(mv.SimCLR):
    """An edge whose loss is not finite although its embeddings are."""

    def loss(self, edge: mv.objectives.EdgeInput) -> mv.objectives.EdgeOutput:
        """Infinite."""
        out = super().loss(edge)
        out.loss = out.loss * torch.inf
        return out


def test_with_finite_embeddings_the_samples_of_the_step_are_named() -> None:
    with pytest.raises(
        MultiviewError, match=r"step 1: .* View tensors and embeddings are finite; the step had samples (\d+, ){7}\d+\."
    ):
        traced(trial(Overflowing(dim=5)))


class Steep(mv.SimCLR):
    """An edge with a finite loss and, from step 3 on, an infinite gradient: the root of 0."""

    def loss(self, edge: mv.objectives.EdgeInput) -> mv.objectives.EdgeOutput:
        """Finite."""
        out = super().loss(edge)
        out.loss = out.loss + (0 * edge.b.z).sum().sqrt() if edge.draws.step >= 3 else out.loss
        return out


def test_a_gradient_that_is_not_finite_is_refused_before_weights_change() -> None:
    case = trial(mv.CMC(negatives=7, dim=5))
    graph = mv.ContrastGraph(
        ("a", "b", "c"), (mv.Edge("a", "b", mv.CMC(negatives=7, dim=5)), mv.Edge("b", "c", Steep(dim=5)))
    )
    model = MultiviewModel({n: case.model.encoder(n) for n in graph.views}, graph)
    memories = Memories(model, graph, SAMPLES, 0)
    parts = assemble(start(case.train, "x"), case.views, model.train(), memories, case.train, store_ids)

    def step(number: int) -> None:
        batch = case.batches[number]
        contrast_step(parts, batch, number + 1, Draws(0, number, batch.index.numpy()))

    step(0)
    step(1)
    before = {name: x.clone() for name, x in {**model.state_dict(), **memories.state_dict()}.items()}
    with pytest.raises(MultiviewError) as caught:
        step(2)
    ids = ", ".join(store_ids(case.batches[2].index))
    assert str(caught.value).startswith(
        "step 3: the loss is finite, but the gradient of view c is not: encoders.c.hidden.0.weight, "
        "encoders.c.hidden.0.bias, "
        f"encoders.c.h.weight, encoders.c.h.bias and 2 more. The step had samples {ids}. Weights"
    )
    assert all(torch.equal(x, before[name]) for name, x in {**model.state_dict(), **memories.state_dict()}.items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("clip", [None, 1.0])
def test_accumulated_gradients_are_checked_when_the_optimiser_moves(clip: float | None) -> None:
    train = mv.Train(batch=8, accumulate=4, clip=clip)
    case = trial(Steep(dim=5), train=train)
    case.batches = [*case.batches, *case.batches][:4]
    with pytest.raises(MultiviewError, match=r"step 4: .* but the gradient of view b, view c in steps 1 to 4 is not: "):
        traced(case)


def refuse_gradient(number: int, folder: Path) -> None:
    """One of two processes; only the rows of the second process have the root of 0."""
    with process(number, 2, folder), pytest.raises(MultiviewError) as caught:
        traced(trial((Steep if number else mv.SimCLR)(dim=5)))
    (folder / f"message-{number}").write_text(str(caught.value))


def test_every_process_refuses_a_gradient_with_the_same_message(tmp_path: Path) -> None:
    spread(refuse_gradient, 2, tmp_path)
    first, second = ((tmp_path / f"message-{number}").read_text() for number in range(2))
    assert first == second
    assert first.startswith("step 3: the loss is finite, but the gradient of view ")


def test_a_gradient_whose_norm_overflows_is_refused() -> None:
    with pytest.raises(MultiviewError, match=r"step 7: .* of edge L-ab, view depth is not: scalars.L-ab.values.t, "):
        require_finite_gradients(
            ["encoders.L.w", "scalars.L-ab.values.t", "encoders.depth.w"],
            torch.tensor([1.0, torch.inf, torch.nan]),
            torch.tensor([3, 1]),
            store_ids,
            step=7,
        )


def test_gradients_are_clipped_as_torch_clips_them() -> None:
    case = trial(mv.SimCLR(dim=5), train=mv.Train(batch=8, clip=0.1))
    clipped, whole = traced(case), traced(trial(mv.SimCLR(dim=5)))
    first = {name: x[0] for name, x in whole.items() if name.startswith("gradient/")}
    for p, gradient in zip(case.model.parameters(), first.values(), strict=True):
        p.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(case.model.parameters(), 0.1)
    for p, name in zip(case.model.parameters(), first, strict=True):
        assert torch.equal(p.grad, clipped[name][0])
