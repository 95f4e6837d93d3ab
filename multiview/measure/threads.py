"""How many cores compute the probes and the controls, whose matrices are small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from multiview.cores import own_cores

Item = TypeVar("Item")
Found = TypeVar("Found")


def on_one_core(act: Callable[[], Found]) -> Found:
    """The result of `act` with one thread of BLAS; several would mostly wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        return act()


def in_threads(act: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[Found]:
    """The results of `act` for all items in their order, computed on all cores.

    The matrices of probes are small: several threads of arithmetic mostly wait for each other.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    workers = max(1, min(own_cores(), len(items)))
    try:
        with (
            threadpool_limits(1),
            ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            yield from pool.map(act, items)
    finally:
        torch.set_num_threads(before)
