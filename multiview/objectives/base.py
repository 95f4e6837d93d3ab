"""The contract of an objective: how one edge of the contrast graph is scored.

An objective is a frozen value of hyper-parameters with one pure function, `loss`. What learns (projectors, predictors, learned
temperatures) lives in the model, what remembers (banks, queues, key encoders, running constants) lives in the memories; the objective
only says what it needs of them. Reading and updating are apart: `loss` reads, and returns the edge's new state, which is committed
after the optimiser's step.
"""

from __future__ import annotations

import math
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from multiview.errors import MultiviewError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from multiview.counter_rng import Draws
    from multiview.memory.bank import MemoryBank
    from multiview.memory.queue import KeyQueue


@dataclass(frozen=True, kw_only=True)
class Head:
    """A projector or predictor: `layers` linear maps to `dim`, with ReLU between them.

    hidden: width between the maps (None = the input's width). norm: batch norm after every hidden map. bias: of the maps (never before
    a batch norm). norm_out: batch norm without affine part on the output, as SimSiam's projector has. unit: output on the unit sphere.
    constant_rate: its learning rate stays at its start whatever the schedule, as SimSiam's predictor's does.
    """

    dim: int = 128
    layers: int = 1
    hidden: int | None = None
    norm: bool = False
    bias: bool = True
    norm_out: bool = False
    unit: bool = True
    constant_rate: bool = False

    def __post_init__(self) -> None:
        if self.dim < 1 or self.layers < 1 or (self.hidden is not None and self.hidden < 1):
            raise MultiviewError(f"a head needs dim, layers and hidden of 1 or more, not {self}.")

    @property
    def name(self) -> str:
        """A short name that differs whenever the head differs: a key in state dictionaries."""
        kind = "linear" if self.layers == 1 else f"mlp{self.layers}_{self.hidden or 'in'}"
        flags = {"bn": self.norm, "nobias": not self.bias, "bnout": self.norm_out, "raw": not self.unit}
        flags["constant"] = self.constant_rate
        return "_".join([kind, str(self.dim), *(flag for flag, on in flags.items() if on)])


@dataclass(frozen=True, kw_only=True)
class Bank:
    """A memory bank: one running embedding per training sample, `rows <- normalise(momentum * row + (1 - momentum) * z)`.

    dtype: of the rows, float32 or bfloat16.
    """

    momentum: float = 0.5
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue of the newest `size` keys of a view, first in first out."""

    size: int


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Embeddings of a momentum copy of encoder and projector: theta_k <- momentum * theta_k + (1 - momentum) * theta_q before each step.

    rise: the momentum rises to 1 along a cosine over the run (BYOL). shuffle: rows are encoded in an order drawn anew at each step, over
    all ranks, so that a query and its key are not normalised by the same batch statistics (MoCo's ShuffleBN).
    """

    momentum: float
    rise: bool = False
    shuffle: bool = False

    @property
    def name(self) -> str:
        """A short name that differs whenever the keys differ: a key in state dictionaries, which may not hold a dot."""
        flags = [flag for flag, on in (("rise", self.rise), ("shuffle", self.shuffle)) if on]
        return "_".join([repr(self.momentum).replace(".", "p"), *flags])


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an objective needs of one of its views.

    online: whether it reads z with gradient. keys: the key encoder whose embedding it reads (None = none). groups: encoder and heads see
    the rows of a rank in this many groups, each with batch statistics of its own, as that many ranks would.
    Edges that ask for the same projector, predictor, memory or key encoder of a view share it; the finest grouping holds for all of them.
    """

    projector: Head
    online: bool = True
    predictor: Head | None = None
    keys: Keys | None = None
    memory: Bank | Queue | None = None
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """A number that an edge learns, such as a log temperature: where it starts, and bounds that it is set back to after every step.

    It lives in the model, without weight decay.
    """

    start: float
    low: float = -math.inf
    high: float = math.inf


@dataclass
class Side:
    """What an edge sees of one view: rows of the local batch, zeros where the view is absent, and the view's memory to read.

    z: (n, d) embeddings with gradient. p: (n, d) predictions on the unit sphere. key: (n, d) embeddings of the key encoder, no gradient.
    """

    z: Tensor | None = None
    p: Tensor | None = None
    key: Tensor | None = None
    memory: MemoryBank | KeyQueue | None = None


@dataclass
class EdgeInput:
    """All that one edge is scored from.

    sides: one a view, in the order of the edge. index: (n,) position of each row's sample in the training data. present: (n,) whether all
    views of the edge exist for the row. state: what the edge remembered at its last step. scalars: what it learns by name, with gradient.
    generator: seeded from the run's seed, the edge and the step, so that every process draws alike. draws: numbers for each row's sample,
    of the same kind, which do not depend on the other rows.
    """

    sides: tuple[Side, ...]
    index: Tensor
    present: Tensor
    state: Mapping[str, Tensor] = field(default_factory=dict)
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator | None = None
    draws: Draws | None = None

    @property
    def a(self) -> Side:
        """The first view's side."""
        return self.sides[0]

    @property
    def b(self) -> Side:
        """The second view's side."""
        return self.sides[1]


@dataclass
class EdgeOutput:
    """The loss of an edge (a scalar, mean over the present rows of all ranks), numbers to log, and the edge's state after this step."""

    loss: Tensor
    log: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Situation:
    """What an objective is fitted to before anything is loaded: training samples, samples a rank sees per step, ranks."""

    samples: int
    per_rank: int
    ranks: int = 1


@dataclass(frozen=True, kw_only=True)
class Objective(metaclass=ABCMeta):
    """How one edge is contrasted: subclass it as a frozen dataclass of hyper-parameters, in one file.

    Keep `from __future__ import annotations` out of that file and torch out of its top: the fields are command-line options, and --help
    must not wait for torch.
    """

    plugins: ClassVar[str] = "objectives"
    """The group that its kinds are registered in, so that a field of this type takes any of them."""

    pairwise: ClassVar[bool] = True
    """Whether it contrasts two views; False: three or more together, on a HyperEdge."""

    @property
    def name(self) -> str:
        """The word for it in logs and tables."""
        return type(self).__name__

    def fitted(self, situation: Situation) -> Objective:  # noqa: ARG002
        """The objective with open choices settled for this data, or a MultiviewError when it cannot work on it."""
        return self

    @abstractmethod
    def needs(self) -> Needs | tuple[Needs, ...]:
        """What it needs of each of its views, or one for all of them."""

    def scalars(self) -> Mapping[str, Scalar]:
        """Named numbers that the edge learns."""
        return {}

    def initial_state(self) -> dict[str, Any]:
        """Named numbers or lists that the edge remembers from step to step, at the start."""
        return {}

    @abstractmethod
    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Scores the edge: reads both sides, changes nothing."""

    def scores(self, edge: EdgeInput, rows: int) -> tuple[Tensor, ...]:  # noqa: ARG002
        """What the health of an edge is judged by now and then: the first `rows` rows against their negatives, one tensor a direction.

        (rows, 1 + K), divided by the temperature, the positive first, -inf where there is no negative. None without negatives. Every rank
        calls it.
        """
        return ()

    def meets_itself(self, situation: Situation) -> float | None:  # noqa: ARG002
        """The share of samples that are among their own negatives, as far as it can be predicted; None without a memory of negatives."""
        return None

    def remedy(self, symptom: str) -> str:  # noqa: ARG002
        """What to change of it, in a sentence, against a symptom of its edge (see `train/symptoms.py`, and `itself`: samples that meet
        themselves among their negatives); empty where nothing of it would help.
        """
        return ""


TEMPERATURES = (0.01, 1.0)
"""Bounds of a learned temperature; the lower one is CLIP's (arXiv:2103.00020, Sec. 2.5)."""


def log_temperature(owner: str, start: float) -> dict[str, Scalar]:
    """The scalar of a learned temperature, kept as its logarithm within `TEMPERATURES`; raises MultiviewError for a start beyond them."""
    low, high = TEMPERATURES
    if not low <= start <= high:
        raise MultiviewError(f"{owner}: a learned temperature starts from {low} to {high}, not at {start}.")
    return {"log_temperature": Scalar(start=math.log(start), low=math.log(low), high=math.log(high))}


def temperature_of(edge: EdgeInput, fixed: float) -> float | Tensor:
    """The temperature that the edge has learned so far, with gradient, or the fixed one where it learns none."""
    return edge.scalars["log_temperature"].exp() if "log_temperature" in edge.scalars else fixed


def batch_scores(edge: EdgeInput, rows: int, temperature: float | Tensor, *, own: bool) -> tuple[Tensor, Tensor]:
    """`Objective.scores` of an objective whose negatives are the batch of all ranks: of the other view, and with `own` of both."""
    from multiview.distributed import gather, rank
    from multiview.ops.candidates import in_batch
    from multiview.ops.precision import full_precision

    za, zb = (full_precision(cast("Tensor", side.z)) for side in edge.sides)
    all_a, all_b, columns = gather(za), gather(zb), gather(edge.present)
    first = rank() * len(za)
    return (
        in_batch(za[:rows], all_a if own else None, all_b, columns, first, temperature),
        in_batch(zb[:rows], all_b if own else None, all_a, columns, first, temperature),
    )


def temperature_log(edge: EdgeInput) -> dict[str, Tensor]:
    """What to log of a learned temperature."""
    learned = edge.scalars.get("log_temperature")
    return {} if learned is None else {"temperature": learned.detach().exp()}


def positive(owner: str, **values: float) -> None:
    """Raises MultiviewError unless every named value is above 0."""
    for name, value in values.items():
        if not value > 0:
            raise MultiviewError(f"{owner}: {name} is {value}; give a number above 0.")


def share(owner: str, **values: float) -> None:
    """Raises MultiviewError unless every named value is in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise MultiviewError(f"{owner}: {name} is {value}; give a number from 0 to below 1.")


def need_pairs(owner: str, situation: Situation) -> None:
    """Raises MultiviewError when a rank would see a single sample per step, which leaves an in-batch objective nothing to contrast."""
    if situation.per_rank < 2:
        raise MultiviewError(
            f"{owner} contrasts the samples of a batch, but each of {situation.ranks} processes would see {situation.per_rank} a step; "
            f"give --batch {2 * situation.ranks} or more."
        )
