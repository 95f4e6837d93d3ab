"""How long a run will take: the encoders are timed on a few samples."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from multiview.plurals import counted
from multiview.train.frozen_features import views_encoded_once
from multiview.train.prepare import Prepared
from multiview.viewlayer import ViewLayer

ROWS = 16
"""Samples that are timed; the work of the encoders grows with their number."""

ENOUGH, MOST = 3.0, 12
"""Seconds after which no further pass is timed, and most passes; two are always timed."""


def duration_text(prepared: Prepared) -> str:
    """`about 4 minutes for the encoders, timed on 16 samples`; empty when nothing can be timed."""
    seconds, rows = encoder_seconds(prepared), timed_rows(prepared)
    return "" if seconds is None else f"about {amount(seconds)} for the encoders, timed on {counted(rows, 'sample')}"


def timed_rows(prepared: Prepared) -> int:
    """How many samples are timed."""
    return min(ROWS, prepared.situation.per_rank, len(prepared.samples))


def encoder_seconds(prepared: Prepared) -> float | None:
    """Seconds of all encoders' passes in the whole run; None when there is one sample only.

    A view that is encoded once counts once a sample, and not at each step.
    """
    rows = timed_rows(prepared)
    if rows < 2:
        return None
    batch = prepared.samples[0, torch.linspace(0, len(prepared.samples) - 1, rows).long()]
    device, once = prepared.accelerator.device, views_encoded_once(prepared.setup)
    views = {name: x.to(device) for name, x in ViewLayer(prepared.setup.views)(batch).items()}
    still = {name: views.pop(name) for name in once if name in views}
    learning = shortest(lambda: _pass(prepared, views)) if views else 0.0
    first = shortest(lambda: _pass(prepared, still, learns=False)) if still else 0.0
    return (learning * prepared.situation.per_rank * prepared.steps + first * prepared.situation.samples) / rows


def amount(seconds: float) -> str:
    """`40 seconds`, `4 minutes`, `3.5 hours`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def shortest(timed: Callable[[], float]) -> float:
    """The smallest of 2 times or more, up to `MOST` while they last less than `ENOUGH` together.

    Small encoders take several, because other programs interrupt a pass on a busy machine.
    """
    found = [timed(), timed()]
    while sum(found) < ENOUGH and len(found) < MOST:
        found.append(timed())
    return min(found)


def _pass(prepared: Prepared, views: dict[str, Tensor], learns: bool = True) -> float:
    """Seconds of a forward and perhaps backward pass, not more than a CPU was busy with it.

    Other programs may stop a pass for seconds.
    """
    model, device = prepared.model.to(prepared.accelerator.device), prepared.accelerator.device
    start, started = time.monotonic(), time.process_time()
    with torch.set_grad_enabled(learns):
        total = torch.stack([h.float().mean() for h in model.features(views).values()]).sum()
    if total.requires_grad:
        total.backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    model.zero_grad(set_to_none=True)
    wall = time.monotonic() - start
    return min(wall, time.process_time() - started) if device.type == "cpu" else wall
