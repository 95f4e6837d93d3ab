"""The numbers between two lines of metrics: mean losses and the speed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from multiview.distributed import barrier, total, world
from multiview.train.step import StepOutput


@dataclass(frozen=True)
class Rows:
    """Steps as a table.

    names: `measure/edge` of each column. values: (steps, names), 0 where a step does not count.
    counted: (steps, names), whether a step counts for a column.
    """

    names: list[str]
    values: Tensor
    counted: Tensor

    def to_json(self) -> dict[str, Any]:
        """The table as lists; every float32 is kept exactly."""
        return {"names": self.names, "values": self.values.tolist(), "counted": self.counted.tolist()}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Rows:
        """The table that `to_json` wrote. Raises ValueError, TypeError or LookupError."""
        names = [str(name) for name in table["names"]]
        values = torch.tensor(table["values"], dtype=torch.float32)
        counted = torch.tensor(table["counted"], dtype=torch.bool)
        if not values.shape == counted.shape == (len(values), len(names)):
            raise ValueError("the steps that were not logged yet do not form a table.")
        return cls(names, values, counted)

    def after(self, earlier: Rows | None) -> Rows:
        """These steps below earlier ones, unless those have other columns."""
        if earlier is None or earlier.names != self.names:
            return self
        values = torch.cat([earlier.values.to(self.values), self.values])
        return Rows(self.names, values, torch.cat([earlier.counted.to(self.counted), self.counted]))


@dataclass
class Window:
    """Collects the steps since the last line of metrics.

    steps: the output of each step. earlier: steps before a resume, as means over the processes.
    seconds: time spent on training until `since`, when the clock was started again. waited: seconds
    spent waiting for data. samples: of all processes.
    """

    steps: list[StepOutput] = field(default_factory=list)
    earlier: Rows | None = None
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
        self.earlier = None

    def rows(self) -> Rows | None:
        """The steps as means over the processes, for a checkpoint; None without steps."""
        if not self.steps:
            return self.earlier
        rows = self._own_rows()
        return Rows(rows.names, total(rows.values) / world(), rows.counted).after(self.earlier)

    def summary(self) -> dict[str, float]:
        """Means over steps and processes, samples per second, share of the time spent waiting.

        A step in which an edge had nothing to contrast does not count for that edge. An edge
        without any step that counts has no values.
        """
        seconds = self.seconds + time.monotonic() - self.since
        means = self._means()
        return means | {"samples_per_second": self.samples / seconds, "data_share": self.waited / seconds}

    def _means(self) -> dict[str, float]:
        rows = self._own_rows().after(self.earlier)
        sums = total(rows.values.sum(0)) / world()
        counts = rows.counted.sum(0).tolist()
        return {n: x / count for n, x, count in zip(rows.names, sums.tolist(), counts, strict=True) if count}

    def _own_rows(self) -> Rows:
        """The steps since the start or the resume, with the values of this process."""
        edges = list(self.steps[0].edges)
        has_loss = torch.stack([torch.stack([step.has_loss[name] for name in edges]) for step in self.steps])
        anywhere = total(has_loss.float()) > 0  # (steps, edges)
        columns = {"loss": anywhere.any(1)} | {name: anywhere[:, number] for number, name in enumerate(edges)}
        rows = [_values(step) for step in self.steps]
        names = list(rows[0])
        counted = torch.stack([columns[name.partition("/")[2] or name] for name in names], dim=1)
        values = torch.stack([torch.stack([row[name].float() for name in names]) for row in rows])
        return Rows(names, values.where(counted, 0), counted)


def _values(output: StepOutput) -> dict[str, Tensor]:
    """Losses and logged values of a step by `measure/edge`."""
    values = {"loss": output.loss, **{f"loss/{name}": edge.loss for name, edge in output.edges.items()}}
    return values | {f"{key}/{name}": value for name, edge in output.edges.items() for key, value in edge.log.items()}
