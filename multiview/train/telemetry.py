"""The output of a run: a progress line on the terminal, metrics.jsonl, TensorBoard events."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from multiview.config import Optimizer
from multiview.files import refuse_link
from multiview.jsonlines import LineFile
from multiview.objectives.base import Objective
from multiview.train.diagnosis import SETTLED, Doctor
from multiview.train.runfolder import HEALTH, METRICS, RESUMES

NO_BOARD = "the files of TensorBoard cannot be written: {}. The run goes on without them."
PLAIN_SECONDS = 10.0
"""Fewest seconds between two progress lines when the output is not a terminal."""


class Metrics:
    """Writes numbers to metrics.jsonl, one JSON object per line, and to TensorBoard if installed.

    Args:
        out: the run folder.
        resumed_at: the step at which the run continues; None for a new run.
        objectives, patience, constant, settled, optimizer, python: see `Doctor`.

    epoch_is_measured: whether the file holds what was measured at the end of the epoch that ended
    with step `resumed_at`. A run may have ended between that step's checkpoint and the measurement.
    """

    def __init__(
        self,
        out: Path,
        resumed_at: int | None = None,
        objectives: Mapping[str, Objective] | None = None,
        patience: int = 0,
        constant: Collection[str] = (),
        settled: int = SETTLED,
        optimizer: Optimizer | None = None,
        python: bool = False,
    ) -> None:
        self.lines = LineFile(out / METRICS)
        kept = self.lines.keep_until(resumed_at) if resumed_at is not None else []
        self.epoch_is_measured = any(line["step"] == resumed_at and "lr" not in line for line in kept)
        if resumed_at is not None:
            LineFile(out / RESUMES).append([{"step": resumed_at}])
        self.board = _board(out, resumed_at)
        advice: dict[str, Any] = {"optimizer": optimizer, "python": python}
        self.doctor = Doctor(out / HEALTH, resumed_at, objectives, patience, constant, settled, **advice)
        self.doctor.recall(x for x in kept if x["step"] >= (resumed_at or 0) - 2 * patience)  # more is never asked for

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """Writes one line: the step and its numbers."""
        self.lines.append([{"step": step, **values}])
        if self.board is None:
            return
        try:
            _add_scalars(self.board, step, values)
        except Exception as cause:  # whatever the writing thread of TensorBoard raised
            self.board = None
            print(NO_BOARD.format(cause), file=sys.stderr)

    def diagnosed(self, step: int, values: Mapping[str, float]) -> list[str]:
        """New warnings about the health of the run; they are also written to health.jsonl."""
        return self.doctor.look(step, values)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self.board is not None:
            with suppress(Exception):
                self.board.close()


class NoMetrics(Metrics):
    """Metrics of a process that writes nothing."""

    def __init__(self) -> None:
        self.board, self.epoch_is_measured = None, False

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """Does nothing."""

    def diagnosed(self, step: int, values: Mapping[str, float]) -> list[str]:  # noqa: ARG002
        """Returns no warnings: the main process prints them."""
        return []

    def close(self) -> None:
        """Does nothing."""


def _board(out: Path, resumed_at: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    refuse_link(out / "tensorboard")
    try:
        return SummaryWriter(str(out / "tensorboard"), purge_step=None if resumed_at is None else resumed_at + 1)
    except OSError as cause:
        print(NO_BOARD.format(cause), file=sys.stderr)
        return None


def _add_scalars(board: Any, step: int, values: Mapping[str, float | int]) -> None:
    """Writes the numbers as one event: `add_scalar` makes one of each, at ten times the cost."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    rows = [Summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()]
    board.file_writer.add_summary(Summary(value=rows), step)


def _progress_line(console: Console, live: bool) -> Progress:
    return Progress(
        TextColumn("epoch {task.fields[epoch]}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.completed}/{task.total}", markup=False),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        disable=not live,
        transient=True,
    )


class Display:
    """A live progress line on a terminal; otherwise a plain line every ten seconds and at the end.

    Args:
        console: where to print.
        steps: the number of steps of the whole run.
        done: the steps that were done before.
        active: whether this process prints.
    """

    def __init__(self, console: Console, steps: int, done: int, active: bool) -> None:
        self.console = console
        self.steps = steps
        self.start, self.first, self.last = time.monotonic(), done, 0.0
        self.live = active and console.is_terminal
        self.plain = active and not console.is_terminal
        self.progress = _progress_line(console, self.live)
        self.task = self.progress.add_task("train", total=steps, completed=done, epoch="1", text="")

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    @property
    def closed(self) -> bool:
        """Whether nobody reads the output any longer."""
        return bool(getattr(self.console, "closed", False))

    def show(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Shows the newest losses, the speed, and the share of the time spent waiting for data."""
        text = describe(values)
        self.progress.update(self.task, completed=step, epoch=str(epoch + 1), text=text)
        now = time.monotonic()
        if self.plain and (now - self.last >= PLAIN_SECONDS or step == self.steps):
            self.last = now
            left = (now - self.start) / max(step - self.first, 1) * (self.steps - step)
            self.console.print(
                f"step {step}/{self.steps}  epoch {epoch + 1}  {text}  {left:.0f} s left",
                highlight=False,
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """Prints a line above the progress line."""
        if self.live or self.plain:
            self.progress.console.print(text, highlight=False, soft_wrap=True, markup=False)


def describe(values: Mapping[str, float]) -> str:
    """`loss L-ab 8.120  1234 samples/s  data 3 %`; several edges follow their sum."""
    edges = {name.removeprefix("loss/"): value for name, value in values.items() if name.startswith("loss/")}
    terms = "  ".join(f"{name} {value:.3f}" for name, value in edges.items())
    rate, waiting = values.get("samples_per_second", 0.0), values.get("data_share", 0.0)
    text = f"sum {values['loss']:.3f}  {terms}" if len(edges) > 1 else terms or "none"
    return f"loss {text}  {rate:.0f} samples/s  data {100 * waiting:.0f} %"
