"""The checks for values that are not finite, on a device that the host does not wait for.

The device itself leaves out the step: weights and memories stay as they were. The host reads the
verdict before the next step, before metrics and before a checkpoint, and then raises the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from multiview.distributed import on_any_rank

Check = Callable[[], None]
"""Raises MultiviewError when values of the step are not finite; waits for the device."""

DEFERRING = ("cuda", "meta")
"""Kinds of device whose host does not wait; `meta` is the stand-in of `multiview check device`."""


class Deferred:
    """Collects the checks of one step at a time.

    optimiser: fused, so that it leaves a step out when its `found_inf` is 1, as with a GradScaler.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self.optimiser = optimiser
        self._bad: list[Tensor] = []
        self._checks: list[Check] = []
        self._verdict: Tensor | None = None
        self._event: Any = None

    @classmethod
    def for_device(cls, optimiser: torch.optim.Optimizer, device: torch.device, scaler: Any) -> Deferred | None:
        """None where the host checks at once: on other devices, with a GradScaler, or not fused."""
        fused = getattr(optimiser, "_step_supports_amp_scaling", False)
        fused = fused and all(group.get("fused") for group in optimiser.param_groups)  # a resumed run may not be
        return cls(optimiser) if fused and scaler is None and device.type in DEFERRING else None

    def note(self, values: Tensor, check: Check) -> None:
        """Adds values (n,) of this step, and the check that names what is wrong with them."""
        self._bad.append(~values.isfinite().all())
        self._checks.append(check)

    @contextmanager
    def moving(self, undo: Check) -> Iterator[Tensor]:
        """Within the block the optimiser moves only if the noted values of all ranks are finite.

        Gives whether they are, a bool tensor. undo: called before the error is raised.
        """
        bad = on_any_rank(torch.stack(self._bad).any())
        first = not self.optimiser.state
        self.optimiser.found_inf = bad.float()  # type: ignore[attr-defined]
        try:
            yield ~bad
        finally:
            del self.optimiser.found_inf  # type: ignore[attr-defined]
        checks, self._bad, self._checks = self._checks, [], []
        self._checks = [undo, *([self.optimiser.state.clear] if first else []), *checks]
        self._verdict = bad.to("cpu", non_blocking=True)
        if bad.is_cuda:
            self._event = torch.cuda.Event()
            self._event.record()

    def settle(self) -> None:
        """Raises MultiviewError when the last step had values that are not finite."""
        if self._verdict is None:
            return
        if self._event is not None:
            self._event.synchronize()
        verdict, checks = bool(self._verdict), self._checks
        self._verdict, self._event, self._checks = None, None, []
        for check in checks if verdict else ():
            check()
