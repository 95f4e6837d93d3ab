"""How the encoder of a view learns: its first weights, which parts are trained, and how fast."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from multiview.errors import MultiviewError, suggestion

TRAINED = ("full", "frozen", "heads", "lora")
"""The parts of an encoder that `Tuning.train` can name, besides `last N blocks`."""
LAST = re.compile(r"last\s+(\d+)(?:\s+blocks?)?")
LORA = re.compile(r"lora(?:\s+(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How the encoder of one view learns.

    Args:
        weights: file of the first weights (None = those that the encoder was made with).
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
    train: str = "full"
    lr_scale: float = 1.0
    layer_decay: float = 1.0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and not (isinstance(self.weights, str) and self.weights):
            raise MultiviewError(f"weights is {self.weights!r}; give the path of a file of weights.")
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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
