"""How the encoder of a view learns: its first weights, which parts are trained, and how fast."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from multiview.errors import MultiviewError, suggestion

TRAINED = ("full", "frozen", "heads", "lora")
"""The parts of an encoder that `Tuning.train` can name, besides `last N blocks`."""
IN_CHANNELS = ("repeat", "mean", "fresh")
"""How a first convolution is adapted to another number of channels."""
NORMALISE = ("weights", "view")
"""Whose mean and std normalise a view whose encoder loads weights."""
RATES = ("lr_scale", "layer_decay", "weight_decay")
"""The options that say how fast an encoder learns."""
LAST = re.compile(r"last\s+(\d+)(?:\s+blocks?)?")
LORA = re.compile(r"lora(?:\s+(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How the encoder of one view learns.

    Args:
        weights: file of the first weights, `FILE:NETWORK` for one network of a file, a run or a
            model folder, `RUN:VIEW` (None = those that the encoder was made with).
        in_channels: how weights of a first convolution are adapted to another number of channels:
            `repeat`, `mean` (both scaled) or `fresh`; None refuses other numbers.
        partial: load what fits of a file of another network.
        normalise: `weights` takes the mean and std that the weights were trained with, where the
            view shows the same numbers; `view` leaves those of the view or its data.
        train: what learns of the encoder; its heads always learn. `full`: all parameters. `frozen`:
            nothing; each sample is encoded once, without augmentation, and its features are kept.
            `heads`: nothing, but each step encodes augmented crops. `lora` or `lora RANK`: small
            matrices beside the weights (arXiv:2106.09685; rank 8). `last N blocks`: the last N.
        lr_scale: factor on the learning rate of the encoder, above 0.
        layer_decay: factor on the learning rate from each block to the block before, in (0, 1].
        weight_decay: of the encoder (None = that of the optimiser).

    Raises:
        MultiviewError: when a value is out of its range.

    Example:
        >>> mv.Tuning(train="last 2 blocks", lr_scale=0.1).blocks
        2
    """

    weights: str | None = None
    in_channels: str | None = None
    partial: bool = False
    normalise: str = "weights"
    train: str = "full"
    lr_scale: float = 1.0
    layer_decay: float = 1.0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and not (isinstance(self.weights, str) and self.weights):
            raise MultiviewError(f"weights is {self.weights!r}; give the path of a file of weights.")
        for name, known in (("in_channels", (None, *IN_CHANNELS)), ("normalise", NORMALISE)):
            if getattr(self, name) not in known:
                words = [word for word in known if word]
                given = getattr(self, name)
                raise MultiviewError(
                    f"{name} is {given!r}; give one of {', '.join(words)}.{suggestion(str(given), words)}"
                )
        if self.train not in TRAINED and not self.blocks and not self.lora_rank:
            raise MultiviewError(
                f"train is {self.train!r}; give one of {', '.join(TRAINED)}, `lora RANK`, or `last N blocks` with N of "
                f"1 or more.{suggestion(str(self.train), TRAINED)}"
            )
        if not _is_number(self.lr_scale) or not 0 < self.lr_scale < math.inf:
            raise MultiviewError(f"lr_scale is {self.lr_scale!r}; give a finite number above 0.")
        if not _is_number(self.layer_decay) or not 0 < self.layer_decay <= 1:
            raise MultiviewError(f"layer_decay is {self.layer_decay!r}; give a number above 0 and at most 1.")
        decay = 0.0 if self.weight_decay is None else self.weight_decay
        if not _is_number(decay) or not 0 <= decay < math.inf:
            raise MultiviewError(f"weight_decay is {self.weight_decay!r}; give a number that is 0 or more.")

    @property
    def blocks(self) -> int | None:
        """The number N of `last N blocks`, at least 1; None for another value of `train`."""
        found = LAST.fullmatch(self.train) if isinstance(self.train, str) else None
        return int(found[1]) or None if found else None

    @property
    def lora_rank(self) -> int | None:
        """The rank of `lora`, 8 unless it is given; None for another value of `train`."""
        found = LORA.fullmatch(self.train) if isinstance(self.train, str) else None
        return int(found[1] or 8) or None if found else None


def without_effect(tuning: Tuning) -> list[str]:
    """The options that change nothing, because no weight of the encoder itself learns."""
    if tuning.train not in ("frozen", "heads"):
        return []
    return [name for name in RATES if getattr(tuning, name) != getattr(Tuning(), name)]


def notes(tuning: Mapping[str, Tuning]) -> list[str]:
    """A sentence for each view with options that change nothing."""
    idle = {view: without_effect(each) for view, each in tuning.items()}
    return [
        f"view '{view}': {' and '.join(names)} {'have' if len(names) > 1 else 'has'} no effect, because no weight of "
        f"its encoder learns (train: {tuning[view].train}). Leave out {names[0]}, or let the encoder learn."
        for view, names in idle.items()
        if names
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
