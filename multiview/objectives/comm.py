"""CoMM: contrast the fused embedding of all views and of each view alone (arXiv:2410.07838)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from multiview import ops, require
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Fusion, Head, Needs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CoMM(InBatchContrast):
    r"""Two augmentations of a sample's views, fused, must find each other; so must each view alone.

    Z' and Z'' are the fused embeddings of all views under two augmentations, Z_i' and Z_i'' those
    of view i alone, fused with all others missing. The loss is the mean over NT-Xent(Z', Z'') and,
    for every view i, (NT-Xent(Z_i', Z'') + NT-Xent(Z_i'', Z')) / 2: Eq. 7 of the paper, divided by
    the number of its terms as in the original code. Z' keeps what the views share, what one view
    has alone and what only several show together. A sample that lacks a view is fused without it;
    its terms are those of the views that it has. An edge joins the views under the first
    augmentation, then the same views under the second, with the same encoders. In a graph file
    `photo - depth: comm` makes the second ones.

    Args:
        temperature: T, by which scores are divided. Its first value when it is learned.
        learn_temperature: learn T (as its logarithm, without weight decay), kept from 0.01 to 1.
        fusion: how features are fused: `mlp`, with a learned vector for each missing view;
            `mlp+linear`, of which half is a linear map, so that what a view has alone stays easy to
            read; `mlp+features`, with the views' normalised features themselves before the numbers
            of the MLP; or `attention` between one token per view.
        width: numbers of the fused feature, a multiple of 4; with `mlp+features`, those of its MLP.
        dim: width of an embedding.
        hidden: width of the projector's hidden layer (null = the width of the fused feature).
        alone: weight of the terms of single views. 0 is SimCLR on the fused embedding.

    Example:
        >>> crops = ("L", "ab", "L_2", "ab_2")
        >>> mv.HyperEdge(crops, mv.CoMM(fusion="attention")).objective.fusion
        'attention'
    """

    temperature: float = 0.1
    learn_temperature: bool = False
    fusion: Literal["mlp", "mlp+linear", "mlp+features", "attention"] = "mlp"
    width: int = 256
    dim: int = 128
    hidden: int | None = None
    alone: float = 1.0

    pairwise: ClassVar[bool] = False
    fuses: ClassVar[bool] = True
    excludes_groups: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require.options(self, ["alone"], lambda x: 0 <= x < float("inf"), "a finite number, 0 or more", "CoMM")
        self.needs()

    def needs(self) -> Needs:
        """A two-layer projector without biases behind the fused feature."""
        fusion = Fusion(kind=self.fusion, width=self.width)
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False, fusion=fusion))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Logs the share of fused embeddings that find their partner, and the loss of that term."""
        first, second = len(edge.sides) - 2, len(edge.sides) - 1
        views, everyone = first // 2, edge.everyone(*edge.embeddings())
        fused = self._nt_xent(edge, everyone, first, second)
        alone = [self._nt_xent(edge, everyone, i, second if i < views else first).loss for i in range(first)]
        total = fused.loss + sum((self.alone / 2 * loss for loss in alone), start=0 * fused.loss)
        log = {**fused.log, "fused": fused.loss.detach()}
        return EdgeOutput(total / (1 + self.alone * views), log)

    def _nt_xent(self, whole: EdgeInput, everyone: "tuple[Tensor, ...]", i: int, j: int) -> EdgeOutput:
        """NT-Xent over the rows of sides i and j; rows without one of them take no part.

        everyone: the embeddings of all processes, by side.
        """
        edge = whole.between(i, j)
        a, b = edge.embeddings()
        rest = edge.columns, edge.offset, edge.temperature(self.temperature), None, edge.groups()
        return edge.output(ops.ntxent.nt_xent(a, b, everyone[i], everyone[j], *rest))

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of both fused embeddings against the batch of all processes."""
        whole = edge.between(len(edge.sides) - 2, len(edge.sides) - 1)
        return whole.batch_scores(rows, edge.temperature(self.temperature), own=True)
