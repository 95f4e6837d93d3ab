"""SimSiam: no negatives, a predictor and a stop-gradient (Chen, He: Exploring Simple Siamese Representation Learning, arXiv:2011.10566)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from multiview.objectives.base import EdgeInput, EdgeOutput, Head, Needs, Objective, Situation, need_pairs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SimSiam(Objective):
    """Each view's prediction must point where the other view's embedding points: -(<p_a, sg(z_b)> + <p_b, sg(z_a)>) / 2.

    Batch norm follows every map of the projector, and the hidden map of the predictor, as in the original, and the predictor keeps its
    initial learning rate (`fix_predictor_lr` of the optimiser).

    Args:
        dim: numbers of an embedding and of a prediction.
        hidden: width of the projector's two hidden layers (null = the feature width).
        predictor: width of the predictor's hidden layer.
    """

    dim: int = 2048
    hidden: int | None = None
    predictor: int = 512

    def fitted(self, situation: Situation) -> "SimSiam":
        """Raises MultiviewError when a rank sees one sample a step: batch norm needs two."""
        need_pairs("SimSiam", situation)
        return self

    def needs(self) -> tuple[Needs, Needs]:
        """A three-layer projector with batch norm and a two-layer predictor on both sides."""
        side = Needs(
            projector=Head(dim=self.dim, layers=3, hidden=self.hidden, norm=True, norm_out=True),
            predictor=Head(dim=self.dim, layers=2, hidden=self.predictor, norm=True, constant_rate=True),
        )
        return side, side

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Lies in [-1, 1]; logs the spread of z, which is 1 / sqrt(dim) in health and 0 in collapse."""
        from multiview.distributed import mean_over_rows
        from multiview.ops.precision import full_precision
        from multiview.ops.spread import spread

        za, zb = (full_precision(cast("Tensor", side.z)).detach() for side in (edge.a, edge.b))
        pa, pb = (full_precision(cast("Tensor", side.p)) for side in (edge.a, edge.b))
        agreement = ((pa * zb).sum(1) + (pb * za).sum(1)) / 2
        log = {"spread": (spread(za, edge.present) + spread(zb, edge.present)) / 2}
        return EdgeOutput(-mean_over_rows(agreement, edge.present), log)
