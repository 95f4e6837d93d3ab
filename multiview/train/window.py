"""The numbers between two lines of metrics: mean losses and the speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from multiview.distributed import barrier, total, world
from multiview.train.step import StepOutput


@dataclass
class Window:
    """Collects the steps since the last line of metrics.

    steps: the output of each step. seconds: time spent on training until `since`, when the clock
    was started again. waited: seconds spent waiting for data. samples: of all processes.
    """

    steps: list[StepOutput] = field(default_factory=list)
    since: float = field(default_factory=lambda: time.monotonic())
    seconds: float = 0.0
    waited: float = 0.0
    samples: int = 0

    def add(self, output: StepOutput, rows: int) -> None:
        """Adds one step, of `rows` samples in this process."""
        self.steps.append(output)
        self.samples += rows * world()

    @contextmanager
    def paused(self, device: torch.device) -> Iterator[None]:
        """The block is no training: its time does not count, nor the wait for other processes."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # steps that the GPU still computes are training
        self.seconds += time.monotonic() - self.since
        try:
            yield
            barrier()
        finally:
            self.since = time.monotonic()

    def new_epoch(self) -> None:
        """Forgets the losses of the last epoch; the speed is measured across epochs."""
        self.steps.clear()

    def summary(self) -> dict[str, float]:
        """Means over steps and processes, samples per second, share of the time spent waiting.

        A step in which an edge had nothing to contrast does not count for that edge. An edge
        without any step that counts has no values.
        """
        seconds = self.seconds + time.monotonic() - self.since
        means = self._means()
        return means | {"samples_per_second": self.samples / seconds, "data_share": self.waited / seconds}

    def _means(self) -> dict[str, float]:
        edges = list(self.steps[0].edges)
        counted = torch.stack([torch.stack([step.has_loss[name] for name in edges]) for step in self.steps])
        anywhere = total(counted.float()) > 0  # (steps, edges)
        columns = {"loss": anywhere.any(1)} | {name: anywhere[:, number] for number, name in enumerate(edges)}
        rows = [_values(step) for step in self.steps]
        names = list(rows[0])
        which = torch.stack([columns[name.partition("/")[2] or name] for name in names], dim=1)
        values = torch.stack([torch.stack([row[name].float() for name in names]) for row in rows])
        sums = total(values.where(which, 0).sum(0)) / world()
        counts = which.sum(0).tolist()
        return {n: x / count for n, x, count in zip(names, sums.tolist(), counts, strict=True) if count}


def _values(output: StepOutput) -> dict[str, Tensor]:
    """Losses and logged values of a step by `measure/edge`."""
    values = {"loss": output.loss, **{f"loss/{name}": edge.loss for name, edge in output.edges.items()}}
    return values | {f"{key}/{name}": value for name, edge in output.edges.items() for key, value in edge.log.items()}
