"""Edges of made-up embeddings, for the laws of objectives: float64, small, the same each time."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multiview.counter_rng import Draws
from multiview.memory.bank import MemoryBank
from multiview.memory.queue import KeyQueue
from multiview.objectives.base import Bank, EdgeInput, Needs, Objective, Queue, Side
from multiview.ops.negatives import GroupRows

SAMPLES = 23
"""In the training data."""
EARLIER = 9
"""Keys that a queue holds already."""


def unit(rows: int, seed: int, dim: int) -> Tensor:
    """Rows of length 1, float64 (rows, dim)."""
    numbers = torch.randn(rows, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return normalize(numbers, dim=1)


def needs_of(objective: Objective) -> tuple[Needs, ...]:
    """What the objective needs of each side of an edge: of two, of three if not pairwise.

    Of four if it fuses views: one view drawn twice, and both fused embeddings.
    """
    needs = objective.needs()
    return needs if isinstance(needs, tuple) else (needs,) * (2 if objective.pairwise else 4 if objective.fuses else 3)


def edge_of(
    objective: Objective,
    sides: tuple[Side, ...],
    index: Tensor,
    present: Tensor | None = None,
    codes: Tensor | None = None,
) -> EdgeInput:
    """An edge as the memories give it at the first step. codes: (SAMPLES,) the samples' groups."""
    double = partial(torch.tensor, dtype=torch.float64)
    state = {name: double(value) for name, value in objective.initial_state().items()}
    scalars = {name: double(scalar.start, requires_grad=True) for name, scalar in objective.scalars().items()}
    return EdgeInput(
        sides,
        index=index,
        present=torch.ones(len(index), dtype=torch.bool) if present is None else present,
        state=state,
        scalars=scalars,
        generator=torch.Generator().manual_seed(9),
        draws=Draws(0, 1, index.numpy(), "edge"),
        group=None if codes is None else codes[index],
        bank_groups=None if codes is None else GroupRows.of(codes),
        labels=torch.where(index % 5 < 2, index % 5, -1),
    )


def agreeing(
    objective: Objective,
    rows: Tensor,
    agreement: float,
    present: Tensor | None = None,
    codes: Tensor | None = None,
) -> EdgeInput:
    """An edge of the samples `rows`.

    agreement: of the last view with the others, from 0 to 1. Not the edge's first step: Z has a
    value. codes: (SAMPLES,) the samples' groups; keys of a queue take them in turn.
    """
    wanted = needs_of(objective)
    first = [unit(SAMPLES, seed, needs.projector.dim) for seed, needs in enumerate(wanted[:-1])]
    stacked = torch.stack(first)
    summed = objective.also_pairs or objective.fuses
    shared = normalize(stacked.sum(0) if summed else stacked.prod(0), dim=1)
    last = normalize(agreement * shared + (1 - agreement) * unit(SAMPLES, 7, wanted[-1].projector.dim), dim=1)
    sides = tuple(_side(z, rows, needs, codes) for z, needs in zip([*first, last], wanted, strict=True))
    edge = edge_of(objective, sides, rows, present, codes)
    edge.state = {name: torch.full_like(value, 3.0) for name, value in edge.state.items()}
    return edge


def _side(z: Tensor, rows: Tensor, needs: Needs, codes: Tensor | None) -> Side:
    dim = z.shape[1]
    memory: MemoryBank | KeyQueue | None = None
    if isinstance(needs.memory, Bank):
        memory = MemoryBank(SAMPLES, dim, 0.5, torch.Generator().manual_seed(3)).double()
        memory.rows.copy_(z)
    if isinstance(needs.memory, Queue):
        memory = KeyQueue(needs.memory.size, dim, grouped=codes is not None).double()
        groups = None if codes is None else codes[:EARLIER]
        memory.update(unit(EARLIER, 8, dim), torch.arange(100, 100 + EARLIER), groups)
    mine = [z[rows].clone().requires_grad_() for _ in range(2)]
    return Side(z=mine[0], p=mine[1], key=z[rows].clone(), memory=memory)


def inputs_of(edge: EdgeInput) -> list[Tensor]:
    """All tensors that may take gradient."""
    return [x for side in edge.sides for x in (side.z, side.p) if x is not None] + list(edge.scalars.values())


def in_precision(edge: EdgeInput, embeddings: torch.dtype) -> EdgeInput:
    """The edge with embeddings in a precision, and all else in float32, as in a run."""
    for side in edge.sides:
        side.z, side.p = (x if x is None else x.detach().to(embeddings).requires_grad_() for x in (side.z, side.p))
        side.key = side.key if side.key is None else side.key.to(embeddings)
        side.memory = side.memory and side.memory.float()
    edge.scalars = {name: value.detach().float().requires_grad_() for name, value in edge.scalars.items()}
    edge.state = {name: value.float() for name, value in edge.state.items()}
    return edge
