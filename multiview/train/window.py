"""The numbers between two lines of metrics: mean losses and the speed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from multiview.distributed import total, world
from multiview.train.step import StepOutput


@dataclass
class Window:
    """Collects the steps since the last line of metrics.

    losses: losses and logged values of each step. waited: seconds spent waiting for data. samples:
    the number of samples of all processes.
    """

    losses: list[dict[str, Tensor]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    samples: int = 0

    def add(self, output: StepOutput, rows: int) -> None:
        """Adds one step, of `rows` samples in this process."""
        values = {"loss": output.loss, **{f"loss/{name}": edge.loss for name, edge in output.edges.items()}}
        values |= {f"{key}/{name}": value for name, edge in output.edges.items() for key, value in edge.log.items()}
        self.losses.append(values)
        self.samples += rows * world()

    def summary(self) -> dict[str, float]:
        """Means over steps and processes, samples per second, share of the time spent waiting."""
        seconds = time.monotonic() - self.started
        names = list(self.losses[0])
        means = torch.stack([torch.stack([step[name].float() for step in self.losses]).mean() for name in names])
        values = dict(zip(names, (total(means) / world()).tolist(), strict=True))
        return values | {"samples_per_second": self.samples / seconds, "data_share": self.waited / seconds}
