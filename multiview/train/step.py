"""One training step. The whole order of a step is in `contrast_step`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_

from multiview.batch import Batch, sent
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError
from multiview.graph import AnyEdge, ContrastGraph
from multiview.masked_forward import KnownRows
from multiview.memory.memories import FoundKeys, Memories
from multiview.model import Embeddings, MultiviewModel
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.train.deferred import Deferred
from multiview.train.finite import Ids, Overflows, require_finite_gradients, require_finite_losses
from multiview.train.frozen_features import FrozenFeatures
from multiview.train.gradcache import encoded, encoded_keys, micro_batches
from multiview.train.health import measured
from multiview.view import View
from multiview.viewlayer import ViewLayer, present_views


@dataclass
class Parts:
    """The parts of a training step.

    wrapped: `model` as wrapped by Accelerate; `optimiser` is wrapped too. ids: names samples by
    their index. epochs: of the whole run, for schedules of edges that count epochs. frozen: the
    views that were encoded once; `layer` does not make them. deferred: the checks of a step that
    the host reads a step later (None = it waits for them). views: all views, for the record in the
    checkpoint (empty = those of `layer`).
    """

    accelerator: Accelerator
    graph: ContrastGraph
    layer: ViewLayer
    model: MultiviewModel
    wrapped: Any
    memories: Memories
    optimiser: Any
    ids: Ids
    clip: float | None = None
    channels_last: bool = False
    micro_batch: int | None = None
    epochs: float = 1.0
    frozen: Mapping[str, FrozenFeatures] = field(default_factory=dict)
    overflows: Overflows = field(default_factory=Overflows)
    deferred: Deferred | None = None
    views: Mapping[str, View] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.views = self.views or self.layer.views

    @cached_property
    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters of the model with their names, looked up once."""
        return list(self.model.named_parameters())

    @property
    def acting_optimiser(self) -> Any:
        """The optimiser whose `step` and `zero_grad` this step calls.

        That of PyTorch where accelerate's around it would do nothing but ask, in every step, for
        packages that are not installed.
        """
        accelerator = self.accelerator
        plain = accelerator.scaler is None and accelerator.sync_gradients and accelerator.device.type != "xla"
        return getattr(self.optimiser, "optimizer", self.optimiser) if plain else self.optimiser

    def settle(self) -> None:
        """Raises MultiviewError when the last step had a loss or gradient that is not finite."""
        if self.deferred is not None:
            self.deferred.settle()

    def weights(self, step: int) -> dict[str, float]:
        """The weight of every edge at a step."""
        done = self.memories.done(step)
        return {name: edge.weight_at(done, self.epochs) for name, edge in self.graph.named_edges().items()}


@dataclass
class StepOutput:
    """The weighted sum of the losses, the output of each edge, and health measures if asked for.

    has_loss: whether each edge had anything to contrast, in this process.
    """

    loss: Tensor
    edges: dict[str, EdgeOutput]
    health: dict[str, Tensor]
    has_loss: dict[str, Tensor]


def contrast_step(parts: Parts, batch: Batch, step: int, draws: Draws, examine: bool = False) -> StepOutput:
    """Trains one step: views, key encoders, forward, keys, losses, backward, weights, memories.

    Args:
        parts: the model, memories and optimiser; all are updated.
        batch: the samples of this process.
        step: the number of the step, from 1.
        draws: the random numbers of the step.
        examine: also measure the health of every edge, before the memories change.

    Raises:
        MultiviewError: a loss or gradient is not finite; weights and memories have not changed. On
            a GPU it is that of the step before, see `Deferred`.
    """
    parts.settle()
    views, present, known = seen_views(parts, batch, draws)
    host = batch.host or batch
    micro = micro_batches(views, known, parts.micro_batch)
    first = (step - 1) % parts.accelerator.gradient_accumulation_steps == 0
    followed = parts.memories.followed(parts.model, step) if first else nullcontext()
    with parts.accelerator.accumulate(parts.wrapped), followed:
        embeddings, backward = encoded(parts.accelerator, parts.model, parts.wrapped, micro, draws)
        with parts.accelerator.autocast():
            keys = encoded_keys(parts.memories, micro, step)
        inputs = parts.memories.edge_inputs(embeddings, keys, batch.index, present, step, host.index.cpu())
        edges = parts.graph.named_edges()
        outputs = {n: e.objective.scored(i) for (n, e), i in zip(edges.items(), inputs, strict=True)}
        weights = parts.weights(step)
        total = torch.stack([weights[n] * outputs[n].loss for n in edges]).sum()
        seen = {"View tensors": views.items(), "embeddings": _named(embeddings, keys)}
        losses = {**{n: out.loss.detach().to(total) for n, out in outputs.items()}, "sum": total.detach()}
        finite = partial(require_finite_losses, losses, seen, present, batch.index, parts.ids, step)
        _check(parts, torch.stack(list(losses.values())), finite)
        backward(total)
        if parts.accelerator.sync_gradients:
            _clip(parts, batch.index, step)
        valid = _moved(parts, step, step if first else None)
    health = _health(parts, edges, inputs) if examine else {}
    has_loss = {n: e.objective.has_loss(i) for (n, e), i in zip(edges.items(), inputs, strict=True)}
    states = {n: out.state for n, out in outputs.items()}
    everyone = inputs[0].gathered.index
    parts.memories.update(embeddings, keys, batch.index, present, states, valid, known, everyone)
    return StepOutput(total.detach(), {n: _detached(out) for n, out in outputs.items()}, health, has_loss)


def seen_views(parts: Parts, batch: Batch, draws: Draws) -> tuple[dict[str, Tensor], dict[str, Tensor], KnownRows]:
    """The tensor of every view, or the features of frozen views; and which samples have the view.

    The second time as known on the CPU, as far as the batch came from there.
    """
    host, device = batch.host or batch, batch.index.device
    views = {name: _laid_out(x, parts.channels_last) for name, x in parts.layer(batch, draws).items()}
    present, known = present_views(parts.layer.views, batch), present_views(parts.layer.views, host)
    for name, features in parts.frozen.items():
        rows, known[name] = features.rows(host.index.cpu())
        views[name], present[name] = sent(rows, device), sent(known[name], device)
    return views, present, KnownRows(known)


def _health(parts: Parts, edges: Mapping[str, AnyEdge], inputs: Sequence[EdgeInput]) -> dict[str, Tensor]:
    """The health of every edge. To measure it waits for the device, so the checks come first."""
    parts.settle()
    return measured(edges, inputs)


def _check(parts: Parts, values: Tensor, check: Callable[[], None]) -> None:
    """Raises MultiviewError by `check` when values (n,) are not finite: now, or a step later."""
    if parts.deferred is None:
        check()
    else:
        parts.deferred.note(values, check)


def _moved(parts: Parts, step: int, followed: int | None) -> Tensor | None:
    """Moves the weights; gives whether the device did, where the host does not know it yet."""
    with _moving(parts, followed) as valid:
        parts.acting_optimiser.step()
    if parts.accelerator.scaler is not None and parts.accelerator.sync_gradients:
        parts.overflows.add(parts.optimiser.step_was_skipped, step)
    parts.model.bound()
    parts.acting_optimiser.zero_grad()
    return valid


@contextmanager
def _moving(parts: Parts, followed: int | None) -> Iterator[Tensor | None]:
    """Within the block a step that is not finite moves nothing; gives whether it is, on the device.

    followed: the step before which the key encoders followed (None = they did not).
    """
    if parts.deferred is None:
        yield None
        return

    def undo() -> None:
        parts.memories.forget_lengths()
        if followed is not None:
            parts.memories.step_back(parts.model, followed)

    with parts.deferred.moving(undo) as valid:
        yield valid


def _clip(parts: Parts, index: Tensor, step: int) -> None:
    """Raises MultiviewError when a gradient is not finite, then clips; both use the same norms.

    With fp16, overflowing gradients are normal: the scaler skips the step and lowers its scale.
    """
    if parts.accelerator.scaler is not None:
        if parts.clip is not None:
            parts.accelerator.clip_grad_norm_(parts.model.parameters(), parts.clip)
        return
    gradients = {name: p.grad for name, p in parts.parameters if p.grad is not None}
    norms = torch.stack(torch._foreach_norm(list(gradients.values())))
    accumulated = parts.accelerator.gradient_accumulation_steps
    finite = partial(require_finite_gradients, list(gradients), norms, index, parts.ids, step, accumulated)
    try:
        _check(parts, norms, finite)
    except MultiviewError:
        parts.optimiser.zero_grad()
        raise
    if parts.clip is not None:
        clip_grads_with_norm_(parts.model.parameters(), parts.clip, torch.linalg.vector_norm(norms))


def _named(embeddings: Embeddings, keys: FoundKeys) -> list[tuple[str, Tensor]]:
    """Embeddings, predictions and keys, each with the name of its view."""
    return [(name, x.detach()) for part in (embeddings.z, embeddings.p, keys) for (name, *_), x in part.items()]


def _laid_out(x: Tensor, channels_last: bool) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if channels_last and x.ndim == 4 else x


def _detached(out: EdgeOutput) -> EdgeOutput:
    return EdgeOutput(out.loss.detach(), {name: value.detach() for name, value in out.log.items()})
