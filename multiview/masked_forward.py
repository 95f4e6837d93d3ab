"""Running a network on some rows of a batch only: those that exist, in groups that keep batch statistics of their own.

A row whose view is absent must not reach batch statistics. Fewer than two rows have none, so batch norm then uses its running
statistics and leaves them alone; with no row at all the network still runs once, on zeros, so that every parameter of every rank gets a
(zero) gradient and no process waits for another. A SyncBatchNorm cannot do without its process: it is refused in training.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.distributed import world
from multiview.errors import MultiviewError

K = TypeVar("K", bound=Hashable)


def on_rows(
    embed: Callable[[Tensor], dict[K, Tensor]],
    x: Tensor,
    present: Tensor | None,
    modules: Iterable[nn.Module],
    groups: int = 1,
) -> dict[K, Tensor]:
    """What `embed` makes of the rows of x (n, ...) that are `present` (n,) (None = all): (n, ...) tensors by name, zeros where absent.

    modules: all that `embed` runs, for their batch norms. groups: the rows are split into so many parts, one after the other, each
    normalised by itself; the running statistics move as if by the mean of the groups' statistics.
    """
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]
    here = torch.ones(len(x), dtype=torch.bool, device=x.device) if present is None else present
    parts = min(groups, len(x))
    found = []
    for number, (rows, exist) in enumerate(zip(x.tensor_split(parts), here.tensor_split(parts), strict=True)):
        with _share_of_momentum(norms, parts - number, parts):
            found.append(_on_group(embed, rows, exist, norms))
    return {name: torch.cat([part[name] for part in found]) if parts > 1 else found[0][name] for name in found[0]}


def _on_group(
    embed: Callable[[Tensor], dict[K, Tensor]], x: Tensor, present: Tensor, norms: list[_BatchNorm]
) -> dict[K, Tensor]:
    rows = present.nonzero()[:, 0]
    if len(rows) < 2 and world() > 1 and any(isinstance(m, nn.SyncBatchNorm) and m.training for m in norms):
        raise MultiviewError(
            f"a SyncBatchNorm needs two rows or more in every process, but this one has {len(rows)}, and the others would wait for it. "
            "Give the encoder batch norm without synchronisation, or train on samples that all have its view."
        )
    with nullcontext() if len(rows) > 1 else _running_statistics(norms):
        if len(rows) == len(x):
            return embed(x)
        found = embed(x[rows] if len(rows) else torch.zeros_like(x[:1]))
    return {name: _spread_out(value[: len(rows)], rows, len(x)) for name, value in found.items()}


def _spread_out(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """`values` (m, ...) at `rows` (m,) of a tensor of `count` rows that is zero elsewhere."""
    return values.new_zeros(count, *values.shape[1:]).index_copy(0, rows, values)


@contextmanager
def _running_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Batch norms as in evaluation."""
    trained = [m for m in norms if m.training]
    for m in trained:
        m.training = False
    try:
        yield
    finally:
        for m in trained:
            m.training = True


@contextmanager
def _share_of_momentum(norms: list[_BatchNorm], left: int, groups: int) -> Iterator[None]:
    """Momentum such that, `left` groups before the end, each of `groups` groups ends with the weight momentum / groups.

    r <- (1 - a_c) r + a_c s_c with a_c = (m / G) / (1 - (left - 1) m / G) gives r <- (1 - m) r + (m / G) sum_c s_c.
    """
    changed = [(m, m.momentum) for m in norms if groups > 1 and m.momentum is not None]
    for m, momentum in changed:
        each = momentum / groups
        m.momentum = each / (1 - (left - 1) * each)
    try:
        yield
    finally:
        for m, momentum in changed:
            m.momentum = momentum
