"""What `make evidence` compares with, and nobody should train otherwise.

The folder is on the import path of the evidence's processes alone, whose plugins find it by the
entry points beside this file. The types of the fields are read, so annotations are not late here.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

import multiview as mv
from multiview import ops
from multiview.encoder import Encoder
from multiview.objectives import EdgeInput, EdgeOutput, Head, Needs
from multiview.record import recorded


class Cells(Encoder):
    """The values of a view themselves, as means of side x side cells: no parameters."""

    def __init__(self, channels: int, *, side: int = 8) -> None:
        super().__init__(channels, channels * side**2, ("cells",))
        self.cells = nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten())


@recorded
def cells(channels: int, *, side: int = 8, width: float = 1.0) -> Cells:
    """Means of side x side cells: h (n, channels * side * side). width changes nothing."""
    del width
    return Cells(channels, side=side)


@dataclass(frozen=True, kw_only=True)
class Regression(mv.Objective):
    """The first view predicts the values of the second one: mean squared error.

    The second view's encoder must have no parameters, such as `cells`. Its values are read through
    a fixed random matrix with many rows. That keeps the distances between them: the expected
    squared error is the one of the values, times a constant.

    Args:
        dim: rows of the matrix.
        hidden: width of the decoder's hidden layer.
    """

    dim: int = 2048
    hidden: int = 256

    excludes_groups: ClassVar[bool | None] = None

    def needs(self) -> tuple[Needs, Needs]:
        """A decoder of two layers, and the matrix, which gets no gradient."""
        decoder = Head(dim=self.dim, layers=2, hidden=self.hidden, unit=False)
        return Needs(projector=decoder), Needs(projector=Head(dim=self.dim, bias=False, unit=False))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """0 when every value is predicted."""
        predicted, values = edge.embeddings()
        return EdgeOutput(edge.mean((predicted - values.detach()).square().mean(1)))


@dataclass(frozen=True, kw_only=True)
class SimSiamNoStop(mv.SimSiam):
    """SimSiam whose gradient also passes through the embedding that is predicted."""

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """In [-1, 1]."""
        return _agreement(edge, edge.predictions(), edge.embeddings())


@dataclass(frozen=True, kw_only=True)
class SimSiamNoPredictor(mv.SimSiam):
    """SimSiam without its predictor: the embeddings themselves must agree."""

    def needs(self) -> tuple[Needs, Needs]:
        """The projector of SimSiam alone."""
        first, second = super().needs()
        return replace(first, predictor=None), replace(second, predictor=None)

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """In [-1, 1]. The gradient stops at the embedding that is predicted."""
        a, b = edge.embeddings()
        return _agreement(edge, (a, b), (a.detach(), b.detach()))


def _agreement(edge: EdgeInput, predictions: tuple[Tensor, ...], embeddings: tuple[Tensor, ...]) -> EdgeOutput:
    """The loss of SimSiam, from what predicts and what is predicted."""
    (p_a, p_b), (z_a, z_b) = predictions, embeddings
    agreement = ((p_a * z_b).sum(1) + (p_b * z_a).sum(1)) / 2
    return EdgeOutput(-edge.mean(agreement), {"spread": ops.spread.mean_spread((z_a, z_b), edge.present)})
