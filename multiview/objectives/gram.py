"""GRAM: the views of one sample span a small volume (Cicchetti et al., arXiv:2412.11959)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from multiview import ops
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Head, Needs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GRAM(InBatchContrast):
    r"""The parallelotope of a sample's embeddings must be smaller than those of mixed samples.

    V(a, b, c, ...) = sqrt(det(G)), where G holds the inner products of the unit vectors. V is 0
    when they lie in one plane through 0, and at most 1. The first view is the anchor a. The loss is
    the mean, over rows i, of -log(e^{-V(a_i, b_i, c_i)/T} / sum_j e^{-V(a_i, b_j, c_j)/T}) and of
    the same with the sum over e^{-V(a_j, b_i, c_i)/T}. The sign of an embedding does not matter: V
    is 0 also for opposite vectors. Samples of all processes take part, with exact gradients. An
    edge of two views works too: V is then the sine of their angle.

    Args:
        temperature: T, by which volumes are divided. Its first value when it is learned.
        learn_temperature: learn T (as its logarithm, without weight decay), kept from 0.01 to 1;
            false keeps T.
        dim: width of an embedding. More than the number of views.
        hidden: width of the projector's hidden layer (null = the feature width).

    Example:
        >>> mv.ContrastGraph.joint(["L", "depth", "audio"], mv.GRAM()).names()
        ('L-depth-audio',)
        >>> mv.Edge("L", "depth", mv.GRAM()).label
        'L-depth'
    """

    temperature: float = 0.07
    learn_temperature: bool = True
    dim: int = 128
    hidden: int | None = None

    pairwise: ClassVar[bool] = False
    also_pairs: ClassVar[bool] = True
    excludes_groups: ClassVar[bool | None] = True

    def needs(self) -> Needs:
        """A two-layer projector without biases for every view."""
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean of both directions. Logs the share of rows whose own volume is smallest."""
        views = edge.embeddings()
        rest = edge.columns, edge.offset, edge.temperature(self.temperature), edge.groups()
        return edge.output(ops.volume.gram(views, edge.everyone(*views), *rest))

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Anchors, and their data, against the batch of all processes."""
        views = edge.embeddings()
        rest = edge.negatives_of(rows), edge.offset, edge.temperature(self.temperature)
        return ops.volume.candidate_scores([x[:rows] for x in views], edge.everyone(*views), *rest)
