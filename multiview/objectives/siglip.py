"""SigLIP: every pair of the batch is a yes-or-no question (Zhai et al., arXiv:2303.15343)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from multiview import ops
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Head, Needs, Scalar

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SigLIP(InBatchContrast):
    r"""Do row i of one view and row j of the other belong together? Yes for i = j alone.

    -1/n sum_i sum_j log sigmoid(s_ij (<a_i, b_j> / T + bias)), s_ij = 1 where i = j, else -1. T and
    the bias are learned; the paper writes t = 1 / T. Pairs between all processes count, with exact
    gradients.

    Args:
        temperature: first value of T (the paper: 0.1). T is learned as its logarithm, without
            weight decay, and kept from 0.01 to 1.
        bias: first value of the bias. About minus the logarithm of the batch size: otherwise the
            many negatives dominate the first steps.
        dim: width of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width).

    Example:
        >>> sorted(mv.SigLIP(bias=-5.0).scalars())  # what every edge learns
        ['bias', 'log_temperature']
    """

    temperature: float = 0.1
    bias: float = -10.0
    dim: int = 128
    hidden: int | None = None

    least_rows: ClassVar[int] = 1
    excludes_groups: ClassVar[bool | None] = True

    def needs(self) -> Needs:
        """A two-layer projector without biases on both sides."""
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False))

    def scalars(self) -> Mapping[str, Scalar]:
        """log T and the bias."""
        return {**super().scalars(), "bias": Scalar(start=self.bias)}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean over the rows of a; logs the share of rows whose own pair scores highest."""
        a, b = edge.embeddings()
        (everyone_b,) = edge.everyone(b)
        scaled, bias = a / edge.temperature(self.temperature), edge.scalars["bias"]
        rest = edge.columns, edge.offset, edge.groups()
        terms = ops.pair_sigmoid.pair_sigmoid(scaled, everyone_b, bias, *rest)
        return edge.output(terms, bias=bias.detach())

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the other view's batch of all processes."""
        return edge.batch_scores(rows, edge.temperature(self.temperature), own=False)
