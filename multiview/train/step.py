"""One step of training, whole, so that its order is nobody's accident."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from multiview.data.batch import Batch
from multiview.data.draws import Draws
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import EdgeOutput
from multiview.viewlayer import ViewLayer, present_views


@dataclass
class Parts:
    """What a step works with. `wrapped` is `model` as Accelerate wrapped it; `optimiser` likewise."""

    accelerator: Accelerator
    graph: ContrastGraph
    layer: ViewLayer
    model: MultiviewModel
    wrapped: Any
    memories: Memories
    optimiser: Any
    clip: float | None = None
    channels_last: bool = False


@dataclass
class StepOutput:
    """The weighted sum of the edges' losses, and what every edge found, detached."""

    loss: Tensor
    edges: dict[str, EdgeOutput]


def contrast_step(parts: Parts, batch: Batch, step: int, draws: Draws) -> StepOutput:
    """views -> one forward -> keys -> every edge scored -> backward and optimiser step -> every memory updated once.

    Raises MultiviewError naming step, edge and samples when a loss is not finite, before any weight or memory is touched by it.
    """
    views = {name: _laid_out(x, parts.channels_last) for name, x in parts.layer(batch, draws).items()}
    present = present_views(parts.layer.views, batch)
    with parts.accelerator.accumulate(parts.wrapped):
        embeddings = parts.wrapped(views, present)
        if (step - 1) % parts.accelerator.gradient_accumulation_steps == 0:
            parts.memories.follow(parts.model, step)
        with parts.accelerator.autocast():
            keys = parts.memories.keys(views, present, step)
        inputs = parts.memories.edge_inputs(embeddings, keys, batch.index, present, step)
        edges = parts.graph.named_edges()
        outputs = {n: e.objective.loss(i) for (n, e), i in zip(edges.items(), inputs, strict=True)}
        total = torch.stack([e.weight * outputs[n].loss for n, e in edges.items()]).sum()
        _refuse_non_finite(total, outputs, batch, step)
        parts.accelerator.backward(total)
        if parts.clip is not None and parts.accelerator.sync_gradients:
            parts.accelerator.clip_grad_norm_(parts.wrapped.parameters(), parts.clip)
        parts.optimiser.step()
        parts.model.bound()
        parts.optimiser.zero_grad()
    parts.memories.update(embeddings, keys, batch.index, present, {n: out.state for n, out in outputs.items()})
    return StepOutput(total.detach(), {n: _detached(out) for n, out in outputs.items()})


def _laid_out(x: Tensor, channels_last: bool) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if channels_last and x.ndim == 4 else x


def _detached(out: EdgeOutput) -> EdgeOutput:
    return EdgeOutput(out.loss.detach(), {name: value.detach() for name, value in out.log.items()})


def _refuse_non_finite(total: Tensor, outputs: Mapping[str, EdgeOutput], batch: Batch, step: int) -> None:
    if math.isfinite(total.item()):
        return
    bad = [name for name, out in outputs.items() if not math.isfinite(out.loss.item())]
    samples = ", ".join(str(i) for i in batch.index[:8].tolist())
    raise MultiviewError(
        f"step {step}: the loss of edge {', '.join(bad) or 'sum'} is not finite (samples {samples}, ...). Weights, banks and queues are as "
        "they were before it. Lower --lr, raise --temperature, or use --precision no."
    )
