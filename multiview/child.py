"""How child processes start and behave: safe import path, signals, end of the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

SAFE_PATH = "PYTHONSAFEPATH"
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)
"""Signals that stop a run after its step. Windows has the first two."""


def protect_children() -> None:
    """Keeps the working folder off the import path of every process that is started from now on.

    Python puts the working folder first on the path of `python -m` and `python -c`, which the
    processes of `multiprocessing` are too: a file `signal.py` among the photos would be run.
    """
    os.environ[SAFE_PATH] = "1"


@contextmanager
def protected_children() -> Iterator[None]:
    """`protect_children` for the time of a block, for callers whose process belongs to the user."""
    before = os.environ.get(SAFE_PATH)
    protect_children()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)
        else:
            os.environ[SAFE_PATH] = before


def start_module(module: str, *words: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[Any]:
    """Starts `python -P -m MODULE WORDS`; `options` are those of `subprocess.Popen`."""
    environment = {**(os.environ if env is None else env), SAFE_PATH: "1"}
    return subprocess.Popen([sys.executable, "-P", "-m", module, *words], env=environment, **options)


def leave_stopping_to_parent() -> None:
    """Makes this worker ignore the stop signals, and end when its parent process has ended.

    A terminal and a cluster send a stop signal to every process of a run. The main process still
    needs its workers to finish the step. SIGTERM ends a worker only when its parent sends it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _do_nothing)
    if hasattr(signal, "sigwaitinfo"):
        # Blocked here and in all later threads, so that only the thread below receives SIGTERM.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_on_parents_word, daemon=True).start()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _do_nothing(*_: object) -> None:
    """A handler, because a child process inherits ignored signals but no handlers."""


def _end_on_parents_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
