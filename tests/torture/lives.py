"""One life of a training process: a fork that says where it is, killed at an aimed moment."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

START, STEP, SAVE, KNN, EVALUATION, ENDED = "start", "steps", "saves", "online kNN", "evaluation", "last moments"
MOMENTS = (START, STEP, SAVE, KNN, EVALUATION, ENDED)
FORMAT = "qd"
SIZE = struct.calcsize(FORMAT)


@dataclass(frozen=True)
class Life:
    """How a process ended.

    code: -9 when it was killed, else its exit code. moment: where it was. seconds: how long each
    moment lasted on average. text: what it printed.
    """

    code: int
    moment: str
    seconds: dict[str, float]
    text: str


class Board:
    """Memory that parent and child share: the moment, and visits and seconds of every moment."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8 + SIZE * len(MOMENTS))

    @property
    def now(self) -> str:
        """The moment in which the child is, or was when it died."""
        return MOMENTS[self.memory[0]]

    def visits(self, moment: str) -> int:
        """How often the child came to a moment."""
        return self._read(moment)[0]

    def seconds(self) -> dict[str, float]:
        """How long each moment lasted on average."""
        return {moment: self._read(moment)[1] / max(self.visits(moment), 1) for moment in MOMENTS}

    @contextmanager
    def inside(self, moment: str) -> Iterator[None]:
        """The child's side: says that the block is such a moment."""
        before, self.memory[0] = self.memory[0], MOMENTS.index(moment)
        visits, seconds = self._read(moment)
        self._write(moment, visits + 1, seconds)
        began = time.monotonic()
        yield
        self._write(moment, visits + 1, seconds + time.monotonic() - began)
        self.memory[0] = before

    def _read(self, moment: str) -> tuple[int, float]:
        return struct.unpack_from(FORMAT, self.memory, 8 + SIZE * MOMENTS.index(moment))

    def _write(self, moment: str, visits: int, seconds: float) -> None:
        struct.pack_into(FORMAT, self.memory, 8 + SIZE * MOMENTS.index(moment), visits, seconds)


def live(action: Callable[[], object], aim: str | None = None, visits: int = 1, wait: float = 0.0) -> Life:
    """Runs `action` in a fork.

    Args:
        action: returns an exit code, or anything else for 0.
        aim: kills the process in this moment, from outside; None lets it live.
        visits: how often the process must have come to the moment before.
        wait: seconds from there to the kill.
    """
    board = Board()
    with tempfile.TemporaryFile() as log:
        child = os.fork()
        if child == 0:
            _run(action, board, log.fileno())
        if aim is not None and _reached(child, board, aim, visits):
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.seek(0)
        return Life(code, board.now, board.seconds(), log.read().decode("utf-8", errors="replace"))


def _reached(child: int, board: Board, aim: str, visits: int) -> bool:
    """Waits for a moment; False when the process ended before."""
    while board.visits(aim) < visits:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        time.sleep(0.0005)
    return True


def _run(action: Callable[[], object], board: Board, log: int) -> None:
    """The child's side; never returns."""
    code = 70
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        watch(board)
        value = action()
        code = value if isinstance(value, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def watch(board: Board) -> None:
    """From now on, functions of the toolkit say on the board that they run."""
    from multiview import run
    from multiview.measure import evaluate, online
    from multiview.train import checkpoint, loop

    for module, name, moment in (
        (loop, "contrast_step", STEP),
        (checkpoint, "save", SAVE),
        (online, "hits_by_knn", KNN),
        (evaluate, "evaluate", EVALUATION),
    ):
        setattr(module, name, _marked(getattr(module, name), board, moment))
    _starts(run, board)


def _marked(function: Callable[..., Any], board: Board, moment: str) -> Callable[..., Any]:
    def marked(*arguments: Any, **named: Any) -> Any:
        with board.inside(moment):
            return function(*arguments, **named)

    return marked


def _starts(run: Any, board: Board) -> None:
    """The start lasts until training begins."""
    train = run.train
    start = board.inside(START)
    start.__enter__()

    def begun(*arguments: Any, **named: Any) -> Any:
        start.__exit__(None, None, None)
        board.memory[0] = MOMENTS.index(STEP)
        value = train(*arguments, **named)
        board.memory[0] = MOMENTS.index(ENDED)
        return value

    run.train = begun
