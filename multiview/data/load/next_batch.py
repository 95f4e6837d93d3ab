"""Makes the next batch in a thread while a step uses the present one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from multiview.cores import thread_pool

R = TypeVar("R")
B = TypeVar("B")


def one_ahead(make: Callable[[R], B], requests: Iterable[R]) -> Iterator[B]:
    """`make(request)` for each request, in order; each is made while the one before is used.

    A step computes much on one core alone: then the thread, which has one thread of PyTorch, has
    another. An error is raised where its batch is asked for. The thread ends with the iterator.
    """
    with thread_pool(1, 1) as pool:
        coming: Future[B] | None = None
        try:
            for request in requests:
                ready, coming = coming, pool.submit(make, request)
                if ready is not None:
                    yield ready.result()
            if coming is not None:
                ready, coming = coming, None
                yield ready.result()
        finally:
            if coming is not None:
                coming.cancel()
