"""Whether a device computes what the CPU computes, and what lower precisions change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from multiview.check.device_rows import Row, judged
from multiview.check.edges import agreeing, in_precision
from multiview.check.objectives import trial
from multiview.check.stand_in import DEVICE, NoFloat64
from multiview.objectives.base import EdgeInput, Objective
from multiview.plugins import installed

ROWS = torch.arange(9)
ALIKE = 1e-4
"""Largest relative difference between devices in float32."""
LIMITS = {torch.float32: ALIKE, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest relative error of a loss, from embeddings in this precision, against float64."""


def on_device(edge: EdgeInput, device: torch.device) -> EdgeInput:
    """The edge with all its tensors on a device."""
    for side in edge.sides:
        side.z, side.p = (x if x is None else x.detach().to(device).requires_grad_() for x in (side.z, side.p))
        side.key = side.key if side.key is None else side.key.to(device)
        side.memory = side.memory and side.memory.to(device)
        side.present = side.present if side.present is None else side.present.to(device)
    return replace(
        edge,
        index=edge.index.to(device),
        present=edge.present.to(device),
        labels=None if edge.labels is None else edge.labels.to(device),
        state={name: value.to(device) for name, value in edge.state.items()},
        scalars={name: value.detach().to(device).requires_grad_() for name, value in edge.scalars.items()},
        group=None if edge.group is None else edge.group.to(device),
        bank_groups=None if edge.bank_groups is None else edge.bank_groups.to(device),
    )


def _there(device: torch.device) -> tuple[torch.device, AbstractContextManager[object]]:
    """Where to compute: on the device; in place of the CPU, on the stand-in."""
    return (DEVICE, NoFloat64()) if device.type == "cpu" else (device, nullcontext())


def _loss(objective: Objective, edge: EdgeInput) -> tuple[float, list[Tensor]]:
    """The loss, and its gradient for all embeddings."""
    out = objective.scored(edge)
    out.loss.backward()
    leaves = [x for side in edge.sides for x in (side.z, side.p) if x is not None and x.grad is not None]
    return out.loss.item(), [x.grad.detach().to("cpu") for x in leaves if x.grad is not None]


def _edge(objective: Objective) -> EdgeInput:
    return agreeing(objective, ROWS, 0.5)


def objectives() -> Iterator[tuple[str, Objective]]:
    """The installed objectives with their defaults, resolved for few samples."""
    for plugin in installed("objectives"):
        yield plugin.name, trial(plugin.name)


def parity(device: torch.device) -> Iterator[Row]:
    """Loss and gradient of every objective on the device and on the CPU, both in float32."""
    place, around = _there(device)
    for name, objective in objectives():
        expected, gradients = _loss(objective, in_precision(_edge(objective), torch.float32))
        with around:
            found, theirs = _loss(objective, on_device(in_precision(_edge(objective), torch.float32), place))
        error = abs(found - expected) / max(1.0, abs(expected))
        worst = max((_difference(x, y) for x, y in zip(theirs, gradients, strict=True)), default=0.0)
        yield judged("parity with the CPU", name, max(error, worst), ALIKE, "loss and gradient, float32")


def precision(device: torch.device) -> Iterator[Row]:
    """Losses from embeddings in lower precision, against those in float64 on the CPU."""
    place, around = _there(device)
    for dtype, limit in LIMITS.items():
        errors = {}
        for name, objective in objectives():
            exact = float(objective.scored(_edge(objective)).loss.detach())
            with around, torch.no_grad():
                edge = on_device(in_precision(_edge(objective), dtype), place)
                errors[name] = abs(objective.scored(edge).loss.item() - exact) / max(1.0, abs(exact))
        worst = max(errors, key=lambda name: errors[name])
        what = f"{str(dtype).removeprefix('torch.')} embeddings"
        yield judged("losses against float64", what, errors[worst], limit, f"largest error, of {worst}")


def _difference(one: Tensor, other: Tensor) -> float:
    one = one.held if hasattr(one, "held") else one
    return float((one.double() - other.double()).abs().max() / other.abs().max().clamp(min=1.0))
