"""The number of CPU cores."""

from __future__ import annotations

import math
import os
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


_quota = cache(cpu_quota)
