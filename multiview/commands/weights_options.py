"""The options of `multiview weights`, see `multiview.commands.embed_options`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Says what a file of weights holds, which encoders it fits, and where each parameter goes.

    Nothing is trained or changed. Files of PyTorch are read in a process of their own, which runs
    no code of the file.

    Args:
        file: a file of weights, a run, or a model folder; FILE:NETWORK or RUN:VIEW for one of
            several networks.
        encoder: compare with this encoder (null = the first that fits).
        channels: of the view (null = as many as the weights have).
        options: of the encoder, as in '{width: 0.5, stem: cifar}'.
        in_channels: how the first convolution is adapted to other channels.
        partial: accept a file that fits in part.
        all: list every parameter.
    """

    file: str
    encoder: str | None = None
    channels: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    in_channels: Literal["repeat", "mean", "fresh"] | None = None
    partial: bool = False
    all: bool = False
