"""The training loop: epochs of steps, until the last step or a stop signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from multiview import old_import_paths
from multiview.batch import Batch
from multiview.config import Train
from multiview.counter_rng import Draws
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.identity import identity_of
from multiview.data.load.sampler import Batches
from multiview.distributed import largest, on_first
from multiview.errors import MultiviewError
from multiview.train.best import Best
from multiview.train.first_rows import encode_first_rows
from multiview.train.saving import Saver
from multiview.train.schedule import planned_steps, rate_factor, set_rate
from multiview.train.step import Parts, contrast_step
from multiview.train.stopping import StopRequest
from multiview.train.telemetry import Display, Metrics
from multiview.train.window import Window

__getattr__ = old_import_paths.names_of("train.loop")


PIPE = getattr(signal, "SIGPIPE", 13)
"""Stands for a closed output, as after `| head`: the run saves a checkpoint and ends."""


@dataclass
class Progress:
    """Where a run stands: the steps done, and the signal that stopped the run early (0 = none)."""

    step: int = 0
    stopped_by: int = 0


class Loop:
    """Trains `parts` on `samples`.

    Args:
        parts: the model, memories and optimiser.
        samples: the training samples.
        batches: their order.
        train: the options of training.
        seed: of the augmentations.
        out: the run folder.
        on_epoch: called as (epoch, step) before the first step, which is step 0, and every
            `knn_every` epochs; returns numbers to log.
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
        self.parts, self.batches, self.train = parts, batches, train
        self.seed, self.on_epoch = seed, on_epoch
        self.steps = planned_steps(train, len(batches))
        parts.epochs = self.steps / len(batches)
        self.base_rate = train.optimizer.rate(batches.batch)
        self.loader = Loader(samples, batches, train.workers, pin=parts.accelerator.device.type == "cuda")
        self.saver = Saver(
            parts, out, train, on_first(lambda: identity_of(samples, parts.memories.codes)), batches, self.steps
        )
        self.stop = StopRequest()
        self.stopped_by = 0
        self.step = 0
        self.window = Window()
        self.best: Best | None = None

    def resume(self) -> list[str]:
        """Continues from the newest checkpoint; returns what to tell the user.

        Raises MultiviewError on every process when one cannot resume, or resumes at another step.
        """
        mistake: MultiviewError | None = None
        messages: list[str] = []
        try:
            self.step, messages = self.saver.resume()
        except MultiviewError as error:
            mistake = error
        failed, last, first = largest((int(mistake is not None), self.step, -self.step), self.parts.accelerator.device)
        if mistake is not None:
            raise mistake
        if failed or last != -first:
            raise MultiviewError(
                "the processes of this run do not find the same checkpoint. With several machines, --out must be a "
                "folder on a disk that all of them share."
            )
        return messages

    def run(self, metrics: Metrics, display: Display) -> Progress:
        """Trains to the last step, or to the end of the step with a stop signal; then saves."""
        with self.stop.listening(display.say), display:
            self.window = Window(earlier=self.saver.unlogged)
            self._untrained_measure(metrics)
            self._missed_measure(metrics)
            self._first_rows(display)
            while not self._ended():
                self._epoch(metrics, display)
            self.saver.save(self.step, self.window.rows())
            self._vote(save_due=False)
        return Progress(self.step, self.stopped_by)

    def _epoch(self, metrics: Metrics, display: Display) -> None:
        per_epoch = len(self.batches)
        epoch, begin = divmod(self.step, per_epoch)
        self.parts.wrapped.train()
        if not begin:
            self.window.new_epoch()
        waiting_since = time.monotonic()
        for batch in self._errors_of_data(self.loader.for_epoch(epoch, begin)):
            self.window.waited += time.monotonic() - waiting_since
            self._step(batch, metrics, display)
            if self._ended():
                break
            waiting_since = time.monotonic()
        if self.step % per_epoch == 0 and not self.stopped_by:
            self._end_of_epoch(epoch, metrics)

    def _errors_of_data(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; an error of the data is an error of this process alone."""
        try:
            yield from batches
        except MultiviewError as error:
            error.local = True
            raise

    def _ended(self) -> bool:
        """Whether the run ends here; saves a checkpoint when one is due.

        Within an accumulation the run neither ends nor saves: a checkpoint holds no gradients.
        """
        if self.step % self.train.accumulate:
            return False
        save = self._vote(self.saver.is_due(self.step))
        ended = bool(self.stopped_by) or self.step >= self.steps
        if save or ended:
            self.parts.settle()
        if save and not ended:
            with self._not_training():
                self.saver.save(self.step, self.window.rows())
        return ended

    def _vote(self, save_due: bool) -> bool:
        """Whether any process wants to save. Sets `stopped_by` to a signal that a process received.

        A signal reaches the processes at different moments. Only the result of this vote may decide
        what comes next, because processes that decide differently wait for each other forever.
        """
        number = (self.stop.signal or signal.SIGTERM) if self.stop else 0
        self.stopped_by, save = largest((number, int(save_due)), self.parts.accelerator.device)
        return bool(save)

    def _step(self, batch: Batch, metrics: Metrics, display: Display) -> None:
        per_epoch = len(self.batches)
        factor = rate_factor(self.train.optimizer, self.step / per_epoch, self.steps / per_epoch)
        set_rate(self.parts.optimiser, self.base_rate, factor)
        draws = Draws(self.seed, self.step, batch.index.numpy(), "augment")
        epoch, step = self.step // per_epoch, self.step + 1
        logged = step % self.train.log_every == 0 or step in (1, self.steps)
        on_device = batch.to(self.parts.accelerator.device, non_blocking=True)
        output = contrast_step(self.parts, on_device, step, draws, examine=logged)
        self.step = step
        self.window.add(output, len(batch))
        if logged:
            values = {name: float(x) for name, x in output.health.items()} | {"lr": self.base_rate * factor}
            values |= self.window.summary() | self._scheduled(step)
            self.window = Window()
            with self._not_training():
                self._log(epoch, values, metrics, display)

    def _scheduled(self, step: int) -> dict[str, float]:
        """The weights of the edges that have a schedule, by name."""
        edges, weights = self.parts.graph.named_edges(), self.parts.weights(step)
        return {f"weight/{name}": weights[name] for name, edge in edges.items() if edge.schedule is not None}

    def _log(self, epoch: int, values: dict[str, float], metrics: Metrics, display: Display) -> None:
        metrics.write(self.step, {"epoch": epoch, **values})
        display.show(self.step, epoch, values)
        for line in metrics.diagnosed(self.step, values):
            display.say(line)
        if display.closed and not self.stop.signal:
            self.stop.signal = PIPE

    def _first_rows(self, display: Display) -> None:
        """Encodes the first rows of banks that ask for it, before the first step."""
        if self.step or not self.parts.memories.encoded_banks:
            return
        display.say(f"encoding the first rows of the banks: {self.batches.count:,} samples, once")
        with self._not_training():
            encode_first_rows(self.parts, self._errors_of_data(self.loader.every_sample()), self.seed, self._stopped)

    def _stopped(self) -> bool:
        """Whether a process was asked to stop; every process must call it."""
        self._vote(save_due=False)
        return self.stopped_by > 0

    def _untrained_measure(self, metrics: Metrics) -> None:
        """Measures the weights before the first step, to compare with what follows."""
        if self.train.knn_every and self.step == 0 and not on_first(lambda: metrics.epoch_is_measured):
            with self._not_training():
                if values := self.on_epoch(0, 0):
                    metrics.write(0, {"epoch": 0, **values})

    def _missed_measure(self, metrics: Metrics) -> None:
        """Measures the epoch at whose end a resumed run was saved, if the run ended before that."""
        epoch, begun = divmod(self.step, len(self.batches))
        if self.step and not begun and not on_first(lambda: metrics.epoch_is_measured):
            self._end_of_epoch(epoch - 1, metrics)

    def _end_of_epoch(self, epoch: int, metrics: Metrics) -> None:
        is_last = self.step >= self.steps
        if self.train.knn_every and ((epoch + 1) % self.train.knn_every == 0 or is_last):
            self.parts.settle()
            with self._not_training():
                values = self.on_epoch(epoch, self.step)
                if self.best is not None:  # before the line is written: without it, the epoch is measured again
                    self.best.see(self.step, values)
                metrics.write(self.step, {"epoch": epoch, **values})

    def _not_training(self) -> AbstractContextManager[None]:
        """The time of the block does not count for the speed."""
        return self.window.paused(self.parts.accelerator.device)
