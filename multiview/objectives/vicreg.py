"""VICReg: agree, keep every number alive, say nothing twice (Bardes, Ponce, LeCun, arXiv:2105.04906)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from multiview.errors import demand
from multiview.objectives.base import EdgeInput, EdgeOutput, Head, Needs, Objective, Situation, need_pairs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class VICReg(Objective):
    r"""Invariance, variance and covariance of embeddings that are not on the sphere, as in Algorithm 1 of the paper.

    invariance * mean((z_a - z_b)^2) + variance * sum_views mean_j max(0, 1 - sqrt(Var(z^j) + 1e-4))
    + covariance * sum_views (1 / d) sum_{i != j} Cov(z)_ij^2. Variances and covariances are those of the rows of all ranks together, with
    exact gradients. (The authors' code halves the variance term: there, give variance / 2.)

    Args:
        invariance: weight of the distance between the views.
        variance: weight of the hinge that keeps each number's standard deviation at 1 or more.
        covariance: weight of the squared covariances between numbers.
        dim: numbers of an embedding (the paper: 8192).
        hidden: width of the projector's two hidden layers (null = dim).
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    dim: int = 2048
    hidden: int | None = None

    def __post_init__(self) -> None:
        weights = ("invariance", "variance", "covariance")
        demand(self, weights, lambda weight: 0 <= weight < float("inf"), "a finite number, 0 or more", "VICReg")

    def fitted(self, situation: Situation) -> "VICReg":
        """Raises MultiviewError when a rank sees one sample a step: batch norm needs two."""
        need_pairs("VICReg", situation)
        return self

    def needs(self) -> Needs:
        """A three-layer projector with batch norm, not normalised, on both sides."""
        hidden = self.hidden or self.dim
        return Needs(projector=Head(dim=self.dim, layers=3, hidden=hidden, norm=True, bias=False, unit=False))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Logs the three terms without their weights; `variance` is 0 when every number spreads enough, or where two rows are missing."""
        from multiview.distributed import gather, gather_with_gradient, mean_over_rows
        from multiview.ops.moments import covariance, covariance_term, variance_term
        from multiview.ops.precision import full_precision

        za, zb = (full_precision(cast("Tensor", side.z)) for side in edge.sides)
        here = gather(edge.present)
        both = [covariance(gather_with_gradient(z), here) for z in (za, zb)]
        enough = (here.sum() > 1).to(za.dtype)
        distance = mean_over_rows((za - zb).square().mean(1), edge.present)
        spreading = enough * (variance_term(both[0]) + variance_term(both[1]))
        repeating = enough * (covariance_term(both[0]) + covariance_term(both[1]))
        loss = self.invariance * distance + self.variance * spreading + self.covariance * repeating
        log = {"invariance": distance, "variance": spreading.detach(), "covariance": repeating.detach()}
        return EdgeOutput(loss, {name: value.detach() for name, value in log.items()})
