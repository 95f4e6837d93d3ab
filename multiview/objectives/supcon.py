"""SupCon: samples of one class are positives (Khosla et al., arXiv:2004.11362)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from multiview import ops
from multiview.errors import MultiviewError
from multiview.objectives.base import Objective, Situation
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Head, Needs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SupCon(InBatchContrast):
    r"""Each embedding must find its partner and all embeddings of its class in the batch.

    For embedding i with positives P(i), all other embeddings of its class: -1/|P(i)| sum_{p in
    P(i)} log(exp(<z_i, z_p>/T) / sum_{k != i} exp(<z_i, z_k>/T)), L_out of the paper; mean over
    both views' rows. A sample without a label has only its own partner as positive, as in SimCLR.
    Samples of all processes count, with exact gradients. Labels are those of the training data.
    With groups, samples of one group and one class stay positives of each other.

    Args:
        temperature: T, by which scores are divided. Its first value when it is learned.
        learn_temperature: learn T (as its logarithm, without weight decay), kept from 0.01 to 1.
        negatives: `both` contrasts with the other embeddings of both views, `cross` only with those
            of the other view.
        dim: width of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width).

    Example:
        >>> import torch
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(z=torch.eye(4))
        >>> labels = torch.tensor([0, 1, -1, -1])
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool(), labels=labels)
        >>> round(mv.SupCon().loss(edge).loss.item(), 5)
        0.00027
    """

    temperature: float = 0.1
    learn_temperature: bool = False
    negatives: Literal["both", "cross"] = "both"
    dim: int = 128
    hidden: int | None = None

    excludes_groups: ClassVar[bool | None] = True

    def resolved(self, situation: Situation) -> Objective:
        """Raises MultiviewError when no training sample has a label."""
        if situation.labelled == 0:
            raise MultiviewError(
                "SupCon pulls the samples of one class together, but no training sample has a label; give data with "
                "labels (for example one folder per class), or use SimCLR, which needs none."
            )
        return super().resolved(situation)

    def needs(self) -> Needs:
        """A two-layer projector without biases on both sides, and the labels."""
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False), labels=True)

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean over both views' rows; logs how often the highest score is of the own class."""
        a, b = edge.embeddings()
        among = ops.same_class.both_views if self.negatives == "both" else ops.same_class.other_view
        everyone_a, everyone_b = edge.everyone(a, b)
        rest = edge.columns, edge.offset, edge.temperature(self.temperature), edge.groups()
        return edge.output(among(a, b, everyone_a, everyone_b, edge.classes(), *rest))

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the samples of all processes that are of other classes."""
        (a, b), (labels, everyone) = edge.embeddings(), edge.classes()
        (all_a, all_b), own = edge.everyone(a, b), labels[:rows, None]
        columns = edge.negatives_of(rows) & ((own != everyone) | (own < 0))
        rest = columns, edge.offset, edge.temperature(self.temperature)
        both = self.negatives == "both"
        return (
            ops.candidates.in_batch(a[:rows], all_a if both else None, all_b, *rest),
            ops.candidates.in_batch(b[:rows], all_b if both else None, all_a, *rest),
        )
