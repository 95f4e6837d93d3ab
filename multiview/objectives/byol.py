"""BYOL: predict the momentum encoder's embedding of the other view (Grill et al.: Bootstrap Your Own Latent, arXiv:2006.07733)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from multiview.objectives.base import EdgeInput, EdgeOutput, Head, Keys, Needs, Objective, Situation, need_pairs, share

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BYOL(Objective):
    r"""Each view's prediction p must be the key k of the other view: |p_a - k_b|^2 + |p_b - k_a|^2, all of length 1.

    Hence 4 - 2 <p_a, k_b> - 2 <p_b, k_a>. Keys come from a momentum copy of encoder and projector and take no gradient. Projector and
    predictor are two maps with batch norm between them.

    Args:
        momentum: m of the key encoder at the start.
        rise: m rises to 1 over the run, 1 - (1 - m) (cos(pi step / steps) + 1) / 2, as in the paper; false keeps it.
        dim: numbers of an embedding and of a prediction.
        hidden: width of the hidden layers of projector and predictor.
    """

    momentum: float = 0.996
    rise: bool = True
    dim: int = 256
    hidden: int = 4096

    def __post_init__(self) -> None:
        share("BYOL", momentum=self.momentum)

    def fitted(self, situation: Situation) -> "BYOL":
        """Raises MultiviewError when a rank sees one sample a step: batch norm needs two."""
        need_pairs("BYOL", situation)
        return self

    def needs(self) -> Needs:
        """Projector, predictor and key encoder on both sides."""
        head = Head(dim=self.dim, layers=2, hidden=self.hidden, norm=True)
        return Needs(projector=head, predictor=head, keys=Keys(momentum=self.momentum, rise=self.rise))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Lies in [0, 8]; logs the spread of the keys, which is 1 / sqrt(dim) in health and 0 in collapse."""
        from multiview.distributed import mean_over_rows
        from multiview.ops.precision import full_precision
        from multiview.ops.spread import spread

        pa, pb = (full_precision(cast("Tensor", side.p)) for side in edge.sides)
        ka, kb = (full_precision(cast("Tensor", side.key)) for side in edge.sides)
        distance = 4 - 2 * (pa * kb).sum(1) - 2 * (pb * ka).sum(1)
        log = {"spread": (spread(ka, edge.present) + spread(kb, edge.present)) / 2}
        return EdgeOutput(mean_over_rows(distance, edge.present), log)
