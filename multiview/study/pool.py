"""Trains the runs of a study in processes side by side; finished runs are not repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Thread, current_thread, main_thread
from typing import Any

from multiview.child import start_module
from multiview.cores import available_cores
from multiview.plurals import counted
from multiview.study.plan import Job

MOST = 8
"""Most processes that are started without being asked for."""
WORKER = "multiview.study.worker"

Say = Callable[[str], None]


def processes_for(jobs: int, asked: int) -> int:
    """How many processes train side by side: as asked, else one per core; on a GPU one."""
    return max(1, min(jobs, asked or (1 if _has_gpu() else min(MOST, available_cores()))))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@dataclass
class Worker:
    """A started process and the run that it trains."""

    process: subprocess.Popen[str]
    job: int | None = None


@dataclass
class Pool:
    """Gives runs to processes. failed: run -> why it failed."""

    study: Path
    jobs: Sequence[Job]
    say: Say
    processes: int
    failed: dict[str, str] = field(default_factory=dict)
    stopped: int = 0

    def run(self) -> None:
        """Trains what is not finished yet; Ctrl-C or SIGTERM lets every run save a checkpoint."""
        self.left = [number for number, job in enumerate(self.jobs) if not job.done]
        self.count, self.answers = len(self.left), Queue[tuple[int, dict[str, Any] | None]]()
        self.workers = {}
        with _stoppable():
            try:
                for at in range(self.processes if self.left else 0):
                    self.workers[at] = self._start(at)
                while any(worker.job is not None for worker in self.workers.values()):
                    self._take()
            except KeyboardInterrupt as stop:
                self.say("stopping: every run saves a checkpoint; the same command continues the study")
                self.stopped = stop.args[0] if stop.args else signal.SIGINT
            finally:
                self._close()

    def _start(self, at: int) -> Worker:
        """A process on its own share of the cores, with its first run."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        words = (str(self.study), str(at), str(self.processes))
        process = start_module(WORKER, *words, env=_environment(self.processes), **pipes)
        worker = Worker(process)
        Thread(target=self._listen, args=(at, process), daemon=True).start()
        self._give(worker)
        return worker

    def _listen(self, at: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.answers.put((at, json.loads(line)))
        self.answers.put((at, None))

    def _give(self, worker: Worker) -> None:
        worker.job = self.left.pop(0) if self.left and not self.stopped else None
        if worker.job is not None and worker.process.stdin:
            with suppress(BrokenPipeError):
                worker.process.stdin.write(f"{worker.job}\n")
                worker.process.stdin.flush()

    def _take(self) -> None:
        """One answer of a process, or its end."""
        try:
            at, answer = self.answers.get(timeout=1.0)
        except Empty:
            return
        worker = self.workers[at]
        if answer is None:
            self._ended(at, worker)
            return
        self._note(self.jobs[answer["job"]], answer)
        self.stopped = self.stopped or int(answer.get("stopped") or 0)
        self._give(worker)

    def _ended(self, at: int, worker: Worker) -> None:
        """A process that ended in the middle of a run: the run failed, another process goes on."""
        if worker.job is None:
            return
        code = worker.process.wait()
        self._note(self.jobs[worker.job], {"error": f"its process ended with the exit code {code}"})
        worker.job = None
        if self.left and not self.stopped:
            self.workers[at] = self._start(at)

    def _note(self, job: Job, answer: dict[str, Any]) -> None:
        name = job.folder.name
        if error := answer.get("error"):
            self.failed[name] = error
            self.say(f"{name} failed: {error} ({job.log})")
        elif not answer.get("stopped"):
            done = self.count - len(self.left) - sum(w.job is not None for w in self.workers.values()) + 1
            self.say(f"{name}: {job.seconds:.0f} s ({done} of {counted(self.count, 'run')}{self._time_left(done)})")

    def _time_left(self, done: int) -> str:
        """`; about 4 minutes left`, by the runs that are finished."""
        from multiview.train.duration import amount

        known = [job.seconds for job in self.jobs if job.done]
        seconds = sum(known) / max(len(known), 1) * (self.count - done) / self.processes
        return f"; about {amount(seconds)} left" if done < self.count else ""

    def _close(self) -> None:
        """Ends the processes; those that still train get time to save a checkpoint."""
        for worker in self.workers.values():
            if worker.process.stdin:
                with suppress(OSError):
                    worker.process.stdin.close()
            if self.stopped and worker.job is not None:
                with suppress(OSError):
                    worker.process.terminate()
        for worker in self.workers.values():
            try:
                worker.process.wait(timeout=60)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C ends it at once
                worker.process.kill()


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops a study as Ctrl-C does; elsewhere than in the main thread nothing changes."""

    def stop(number: int, frame: object) -> None:
        del frame
        raise KeyboardInterrupt(number)

    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(processes: int) -> dict[str, str]:
    """The environment of a process: its share of the cores."""
    return {**os.environ, "OMP_NUM_THREADS": str(max(1, available_cores() // processes))}
