"""The only file that calls torch.distributed. With one process nothing is sent."""

from __future__ import annotations

import datetime
import re
import socket
import time
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


class _TotalWithGradient(torch.autograd.Function):
    """Sum over ranks; in the backward pass the gradients of all ranks are summed too."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return total(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        return total(grad.contiguous())


def total_with_gradient(x: Tensor) -> Tensor:
    """Sum over ranks, with gradient."""
    return x if world() == 1 else _TotalWithGradient.apply(x)


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


_usual_limit = [datetime.timedelta(minutes=30)]
_host_groups: dict[datetime.timedelta, tuple[Any, Any]] = {}
"""How long a group waits -> the usual group of processes, and the group of the same processes."""


def answer_within(minutes: float) -> None:
    """Sets how long processes wait for each other in a vote of a step."""
    _usual_limit[0] = datetime.timedelta(minutes=minutes)


def _host_group(limit: datetime.timedelta) -> Any:
    """A gloo group of all ranks that waits so long; a rank that dies ends the wait at once."""
    if limit not in _host_groups or _host_groups[limit][0] is not dist.group.WORLD:
        _host_groups[limit] = dist.group.WORLD, dist.new_group(backend="gloo", timeout=limit)
    return _host_groups[limit][1]


def _patient_group() -> Any:
    """The group that waits for long work of one rank."""
    return _host_group(LONG)


ANSWER_SECONDS = 10.0
"""How long a process that lost another one waits for the others to say that they lost it too."""
LOST_KEY, HOST_KEY = "multiview/lost/{}", "multiview/host/{}"


def announce() -> None:
    """Tells the other processes on which machine this one runs, for messages about lost ones."""
    if world() > 1:
        _meeting().set(HOST_KEY.format(rank()), socket.gethostname())


def _meeting() -> Any:
    """The store of keys through which the processes have met; to ask it is no collective."""
    return dist.distributed_c10d._get_default_store()


def _silent_ranks() -> list[str]:
    """The processes that have not lost another one too, with their machines; none when unknown.

    Every process that fails says so in the store and waits for the others, which fail at the same
    time. So those that stay silent are the dead and the hanging ones.
    """
    try:
        store, until = _meeting(), time.monotonic() + ANSWER_SECONDS
        store.set_timeout(datetime.timedelta(seconds=ANSWER_SECONDS))  # this process ends anyway
        store.set(LOST_KEY.format(rank()), "1")
        silent = [other for other in range(world()) if other != rank()]
        while silent and time.monotonic() < until:
            silent = [other for other in silent if not store.check([LOST_KEY.format(other)])]
            time.sleep(0.1)
        hosts = {other: HOST_KEY.format(other) for other in silent}
        return [f"{other}{_on_host(store, key)}" for other, key in hosts.items()]
    except RuntimeError:  # the process that serves the store is gone
        return []


def _on_host(store: Any, key: str) -> str:
    return f" on {store.get(key).decode()}" if store.check([key]) else ""


def _named(silent: Sequence[str]) -> str:
    """`process 3 on node17`; `another process` when none is known."""
    if not silent:
        return "another process"
    return f"process {silent[0]}" if len(silent) == 1 else f"one of the processes {', '.join(silent)}"


@contextmanager
def naming_lost_ranks() -> Iterator[None]:
    """Turns the error of a collective whose peer has died into a MultiviewError of one sentence."""
    try:
        yield
    except RuntimeError as cause:
        if world() == 1 or not (isinstance(cause, dist.DistError) or LOST.search(str(cause))):
            raise
        error = MultiviewError(
            f"process {rank()} cannot go on, because {_named(_silent_ranks())} of this run ended or does not answer. "
            "The cause is in the messages of that process; if there is none, memory may have run out or the machine "
            "may be unreachable. Continue with --resume."
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


def on_any_rank(flag: Tensor) -> Tensor:
    """Whether a flag (a bool tensor) is True on any rank; the host does not wait for the device."""
    if world() == 1:
        return flag
    vote = flag.to(torch.uint8)
    dist.all_reduce(vote, op=dist.ReduceOp.MAX)
    return vote.bool()


def any_rank(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """For each flag, whether it is True on any rank."""
    return [bool(vote) for vote in largest([int(flag) for flag in flags], device)]


def largest(numbers: Sequence[int], device: torch.device) -> list[int]:
    """The largest value of any rank, for each number."""
    if world() == 1:
        return list(numbers)
    # Numbers of the host meet on the host: the other way round, it would wait for the device.
    group = None if device.type == "cpu" else _host_group(_usual_limit[0])
    votes = torch.tensor(numbers)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=group)
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


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
