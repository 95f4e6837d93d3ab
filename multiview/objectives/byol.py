"""BYOL: predict the other view's momentum embedding (Grill et al., arXiv:2006.07733)."""

from dataclasses import dataclass
from typing import ClassVar

from multiview import ops, require
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatch
from multiview.objectives.needs import Head, Keys, Needs


@dataclass(frozen=True, kw_only=True)
class BYOL(InBatch):
    r"""Each view's prediction p must be the key k of the other view.

    |p_a - k_b|^2 + |p_b - k_a|^2, all of length 1, hence 4 - 2 <p_a, k_b> - 2 <p_b, k_a>. Keys come
    from a momentum copy of encoder and projector and take no gradient. Projector and predictor are
    two maps with batch norm between them.

    Args:
        momentum: m of the key encoder at the start.
        rise: m rises to 1 over the run, 1 - (1 - m) (cos(pi step / steps) + 1) / 2, as in the
            paper; false keeps m.
        dim: width of an embedding and of a prediction.
        hidden: width of the hidden layers of projector and predictor.

    Example:
        >>> import torch
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(p=torch.eye(4), key=torch.eye(4))
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool())
        >>> round(mv.BYOL().loss(edge).loss.item(), 3)
        0.0
    """

    momentum: float = 0.996
    rise: bool = True
    dim: int = 256
    hidden: int = 4096

    excludes_groups: ClassVar[bool | None] = None

    def __post_init__(self) -> None:
        require.fraction("BYOL", momentum=self.momentum)

    def needs(self) -> Needs:
        """Projector, predictor and key encoder on both sides."""
        head = Head(dim=self.dim, layers=2, hidden=self.hidden, norm=True)
        return Needs(projector=head, predictor=head, keys=Keys(momentum=self.momentum, rise=self.rise))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """In [0, 8]. Logs the spread of the keys: 1 / sqrt(dim) in a healthy run, 0 in collapse."""
        p_a, p_b = edge.predictions()
        k_a, k_b = edge.keys()
        distance = 4 - 2 * (p_a * k_b).sum(1) - 2 * (p_b * k_a).sum(1)
        return EdgeOutput(edge.mean(distance), {"spread": ops.spread.mean_spread((k_a, k_b), edge.present)})
