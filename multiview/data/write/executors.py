"""Who writes the shards: this process, several, or a Ray cluster. The bytes are the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from pickle import PicklingError
from typing import Any

from multiview.data.write.shardjob import Done, Failure, Tick, Work
from multiview.errors import MultiviewError, unknown_name

ENGINES = ("local", "ray")
TOLD_EVERY = 0.1
"""Seconds between a worker's reports on how far it is."""


def finished(work: Work, numbers: Sequence[int], engine: str, workers: int, tick: Tick) -> Iterator[Done]:
    """Every shard of `numbers` as it becomes whole, in any order. Raises the first mistake that a worker meets."""
    workers = min(workers, len(numbers))
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    results = (
        _on_ray(work, numbers, workers, tick)
        if engine == "ray"
        else _in_processes(work, numbers, workers, tick)
        if workers > 1
        else (work.attempt(number, tick) for number in numbers)
    )
    for result in results:
        if not isinstance(result, Done):
            raise result
        yield result


def _in_processes(work: Work, numbers: Sequence[int], count: int, tick: Tick) -> Iterator[Done | Failure]:
    # Spawned, not forked: a fork copies whatever threads hold locks in a process that has imported torch.
    context = multiprocessing.get_context("spawn")
    workers = [_Worker(context) for _ in range(count)]
    waiting = list(reversed(numbers))
    try:
        for worker in workers:
            worker.begin(work)
            worker.take(waiting)
        while busy := {worker.pipe: worker for worker in workers if worker.number is not None}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                message = worker.heard()
                if isinstance(message, tuple):
                    tick(*message)
                else:
                    yield message
                    worker.take(waiting)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process that writes one shard after the other, and the pipe to it."""

    def __init__(self, context: SpawnContext) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_labour, args=(theirs,), daemon=True)
        self.number: int | None = None
        self.process.start()
        theirs.close()

    def begin(self, work: Work) -> None:
        # Not an argument of the process: handing over much to a child that dies at its start would block for ever.
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has died: the next `heard` says so
                self.pipe.send(work)
        except (AttributeError, TypeError, ValueError, PicklingError) as cause:  # of lambdas, files and locks
            raise MultiviewError(
                f"the source cannot be sent to worker processes: {cause}. Use --workers 1, or make the `read` of its plan "
                "picklable."
            ) from cause

    def take(self, waiting: list[int]) -> None:
        self.number = waiting.pop() if waiting else None
        if self.number is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.pipe.send(self.number)

    def heard(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError) as cause:
            self.process.join()
            raise MultiviewError(
                f"a worker stopped at shard {self.number} (exit code {self.process.exitcode}). Where it says nothing above, "
                "memory ran out: use fewer --workers or smaller --shard-rows. Run the same command again, it goes on from "
                "here."
            ) from cause

    def stop(self) -> None:
        self.pipe.close()
        if self.number is not None:
            self.process.terminate()
        self.process.join()


def _labour(pipe: Connection) -> None:
    """Writes the shards whose numbers come through the pipe behind the work itself, until it is closed. When the parent is gone, the next report
    fails and ends this process too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    told, samples, bad = time.monotonic(), 0, 0

    def tick(more: int, more_bad: int) -> None:
        nonlocal told, samples, bad
        samples, bad = samples + more, bad + more_bad
        if time.monotonic() - told > TOLD_EVERY:
            pipe.send((samples, bad))
            told, samples, bad = time.monotonic(), 0, 0

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work: Work = pipe.recv()
        while True:
            result = work.attempt(pipe.recv(), tick)
            pipe.send((samples, bad))
            samples = bad = 0
            pipe.send(result)


def _on_ray(work: Work, numbers: Sequence[int], count: int, tick: Tick) -> Iterator[Done | Failure]:
    """Ray tasks, on the cluster that RAY_ADDRESS names or on `count` cores of this machine. All must see the output
    folder under one path.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _begin(ray, count)
    try:
        shared = ray.put(work)
        task = ray.remote(_remote)
        waiting = [task.remote(shared, number) for number in numbers]
        while waiting:
            ready, waiting = ray.wait(waiting)
            samples, bad, result = ray.get(ready[0])
            tick(samples, bad)
            yield _seen(work, result)
    finally:
        if ours:
            ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError as cause:
        raise MultiviewError(
            "--engine ray needs Ray: pip install 'multiview-cmc[ray]'. Without it, use --workers."
        ) from cause
    return ray


def _begin(ray: Any, count: int) -> None:
    import logging

    cluster = os.environ.get("RAY_ADDRESS")
    size = {} if cluster else {"num_cpus": count}
    ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False, **size)


def _remote(work: Work, number: int) -> tuple[int, int, Done | Failure]:
    result = work.attempt(number, lambda *_: None)
    return len(work.rows(number)), len(result.written.rejects) if isinstance(result, Done) else 0, result


def _seen(work: Work, result: Done | Failure) -> Done | Failure:
    if isinstance(result, Done) and not (work.out / result.written.shard.name).exists():
        return MultiviewError(
            f"a Ray worker wrote {result.written.shard.name}, but it is not in {work.out} here: give an OUT that all "
            "machines share."
        )
    return result
