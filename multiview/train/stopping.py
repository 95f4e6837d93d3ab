"""When a run stops early: by a signal, or because the launcher that started it has ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Remembers the first stop signal, so that the step can finish; a second signal interrupts.

    signal: the number of the signal, 0 for none.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.launcher = Launcher()

    def __bool__(self) -> bool:
        return bool(self.signal) or self.launcher.is_gone()

    @contextmanager
    def listening(self, say: Callable[[str], None]) -> Iterator[None]:
        """Handles the stop signals while the block runs, and tells the user through `say`."""

        def handle(number: int, _: FrameType | None) -> None:
            if self.signal:
                raise KeyboardInterrupt
            self.signal = number
            say("stopping: finishing the step and saving a checkpoint ...")

        try:
            before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
        except ValueError:  # not the main thread, as under debug_launcher in a notebook
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Launcher:
    """The `accelerate launch` or torchrun that started this process, if there was one.

    When SIGTERM ends a single-process `accelerate launch`, the training process keeps running, out
    of reach of the launcher's process id. Therefore a run stops when its launcher has ended.
    """

    def __init__(self) -> None:
        launched = any(name in os.environ for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"))
        self.pid = os.getppid() if launched else None

    def is_gone(self) -> bool:
        """Whether there was a launcher and it has ended."""
        return self.pid is not None and os.getppid() != self.pid
