"""Edges of made-up embeddings, for the tests of objectives: float64, small, the same each time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multiview.check.edges import SAMPLES as SAMPLES
from multiview.check.edges import agreeing as agreeing
from multiview.check.edges import edge_of as edge_of
from multiview.check.edges import inputs_of as inputs_of
from multiview.objectives import EdgeOutput

DIM = 8


def unit(rows: int, seed: int, dim: int = DIM) -> Tensor:
    """Rows of length 1 that take gradient."""
    return normalize(normal(rows, seed, dim), dim=1).requires_grad_()


def normal(rows: int, seed: int, dim: int = DIM) -> Tensor:
    return torch.randn(rows, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_same(out: EdgeOutput, expected: Tensor, inputs: list[Tensor]) -> None:
    """Value and gradient agree to rounding."""
    assert torch.allclose(out.loss, expected, rtol=1e-12, atol=1e-13), f"{out.loss.item()} is not {expected.item()}"
    found, wanted = (torch.autograd.grad(x, inputs, allow_unused=True) for x in (out.loss, expected))
    for f, w, x in zip(found, wanted, inputs, strict=True):
        zero = torch.zeros_like(x)
        assert torch.allclose(zero if f is None else f, zero if w is None else w, rtol=1e-10, atol=1e-13)
