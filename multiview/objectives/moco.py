"""MoCo: contrast against a queue of momentum keys (arXiv:1911.05722; v2: arXiv:2003.04297)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from multiview import ops, require
from multiview.errors import MultiviewError
from multiview.objectives.base import Objective, Situation
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.needs import Head, Keys, Needs, Queue
from multiview.objectives.weighted_negatives import require_weighting, weighting_of

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.memory.queue import KeyQueue

DEFAULT_QUEUE = 65536


@dataclass(frozen=True, kw_only=True)
class MoCo(Objective):
    r"""A view's embedding q must find the key k of the other view among its newest `queue` keys.

    -log(exp(<q, k>/T) / (exp(<q, k>/T) + sum_i exp(<q, key_i>/T))). Keys come from a momentum copy
    of encoder and projector, theta_k <- momentum * theta_k + (1 - momentum) * theta_q before each
    step. Keys enter the queue after the step. The queue starts empty (the original's starts with
    random keys) and its unwritten rows are not negatives. Any batch fits any queue.

    Args:
        queue: number of keys kept (null: 65536, or the number of training samples where the data
            has fewer).
        temperature: T, by which scores are divided.
        momentum: of the key encoder.
        dim: width of an embedding.
        mlp: use the two-layer projector of v2.
        symmetric: contrast a against b's keys and b against a's (mean of both). false is the
            original: only a against b's keys. It needs both views to share one encoder.
        exclude: never contrast a sample with its own older keys (the original does).
        shuffle_bn: encode keys in a new random order at each step, over all processes. Query and
            key are then normalised by different batch statistics and cannot find each other by them
            (the original, on several GPUs). With one process it needs split_bn.
        split_bn: batch norm sees the rows of a process in this many groups, queries and keys alike,
            as that many processes would.
        decoupled: leave the positive out of the denominator (DCL, arXiv:2110.06848).
        hardness: beta of arXiv:2010.04592: a negative with the score s weighs e^(beta s), divided
            by the mean of these weights. 0 weights all alike.
        tau_plus: share of the negatives that are of the sample's own class. Their expected part is
            subtracted (arXiv:2007.00224). 0 subtracts nothing.

    Example:
        >>> mv.MoCo.original("v2").temperature, mv.MoCo(queue=4096).momentum
        (0.2, 0.999)
    """

    queue: int | None = None
    temperature: float = 0.07
    momentum: float = 0.999
    dim: int = 128
    mlp: bool = False
    symmetric: bool = True
    exclude: bool = True
    shuffle_bn: bool = True
    split_bn: int = 1
    decoupled: bool = False
    hardness: float = 0.0
    tau_plus: float = 0.0

    excludes_groups: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        queue = 1 if self.queue is None else self.queue
        require.positive("MoCo", temperature=self.temperature, queue=queue, split_bn=self.split_bn)
        require.fraction("MoCo", momentum=self.momentum)
        require_weighting(self)

    @classmethod
    def original(cls, version: Literal["v1", "v2"] = "v1") -> "MoCo":
        """The settings of the original code.

        K 65536, momentum .999, one way, own older keys among the negatives; T is .07 in v1,
        and .2 with mlp in v2.
        """
        mlp = version == "v2"
        return cls(queue=65536, temperature=0.2 if mlp else 0.07, mlp=mlp, symmetric=False, exclude=False)

    def resolved(self, situation: Situation) -> "MoCo":
        """Chooses the queue's length. Raises MultiviewError when a group would have one sample."""
        if self.split_bn > 1 and situation.per_rank < 2 * self.split_bn:
            raise MultiviewError(
                f"MoCo: split_bn is {self.split_bn}, but a process sees {situation.per_rank} samples per step and each "
                f"group needs two; give split_bn {max(1, situation.per_rank // 2)} or less, "
                f"or --batch {2 * self.split_bn * situation.ranks} or more."
            )
        return replace(self, queue=self.queue or min(DEFAULT_QUEUE, situation.samples))

    def needs(self) -> tuple[Needs, Needs]:
        """An embedding of a, and keys and a queue of b; when symmetric, all of both."""
        projector = Head(dim=self.dim, layers=2 if self.mlp else 1)
        queue = Queue(size=self.queue or DEFAULT_QUEUE)
        keys = Keys(momentum=self.momentum, shuffle=self.shuffle_bn)
        both = Needs(projector=projector, keys=keys, memory=queue, groups=self.split_bn)
        if self.symmetric:
            return both, both
        return replace(both, keys=None, memory=None), replace(both, online=False)

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """One direction, or the mean of two."""
        weighting = weighting_of(self)
        outputs = [
            edge.output(ops.queue_loss.info_nce(q, k, keys, owners, own, self.temperature, weighting))
            for q, k, keys, owners, own in self._directions(edge)
        ]
        both = EdgeOutput.of_directions(outputs)
        return EdgeOutput(both.loss / len(outputs), both.log)

    def _directions(self, edge: EdgeInput) -> "list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]]":
        """Queries of a (when symmetric, also of b), with the other view's keys and queue.

        The last two say which keys of the queue are hidden: `EdgeInput.key_owners`.
        """
        (q_a, q_b), (k_a, k_b), ((queue_a, _), (queue_b, _)) = edge.embeddings(), edge.keys(), edge.queues()
        own, (owners_a, owners_b) = edge.key_owners(exclude=self.exclude)
        directions = [(q_a, k_b, queue_b, owners_b, own), (q_b, k_a, queue_a, owners_a, own)]
        return directions if self.symmetric else directions[:1]

    def has_loss(self, edge: EdgeInput) -> "Tensor":
        """Not before the queues hold keys: a query without negatives has found its key."""
        found = super().has_loss(edge)
        for side in edge.sides:
            if side.memory is not None:
                found = found & (cast("KeyQueue", side.memory).fill > 0)
        return found

    def at_first(self, edge: str) -> str:
        """The queue starts empty."""
        return (
            f"edge {edge}: step 1 has no negatives, because the queue is empty, and therefore no loss. The keys of "
            "every step fill the queue; the loss rises until it is full."
        )

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Queries against their keys and the queue."""
        return tuple(
            ops.candidates.in_queue(
                q[:rows], k[:rows], keys, owners, None if own is None else own[:rows], self.temperature
            )
            for q, k, keys, owners, own in self._directions(edge)
        )

    def meets_itself(self, situation: Situation) -> float:
        """P(at most K) = (K/N)^2 / 2, or 1 - (2 - K/N)^2 / 2 when K is above N.

        Between two turns of a sample come N (1 + u - v) samples, where u and v are uniform in [0,
        1].
        """
        filled = min((self.queue or DEFAULT_QUEUE) / situation.samples, 2.0)
        return 0.0 if self.exclude else filled**2 / 2 if filled <= 1 else 1 - (2 - filled) ** 2 / 2

    def remedy(self, symptom: str) -> str:
        """What to change when older keys of a sample are among its negatives."""
        return "Use exclude=True to leave the sample itself out." if symptom == "itself" else ""
