"""Starts all groups of checks and collects their findings until the time is over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from multiview.child import start_module
from multiview.doctor import groups
from multiview.doctor.finding import ADVICE, BROKEN, FOLDER, Finding, name_of

SECONDS = 16.0
"""How long the whole page may take, without the start and the end of this program."""
MEASURING = 3.0
"""The last seconds of it, which belong to the matrix product."""
MEASURED = "torch"
"""The group with the matrix product."""


@dataclass
class Group:
    """A running group: its process, and the file into which it prints."""

    name: str
    process: subprocess.Popen[Any]
    output: IO[str]

    def findings(self) -> list[Finding]:
        """What the group found, and what became of a check that did not end."""
        self.output.seek(0)
        records = [_record(line) for line in self.output]
        found = [Finding(**record) for record in records if "check" in record]
        if not self.process.returncode:
            return found
        names = [name_of(check) for check in groups.CHECKS[self.name]]
        started = [str(record["started"]) for record in records if "started" in record]
        if self.process.returncode == -signal.SIGKILL and {"ended": names[-1]} in records:
            return found  # every check has answered; only the end of the process was late
        left = names[names.index(started[-1]) :] if started else names
        return [*found, self._unfinished(left[0]), *(_not_begun(name, left[0]) for name in left[1:])]

    def _unfinished(self, check: str) -> Finding:
        """The line of the check at which the group ended."""
        code = self.process.returncode
        if code == -signal.SIGKILL:
            advice = "The machine is very busy, or something hangs: run it again when the machine is quiet."
            return Finding(check, ADVICE, f"no answer within {SECONDS:.0f} s", advice)
        self.output.seek(0)
        said = [line.strip() for line in self.output if line.strip() and not _record(line)]
        end = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        return Finding(check, BROKEN, f"the check ended with {end}{': ' + said[-1][:300] if said else ''}")


def _not_begun(check: str, before: str) -> Finding:
    return Finding(check, ADVICE, f"not examined, because '{before}' did not end")


def _record(line: str) -> dict[str, Any]:
    """One line of a group; empty for what a library printed in between."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def examine(folders: Sequence[str]) -> list[Finding]:
    """Every finding, in the order of the page. Takes at most `SECONDS` and a moment.

    folders: whose disks are measured.
    """
    end = time.monotonic() + SECONDS
    started = [_started(name, folders if name == groups.DISKS else ()) for name in groups.CHECKS]
    try:
        _wait([group.process for group in started if group.name != MEASURED], end - MEASURING)
        _go_on(started)
        _wait([group.process for group in started], end)
    finally:
        for group in started:
            _end(group.process)
            _tidy(group.process.pid)
    found = [finding for group in started for finding in group.findings()]
    for group in started:
        group.output.close()
    return found


def _started(name: str, words: Sequence[str]) -> Group:
    """Starts a group as the first process of a session, so that its children end with it."""
    output = tempfile.TemporaryFile("w+", encoding="utf8", errors="replace")  # noqa: SIM115
    process = start_module(
        groups.__name__,
        name,
        *words,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return Group(name, process, output)


def _wait(processes: Sequence[subprocess.Popen[Any]], end: float) -> None:
    """Waits until all processes have ended, or until the time `end`."""
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return


def _go_on(started: Sequence[Group]) -> None:
    """Lets the matrix product begin."""
    for group in started:
        if group.process.stdin is not None:
            group.process.stdin.close()


def _end(process: subprocess.Popen[Any]) -> None:
    """Ends a group and its children. A process that waits for a dead disk is left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.returncode = -signal.SIGKILL


def _tidy(pid: int) -> None:
    """Removes the folders that a group left when it was ended."""
    for place in (Path.cwd(), Path(tempfile.gettempdir())):
        for folder in place.glob(f"{FOLDER.format(pid=pid)}*"):
            shutil.rmtree(folder, ignore_errors=True)
