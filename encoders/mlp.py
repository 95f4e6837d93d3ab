"""Fully connected layers, for tables."""

from __future__ import annotations

from torch import nn

from multiview.encoder import Encoder, scaled
from multiview.errors import MultiviewError
from multiview.record import recorded


class MLP(Encoder):
    """`depth` linear layers with batch norm and ReLU: h (n, 256 * width) is the output of the last.

    width: multiplier of the 256 units of each layer. Layers: hidden1, hidden2, ... Initialisation:
    PyTorch's.
    Raises MultiviewError when depth is below 1.
    """

    axes = ("channels",)

    def __init__(self, channels: int, *, width: float = 1.0, depth: int = 2) -> None:
        if depth < 1:
            raise MultiviewError(f"the depth of an mlp is {depth}; give 1 layer or more.")
        units = scaled(256, width)
        super().__init__(channels, units, [f"hidden{number}" for number in range(1, depth + 1)])
        before = channels
        for layer in self.layers:
            self.add_module(layer, nn.Sequential(nn.Linear(before, units), nn.BatchNorm1d(units), nn.ReLU()))
            before = units


@recorded
def mlp(channels: int, *, width: float = 1.0, depth: int = 2) -> MLP:
    """Fully connected layers for tables: h (n, 256 * width). Options: see `MLP`."""
    return MLP(channels, width=width, depth=depth)
