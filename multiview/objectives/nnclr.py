"""NNCLR: the positive is a nearest neighbour (Dwibedi et al., arXiv:2104.14548)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from multiview import ops, require
from multiview.objectives.base import Situation
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.in_batch import InBatchContrast
from multiview.objectives.needs import Head, Needs, Queue

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_QUEUE = 98304


@dataclass(frozen=True, kw_only=True)
class NNCLR(InBatchContrast):
    r"""Each view's prediction p must be found by the nearest neighbour of the other view.

    With nn_i, the embedding most similar to a_i in the queue of view a: -log(e^{<nn_i, p_i>/T} /
    sum_k e^{<nn_i, p_k>/T}), where p_k are the predictions of view b; the mean of both directions.
    Predictions of all processes count, with exact gradients. Embeddings enter the queue of their
    view after the step, as the support set of the paper. While a queue is empty, the embedding
    itself takes the place of its neighbour, without gradient.

    Args:
        temperature: T, by which scores are divided. Its first value when it is learned.
        learn_temperature: learn T (as its logarithm, without weight decay), kept from 0.01 to 1.
        queue: number of embeddings kept per view (null: 98304, or the number of training samples
            where the data has fewer).
        exclude: never take an older embedding of the sample itself as its neighbour (the original
            does).
        dim: width of an embedding and of a prediction.
        hidden: width of the projector's two hidden layers.
        predictor: width of the predictor's hidden layer.

    Example:
        >>> import torch
        >>> from multiview.memory.queue import KeyQueue
        >>> from multiview.objectives import EdgeInput, Side
        >>> side = Side(z=torch.eye(4), p=torch.eye(4), memory=KeyQueue(8, 4))
        >>> edge = EdgeInput((side, side), torch.arange(4), torch.ones(4).bool())
        >>> round(mv.NNCLR(queue=8).loss(edge).loss.item(), 5)
        0.00014
    """

    temperature: float = 0.1
    learn_temperature: bool = False
    queue: int | None = None
    exclude: bool = True
    dim: int = 256
    hidden: int | None = 2048
    predictor: int = 4096

    excludes_groups: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require.positive("NNCLR", queue=1 if self.queue is None else self.queue)

    def resolved(self, situation: Situation) -> "NNCLR":
        """Chooses the queue's length. Raises MultiviewError when a process sees one sample."""
        super().resolved(situation)
        return replace(self, queue=self.queue or min(DEFAULT_QUEUE, situation.samples))

    def needs(self) -> Needs:
        """A three-layer projector with batch norm, a two-layer predictor and a queue."""
        return Needs(
            projector=Head(dim=self.dim, layers=3, hidden=self.hidden, norm=True, norm_out=True),
            predictor=Head(dim=self.dim, layers=2, hidden=self.predictor, norm=True),
            memory=Queue(size=self.queue or DEFAULT_QUEUE),
        )

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The mean of both directions. Logs the share of neighbours that find their prediction."""
        p_a, p_b = edge.predictions()
        (near_a, near_b), (everyone_a, everyone_b) = self._neighbours(edge), edge.everyone(p_a, p_b)
        rest = edge.columns, edge.offset, edge.temperature(self.temperature), None, edge.groups()
        return edge.output(ops.ntxent.info_nce(near_a, near_b, everyone_a, everyone_b, *rest))

    def _neighbours(self, edge: EdgeInput) -> "list[Tensor]":
        own = edge.index if self.exclude else None
        pairs = zip(edge.embeddings(), edge.queues(), strict=True)
        return [ops.nearest.nearest(z, keys, samples, own) for z, (keys, samples) in pairs]

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Neighbours of a, and of b, against the other view's predictions of all processes."""
        (near_a, near_b), (p_a, p_b) = self._neighbours(edge), edge.everyone(*edge.predictions())
        rest = edge.negatives_of(rows), edge.offset, edge.temperature(self.temperature)
        directions = (near_a, p_b), (near_b, p_a)
        return tuple(ops.candidates.in_batch(near[:rows], None, p, *rest) for near, p in directions)
