"""Encodes a batch at once or in micro-batches, and brings the gradient back to the weights.

GradCache (Gao et al., arXiv:2101.06983):
1. Encode the whole batch in micro-batches, without storing activations for the backward pass.
2. Compute the loss of the whole batch, and its gradient for every embedding.
3. Encode each micro-batch again, with the same random numbers, and send its part of that gradient
   back to the weights.
The sum is the gradient of the whole batch, in the memory of one micro-batch. Only batch norm
differs: it sees one micro-batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.counter_rng import Draws, draw_seed
from multiview.distributed import rank
from multiview.masked_forward import KnownRows, Present
from multiview.memory.memories import FoundKeys, Memories
from multiview.model import Embeddings
from multiview.train.seeding import seed_begun_devices

Backward = Callable[[Tensor], None]


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch: view tensors, which rows have each view, and the place in the batch."""

    views: Mapping[str, Tensor]
    present: Present
    rows: slice


def micro_batches(views: Mapping[str, Tensor], present: Present, size: int | None) -> list[MicroBatch]:
    """Splits a batch into the fewest even parts of at most `size` rows; None gives one part."""
    count = len(next(iter(views.values())))
    parts = -(-count // (size or count))
    ends = [count * number // parts for number in range(parts + 1)]
    return [_rows(views, present, slice(*ends[number : number + 2])) for number in range(parts)]


def _rows(views: Mapping[str, Tensor], present: Present, rows: slice) -> MicroBatch:
    here = KnownRows({name: present[name][rows] for name in views})
    return MicroBatch({name: x[rows] for name, x in views.items()}, here, rows)


def encoded(
    accelerator: Accelerator, model: nn.Module, wrapped: Any, micro: list[MicroBatch], draws: Draws
) -> tuple[Embeddings, Backward]:
    """The embeddings of the whole batch, and the function that sends a loss back to the weights.

    wrapped: `model` as wrapped by Accelerate. draws: the random numbers of the step, for dropout.
    """
    if len(micro) == 1:
        _seed(draws, 0)
        return wrapped(micro[0].views, micro[0].present), accelerator.backward
    whole = encoded_as_leaves(model, micro, draws)
    return whole, partial(_backward, accelerator, wrapped, micro, draws, whole)


def encoded_as_leaves(model: nn.Module, micro: list[MicroBatch], draws: Draws) -> Embeddings:
    """The embeddings of the whole batch, detached from the weights, ready for their gradient."""
    return _leaves(_encoded_in_parts(model, micro, draws))


def encoded_again(model: Any, part: MicroBatch, draws: Draws, number: int) -> Embeddings:
    """The embeddings of micro-batch `number` with the random numbers of before, with gradient."""
    _seed(draws, number)
    found: Embeddings = model(part.views, part.present)
    return found


def _encoded_in_parts(model: nn.Module, micro: list[MicroBatch], draws: Draws) -> list[Embeddings]:
    """The embeddings of every micro-batch, without activations for the backward pass."""
    parts = []
    with torch.no_grad(), _frozen_statistics(model):
        for number, part in enumerate(micro):
            _seed(draws, number)
            parts.append(model(part.views, part.present))
    return parts


def encoded_keys(memories: Memories, micro: list[MicroBatch], step: int) -> FoundKeys:
    """The keys of the whole batch."""
    parts = [memories.keys(part.views, part.present, step) for part in micro]
    return {name: torch.cat([keys[name] for keys in parts]) for name in parts[0]} if len(micro) > 1 else parts[0]


def _backward(
    accelerator: Accelerator, wrapped: Any, micro: list[MicroBatch], draws: Draws, whole: Embeddings, loss: Tensor
) -> None:
    """Computes the gradient of every embedding, then of the weights, one micro-batch after another.

    Processes add their gradients up in the last micro-batch.
    """
    loss.backward()
    for number, part in enumerate(micro):
        last = number == len(micro) - 1
        with nullcontext() if last else accelerator.no_sync(wrapped):
            again = encoded_again(wrapped, part, draws, number)
            accelerator.backward(_product(again, whole, part.rows, scalars=last))


def _product(again: Embeddings, whole: Embeddings, rows: slice, scalars: bool) -> Tensor:
    """The product <embeddings, their gradient> over some rows; its gradient is that of the loss.

    scalars: include the learned scalars of the edges; they count once, not per micro-batch.
    """
    pairs = [(again.z[name], _gradient(z)[rows]) for name, z in whole.z.items()]
    pairs += [(again.p[name], _gradient(p)[rows]) for name, p in whole.p.items()]
    if scalars:
        pairs += [(again.scalars[edge][n], _gradient(x)) for edge, own in whole.scalars.items() for n, x in own.items()]
    return torch.stack([(value * gradient).sum() for value, gradient in pairs]).sum()


def _gradient(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def _leaves(parts: list[Embeddings]) -> Embeddings:
    """The embeddings of all parts together, detached from the weights, ready for their gradient."""
    first = parts[0]
    return Embeddings(
        {name: torch.cat([part.z[name] for part in parts]).requires_grad_() for name in first.z},
        {name: torch.cat([part.p[name] for part in parts]).requires_grad_() for name in first.p},
        {edge: {n: x.detach().clone().requires_grad_() for n, x in own.items()} for edge, own in first.scalars.items()},
    )


def _seed(draws: Draws, part: int) -> None:
    """Seeds dropout by seed, step, rank and part: the same in both passes and in a resumed run."""
    seed_begun_devices(draw_seed(draws.seed, draws.step, f"dropout {rank()} {part}"))


@contextmanager
def _frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Freezes the running statistics of batch norm, because the second pass updates them."""
    norms = [(m, m.momentum) for m in model.modules() if isinstance(m, _BatchNorm)]
    # With momentum=None the number of batches decides how much a batch counts.
    counts = [(x, x.clone()) for m, _ in norms if (x := m.num_batches_tracked) is not None]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
        for counter, count in counts:
            counter.copy_(count)
