"""Seeds the random numbers of the devices in use."""

from __future__ import annotations

import torch


def seed_begun_devices(seed: int) -> None:
    """Seeds the generators of the CPU and of all devices that this process has begun to use.

    `torch.manual_seed` also notes the seed for every kind of device that is not in use, with the
    stack of the call: in each step that costs a millisecond, and memory that is never freed.
    """
    if any(_has_begun(kind) for kind in ("cuda", "xpu", "mtia")) or torch.backends.mps.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def _has_begun(kind: str) -> bool:
    module = getattr(torch, kind, None)
    return module is not None and module.is_initialized()
