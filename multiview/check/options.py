"""Options of `multiview check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """Runs the laws of views on an installed view, with a generated batch of its modality.

    Args:
        name: the view.
        kind: the kind of its modality (image, depth, audio, table, ...), where the modality's
            name does not say it.
        planes: channels of the generated modality, where the view needs a certain number of
            columns, bands or microphones.
        options: options of the view, as {NAME: VALUE}.
    """

    name: str
    kind: str | None = None
    planes: int | None = None
    options: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CheckEncoder:
    """Runs the laws of encoders on an installed encoder, with a generated batch.

    Args:
        name: the encoder, or PLUGIN:MODEL where a plugin has many models.
        channels: channels of the view that the encoder is made for.
        length: length of every axis but the channels (null = 64 pixels, 8 frames, 32 tokens,
            32 points, 8000 samples, and 200 for any other axis).
        width: factor on the channels of the encoder's layers.
        options: options of the encoder, as {NAME: VALUE}.
    """

    name: str
    channels: int = 3
    length: int | None = None
    width: float = 1.0
    options: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CheckObjective:
    """Runs the laws of objectives on an installed objective, with generated embeddings.

    Args:
        name: the objective.
        options: options of the objective, as {NAME: VALUE}.
    """

    name: str
    options: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CheckDevice:
    """Tests and measures training on the device that a run would use.

    It compares every objective with the CPU and with float64, counts how often the host waits for
    the device in a step, and measures steps beside their encoders, kernels beside the bandwidth
    and the matrix products of the device, and two processes that share it. Takes at most 8
    minutes. On a machine without a GPU it checks the CPU; a stand-in then takes the device's part
    where numbers and waits are checked.

    Args:
        quick: about a minute: two recipes, one small size, nothing compiled.
        out: the JSON file that gets all numbers.
    """

    quick: bool = False
    out: str = "check-device.json"
