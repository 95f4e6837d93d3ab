"""How many cores compute the probes and the controls, whose matrices are small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from multiview.cores import own_cores, thread_pool

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
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), thread_pool(max(1, min(own_cores(), len(items))), 1) as pool:
        yield from pool.map(act, items)
