"""One attempt: a command in a forked process with limits, and what became of the process.

The parent has imported torch and the toolkit already, so that an attempt costs its own work only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISTAKES = ("crash", "hang", "traceback", "silent failure", "odd exit", "silent wrong value")
"""The kinds of outcome that the campaign counts as faults of the program."""

EXITS = (0, 1, 2)
STRANGE = ("Traceback (most recent call last)", "Segmentation fault", "core dumped")
# What another package prints as a traceback of its own while our message is printed too.
MEMORY = 12 << 30


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    kind: `right`, `refused` (exit 1 or 2 with a sentence), or one of `MISTAKES`. value: what the
    action returned, when it ended well. text: everything that the process printed.
    """

    kind: str
    code: int
    seconds: float
    text: str
    value: Any = None


def attempt(
    action: Callable[[], Any], seconds: float, folder: Path, before: Callable[[], None] | None = None
) -> Outcome:
    """Runs `action` in a forked process that may take `seconds` and reports what became of it.

    Args:
        action: returns a JSON value, or an int exit code wrapped in `SystemExit`.
        seconds: after this time the whole process group is killed and the outcome is `hang`.
        folder: an existing folder for the output of the process.
        before: called in the child first, to take something away from it (space, handles, rights).
    """
    log, answer = folder / "output.txt", folder / "answer.json"
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(action, log, answer, before)
    status = _wait(child, began + seconds)
    took = time.monotonic() - began
    text = log.read_text("utf-8", errors="replace") if log.exists() else ""
    if status is None:
        return Outcome("hang", -1, took, text)
    if os.WIFSIGNALED(status):
        return Outcome("crash", -os.WTERMSIG(status), took, text)
    code = os.WEXITSTATUS(status)
    value = json.loads(answer.read_text()) if answer.exists() and code == 0 else None
    return Outcome(_kind(code, text), code, took, text, value)


def _kind(code: int, text: str) -> str:
    if any(words in text for words in STRANGE):
        return "traceback"
    if code not in EXITS:
        return "odd exit"
    if code == 0:
        return "right"
    return "refused" if text.strip() else "silent failure"


def _wait(child: int, until: float) -> int | None:
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run(action: Callable[[], Any], log: Path, answer: Path, before: Callable[[], None] | None) -> None:
    """The child's side; never returns."""
    code = 70
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        draft = answer.with_suffix(".draft")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        if before is not None:
            before()
        code = _answered(action, handle)
        if code == 0:
            draft.rename(answer)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _answered(action: Callable[[], Any], handle: int) -> int:
    try:
        value = action()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        value, code = None, int(end.code or 0)
        if code:
            return code
    os.write(handle, json.dumps(value).encode())
    return 0
