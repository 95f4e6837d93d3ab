"""What an objective asks for: heads, key encoders, banks, queues, learned numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from multiview.errors import MultiviewError


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
        return "_".join([kind, str(self.dim), *(flag for flag, on in flags.items() if on)])


@dataclass(frozen=True, kw_only=True)
class Bank:
    """A memory bank: one embedding per training sample.

    row <- normalise(momentum * row + (1 - momentum) * z). dtype: of the rows, float32 or bfloat16.
    """

    momentum: float = 0.5
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue of the newest `size` keys of a view, first in first out."""

    size: int


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
        return "_".join([repr(self.momentum).replace(".", "p"), *flags])


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
