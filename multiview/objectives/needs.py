"""What an objective asks for: heads, key encoders, banks, queues, learned numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from multiview.errors import MultiviewError, unknown_name
from multiview.files import size_text
from multiview.ops.strata import STRATA, length, require_shared

FLOAT, INDEX = 4, 8
"""Bytes of a number of an embedding, and of the number of a sample."""


KINDS = ("mlp", "mlp+linear", "mlp+features", "attention")
"""How features are fused."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """One feature of a sample from the features of any of its views (`multiview/fusion.py`).

    Args:
        kind: `mlp` puts the features side by side, with a learned vector for each missing view;
            `mlp+linear` does so for half of its numbers, and the others are a linear map;
            `mlp+features` has the features themselves before the numbers of the MLP;
            `attention` mixes one token per view, and leaves out the tokens of missing views.
        width: numbers of the fused feature; with `mlp+features`, those of its MLP.
        views: the views that are fused, which the edge fills in.
    """

    kind: Literal["mlp", "mlp+linear", "mlp+features", "attention"] = "mlp"
    width: int = 256
    views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of fusion", str(self.kind), KINDS)
        if self.width < 4 or self.width % 4:
            raise MultiviewError(f"the width of a fusion is {self.width}; give a multiple of 4, such as 256.")

    @property
    def name(self) -> str:
        """A key in state dictionaries, that differs whenever the fusion differs."""
        return f"{self.kind}{self.width}_{JOIN.join(self.views)}"


JOIN = "+"
"""Stands between the names of views that are fused, as in `photo+depth`."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A projector or predictor: `layers` linear maps to `dim`, with ReLU between them.

    Args:
        dim: width of the output.
        layers: number of linear maps.
        hidden: width between the maps (None = the width of the input).
        norm: batch norm after every hidden map.
        bias: whether the maps have a bias. A map before a batch norm never has one.
        norm_out: batch norm without scale and shift on the output, as SimSiam's projector has.
        scale_out: batch norm with a scale and without a shift on the output, as SimCLR's has.
        unit: whether the output is normalised to length 1.
        constant_rate: keep the initial learning rate, whatever the schedule, as SimSiam's predictor
            does.
        fusion: the head reads the fused feature of several views instead of one view's feature. A
            view alone is then fused with all others missing.
    """

    dim: int = 128
    layers: int = 1
    hidden: int | None = None
    norm: bool = False
    bias: bool = True
    norm_out: bool = False
    unit: bool = True
    constant_rate: bool = False
    scale_out: bool = False
    fusion: Fusion | None = None

    def __post_init__(self) -> None:
        if self.norm_out and self.scale_out:
            raise MultiviewError("a head has norm_out and scale_out; give one of the two.")
        if self.dim < 1 or self.layers < 1 or (self.hidden is not None and self.hidden < 1):
            raise MultiviewError(f"a head needs dim, layers and hidden of 1 or more, not {self}.")

    @property
    def name(self) -> str:
        """A short name that differs whenever the head differs: a key in state dictionaries."""
        kind = "linear" if self.layers == 1 else f"mlp{self.layers}_{self.hidden or 'in'}"
        flags = {"bn": self.norm, "nobias": not self.bias, "bnout": self.norm_out, "raw": not self.unit}
        flags |= {"constant": self.constant_rate, "bnscale": self.scale_out}
        fused = [] if self.fusion is None else [self.fusion.name]
        return "_".join([kind, str(self.dim), *(flag for flag, on in flags.items() if on), *fused])


@dataclass(frozen=True, kw_only=True)
class Bank:
    """A memory bank: one embedding per training sample.

    row <- normalise(momentum * row + (1 - momentum) * z).

    Args:
        momentum: of the rows.
        dtype: of the rows: float32, bfloat16 or float16.
        split: each process keeps its part of the rows (`memory/split_bank.py`), not all of them.
        encoded: the first rows are embeddings of the untrained encoders. A bank that several edges
            read starts so when one of them asks for it.
    """

    momentum: float = 0.5
    dtype: str = "float32"
    split: bool = False
    encoded: bool = field(default=False, compare=False)

    per_sample: ClassVar[bool] = True
    """Whether it has one row for each training sample, found by the sample's number."""

    def name(self, keys: Keys | None) -> str:  # noqa: ARG002
        """Part of a key in state dictionaries that differs whenever the bank does; no dots."""
        dtype = "" if self.dtype == "float32" else f"_{self.dtype}"
        return f"bank{_digits(self.momentum)}{dtype}{'_split' if self.split else ''}"

    def words(self, view: str) -> str:
        """`bank of depth, momentum 0.5`."""
        return f"bank of {view}, momentum {self.momentum:g}{', split over the processes' if self.split else ''}"

    def row_bytes(self, width: int) -> int:
        """Bytes of one row of `width` numbers."""
        return (FLOAT if self.dtype == "float32" else 2) * width

    def size_words(self, width: int) -> str:
        """The size where the number of samples is not known."""
        return f"{self.row_bytes(width)} bytes per sample"

    def received(self, width: int) -> int:
        """Bytes that scores cost for each sample of another process (`ops.split_terms`).

        Its embedding, twice two sums, then loss, rank and gradient.
        """
        return FLOAT * (width + 4 + 2 + width) if self.split else 0

    def held(self, width: int, samples: int, processes: int) -> tuple[int, str]:
        """Bytes in one process, and how they come about.

        Raises MultiviewError when the bank cannot be split over so many processes.
        """
        each, rows, where = self.row_bytes(width), samples, "on every process"
        if self.split:
            require_shared(samples, processes)
            rows = length(0, samples) * (STRATA // processes)
            where = f"of {samples:,}; the others have the rest"
        return rows * each, f"{rows:,} rows of {each} bytes, {where}"


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue of the newest `size` keys of a view, first in first out."""

    size: int

    per_sample: ClassVar[bool] = False

    def name(self, keys: Keys | None) -> str:
        """See `Bank.name`. keys: the key encoder that fills it."""
        return f"queue{self.size}_{keys.name if keys else ''}"

    def words(self, view: str) -> str:
        """See `Bank.words`."""
        return f"queue of {view}, {self.size:,} keys"

    def row_bytes(self, width: int) -> int:
        """Bytes of one key of `width` numbers, with the number of its sample."""
        return FLOAT * width + INDEX

    def size_words(self, width: int) -> str:
        """See `Bank.size_words`."""
        return f"at most {size_text(self.size * self.row_bytes(width))}"

    def received(self, width: int) -> int:  # noqa: ARG002
        """See `Bank.received`: every process has all keys."""
        return 0

    def held(self, width: int, samples: int, processes: int) -> tuple[int, str]:  # noqa: ARG002
        """See `Bank.held`."""
        each = self.row_bytes(width)
        return self.size * each, f"{self.size:,} keys of {each} bytes, on every process"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Embeddings of a momentum copy of encoder and projector.

    Before each step theta_k <- momentum * theta_k + (1 - momentum) * theta_q.

    Args:
        momentum: of the copy.
        rise: the momentum rises to 1 along a cosine over the run (BYOL).
        shuffle: the rows of all processes are encoded in a new random order at each step. So a
            query and its key are not normalised by the same batch statistics (MoCo's ShuffleBN).
    """

    momentum: float
    rise: bool = False
    shuffle: bool = False

    @property
    def name(self) -> str:
        """A key in state dictionaries, without dots, that differs whenever the keys differ."""
        flags = [flag for flag, on in (("rise", self.rise), ("shuffle", self.shuffle)) if on]
        return "_".join([_digits(self.momentum), *flags])


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an objective needs of one of its views.

    Edges that ask for the same projector, predictor, memory or key encoder of a view share it.

    Args:
        projector: the head that gives the embedding z.
        online: whether the objective reads z with gradient.
        predictor: a further head behind the projector (None = none).
        keys: the key encoder whose embeddings are read (None = none).
        memory: the bank or queue that is read (None = none).
        groups: encoder and heads see the rows of a process in this many groups. Each group has its
            own batch statistics, as that many processes would. Of several edges the largest number
            holds.
        labels: whether the objective reads the labels of the batch (`EdgeInput.classes`).
    """

    projector: Head
    online: bool = True
    predictor: Head | None = None
    keys: Keys | None = None
    memory: Bank | Queue | None = None
    groups: int = 1
    labels: bool = False

    @property
    def received(self) -> int:
        """Bytes that a process receives in a step, to score a view, for each sample of others.

        Without a memory the embeddings of the batch are gathered, and their gradients come back
        twice.
        """
        if self.memory is not None:
            return self.memory.received(self.projector.dim)
        return 3 * FLOAT * self.projector.dim if self.online else 0

    def store_name(self, view: str) -> str:
        """The name of the bank or queue of a view that is read; empty when none is."""
        return f"{view}/{self.projector.name}/{self.memory.name(self.keys)}" if self.memory else ""


def _digits(value: float) -> str:
    """A number as part of a module's name, which may not hold a dot."""
    return repr(value).replace(".", "p")


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """A number that an edge learns, such as a log temperature.

    It lives in the model and has no weight decay. start: its first value. low, high: bounds; after
    every step the value is clamped to them.
    """

    start: float
    low: float = -math.inf
    high: float = math.inf


TEMPERATURES = (0.01, 1.0)
"""Bounds of a learned temperature; the lower one is CLIP's (arXiv:2103.00020, Sec. 2.5)."""


def log_temperature(owner: str, start: float) -> dict[str, Scalar]:
    """The scalar of a learned temperature, kept as its logarithm.

    Raises MultiviewError when `start` is outside `TEMPERATURES`.
    """
    low, high = TEMPERATURES
    if not low <= start <= high:
        raise MultiviewError(f"{owner}: a learned temperature starts from {low} to {high}, not at {start}.")
    return {"log_temperature": Scalar(start=math.log(start), low=math.log(low), high=math.log(high))}
