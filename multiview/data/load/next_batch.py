"""Makes the next batch in a thread while a step uses the present one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")
B = TypeVar("B")


def one_ahead(make: Callable[[R], B], requests: Iterable[R]) -> Iterator[B]:
    """`make(request)` for each request, in order; each is made while the one before is used.

    A step computes much on one core alone: then the thread has the other one. An error is raised
    where its batch is asked for. The thread ends with the iterator.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="next batch") as pool:
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
