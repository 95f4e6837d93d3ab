"""Edges of made-up embeddings, for the tests of objectives: float64, small, the same each time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multiview.data.draws import Draws
from multiview.memory.bank import MemoryBank
from multiview.memory.queue import KeyQueue
from multiview.objectives import EdgeInput, EdgeOutput, Objective, Side
from multiview.objectives.base import Bank, Needs, Queue

DIM, SAMPLES = 8, 23


def unit(rows: int, seed: int, dim: int = DIM) -> Tensor:
    """Rows of length 1 that take gradient."""
    return normalize(normal(rows, seed, dim), dim=1).requires_grad_()


def normal(rows: int, seed: int, dim: int = DIM) -> Tensor:
    return torch.randn(rows, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def edge_of(objective: Objective, sides: tuple[Side, ...], index: Tensor, present: Tensor | None = None) -> EdgeInput:
    """An edge as the memories would give it, at the start of its life."""
    state = {name: torch.tensor(value, dtype=torch.float64) for name, value in objective.initial_state().items()}
    scalars = {
        name: torch.tensor(scalar.start, dtype=torch.float64, requires_grad=True)
        for name, scalar in objective.scalars().items()
    }
    return EdgeInput(
        sides,
        index=index,
        present=torch.ones(len(index), dtype=torch.bool) if present is None else present,
        state=state,
        scalars=scalars,
        generator=torch.Generator().manual_seed(9),
        draws=Draws(0, 1, index.numpy(), "edge"),
    )


def agreeing(objective: Objective, rows: Tensor, agreement: float, present: Tensor | None = None) -> EdgeInput:
    """An edge of the samples `rows`, whose last view is what the others say, as far as `agreement` in [0, 1] goes.

    It is not its first step: Z is a number already.
    """
    needs = objective.needs()
    wanted = needs if isinstance(needs, tuple) else (needs,) * (2 if objective.pairwise else 3)
    first = [unit(SAMPLES, seed).detach() for seed in range(len(wanted) - 1)]
    told = normalize(torch.stack(first).prod(0), dim=1)
    last = normalize(agreement * told + (1 - agreement) * unit(SAMPLES, 7).detach(), dim=1)
    sides = tuple(_side(z, rows, n) for z, n in zip([*first, last], wanted, strict=True))
    edge = edge_of(objective, sides, rows, present)
    edge.state = {name: torch.full_like(value, 3.0) for name, value in edge.state.items()}
    return edge


def _side(z: Tensor, rows: Tensor, needs: Needs) -> Side:
    memory: MemoryBank | KeyQueue | None = None
    if isinstance(needs.memory, Bank):
        memory = MemoryBank(SAMPLES, DIM, 0.5, torch.Generator().manual_seed(3)).double()
        memory.rows.copy_(z)
    if isinstance(needs.memory, Queue):
        memory = KeyQueue(needs.memory.size, DIM).double()
        memory.update(unit(9, 8).detach(), torch.arange(100, 109))
    mine = [z[rows].clone().requires_grad_() for _ in range(2)]
    return Side(z=mine[0], p=mine[1], key=z[rows].clone(), memory=memory)


def inputs_of(edge: EdgeInput) -> list[Tensor]:
    """All that may take gradient."""
    return [x for side in edge.sides for x in (side.z, side.p) if x is not None] + list(edge.scalars.values())


def assert_same(out: EdgeOutput, expected: Tensor, inputs: list[Tensor]) -> None:
    """Value and gradient agree to rounding."""
    assert torch.allclose(out.loss, expected, rtol=1e-12, atol=1e-13), f"{out.loss.item()} is not {expected.item()}"
    found, wanted = (torch.autograd.grad(x, inputs, allow_unused=True) for x in (out.loss, expected))
    for f, w, x in zip(found, wanted, inputs, strict=True):
        zero = torch.zeros_like(x)
        assert torch.allclose(zero if f is None else f, zero if w is None else w, rtol=1e-10, atol=1e-13)
