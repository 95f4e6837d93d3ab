"""The loop: epochs of steps, with metrics, online kNN, checkpoints, and a clean end whenever one is asked for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from multiview.batch import Batch
from multiview.config import Train
from multiview.counter_rng import Draws
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.sampler import Batches
from multiview.distributed import any_rank, on_first, total, world
from multiview.errors import MultiviewError
from multiview.train import checkpoint
from multiview.train.optimiser import rate_factor, set_rate
from multiview.train.processes import Launcher
from multiview.train.runfolder import CHECKPOINTS
from multiview.train.step import Parts, StepOutput, contrast_step
from multiview.train.telemetry import Display, Metrics

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclass
class Progress:
    """Where a run stands: steps done of the run, and the signal that ended it early (0 = none)."""

    step: int = 0
    stopped_by: int = 0


@dataclass(frozen=True)
class Saved:
    """The newest checkpoint: its step, and when it was written, on the monotonic clock."""

    step: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass
class Window:
    """Sums since the last line of metrics."""

    losses: list[dict[str, Tensor]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    samples: int = 0


class Loop:
    """Trains `parts` on `samples` as `train` says, from `progress` on, into `out`.

    on_epoch(epoch, step) returns numbers to log at the end of an epoch (online kNN).
    """

    def __init__(
        self,
        parts: Parts,
        samples: Samples,
        batches: Batches,
        train: Train,
        seed: int,
        out: Path,
        on_epoch: Callable[[int, int], dict[str, float]],
    ) -> None:
        self.parts, self.samples, self.batches = parts, samples, batches
        self.train, self.seed, self.out, self.on_epoch = train, seed, out, on_epoch
        self.steps = planned_steps(train, len(batches))
        self.base_rate = train.optimizer.rate(batches.batch)
        self.loader = Loader(samples, batches, train.workers, pin=parts.accelerator.device.type == "cuda")
        self.progress = Progress()
        self.saved = Saved()
        self.launcher = Launcher()
        self.window = Window()

    def run(self, metrics: Metrics, display: Display) -> Progress:
        """Trains to the last step, or to the end of the step in which a signal came; saves a checkpoint at the end of both."""
        with _stop_requests(self.progress, display), display:
            while not self._ended():
                self._epoch(metrics, display)
            self.save()
        return self.progress

    def _epoch(self, metrics: Metrics, display: Display) -> None:
        per_epoch = len(self.batches)
        epoch, begin = divmod(self.progress.step, per_epoch)
        self.parts.wrapped.train()
        self.window = Window()
        waiting_since = time.monotonic()
        for batch in self.loader.for_epoch(epoch, begin):
            self.window.waited += time.monotonic() - waiting_since
            self._step(batch, metrics, display)
            if self._ended():
                break
            waiting_since = time.monotonic()
        if self.progress.step % per_epoch == 0 and not self.progress.stopped_by:
            self._end_of_epoch(epoch, metrics)

    def _ended(self) -> bool:
        """Whether the run ends here; saves when that is due. Within an accumulation it does neither: gradients are not saved."""
        step, train = self.progress.step, self.train
        if step % train.accumulate:
            return False
        due = step > self.saved.step and self._save_is_due()
        asked = bool(self.progress.stopped_by) or self.launcher.is_gone()
        stop, save = any_rank((asked, due), self.parts.accelerator.device)
        if stop and not self.progress.stopped_by:
            self.progress.stopped_by = signal.SIGTERM
        ended = stop or step >= self.steps
        if save and not ended:
            self.save()
        return ended

    def _save_is_due(self) -> bool:
        """After every `save_every` epochs, and after `save_minutes` without a checkpoint."""
        between, minutes = self.train.save_every * len(self.batches), self.train.save_minutes
        if self.progress.step // between > self.saved.step // between:
            return True
        return bool(minutes) and time.monotonic() - self.saved.at >= 60 * minutes

    def _step(self, batch: Batch, metrics: Metrics, display: Display) -> None:
        step, per_epoch = self.progress.step, len(self.batches)
        epochs = self.steps / per_epoch
        factor = rate_factor(self.train.optimizer, step / per_epoch, epochs)
        set_rate(self.parts.optimiser, self.base_rate, factor)
        draws = Draws(self.seed, step, batch.index.numpy(), "augment")
        moved = batch.to(self.parts.accelerator.device, non_blocking=True)
        logged = (step + 1) % self.train.log_every == 0 or step + 1 in (1, self.steps)
        output = contrast_step(self.parts, moved, step + 1, draws, examine=logged)
        self.progress.step += 1
        self._note(output, len(batch))
        if logged:
            values = {name: float(x) for name, x in output.health.items()} | self._values(self.base_rate * factor)
            self._tell(step // per_epoch, values, metrics, display)

    def _tell(self, epoch: int, values: dict[str, float], metrics: Metrics, display: Display) -> None:
        metrics.write(self.progress.step, {"epoch": epoch, **values})
        display.show(self.progress.step, epoch, values)
        for line in metrics.diagnosed(self.progress.step, values):
            display.say(line)

    def _note(self, output: StepOutput, rows: int) -> None:
        values = {"loss": output.loss, **{f"loss/{n}": out.loss for n, out in output.edges.items()}}
        values |= {f"{key}/{n}": value for n, out in output.edges.items() for key, value in out.log.items()}
        self.window.losses.append(values)
        self.window.samples += rows * world()

    def _values(self, rate: float) -> dict[str, float]:
        window, seconds = self.window, time.monotonic() - self.window.started
        names = list(window.losses[0])
        means = (
            total(torch.stack([torch.stack([step[n].float() for step in window.losses]).mean() for n in names]))
            / world()
        )
        values = dict(zip(names, means.tolist(), strict=True))
        values |= {"lr": rate, "samples_per_second": window.samples / seconds, "data_share": window.waited / seconds}
        self.window = Window()
        return values

    def _end_of_epoch(self, epoch: int, metrics: Metrics) -> None:
        last = self.progress.step >= self.steps
        if self.train.knn_every and ((epoch + 1) % self.train.knn_every == 0 or last):
            values = self.on_epoch(epoch, self.progress.step)
            metrics.write(self.progress.step, {"epoch": epoch, **values})

    def save(self) -> None:
        """A checkpoint of everything that the next step depends on. What is random depends on the step alone, so no generator is saved."""
        on_first(self._save)
        self.saved = Saved(self.progress.step)

    def _save(self) -> None:
        optimiser, groups = checkpoint.optimiser_tensors(_bare(self.parts.optimiser))
        tensors = {
            "model": self.parts.model.state_dict(),
            "memory": self.parts.memories.state_dict(),
            "optimiser": optimiser,
        }
        scaler = self.parts.accelerator.scaler
        state = {
            "groups": groups,
            "scaler": scaler.state_dict() if scaler is not None else None,
            "samples": len(self.samples),
            "batch": self.batches.batch,
            "steps": self.steps,
            "per_epoch": len(self.batches),
        }
        views = checkpoint.view_records(self.parts.layer.views, self.parts.model)
        checkpoint.save(self.out / CHECKPOINTS, self.progress.step, tensors, state, self.train.keep, views)

    def resume(self) -> list[str]:
        """Takes up the newest whole checkpoint; returns what to tell: a sentence for each that was refused, and where the run goes on.

        A run that was killed before its first checkpoint begins at its first step. The number of processes may differ from before.
        """
        folder = self.out / CHECKPOINTS
        if not checkpoint.any_saved(folder):
            return [f"{self.out} has no checkpoint yet: it begins at its first step"]
        found = checkpoint.newest(folder)
        refuse_other_data(found.state, len(self.samples), self.batches.batch)
        try:
            self.parts.model.load_state_dict(found.tensors["model"])
            self.parts.memories.load_state_dict(found.tensors["memory"])
            checkpoint.restore_optimiser(_bare(self.parts.optimiser), found.tensors["optimiser"], found.state["groups"])
        except (RuntimeError, ValueError) as error:
            raise MultiviewError(
                f"{found.path} does not fit this run: {str(error).splitlines()[-1].strip()} Resume with the options that the run was "
                f"started with, or start a new one."
            ) from error
        if self.parts.accelerator.scaler is not None and found.state["scaler"]:
            self.parts.accelerator.scaler.load_state_dict(found.state["scaler"])
        self.progress.step = found.state["step"]
        self.saved = Saved(self.progress.step)
        return [*found.refused, f"resumed {self.out} at step {self.progress.step} of {self.steps}"]


def planned_steps(train: Train, per_epoch: int) -> int:
    """Steps of the whole run: whole accumulations. Raises MultiviewError when there is none."""
    steps = train.epochs * per_epoch
    steps = min(steps, train.steps) if train.steps is not None else steps
    if steps < train.accumulate:
        raise MultiviewError(
            f"the run has {steps} steps and accumulate is {train.accumulate}: the optimiser would never move; give more --epochs or --steps."
        )
    return steps - steps % train.accumulate


def refuse_other_data(state: dict[str, Any], samples: int, batch: int) -> None:
    """Raises MultiviewError when a checkpoint was made with other numbers of training samples or of samples a step.

    Its banks would name other samples, or its step another place in the epoch.
    """
    if state["samples"] != samples:
        raise MultiviewError(
            f"the run was trained on {state['samples']} samples and the data now has {samples}; resume it with its own data, or start a "
            "new run."
        )
    if state["batch"] != batch:
        raise MultiviewError(
            f"the run was trained with a batch of {state['batch']} and is resumed with {batch}, so that its step would mean another place "
            f"in the data; give --batch {state['batch']}, or start a new run."
        )


def _bare(optimiser: Any) -> torch.optim.Optimizer:
    """The optimiser inside Accelerate's wrapper."""
    return getattr(optimiser, "optimizer", optimiser)


class _stop_requests:  # noqa: N801
    """Turns the first stop signal into a note to finish the step; a second one interrupts at once."""

    def __init__(self, progress: Progress, display: Display) -> None:
        self.progress, self.display = progress, display
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        try:
            self.before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        except ValueError:  # not the main thread, as under debug_launcher in a notebook
            self.before = {}

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.progress.stopped_by:
            raise KeyboardInterrupt
        self.progress.stopped_by = number
        self.display.say("stopping: finishing the step and saving a checkpoint ...")
