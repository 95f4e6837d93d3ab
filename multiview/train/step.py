"""One step of training, whole, so that its order is nobody's accident."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from multiview.data.batch import Batch
from multiview.data.draws import Draws
from multiview.distributed import any_rank, gather
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import EdgeOutput
from multiview.train.gradcache import encoded, encoded_keys, micro_batches
from multiview.train.health import measured
from multiview.viewlayer import ViewLayer, present_views

SAMPLES_SHOWN = 8


@dataclass
class Parts:
    """What a step works with. `wrapped` is `model` as Accelerate wrapped it; `optimiser` likewise. `ids` names samples by their index."""

    accelerator: Accelerator
    graph: ContrastGraph
    layer: ViewLayer
    model: MultiviewModel
    wrapped: Any
    memories: Memories
    optimiser: Any
    ids: Callable[[Tensor], list[str]]
    clip: float | None = None
    channels_last: bool = False
    micro_batch: int | None = None


@dataclass
class StepOutput:
    """The weighted sum of the edges' losses, what every edge found, detached, and the measures of health where they were asked for."""

    loss: Tensor
    edges: dict[str, EdgeOutput]
    health: dict[str, Tensor]


def contrast_step(parts: Parts, batch: Batch, step: int, draws: Draws, examine: bool = False) -> StepOutput:
    """views -> one forward -> keys -> every edge scored -> backward and optimiser step -> every memory updated once.

    examine: measure the health of every edge too, before the memories move on. Raises MultiviewError naming step, edge and samples when a
    loss is not finite, before any weight or memory is touched by it.
    """
    views = {name: _laid_out(x, parts.channels_last) for name, x in parts.layer(batch, draws).items()}
    present = present_views(parts.layer.views, batch)
    micro = micro_batches(views, present, parts.micro_batch)
    with parts.accelerator.accumulate(parts.wrapped):
        embeddings, backward = encoded(parts.accelerator, parts.model, parts.wrapped, micro, draws)
        if (step - 1) % parts.accelerator.gradient_accumulation_steps == 0:
            parts.memories.follow(parts.model, step)
        with parts.accelerator.autocast():
            keys = encoded_keys(parts.memories, micro, step)
        inputs = parts.memories.edge_inputs(embeddings, keys, batch.index, present, step)
        edges = parts.graph.named_edges()
        outputs = {n: e.objective.loss(i) for (n, e), i in zip(edges.items(), inputs, strict=True)}
        total = torch.stack([e.weight * outputs[n].loss for n, e in edges.items()]).sum()
        seen = {
            "View tensors": views.values(),
            "embeddings": [*embeddings.z.values(), *embeddings.p.values(), *keys.values()],
        }
        _refuse_non_finite(parts, total, outputs, seen, batch.index, step)
        backward(total)
        if parts.clip is not None and parts.accelerator.sync_gradients:
            parts.accelerator.clip_grad_norm_(parts.wrapped.parameters(), parts.clip)
        parts.optimiser.step()
        parts.model.bound()
        parts.optimiser.zero_grad()
    health = measured(edges, inputs) if examine else {}
    parts.memories.update(embeddings, keys, batch.index, present, {n: out.state for n, out in outputs.items()})
    return StepOutput(total.detach(), {n: _detached(out) for n, out in outputs.items()}, health)


def _laid_out(x: Tensor, channels_last: bool) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if channels_last and x.ndim == 4 else x


def _detached(out: EdgeOutput) -> EdgeOutput:
    return EdgeOutput(out.loss.detach(), {name: value.detach() for name, value in out.log.items()})


def _refuse_non_finite(
    parts: Parts,
    total: Tensor,
    outputs: Mapping[str, EdgeOutput],
    seen: Mapping[str, Iterable[Tensor]],
    index: Tensor,
    step: int,
) -> None:
    """All ranks raise when one has to, so that none waits for the others. seen: what the step worked with, by what it is, first things first."""
    losses = torch.stack([*(out.loss.detach().to(total) for out in outputs.values()), total.detach()])
    bad = any_rank((~losses.isfinite()).tolist(), total.device)
    if not any(bad):
        return
    names = [name for name, one in zip([*outputs, "sum"], bad, strict=True) if one]
    raise MultiviewError(
        f"step {step}: the loss of edge {', '.join(names[:-1] or names)} is not finite. {_suspects(parts, seen, index)} Weights, banks and "
        "queues are as they were before it. Lower --lr, raise --temperature, or use --precision no; the last checkpoint is whole."
    )


def _suspects(parts: Parts, seen: Mapping[str, Iterable[Tensor]], index: Tensor) -> str:
    """The samples of all ranks where things first went wrong; where nothing did, those of the step."""
    everyone = gather(index)
    for kind, tensors in seen.items():
        lost = gather(torch.stack([~x.isfinite().flatten(1).all(1) for x in tensors]).any(0))
        if lost.any():
            return f"{kind} are not finite of samples {_listed(parts, everyone[lost])}."
    return f"{' and '.join(seen)} are finite; the step had samples {_listed(parts, everyone)}."


def _listed(parts: Parts, index: Tensor) -> str:
    more = f" and {len(index) - SAMPLES_SHOWN} more" if len(index) > SAMPLES_SHOWN else ""
    return ", ".join(parts.ids(index[:SAMPLES_SHOWN].cpu())) + more
