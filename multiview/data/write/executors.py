"""Runs a shard job in this process, in several or on a Ray cluster; the bytes are the same."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from pickle import PicklingError
from typing import Any

from multiview.child import leave_stopping_to_parent
from multiview.data.write.shardjob import Failure, FinishedShard, ShardJob, Tick
from multiview.errors import MultiviewError, printable, unknown_name

ENGINES = ("local", "ray")
REPORT_SECONDS = 0.1
"""Seconds between two progress reports of a worker."""


def write_shards(
    job: ShardJob, numbers: Sequence[int], engine: str, workers: int, tick: Tick
) -> Iterator[FinishedShard]:
    """Writes shards and yields each when whole, in any order. Raises a worker's first error."""
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    several = _run_on_ray if engine == "ray" else _run_in_processes if min(workers, len(numbers)) > 1 else None
    one = (job.attempt(number, tick) for number in numbers)
    for result in one if several is None else several(job, numbers, min(workers, len(numbers)), tick):
        if not isinstance(result, FinishedShard):
            raise result
        yield result


def _run_in_processes(
    job: ShardJob, numbers: Sequence[int], count: int, tick: Tick
) -> Iterator[FinishedShard | Failure]:
    # Spawned, not forked: after torch is imported, a fork may copy a lock that a thread holds.
    context = multiprocessing.get_context("spawn")
    workers = [_Worker(context) for _ in range(count)]
    waiting = list(reversed(numbers))
    try:
        for worker in workers:
            worker.send_job(job)
            worker.send_next(waiting)
        while busy := {worker.pipe: worker for worker in workers if worker.number is not None}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                message = worker.receive()
                if isinstance(message, tuple):
                    tick(*message)
                else:
                    yield message
                    worker.send_next(waiting)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process that writes one shard after another, and the pipe to that process."""

    def __init__(self, context: SpawnContext) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve_pipe, args=(theirs,), daemon=True)
        self.number: int | None = None
        self.process.start()
        theirs.close()

    def send_job(self, job: ShardJob) -> None:
        # Through the pipe: a large argument to a process that dies at its start blocks forever.
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the process died: `receive` reports that
                self.pipe.send(job)
        except (AttributeError, TypeError, ValueError, PicklingError) as cause:  # of lambdas, files and locks
            raise MultiviewError(
                f"the source cannot be sent to worker processes: {cause}. Use --workers 1, or make the `read` of its "
                "plan picklable."
            ) from cause

    def send_next(self, waiting: list[int]) -> None:
        self.number = waiting.pop() if waiting else None
        if self.number is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.pipe.send(self.number)

    def receive(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError) as cause:
            self.process.join()
            raise MultiviewError(
                f"a worker stopped at shard {self.number} (exit code {self.process.exitcode}). If no error "
                "stands above, memory ran out: use fewer --workers or smaller --shard_rows. Run the same command "
                "again, it continues from here."
            ) from cause

    def stop(self) -> None:
        self.pipe.close()
        if self.number is not None:
            self.process.kill()
        self.process.join()


def _serve_pipe(pipe: Connection) -> None:
    """Receives the job and then shard numbers, and writes these shards until the pipe is closed.

    When the parent process is gone, the next report fails and this process ends too.
    """
    leave_stopping_to_parent()
    last_report, samples, bad = time.monotonic(), 0, 0

    def tick(more: int, more_bad: int) -> None:
        nonlocal last_report, samples, bad
        samples, bad = samples + more, bad + more_bad
        if time.monotonic() - last_report > REPORT_SECONDS:
            pipe.send((samples, bad))
            last_report, samples, bad = time.monotonic(), 0, 0

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        job: ShardJob = pipe.recv()
        while True:
            result = job.attempt(pipe.recv(), tick)
            pipe.send((samples, bad))
            samples = bad = 0
            pipe.send(result)


def _run_on_ray(job: ShardJob, numbers: Sequence[int], count: int, tick: Tick) -> Iterator[FinishedShard | Failure]:
    """Writes shards on the cluster that RAY_ADDRESS names, else on `count` cores of this machine.

    Every machine must see the output folder under the same path.
    """
    ray = _import_ray()
    started_here = not ray.is_initialized()
    if started_here:
        _start_ray(ray, count)
    try:
        shared = ray.put(job)
        task = ray.remote(_attempt_on_ray)
        waiting = [task.remote(shared, number) for number in numbers]
        while waiting:
            ready, waiting = ray.wait(waiting)
            samples, bad, result = ray.get(ready[0])
            tick(samples, bad)
            yield _check_visible(job, result)
    except ray.exceptions.RayTaskError:  # an error in the job; the cluster is well
        raise
    except ray.exceptions.RayError as cause:
        raise _lost_cluster(cause) from cause
    finally:
        if started_here:
            ray.shutdown()


def _lost_cluster(cause: Exception) -> MultiviewError:
    """The error when Ray itself fails; a lost task or machine alone is made good by Ray."""
    if type(cause).__name__ == "OutOfMemoryError":
        return MultiviewError(
            "memory ran out on a machine of the Ray cluster: use fewer --workers or smaller --shard_rows, then run the "
            "same command again: whole shards stay."
        )
    first = printable(str(cause).strip().partition("\n")[0].rstrip("."))
    return MultiviewError(
        f"the Ray cluster was lost: {type(cause).__name__}{f' ({first})' if first else ''}. Start Ray again on this "
        "machine, then run the same command: whole shards stay, and it continues from there."
    )


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage reports to its makers
    try:
        import ray
    except ImportError as cause:
        raise MultiviewError(
            "--engine ray needs Ray: pip install 'multiview-cmc[ray]'. Without it, use --workers."
        ) from cause
    return ray


def _start_ray(ray: Any, count: int) -> None:
    import logging

    cluster = os.environ.get("RAY_ADDRESS")
    size = {} if cluster else {"num_cpus": count}
    ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False, **size)


def _attempt_on_ray(job: ShardJob, number: int) -> tuple[int, int, FinishedShard | Failure]:
    result = job.attempt(number, lambda *_: None)
    return len(job.rows_of(number)), len(result.summary.rejects) if isinstance(result, FinishedShard) else 0, result


def _check_visible(job: ShardJob, result: FinishedShard | Failure) -> FinishedShard | Failure:
    if isinstance(result, FinishedShard) and not (job.out / result.summary.shard.name).exists():
        return MultiviewError(
            f"a Ray worker wrote {result.summary.shard.name}, but it is not in {job.out} here: give an OUT that all "
            "machines share."
        )
    return result
