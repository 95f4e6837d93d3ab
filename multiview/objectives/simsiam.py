"""SimSiam: no negatives, a predictor and a stop-gradient (Chen and He, arXiv:2011.10566)."""

from dataclasses import dataclass
from typing import ClassVar

from multiview import ops
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatch
from multiview.objectives.needs import Head, Needs


@dataclass(frozen=True, kw_only=True)
class SimSiam(InBatch):
    """Each view's prediction must point where the other view's embedding points.

    -(<p_a, sg(z_b)> + <p_b, sg(z_a)>) / 2, where sg stops the gradient. As in the original, batch
    norm follows every map of the projector and the hidden map of the predictor, and the predictor
    keeps its initial learning rate (`fix_predictor_lr` of the optimiser).

    Args:
        dim: width of an embedding and of a prediction.
        hidden: width of the projector's two hidden layers (null = the feature width).
        predictor: width of the predictor's hidden layer.

    Example:
        >>> import torch
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(z=torch.eye(4), p=torch.eye(4))
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool())
        >>> round(mv.SimSiam().loss(edge).loss.item(), 3)
        -1.0
    """

    dim: int = 2048
    hidden: int | None = None
    predictor: int = 512

    excludes_groups: ClassVar[bool | None] = None

    def needs(self) -> tuple[Needs, Needs]:
        """A three-layer projector with batch norm and a two-layer predictor on both sides."""
        side = Needs(
            projector=Head(dim=self.dim, layers=3, hidden=self.hidden, norm=True, norm_out=True),
            predictor=Head(dim=self.dim, layers=2, hidden=self.predictor, norm=True, constant_rate=True),
        )
        return side, side

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """In [-1, 1]. Logs the spread of z: 1 / sqrt(dim) in a healthy run, 0 in collapse."""
        z_a, z_b = (z.detach() for z in edge.embeddings())
        p_a, p_b = edge.predictions()
        agreement = ((p_a * z_b).sum(1) + (p_b * z_a).sum(1)) / 2
        return EdgeOutput(-edge.mean(agreement), {"spread": ops.spread.mean_spread((z_a, z_b), edge.present)})
