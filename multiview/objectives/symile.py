"""Symile: three views or more contrasted together (Saporta et al.: Contrasting with Symile, arXiv:2411.01053)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from multiview.objectives.base import (
    EdgeInput,
    EdgeOutput,
    Head,
    Needs,
    Objective,
    Scalar,
    Situation,
    log_temperature,
    need_pairs,
    positive,
    temperature_log,
    temperature_of,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Symile(Objective):
    r"""The multilinear inner product <a, b, c> = sum_d a_d b_d c_d of one sample must exceed that of mixed samples.

    With the sample's own score s_i = <a_i, b_i, c_i>/T, mean over rows and over the views as anchor of
    -log(e^{s_i} / (e^{s_i} + sum_j e^{<a_i, b'_j, c'_j>/T})). The n - 1 negatives take each other view from a sample of its own, by
    independent random orders of the batch: the O(n) form of the paper. A score is high only when all views fit, so it sees what no pair
    of views shows, such as c in c = a xor b. Samples of all ranks take part, with exact gradients.

    Args:
        temperature: T, by which scores are divided; where it starts, when learned.
        learn_temperature: the edge learns T (its logarithm, without weight decay), kept from 0.01 to 1; false keeps it fixed.
        dim: numbers of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width).
    """

    temperature: float = 0.1
    learn_temperature: bool = True
    dim: int = 128
    hidden: int | None = None

    pairwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        positive("Symile", temperature=self.temperature)
        self.scalars()

    def fitted(self, situation: Situation) -> "Symile":
        """Raises MultiviewError when a rank sees one sample a step: there is no negative."""
        need_pairs("Symile", situation)
        return self

    def needs(self) -> Needs:
        """A two-layer projector without biases for every view."""
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False))

    def scalars(self) -> Mapping[str, Scalar]:
        """log T, when it is learned."""
        return log_temperature("Symile", self.temperature) if self.learn_temperature else {}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean over the views as anchor; logs the share of anchors whose own sample scores highest."""
        import torch

        from multiview.distributed import gather, gather_with_gradient, mean_over_rows
        from multiview.ops.multilinear import mixed_orders, multilinear_terms
        from multiview.ops.precision import full_precision

        local = [full_precision(cast("Tensor", side.z)) for side in edge.sides]
        orders = mixed_orders(gather(self._numbers(edge)), gather(edge.present))
        everyone = [gather_with_gradient(z) for z in local]
        temperature = temperature_of(edge, self.temperature)
        found = [multilinear_terms(local, everyone, orders, anchor, temperature) for anchor in range(len(local))]
        terms, rank = torch.stack([f.terms for f in found]).mean(0), torch.stack([f.found for f in found]).mean(0)
        log = {"found": mean_over_rows(rank, edge.present), **temperature_log(edge)}
        return EdgeOutput(mean_over_rows(terms, edge.present), log)

    def _numbers(self, edge: EdgeInput) -> "Tensor":
        """A random number for each row and view, (n, views), that order the batch."""
        assert edge.draws is not None
        return edge.draws.uniform("order", len(edge.sides)).to(edge.index.device)
