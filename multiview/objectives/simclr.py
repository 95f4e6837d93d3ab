"""SimCLR: contrast within the batch (Chen, Kornblith, Norouzi, Hinton, arXiv:2002.05709)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from multiview.objectives.base import (
    EdgeInput,
    EdgeOutput,
    Head,
    Needs,
    Objective,
    Scalar,
    Situation,
    batch_scores,
    log_temperature,
    need_pairs,
    positive,
    temperature_log,
    temperature_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.ops.ntxent import Terms


@dataclass(frozen=True, kw_only=True)
class SimCLR(Objective):
    r"""NT-Xent: each embedding must find its partner among the embeddings of the whole batch, of all ranks.

    For embedding i with partner j: -log(exp(<z_i, z_j>/T) / sum_{k != i} exp(<z_i, z_k>/T)), mean over both views' rows. Negatives of all
    ranks count, with exact gradients.

    Args:
        temperature: T, by which scores are divided; where it starts, when learned.
        learn_temperature: the edge learns T (its logarithm, without weight decay), kept from 0.01 to 1.
        negatives: `both` takes the other samples of both views (SimCLR's Eq. 1); `cross` only those of the other view (InfoNCE
            between modalities, as CLIP has it, arXiv:2103.00020).
        dim: numbers of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width).
    """

    temperature: float = 0.5
    learn_temperature: bool = False
    negatives: Literal["both", "cross"] = "both"
    dim: int = 128
    hidden: int | None = None

    def __post_init__(self) -> None:
        positive("SimCLR", temperature=self.temperature)
        self.scalars()

    def fitted(self, situation: Situation) -> "SimCLR":
        """Raises MultiviewError when a rank sees one sample a step: a batch of one has no negatives and a loss of 0."""
        need_pairs("SimCLR", situation)
        return self

    def scalars(self) -> Mapping[str, Scalar]:
        """log T, when it is learned."""
        return log_temperature("SimCLR", self.temperature) if self.learn_temperature else {}

    def needs(self) -> tuple[Needs, Needs]:
        """A two-layer projector without biases on both sides."""
        side = Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False))
        return side, side

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean over the rows of both views; rows and columns where a view is missing take no part."""
        from multiview.distributed import gather, mean_over_rows, unless_all

        columns = unless_all(gather(edge.present))
        terms = self._terms(edge, columns)
        present = None if columns is None else edge.present.repeat(2)
        log = {"found": mean_over_rows(terms.found, present), **temperature_log(edge)}
        return EdgeOutput(mean_over_rows(terms.terms, present), log)

    def _terms(self, edge: EdgeInput, columns: "Tensor | None") -> "Terms":
        """Terms of the rows of a, then of b."""
        from multiview.distributed import gather_with_gradient, rank
        from multiview.ops.ntxent import both_ways, ntxent_terms
        from multiview.ops.precision import full_precision

        za, zb = full_precision(cast("Tensor", edge.a.z)), full_precision(cast("Tensor", edge.b.z))
        terms = ntxent_terms if self.negatives == "both" else both_ways
        how = columns, rank() * len(za), temperature_of(edge, self.temperature)
        return terms(za, zb, gather_with_gradient(za), gather_with_gradient(zb), *how)

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the batch of all ranks."""
        return batch_scores(edge, rows, temperature_of(edge, self.temperature), own=self.negatives == "both")
