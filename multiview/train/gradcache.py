"""Embeddings of a batch, and the way of their gradient to the weights: in one pass, or in micro-batches that fit.

GradCache (Gao et al., arXiv:2101.06983): embeddings of the whole batch are computed in micro-batches without keeping what a backward
pass needs; the loss gives the gradient of every embedding; each micro-batch is then computed again, with the same random numbers, and its
part of that gradient goes back to the weights. The sum is the gradient of the whole batch, in the memory of a micro-batch. Batch norm is
the exception: it sees a micro-batch at a time, as it sees a rank's part of the batch.
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
from multiview.memory.memories import FoundKeys, Memories
from multiview.model import Embeddings

Backward = Callable[[Tensor], None]


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch: view tensors, which rows exist, and where they stand in it."""

    views: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    rows: slice


def micro_batches(views: Mapping[str, Tensor], present: Mapping[str, Tensor], size: int | None) -> list[MicroBatch]:
    """The batch in as few parts of at most `size` rows as there can be, as even as they can be; None: in one."""
    count = len(next(iter(views.values())))
    parts = -(-count // (size or count))
    ends = [count * number // parts for number in range(parts + 1)]
    return [_rows(views, present, slice(*ends[number : number + 2])) for number in range(parts)]


def _rows(views: Mapping[str, Tensor], present: Mapping[str, Tensor], rows: slice) -> MicroBatch:
    return MicroBatch({n: x[rows] for n, x in views.items()}, {n: here[rows] for n, here in present.items()}, rows)


def encoded(
    accelerator: Accelerator, model: nn.Module, wrapped: Any, micro: list[MicroBatch], draws: Draws
) -> tuple[Embeddings, Backward]:
    """The embeddings of the whole batch, and the function that takes a loss of them back to the weights.

    `wrapped` is `model` as Accelerate wrapped it. draws: of this step, the source of dropout.
    """
    if len(micro) == 1:
        _seed(draws, 0)
        return wrapped(micro[0].views, micro[0].present), accelerator.backward
    with torch.no_grad(), _kept_statistics(model):
        found = []
        for number, part in enumerate(micro):
            _seed(draws, number)
            found.append(model(part.views, part.present))
    whole = _leaves(found)
    return whole, partial(_backward, accelerator, wrapped, micro, draws, whole)


def encoded_keys(memories: Memories, micro: list[MicroBatch], step: int) -> FoundKeys:
    """The keys of the whole batch."""
    found = [memories.keys(part.views, part.present, step) for part in micro]
    return {name: torch.cat([keys[name] for keys in found]) for name in found[0]} if len(micro) > 1 else found[0]


def _backward(
    accelerator: Accelerator, wrapped: Any, micro: list[MicroBatch], draws: Draws, whole: Embeddings, loss: Tensor
) -> None:
    """The gradient of every embedding, then micro-batch by micro-batch that of the weights; ranks add theirs up in the last."""
    loss.backward()
    for number, part in enumerate(micro):
        last = number == len(micro) - 1
        with nullcontext() if last else accelerator.no_sync(wrapped):
            _seed(draws, number)
            again = wrapped(part.views, part.present)
            accelerator.backward(_product(again, whole, part.rows, scalars=last))


def _product(again: Embeddings, whole: Embeddings, rows: slice, scalars: bool) -> Tensor:
    """<embeddings, their gradient> over some rows: its gradient is the loss's. The edges' scalars count once, not for every part."""
    pairs = [(again.z[name], _gradient(z)[rows]) for name, z in whole.z.items()]
    pairs += [(again.p[name], _gradient(p)[rows]) for name, p in whole.p.items()]
    if scalars:
        pairs += [(again.scalars[edge][n], _gradient(x)) for edge, own in whole.scalars.items() for n, x in own.items()]
    return torch.stack([(value * gradient).sum() for value, gradient in pairs]).sum()


def _gradient(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def _leaves(found: list[Embeddings]) -> Embeddings:
    """The embeddings of all parts as one, cut off from the weights, each waiting for its gradient."""
    first = found[0]
    return Embeddings(
        {name: torch.cat([part.z[name] for part in found]).requires_grad_() for name in first.z},
        {name: torch.cat([part.p[name] for part in found]).requires_grad_() for name in first.p},
        {edge: {n: x.detach().clone().requires_grad_() for n, x in own.items()} for edge, own in first.scalars.items()},
    )


def _seed(draws: Draws, part: int) -> None:
    """Dropout is a function of seed, step, rank and part: both passes draw alike, and so does a resumed run."""
    torch.manual_seed(draw_seed(draws.seed, draws.step, f"dropout {rank()} {part}"))


@contextmanager
def _kept_statistics(model: nn.Module) -> Iterator[None]:
    """Running statistics of batch norm stay as they are: the second pass moves them, once."""
    norms = [(m, m.momentum) for m in model.modules() if isinstance(m, _BatchNorm)]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
