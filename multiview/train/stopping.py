"""When a run stops early: by a signal, or because the launcher that started it has ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from multiview.child import STOP_SIGNALS

TOGETHER_SECONDS = 1.0
"""Signals within this time are one request: terminals, clusters and launchers often send two."""
HANG_UP = getattr(signal, "SIGHUP", None)
"""The signal of a closed terminal; Windows has none."""


class StopRequest:
    """Remembers the first stop signal, so that the step can finish; a second signal interrupts.

    signal: the number of the signal, 0 for none.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.since = 0.0
        self.launcher = Launcher()

    def __bool__(self) -> bool:
        return bool(self.signal) or self.launcher.is_gone()

    @contextmanager
    def listening(self, say: Callable[[str], None]) -> Iterator[None]:
        """Handles the stop signals while the block runs, and tells the user through `say`."""

        process = os.getpid()
        terminals = [stream for stream in (1, 2) if os.isatty(stream)]

        def handle(number: int, _: FrameType | None) -> None:
            if os.getpid() != process:  # a worker that has just been forked
                return
            if self.signal:
                if time.monotonic() - self.since > TOGETHER_SECONDS:
                    raise KeyboardInterrupt
                return
            self.signal, self.since = number, time.monotonic()
            with suppress(OSError):  # the terminal may be gone
                say("stopping: finishing the step and saving a checkpoint ...")
            if number == HANG_UP:
                _silence(terminals)

        try:
            before = {number: signal.signal(number, handle) for number in _heeded()}
        except ValueError:  # not the main thread, as under debug_launcher in a notebook
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    """The stop signals, without SIGHUP under `nohup`, which ignores that signal."""
    return [n for n in STOP_SIGNALS if n != HANG_UP or signal.getsignal(n) is not signal.SIG_IGN]


def _silence(terminals: Sequence[int]) -> None:
    """Sends further output nowhere: each line to a closed terminal would raise an OSError."""
    for stream in terminals:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)


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
