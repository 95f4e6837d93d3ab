"""VICReg: agreement, spread, no correlation (Bardes, Ponce, LeCun, arXiv:2105.04906)."""

from dataclasses import dataclass
from typing import ClassVar

from multiview import ops, require
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatch
from multiview.objectives.needs import Head, Needs


@dataclass(frozen=True, kw_only=True)
class VICReg(InBatch):
    r"""Invariance, variance and covariance of embeddings that are not on the sphere (Alg. 1).

    invariance * mean((z_a - z_b)^2) + variance * sum_views mean_j max(0, 1 - sqrt(Var(z^j) + 1e-4))
    + covariance * sum_views (1 / d) sum_{i != j} Cov(z)_ij^2. Variances and covariances are those
    of the rows of all processes together, with exact gradients. (The authors' code halves the
    variance term: give variance / 2.)

    Args:
        invariance: weight of the distance between the views.
        variance: weight of the hinge that keeps each dimension's standard deviation at 1 or more.
        covariance: weight of the squared covariances between dimensions.
        dim: width of an embedding (the paper: 8192).
        hidden: width of the projector's two hidden layers (null = dim).

    Example:
        >>> import torch
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(z=torch.eye(4))
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool())
        >>> round(mv.VICReg().loss(edge).loss.item(), 3)
        25.037
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    dim: int = 2048
    hidden: int | None = None

    excludes_groups: ClassVar[bool | None] = None

    def __post_init__(self) -> None:
        weights = ("invariance", "variance", "covariance")
        require.options(
            self, weights, lambda weight: 0 <= weight < float("inf"), "a finite number, 0 or more", "VICReg"
        )

    def needs(self) -> Needs:
        """A three-layer projector with batch norm, not normalised, on both sides."""
        hidden = self.hidden or self.dim
        return Needs(projector=Head(dim=self.dim, layers=3, hidden=hidden, norm=True, bias=False, unit=False))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Logs the terms without weights. With one present row only the distance counts."""
        a, b = edge.embeddings()
        present = edge.everyone_present
        cov_a, cov_b = (ops.moments.covariance(z, present) for z in edge.everyone(a, b))
        enough = (present.sum() > 1).to(a.dtype)
        distance = edge.mean((a - b).square().mean(1))
        variance = enough * (ops.moments.variance_term(cov_a) + ops.moments.variance_term(cov_b))
        covariance = enough * (ops.moments.covariance_term(cov_a) + ops.moments.covariance_term(cov_b))
        loss = self.invariance * distance + self.variance * variance + self.covariance * covariance
        log = {"invariance": distance, "variance": variance, "covariance": covariance}
        return EdgeOutput(loss, {name: value.detach() for name, value in log.items()})
