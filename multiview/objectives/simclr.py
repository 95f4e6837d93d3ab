"""SimCLR: contrast within the batch (Chen, Kornblith, Norouzi, Hinton, arXiv:2002.05709)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from multiview import ops
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Head, Needs
from multiview.objectives.weighted_negatives import require_weighting, weighting_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SimCLR(InBatchContrast):
    r"""NT-Xent: each embedding must find its partner among the embeddings of the whole batch.

    For embedding i with partner j: -log(exp(<z_i, z_j>/T) / sum_{k != i} exp(<z_i, z_k>/T)), mean
    over both views' rows. Negatives of all processes count, with exact gradients.

    Args:
        temperature: T, by which scores are divided. Its first value when it is learned.
        learn_temperature: learn T (as its logarithm, without weight decay), kept from 0.01 to 1.
        negatives: `both` takes the other samples of both views (SimCLR's Eq. 1). `cross` takes only
            those of the other view (InfoNCE between modalities, as in CLIP, arXiv:2103.00020).
        dim: width of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width, 0 = a linear
            projector).
        decoupled: leave the positive out of the denominator (DCL, arXiv:2110.06848).
        hardness: beta of arXiv:2010.04592: a negative with the score s weighs e^(beta s), divided
            by the mean of these weights. 0 weights all alike.
        tau_plus: share of the negatives that are of the sample's own class. Their expected part is
            subtracted (arXiv:2007.00224). 0 subtracts nothing.
        norm: batch norm behind both maps of the projector, the last without a shift, as the
            original code has. The paper's text does not name it.

    Example:
        >>> import torch
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(z=torch.eye(4))
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool())
        >>> round(mv.SimCLR().loss(edge).loss.item(), 3)
        0.594
    """

    temperature: float = 0.5
    learn_temperature: bool = False
    negatives: Literal["both", "cross"] = "both"
    dim: int = 128
    hidden: int | None = None
    decoupled: bool = False
    hardness: float = 0.0
    tau_plus: float = 0.0
    norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_weighting(self)

    excludes_groups: ClassVar[bool | None] = True

    def needs(self) -> tuple[Needs, Needs]:
        """A projector without biases on both sides, of two layers unless hidden is 0."""
        norm = self.norm
        layers, hidden = (1, None) if self.hidden == 0 else (2, self.hidden)
        head = Head(dim=self.dim, layers=layers, hidden=hidden, bias=False, norm=norm, scale_out=norm)
        return Needs(projector=head), Needs(projector=head)

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean over both views' rows. Samples that lack a view take no part."""
        a, b = edge.embeddings()
        everyone_a, everyone_b = edge.everyone(a, b)
        nt_xent = ops.ntxent.nt_xent if self.negatives == "both" else ops.ntxent.info_nce
        rest = edge.columns, edge.offset, edge.temperature(self.temperature), weighting_of(self), edge.groups()
        return edge.output(nt_xent(a, b, everyone_a, everyone_b, *rest))

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the batch of all processes."""
        return edge.batch_scores(rows, edge.temperature(self.temperature), own=self.negatives == "both")
