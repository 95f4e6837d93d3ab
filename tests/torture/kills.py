"""Kills at random moments: of training, also inside saves and evaluation, and of preprocessing."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .aimed import Runs
from .ground import Ground


def training(runs: Runs, kills: int, until: float) -> tuple[int, int, list[str]]:
    """Kills and resumes training repeatedly; compares each result with the unbroken run.

    Returns the number of kills, the number of runs that reached their end, and what was wrong.
    """
    killed, ended, wrong = runs.count.killed, runs.count.ends.total(), len(runs.count.wrong)
    count = runs.kill(killed + kills, until)
    return count.killed - killed, count.ends.total() - ended, count.wrong[wrong:]


def preprocessing(
    ground: Ground, folder: Path, draw: random.Random, kills: int, until: float
) -> tuple[int, int, list[str]]:
    """The same for preprocess: files under final names are whole, the result has the same bytes."""
    unbroken, broken = folder / "prepared", folder / "half-prepared"
    if not unbroken.is_dir():
        _lived(lambda: _prepare(ground, unbroken), None)
    expected = _hashes(unbroken)
    usual = _time(lambda: _prepare(ground, folder / "timed-prepared"))
    done, ends, wrong = 0, 0, []
    shutil.rmtree(broken, ignore_errors=True)
    while done < kills and time.monotonic() < until and not wrong:
        killed, code = _lived(lambda: _prepare(ground, broken), draw.uniform(0.0, 0.9) * usual)
        done += killed
        there = _hashes(broken) if broken.is_dir() else {}
        # Between its two writes the manifest lacks the statistics of views, which a rerun adds.
        early = {"manifest.json"} if killed else set()
        odd = [name for name in there.keys() - early if there[name] != expected.get(name)]
        wrong += [f"{name} has its final name and other bytes" for name in odd]
        if not killed:
            ends += 1
            wrong += [f"a continued preparation ended with exit code {code}"] if code else []
            wrong += [f"{name} is missing at the end" for name in expected.keys() - there.keys()]
            shutil.rmtree(broken)
    return done, ends, wrong


def _prepare(ground: Ground, out: Path) -> int:
    from multiview.cli import run

    return run(["preprocess", "folder", str(ground.photos), str(out), "--size", "24", "--shard_rows", "10"])


def _lived(action: Callable[[], int], seconds: float | None) -> tuple[bool, int]:
    """Runs `action` in a fork for `seconds` at most: whether it was killed, and its exit code."""
    child = os.fork()
    if child == 0:
        os.setsid()
        code = 70
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            code = action()
        finally:
            os._exit(code)
    if seconds is not None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return False, os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code == -signal.SIGKILL, code


def _time(action: Callable[[], int]) -> float:
    began = time.monotonic()
    _lived(action, None)
    return time.monotonic() - began


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file that has its final name."""
    files = [path for path in folder.glob("*") if path.is_file() and path.suffix != ".partial" and path.name[0] != "."]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.suffix != ".lock"}
