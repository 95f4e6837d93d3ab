"""Encodes several batches side by side on the cores of a CPU.

One batch on all cores leaves them idle between the small calls of an encoder, and while the next
batch is read. Here each lane encodes whole batches on its share of the cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from copy import deepcopy
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from multiview.cores import own_cores, thread_pool
from multiview.portable.model import PortableModel
from multiview.view import View

MOST = 4
"""Most lanes; each holds one batch in memory, and one more batch waits."""

Item = TypeVar("Item")
Found = TypeVar("Found")


class Lane(NamedTuple):
    """A model and the views of its data, which one thread uses."""

    model: PortableModel
    views: Mapping[str, View]


def in_lanes(lane: Lane, act: Callable[[Lane, Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """The results of `act` for all items, in their order; on a CPU, several at once.

    The items are taken by the calling thread, a few ahead of the results. On a GPU, or with one
    thread (`OMP_NUM_THREADS=1`), one item comes after the other.
    """
    threads = min(own_cores(), torch.get_num_threads())
    twins = _twins(lane, min(threads, MOST)) if lane.model.device.type == "cpu" else [lane]
    if len(twins) == 1:
        yield from (act(lane, item) for item in items)
        return
    free = SimpleQueue[Lane]()
    for twin in twins:
        free.put(twin)

    def run(item: Item) -> Found:
        own = free.get()
        try:
            return act(own, item)
        finally:
            free.put(own)

    yield from _in_order(run, items, len(twins), threads // len(twins))


def _in_order(run: Callable[[Item], Found], items: Iterable[Item], lanes: int, threads: int) -> Iterator[Found]:
    """The results of `run` in the order of the items, computed by `lanes` threads."""
    waiting = deque[Future[Found]]()
    with thread_pool(lanes, threads) as pool:
        for item in items:
            waiting.append(pool.submit(run, item))
            if len(waiting) > lanes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _twins(lane: Lane, count: int) -> list[Lane]:
    """The lane and `count` - 1 others, with modules of their own and the same weights.

    An encoder may keep values on itself during a call, so no two threads use one module. There is
    one lane when a module cannot be copied.
    """
    modules: list[nn.Module] = [*lane.model.fusions.values()]
    for part in lane.model.parts.values():
        modules += [part.encoder, *part.heads.values()]
    shared = {id(x): x for module in modules for x in (*module.parameters(), *module.buffers())}
    try:
        return [lane, *(_twin(lane, dict(shared)) for _ in range(count - 1))]
    except Exception:  # deepcopy raises nearly every kind of error on objects that cannot be copied
        return [lane]


def _twin(lane: Lane, shared: dict[int, torch.Tensor]) -> Lane:
    model = lane.model
    parts, fusions, views = deepcopy((model.parts, model.fusions, dict(lane.views)), shared)
    return Lane(PortableModel(model.layout, parts, model.missing, fusions), views)
