"""The only file that calls torch.distributed. With one process nothing is sent."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from multiview.errors import MultiviewError

T = TypeVar("T")

LONG = datetime.timedelta(days=30)
"""How long the other ranks wait for work of rank 0, such as making a store."""
LOST = re.compile(r"[Cc]onnection (closed|reset|refused)|gloo.*([Tt]imed out|timeout)|NCCL|Broken pipe|no longer alive")
"""Parts of the message of a collective whose peer is gone."""

_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # its name before torch 2.14


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world() > 1 else 0


def gather(x: Tensor) -> Tensor:
    """Rows of all ranks, in the order of the ranks, without gradient.

    Every rank must give the same number of rows.
    """
    if world() == 1:
        return x.detach()
    out = x.new_empty((world() * x.shape[0], *x.shape[1:]))
    carrier = (out.byte(), x.byte()) if x.dtype == torch.bool else (out, x.detach())
    _all_gather(carrier[0], carrier[1].contiguous())
    return carrier[0].bool() if x.dtype == torch.bool else out


class _GatherWithGradient(torch.autograd.Function):
    """All-gather; in the backward pass each rank sums the gradients of all ranks for its rows."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return gather(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.rows = len(inputs[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather_with_gradient(x: Tensor) -> Tensor:
    """Like `gather`, with gradient: every rank's gradient of a row reaches the rank of the row."""
    return x if world() == 1 else _GatherWithGradient.apply(x)


def exchange(x: Tensor) -> Tensor:
    """Sends part r of x (world n, ...) to rank r: (world, n, ...), one part per rank, in order.

    Without gradient. Every rank must give the same shape.
    """
    parts = x.detach().reshape(world(), -1, *x.shape[1:])
    if world() == 1:
        return parts
    out = torch.empty_like(parts)
    dist.all_to_all_single(out, parts.contiguous())
    return out


def own_rows(x: Tensor) -> Tensor:
    """This rank's part of the rows of all ranks."""
    return x.tensor_split(world())[rank()]


@torch.no_grad()
def from_first(tensors: Sequence[Tensor]) -> None:
    """Sets tensors to their values on rank 0, with one message per dtype."""
    if world() == 1:
        return
    for dtype in dict.fromkeys(x.dtype for x in tensors):
        same = [x for x in tensors if x.dtype == dtype]
        flat = torch.cat([x.reshape(-1) for x in same])
        dist.broadcast(flat, src=0)
        for x, values in zip(same, flat.split([x.numel() for x in same]), strict=True):
            x.copy_(values.view_as(x))


def total(x: Tensor) -> Tensor:
    """Sum over ranks, without gradient."""
    if world() == 1:
        return x.detach()
    out = x.detach().clone()
    dist.all_reduce(out)
    return out


def unless_all(present: Tensor) -> Tensor | None:
    """`present` (n,), or None when all are True. On a GPU always `present`: to ask would wait."""
    return None if present.is_cpu and len(present) and present.all() else present


def mean_over_rows(values: Tensor, present: Tensor | None) -> Tensor:
    """Mean of `values` (n,) over the present rows of all ranks; averaging its gradients is exact.

    present: None = every row of every rank, and n > 0. Each rank returns the mean over its present
    rows, weighted so that the mean of these values over ranks is the global mean; 0 when no rank
    has a row.
    """
    if present is None or (world() == 1 and unless_all(present) is None):
        return values.mean()
    kept = values.masked_fill(~present, 0.0).sum()
    rows = total(present.sum(dtype=values.dtype)).clamp_(min=1)
    return kept / (rows if world() == 1 else rows / world())


def barrier() -> None:
    """Waits for all ranks."""
    if world() > 1:
        dist.barrier()


_patient: list[Any] = []
"""The usual group of processes, and a group of the same processes that waits for long work."""


def _patient_group() -> Any:
    """A gloo group of all ranks that waits up to `LONG`; a rank that dies ends the wait at once."""
    if not _patient or _patient[0] is not dist.group.WORLD:
        _patient[:] = [dist.group.WORLD, dist.new_group(backend="gloo", timeout=LONG)]
    return _patient[1]


@contextmanager
def naming_lost_ranks() -> Iterator[None]:
    """Turns the error of a collective whose peer has died into a MultiviewError of one sentence."""
    try:
        yield
    except RuntimeError as cause:
        if world() == 1 or not (isinstance(cause, dist.DistError) or LOST.search(str(cause))):
            raise
        error = MultiviewError(
            f"process {rank()} cannot go on, because another process of this run has ended or does not answer. The "
            "cause is in the messages of that process; if there is none, memory may have run out or the machine may be "
            "unreachable. Continue with --resume."
        )
        error.local = True
        raise error from cause


def on_first(act: Callable[[], T]) -> T:
    """Runs `act` on rank 0 while the others wait; returns its (picklable) result on every rank.

    A MultiviewError of `act` is raised on every rank, so that no rank waits for ever.
    """
    if world() == 1:
        return act()
    _patient_group()  # every rank makes the group now: making one has a short limit
    box: list[T | None] = [None]
    failure: list[MultiviewError | None] = [None]
    if rank() == 0:
        try:
            box[0] = act()
        except MultiviewError as error:
            failure[0] = error
    dist.broadcast_object_list(failure, src=0, group=_patient_group())
    if failure[0] is not None:
        raise failure[0]
    dist.broadcast_object_list(box, src=0, group=_patient_group())
    return cast("T", box[0])


def any_rank(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """For each flag, whether it is True on any rank."""
    return [bool(vote) for vote in largest([int(flag) for flag in flags], device)]


def largest(numbers: Sequence[int], device: torch.device) -> list[int]:
    """The largest value of any rank, for each number."""
    if world() == 1:
        return list(numbers)
    votes = torch.tensor(numbers, device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return votes.tolist()


@contextmanager
def joined(number: int, of: int, meeting: Path) -> Iterator[None]:
    """Joins this process, as rank `number`, with `of` processes on this machine's CPUs.

    The processes find each other by the file `meeting`.
    """
    if of > 1:
        limit = datetime.timedelta(minutes=5)
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=number, world_size=of, timeout=limit)
    try:
        yield
    finally:
        if of > 1:
            dist.destroy_process_group()
