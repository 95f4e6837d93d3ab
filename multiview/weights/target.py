"""Where weights go: a network, and what a file for it may have more or other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Filter = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]

HEADS = (
    "mask_token",
    "pooler.",
    "position_ids",
    "fc.",
    "fc8.",
    "head.",
    "heads.",
    "head_dist.",
    "classifier.",
    "linear.",
    "proj",
    "pre_logits.",
)
"""Beginnings of the names of classifiers, projectors and mask tokens inside published networks."""
COUNTER = "num_batches_tracked"
"""End of the names of batch norms' counters, which old files have not."""


@dataclass(frozen=True)
class Target:
    """A network that takes weights.

    Args:
        network: whose state is filled.
        channels: of its input.
        heads: beginnings of names that a file may have and the network has not.
        first: names of the weights that read the input; empty = those of the first convolution.
        unasked: how these are adapted to other channels when nobody says how; None = not at all.
        scales: mean and std by the name of the channels, where the network says them.
        known_heads: beginnings of the names of heads in published networks.
    """

    network: nn.Module
    channels: int
    heads: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    unasked: str | None = None
    scales: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] | None = None
    known_heads: tuple[str, ...] = HEADS

    @classmethod
    def of_any(cls, channels: int = 0) -> Target:
        """The target of somebody who only looks: a network without parameters."""
        return cls(nn.Module(), channels)

    def is_head(self, name: str) -> bool:
        """Whether a parameter of a file belongs to a head that the network has not."""
        return name.startswith((*self.heads, *self.known_heads))

    def first_weights(self) -> tuple[str, ...]:
        """Names of the weights that read the input."""
        if self.first:
            return self.first
        kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        return tuple(f"{name}.weight" for name, module in self.network.named_modules() if isinstance(module, kinds))[:1]

    def filter(self) -> Filter | None:
        """timm's own conversion of files, which also resizes positional embeddings."""
        module: Any = sys.modules.get(type(self.network).__module__)
        convert = getattr(module, "checkpoint_filter_fn", None)
        if convert is None or not type(self.network).__module__.startswith("timm."):
            return None
        return lambda state: convert(state, self.network)
