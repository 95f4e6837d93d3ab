"""Runs a network on the present rows of a batch only, in groups with batch statistics of their own.

- A row whose view is absent must not reach batch statistics.
- Fewer than two rows have no batch statistics. Batch norm then uses its running statistics and does
  not change them.
- With no row at all the network still runs once, on zeros. So every parameter of every process gets
  a (zero) gradient, and no process waits for another.
- A batch norm over all processes (`JOINT`) needs every process to take part. It is refused in
  training when a process has too few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.batch import sent
from multiview.distributed import world
from multiview.errors import MultiviewError
from multiview.jointnorm import JOINT

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class KnownRows:
    """Which rows (n,) of each view exist, on the CPU, so that nobody waits for a device to know.

    It is no dict, because DistributedDataParallel moves the tensors of a dict to its device.
    """

    of: Mapping[str, Tensor]

    def __getitem__(self, view: str) -> Tensor:
        return self.of[view]


Present = Mapping[str, Tensor] | KnownRows
"""By view, which rows exist."""


def masked_forward(
    embed: Callable[[Tensor], dict[K, Tensor]],
    x: Tensor,
    present: Tensor | None,
    modules: Iterable[nn.Module],
    groups: int = 1,
) -> dict[K, Tensor]:
    """Runs `embed` on the present rows of x: (n, ...) tensors by name, zeros in absent rows.

    Args:
        embed: from rows (m, ...) to tensors (m, ...) by name.
        x: (n, ...) rows.
        present: (n,) which rows exist (None = all), on the device of x or on the CPU.
        modules: all modules that `embed` runs, for their batch norms.
        groups: split the rows into this many groups, in order, each with its own batch statistics.
            The running statistics change as if by the mean of the groups' statistics.
    """
    norms = _Norms(modules)
    exists = torch.ones(len(x), dtype=torch.bool) if present is None else present
    parts = min(groups, len(x))
    outputs = []
    for number, (rows, there) in enumerate(zip(x.tensor_split(parts), exists.tensor_split(parts), strict=True)):
        with _share_of_momentum(norms, parts - number, parts):
            outputs.append(_group_forward(embed, rows, there, norms))
    return {name: torch.cat([out[name] for out in outputs]) if parts > 1 else x for name, x in outputs[0].items()}


class _Norms:
    """The batch norms in some modules, looked for when a batch needs them, which is rare."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = list(modules)

    def __iter__(self) -> Iterator[_BatchNorm]:
        return (m for module in self.modules for m in module.modules() if isinstance(m, _BatchNorm))


def _require_two(rows: int, norms: _Norms) -> None:
    if rows < 2 and world() > 1 and any(isinstance(m, JOINT) and m.training for m in norms):
        raise MultiviewError(
            f"a batch norm over all processes needs two rows or more in each, but this process has {rows} and the "
            "others would wait for it. Give the encoder batch norm without synchronisation, or train on samples that "
            "all have its view."
        )


def _group_forward(
    embed: Callable[[Tensor], dict[K, Tensor]], x: Tensor, present: Tensor, norms: _Norms
) -> dict[K, Tensor]:
    rows = present.nonzero()[:, 0]
    _require_two(len(rows), norms)
    with nullcontext() if len(rows) > 1 else _running_statistics(norms):
        if len(rows) == len(x):
            return embed(x)
        rows = sent(rows, x.device)
        found = embed(x[rows] if len(rows) else torch.zeros_like(x[:1]))
    return {name: _spread_out(value[: len(rows)], rows, len(x)) for name, value in found.items()}


def _spread_out(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """`values` (m, ...) at `rows` (m,) of a tensor of `count` rows that is zero elsewhere."""
    return values.new_zeros(count, *values.shape[1:]).index_copy(0, rows, values)


@contextmanager
def _running_statistics(norms: _Norms) -> Iterator[None]:
    """Batch norms use their running statistics, as in evaluation."""
    trained = [m for m in norms if m.training]
    for m in trained:
        m.training = False
    try:
        yield
    finally:
        for m in trained:
            m.training = True


@contextmanager
def _share_of_momentum(norms: _Norms, left: int, groups: int) -> Iterator[None]:
    """Sets the momentum so that all groups weigh the same; `left` groups are still to come.

    r <- (1 - a_c) r + a_c s_c with a_c = (m / G) / (1 - (left - 1) m / G) gives r <- (1 - m) r + (m
    / G) sum_c s_c.
    """
    changed = [(m, m.momentum) for m in norms if m.momentum is not None] if groups > 1 else []
    for m, momentum in changed:
        weight = momentum / groups
        m.momentum = weight / (1 - (left - 1) * weight)
    try:
        yield
    finally:
        for m, momentum in changed:
            m.momentum = momentum
