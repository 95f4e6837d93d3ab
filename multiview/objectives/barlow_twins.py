"""Barlow Twins: views agree, dimensions are uncorrelated (Zbontar et al., arXiv:2103.03230)."""

from dataclasses import dataclass
from typing import ClassVar

from multiview import ops, require
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatch
from multiview.objectives.needs import Head, Needs

EPSILON = 1e-5
"""Added to a variance, as in the authors' batch norm: a collapsed dimension gives no NaN."""


@dataclass(frozen=True, kw_only=True)
class BarlowTwins(InBatch):
    r"""The cross-correlation C of the two views' embeddings must be the identity matrix.

    sum_i (1 - C_ii)^2 + redundancy * sum_{i != j} C_ij^2, where C_ij = 1/n sum_rows a_i b_j, and
    each dimension of a and b has mean 0 and variance 1 over the batch. The batch is that of all
    processes, with exact gradients. A batch with fewer than two present rows has a loss of 0.

    Args:
        redundancy: lambda, weight of the correlations between different dimensions.
        dim: width of an embedding. The paper's 8192 makes C a matrix of 67 million numbers; 2048 is
            the practical width that VICReg has here too.
        hidden: width of the projector's two hidden layers (null = dim, as in the paper).

    Example:
        >>> import torch
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(z=torch.eye(4))
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool())
        >>> round(mv.BarlowTwins().loss(edge).loss.item(), 3)
        0.007
    """

    redundancy: float = 0.005
    dim: int = 2048
    hidden: int | None = None

    least_rows: ClassVar[int] = 2
    excludes_groups: ClassVar[bool | None] = None

    def __post_init__(self) -> None:
        require.positive("BarlowTwins", redundancy=self.redundancy)

    def needs(self) -> Needs:
        """A three-layer projector with batch norm on both sides: no biases, not normalised."""
        hidden = self.hidden or self.dim
        return Needs(projector=Head(dim=self.dim, layers=3, hidden=hidden, norm=True, bias=False, unit=False))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Logs both terms without their weight."""
        present = edge.everyone_present
        a, b = (ops.moments.centred(z, present) for z in edge.everyone(*edge.embeddings()))
        rows = present.sum().to(a.dtype).clamp(min=1)
        a, b = (z / (z.square().sum(0) / rows + EPSILON).sqrt() for z in (a, b))
        correlation = a.T @ b / rows
        diagonal, enough = correlation.diagonal(), (present.sum() > 1).to(a.dtype)
        invariance = enough * (1 - diagonal).square().sum()
        redundancy = enough * (correlation.square().sum() - diagonal.square().sum())
        log = {"invariance": invariance.detach(), "redundancy": redundancy.detach()}
        return EdgeOutput(invariance + self.redundancy * redundancy, log)
