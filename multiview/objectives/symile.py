"""Symile: three views or more contrasted together (Saporta et al., arXiv:2411.01053)."""

from dataclasses import dataclass
from typing import ClassVar

from multiview import ops
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Head, Needs


@dataclass(frozen=True, kw_only=True)
class Symile(InBatchContrast):
    r"""The multilinear inner product of one sample must exceed that of mixed samples.

    <a, b, c> = sum_d a_d b_d c_d. With the sample's own score s_i = <a_i, b_i, c_i>/T, the loss is
    the mean, over rows and over the views as anchor, of -log(e^{s_i} / (e^{s_i} + sum_j e^{<a_i,
    b'_j, c'_j>/T})). Each of the n
    - 1 negatives takes every other view from a different sample, by independent random orders of
    the batch: the O(n) form of the paper. A score is high only when all views fit. So the loss sees
    what no pair of views shows, such as c in c = a xor b. Samples of all processes take part, with
    exact gradients.

    Args:
        temperature: T, by which scores are divided. Its first value when it is learned.
        learn_temperature: learn T (as its logarithm, without weight decay), kept from 0.01 to 1;
            false keeps T.
        dim: width of an embedding.
        hidden: width of the projector's hidden layer (null = the feature width).

    Example:
        >>> mv.ContrastGraph.joint(["L", "depth", "audio"], mv.Symile()).names()
        ('L-depth-audio',)
    """

    temperature: float = 0.1
    learn_temperature: bool = True
    dim: int = 128
    hidden: int | None = None

    excludes_groups: ClassVar[bool | None] = True
    pairwise: ClassVar[bool] = False

    def needs(self) -> Needs:
        """A two-layer projector without biases for every view."""
        return Needs(projector=Head(dim=self.dim, layers=2, hidden=self.hidden, bias=False))

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean over the views as anchor. Logs the share of rows that score highest."""
        views = edge.embeddings()
        (numbers,) = edge.everyone(edge.uniform("order", len(views)))
        orders = ops.multilinear.mixed_orders(numbers, edge.everyone_present)
        temperature = edge.temperature(self.temperature)
        return edge.output(ops.multilinear.symile(views, edge.everyone(*views), orders, temperature, edge.groups()))
