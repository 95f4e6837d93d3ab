"""The number of CPU cores."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from multiview.cgroups import cpu_quota


def available_cores() -> int:
    """The number of CPU cores that this process may use: by its affinity and its container."""
    quota = _quota()
    return chosen_cores() if quota is None else max(1, min(chosen_cores(), math.ceil(quota)))


def chosen_cores() -> int:
    """The number of cores on which the system may run this process (affinity)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cores() -> int:
    """This process's share of the cores when several processes of a run share the machine."""
    return max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of PyTorch: several threads of short operations mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def thread_pool(workers: int, each: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose `workers` threads compute with `each` threads of PyTorch.

    At the end, tasks that have not begun are dropped, and PyTorch gets its number of threads back.
    """
    import torch

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


_quota = cache(cpu_quota)
