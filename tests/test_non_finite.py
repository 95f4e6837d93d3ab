"""A loss that is not a number stops a run before it does harm, in every process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trials import trial

import multiview as mv
from multiview.check.parity import Trial, process, spread, traced
from multiview.data.draws import Draws
from multiview.errors import MultiviewError
from multiview.train.processes import start
from multiview.train.run import assembled
from multiview.train.step import contrast_step

LAST_ROWS = (6, 7)
"""Rows that the second of two processes holds."""


def poisoned(views: tuple[str, ...] = ("b",), objective: mv.Objective | None = None) -> Trial:
    """Pixels that are not numbers in two rows of the third step."""
    made = trial(objective or mv.CMC(negatives=7, dim=5))
    for view in views:
        made.batches[2].crops["crop"][view][list(LAST_ROWS)] = torch.nan
    return made


@pytest.mark.parametrize(
    "objective", [mv.CMC(negatives=7, dim=5), mv.MoCo(queue=9, dim=5), mv.SimCLR(dim=5), mv.SimSiam(dim=5, predictor=3)]
)
def test_step_edge_and_samples_are_named_and_nothing_is_touched(objective: mv.Objective) -> None:
    made = poisoned(objective=objective)
    parts = assembled(start(made.train, "x"), made.views, made.model.train(), made.memories, made.train, store_ids)

    def step(number: int) -> None:
        batch = made.batches[number]
        contrast_step(parts, batch, number + 1, Draws(0, number, batch.index.numpy()))

    step(0)
    step(1)
    weights = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    memories = {name: x.clone() for name, x in made.memories.stores.state_dict().items()}
    states = {name: x.clone() for name, x in made.memories.states.state_dict().items()}
    with pytest.raises(MultiviewError) as caught:
        step(2)
    first, second = (f"sample_{i}" for i in made.batches[2].index[list(LAST_ROWS)].tolist())
    assert str(caught.value).startswith(
        "step 3: the loss of edge a-b, b-c is not finite. View tensors are not finite of "
    )
    assert f"samples {first}, {second}. Weights" in str(caught.value)
    assert all(torch.equal(p, weights[name]) for name, p in made.model.named_parameters())
    assert all(torch.equal(x, memories[name]) for name, x in made.memories.stores.state_dict().items())
    after = made.memories.states.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in states.items())


def store_ids(index: torch.Tensor) -> list[str]:
    return [f"sample_{i}" for i in index.tolist()]


def refuse(number: int, folder: Path) -> None:
    """One of two processes: notes what it was told."""
    with process(number, 2, folder), pytest.raises(MultiviewError) as caught:
        traced(poisoned())
    (folder / f"said-{number}").write_text(str(caught.value))


def test_every_process_stops_with_the_same_words(tmp_path: Path) -> None:
    spread(refuse, 2, tmp_path)
    first, second = ((tmp_path / f"said-{number}").read_text() for number in range(2))
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


def test_where_embeddings_are_finite_the_samples_of_the_step_are_named() -> None:
    with pytest.raises(
        MultiviewError, match=r"step 1: .* View tensors and embeddings are finite; the step had samples (\d+, ){7}\d+\."
    ):
        traced(trial(Overflowing(dim=5)))
