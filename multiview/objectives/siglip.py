"""SigLIP: every pair of the batch is a yes-or-no question (Zhai et al.: Sigmoid Loss for Language Image Pre-Training, arXiv:2303.15343)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

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
    temperature_log,
    temperature_of,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SigLIP(Objective):
    r"""Do row i of one view and row j of the other belong together? Yes for i = j alone.

    -1/n sum_i sum_j log sigmoid(s_ij (<a_i, b_j> / T + bias)), s_ij = 1 where i = j, else -1. T and the bias are learned; the paper
    writes t = 1 / T. Pairs between all ranks count, with exact gradients.

    Args:
        temperature: where T starts (the paper: 0.1); learned as its logarithm, without weight decay, and kept from 0.01 to 1.
        bias: where the bias starts; about minus the logarithm of the batch, so that the many negatives do not overwhelm the start.
        dim: numbers of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width).
    """

    temperature: float = 0.1
    bias: float = -10.0
    dim: int = 128
    hidden: int | None = None

    def __post_init__(self) -> None:
        log_temperature("SigLIP", self.temperature)

    def fitted(self, situation: Situation) -> "SigLIP":
        """Raises MultiviewError when a rank sees one sample a step: there is no negative."""
        need_pairs("SigLIP", situation)
        return self

    def needs(self) -> Needs:
        """A two-layer projector without biases on both sides."""
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False))

    def scalars(self) -> Mapping[str, Scalar]:
        """log T and the bias."""
        return {**log_temperature("SigLIP", self.temperature), "bias": Scalar(start=self.bias)}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Logs the share of rows of a whose partner scores highest, T and the bias."""
        from multiview.distributed import gather, gather_with_gradient, mean_over_rows, rank
        from multiview.ops.pair_sigmoid import pair_sigmoid_terms
        from multiview.ops.precision import full_precision

        za, zb = (full_precision(cast("Tensor", side.z)) for side in edge.sides)
        scaled, bias = za / temperature_of(edge, self.temperature), edge.scalars["bias"]
        terms = pair_sigmoid_terms(scaled, gather_with_gradient(zb), bias, gather(edge.present), rank() * len(za))
        log = {"found": mean_over_rows(terms.found, edge.present), "bias": bias.detach(), **temperature_log(edge)}
        return EdgeOutput(mean_over_rows(terms.terms, edge.present), log)

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the other view's batch of all ranks."""
        return batch_scores(edge, rows, temperature_of(edge, self.temperature), own=False)
