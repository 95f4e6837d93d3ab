"""MoCo: contrast against a queue of momentum keys (He et al., arXiv:1911.05722; v2: Chen et al., arXiv:2003.04297)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from multiview.errors import MultiviewError
from multiview.objectives.base import (
    EdgeInput,
    EdgeOutput,
    Head,
    Keys,
    Needs,
    Objective,
    Queue,
    Side,
    Situation,
    positive,
    share,
)

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.memory.queue import KeyQueue

DEFAULT_QUEUE = 65536


@dataclass(frozen=True, kw_only=True)
class MoCo(Objective):
    r"""A view's embedding q must find the key k of the other view among the newest `queue` keys of that view.

    -log(exp(<q, k>/T) / (exp(<q, k>/T) + sum_i exp(<q, key_i>/T))): keys come from a momentum copy of encoder and projector,
    theta_k <- momentum * theta_k + (1 - momentum) * theta_q before each step, and enter the queue after it. The queue starts empty (the
    original's starts with random keys): keys not yet written are no negatives. Any batch fits any queue.

    Args:
        queue: keys kept (null: 65536, or as many as there are training samples where the data has fewer).
        temperature: T, by which scores are divided.
        momentum: of the key encoder.
        dim: numbers of an embedding.
        mlp: the two-layer projector of v2.
        symmetric: contrast a against b's keys and b against a's (mean of both); false is the original, a against b's keys alone,
            and needs both views to share one encoder.
        exclude: a sample never meets its own older keys as negatives (the original lets it).
        shuffle_bn: keys are encoded in an order drawn anew at each step, over all processes, so that query and key are normalised by
            different batch statistics and cannot find each other by them (the original, on several GPUs). On one process it takes split_bn.
        split_bn: batch norm sees the rows of a process in this many groups, queries and keys alike, as that many processes would.
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

    def __post_init__(self) -> None:
        queue = 1 if self.queue is None else self.queue
        positive("MoCo", temperature=self.temperature, queue=queue, split_bn=self.split_bn)
        share("MoCo", momentum=self.momentum)

    @classmethod
    def original(cls, version: Literal["v1", "v2"] = "v1") -> "MoCo":
        """The original code's defaults: K 65536, momentum .999, one way, a sample may meet its own older keys; T .07, or .2 and mlp in v2."""
        mlp = version == "v2"
        return cls(queue=65536, temperature=0.2 if mlp else 0.07, mlp=mlp, symmetric=False, exclude=False)

    def fitted(self, situation: Situation) -> "MoCo":
        """Settles the length of the queue; raises MultiviewError when a group of split_bn would hold fewer than two samples."""
        if self.split_bn > 1 and situation.per_rank < 2 * self.split_bn:
            raise MultiviewError(
                f"MoCo: split_bn is {self.split_bn}, but a process sees {situation.per_rank} samples a step and each group needs two; "
                f"give split_bn {max(1, situation.per_rank // 2)} or less, or --batch {2 * self.split_bn * situation.ranks} or more."
            )
        return replace(self, queue=self.queue or min(DEFAULT_QUEUE, situation.samples))

    def needs(self) -> tuple[Needs, Needs]:
        """A query of a and a key and queue of b; when symmetric, both of both."""
        projector = Head(dim=self.dim, layers=2 if self.mlp else 1)
        queue = Queue(size=self.queue or DEFAULT_QUEUE)
        keys = Keys(momentum=self.momentum, shuffle=self.shuffle_bn)
        both = Needs(projector=projector, keys=keys, memory=queue, groups=self.split_bn)
        if self.symmetric:
            return both, both
        return replace(both, keys=None, memory=None), replace(both, online=False)

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """One direction, or the mean of two."""
        pairs = [(edge.a, edge.b), (edge.b, edge.a)] if self.symmetric else [(edge.a, edge.b)]
        outputs = [self._direction(edge, query, keys) for query, keys in pairs]
        loss = sum(out.loss for out in outputs[1:]) + outputs[0].loss
        found = sum(out.log["found"] for out in outputs[1:]) + outputs[0].log["found"]
        return EdgeOutput(loss / len(outputs), {"found": found / len(outputs)})

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Queries against their keys and the queue."""
        from multiview.ops.candidates import in_queue
        from multiview.ops.precision import full_precision

        pairs = [(edge.a, edge.b), (edge.b, edge.a)] if self.symmetric else [(edge.a, edge.b)]
        ids = edge.index[:rows] if self.exclude else None
        found = []
        for query, keys in pairs:
            q, k = (full_precision(cast("Tensor", x)[:rows]) for x in (query.z, keys.key))
            found.append(in_queue(q, k, cast("KeyQueue", keys.memory), ids, self.temperature))
        return tuple(found)

    def meets_itself(self, situation: Situation) -> float:
        """Two turns of a sample are N (1 + u - v) samples apart, u and v uniform: P(at most K) = (K/N)^2 / 2, or 1 - (2 - K/N)^2 / 2."""
        filled = min((self.queue or DEFAULT_QUEUE) / situation.samples, 2.0)
        return 0.0 if self.exclude else filled**2 / 2 if filled <= 1 else 1 - (2 - filled) ** 2 / 2

    def remedy(self, symptom: str) -> str:
        """Against keys of the sample itself."""
        return "Use exclude=True: it leaves them out." if symptom == "itself" else ""

    def _direction(self, edge: EdgeInput, query: Side, keys: Side) -> EdgeOutput:
        from multiview.distributed import mean_over_rows
        from multiview.ops.precision import full_precision
        from multiview.ops.queue_loss import queue_terms

        queue = cast("KeyQueue", keys.memory)
        ids = edge.index if self.exclude else None
        q, k = (full_precision(cast("Tensor", x)) for x in (query.z, keys.key))
        terms = queue_terms(q, k, queue, ids, self.temperature)
        found = mean_over_rows(terms.found, edge.present)
        return EdgeOutput(mean_over_rows(terms.terms, edge.present), {"found": found})
