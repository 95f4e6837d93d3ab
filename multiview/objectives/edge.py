"""What one edge of the graph is scored from, and the result.

`EdgeInput` takes care of absent views, of several processes and of precision, so that a loss reads
like its paper. Importing this file does not import torch: the fields of objectives are options of
commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from multiview import ops
from multiview.errors import MultiviewError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from multiview.counter_rng import Draws
    from multiview.memory.bank import MemoryBank
    from multiview.memory.queue import KeyQueue
    from multiview.memory.split_bank import SplitBank
    from multiview.ops.negatives import GroupRows
    from multiview.ops.ntxent import Terms
    from multiview.ops.split_scores import OwnStrata


@dataclass
class Side:
    """What an edge sees of one view: rows of this process, zeros in absent rows, and a memory.

    Args:
        z: (n, d) embeddings with gradient.
        p: (n, d) predictions on the unit sphere.
        key: (n, d) embeddings of the key encoder, without gradient.
        memory: the view's bank or queue.
        present: (n,) which rows exist; None = those of the edge.
    """

    z: Tensor | None = None
    p: Tensor | None = None
    key: Tensor | None = None
    memory: MemoryBank | KeyQueue | None = None
    present: Tensor | None = None


@dataclass(frozen=True)
class Gathered:
    """Facts (m,) of the rows of all processes that are here already; None = still to be gathered.

    index: the sample of each row. present: whether it exists. group: the group of its sample.
    """

    index: Tensor | None = None
    present: Tensor | None = None
    group: Tensor | None = None


@dataclass
class EdgeInput:
    """All that one edge is scored from.

    A method that returns a tuple returns one value per view, in the order of the edge's views.

    Args:
        sides: one per view, in the order of the edge's views. An objective that fuses views gets
            two more: the fused embeddings of the first and of the second half of the views.
        index: (n,) position of each row's sample in the training data.
        present: (n,) whether all views of the edge exist for the row; any, where views are fused.
        state: what the edge remembered at its last step.
        begun: whether the CPU knows that all numbers of `state` are set.
        scalars: what the edge learns, by name, with gradient.
        generator: seeded by the run's seed, the edge and the step, so that every process draws the
            same numbers.
        draws: random numbers per sample, with the same seed. They do not depend on the other rows.
        group: (n,) int64 code of each row's group. Samples of one group are never each other's
            negatives (None = there are no groups).
        bank_groups: the groups of all training samples, for memory banks.
        labels: (n,) the class of each row's sample, -1 where it is unknown; None unless the
            objective needs labels.
        gathered: what was gathered before, for all edges of a step together.
    """

    sides: tuple[Side, ...]
    index: Tensor
    present: Tensor
    state: Mapping[str, Tensor] = field(default_factory=dict)
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator | None = None
    draws: Draws | None = None
    group: Tensor | None = None
    bank_groups: GroupRows | None = None
    labels: Tensor | None = None
    begun: bool = False
    gathered: Gathered = Gathered()

    @property
    def a(self) -> Side:
        """The first view's side."""
        return self.sides[0]

    @property
    def b(self) -> Side:
        """The second view's side."""
        return self.sides[1]

    def between(self, i: int, j: int) -> EdgeInput:
        """The edge of sides i and j alone, on the rows that have both."""
        here, everyone = self._presence
        group = None if self.group is None else self.everyone_groups
        gathered = replace(self.gathered, present=everyone[i] & everyone[j], group=group)
        return replace(self, sides=(self.sides[i], self.sides[j]), present=here[i] & here[j], gathered=gathered)

    @cached_property
    def _presence(self) -> tuple[Tensor, Tensor]:
        """Which rows have each side: of this process (sides, n) and of all (sides, m)."""
        import torch

        from multiview.distributed import gather

        own = [self.present if side.present is None else side.present & self.present for side in self.sides]
        here = torch.stack(own)
        return here, gather(here.T.contiguous()).T

    def embeddings(self) -> tuple[Tensor, ...]:
        """(n, d) embeddings with gradient, in float32 (float64 stays)."""
        return _full_precision([side.z for side in self.sides])

    def predictions(self) -> tuple[Tensor, ...]:
        """(n, d) predictions with gradient, on the unit sphere, in float32 (float64 stays)."""
        return _full_precision([side.p for side in self.sides])

    def keys(self) -> tuple[Tensor, ...]:
        """(n, d) embeddings of the key encoders, without gradient, in float32 (float64 stays)."""
        return _full_precision([side.key for side in self.sides])

    def banks(self) -> tuple[Tensor, ...]:
        """(N, d) rows of the memory banks, one per training sample.

        Raises MultiviewError when an index of the batch is outside a bank.
        """
        banks = cast("list[MemoryBank]", [side.memory for side in self.sides])
        for bank in banks:
            bank.require(self.index)
        return tuple(bank.rows for bank in banks)

    @property
    def bank_size(self) -> int:
        """N, the rows of each memory bank of the edge, in all processes together."""
        return len(cast("MemoryBank", self.sides[0].memory))

    def own_strata(self) -> tuple[OwnStrata, ...]:
        """The rows that this process owns of each split bank.

        Raises MultiviewError when an index of the batch is outside a bank.
        """
        banks = cast("list[SplitBank]", [side.memory for side in self.sides])
        for bank in banks:
            bank.require(self.index)
        return tuple(bank.own for bank in banks)

    def queues(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """The keys (k, d) that each queue holds, and the sample (k,) of each key."""
        queues = cast("list[KeyQueue | None]", [side.memory for side in self.sides])
        nothing = self.index[:0]
        return tuple((q.filled_keys(), q.filled_ids()) if q is not None else (nothing, nothing) for q in queues)

    def key_owners(self, *, exclude: bool) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """Whose keys are hidden from a row: numbers of the rows (n,) and of each queue's keys (k,).

        A key is no negative of a row with the same number. It is the number of the sample, or where
        there are groups that of the sample's group. The first is None when nothing is hidden:
        without groups and without `exclude`.
        """
        if self.group is None:
            return self.index if exclude else None, tuple(samples for _, samples in self.queues())
        queues = cast("list[KeyQueue | None]", [side.memory for side in self.sides])
        return self.group, tuple(self.index[:0] if q is None else q.filled_groups() for q in queues)

    def groups(self) -> tuple[Tensor, Tensor] | None:
        """The groups of the rows of this process (n,) and of all processes (m,).

        A loss leaves out, among a row's negatives, the columns of the row's own group. None when
        the run has no groups: then nothing is left out.
        """
        return None if self.group is None else (self.group, self.everyone_groups)

    @cached_property
    def everyone_groups(self) -> Tensor:
        """(m,) the groups of the rows of all processes. Only where there are groups."""
        from multiview.distributed import gather

        assert self.group is not None
        return gather(self.group) if self.gathered.group is None else self.gathered.group

    def negatives_of(self, rows: int) -> Tensor:
        """Which rows of all processes may be negatives of the first `rows` rows: (m,) or (r, m)."""
        if self.group is None:
            return self.everyone_present
        return self.everyone_present & (self.group[:rows, None] != self.everyone_groups)

    def classes(self) -> tuple[Tensor, Tensor]:
        """Labels (n,) of this process's rows and (m,) of all processes' rows; -1 = unknown.

        Raises MultiviewError when the edge was made without labels.
        """
        from multiview.distributed import gather

        if self.labels is None:
            raise MultiviewError("this objective reads the labels of the batch, but none were given; give labels (n,).")
        return self.labels, gather(self.labels)

    def everyone(self, *local: Tensor) -> tuple[Tensor, ...]:
        """Rows (m, ...) of all processes per tensor of local rows (n, ...), with exact gradients.

        With one process the tensors themselves. Local row i is row `offset` + i.
        """
        from multiview.distributed import gather_with_gradient

        return tuple(gather_with_gradient(rows) for rows in local)

    @property
    def offset(self) -> int:
        """The place of this process's first row among the rows of all processes."""
        from multiview.distributed import rank

        return rank() * len(self.index)

    @cached_property
    def everyone_present(self) -> Tensor:
        """(m,) which rows of all processes are present."""
        from multiview.distributed import gather

        return gather(self.present) if self.gathered.present is None else self.gathered.present

    def everyone_index(self, rows: int | None = None) -> Tensor:
        """(m,) the samples of the rows of all processes, or of the first `rows` of each."""
        whole = self._everyone_index
        return whole if rows is None else whole.view(-1, len(self.index))[:, :rows].flatten()

    @cached_property
    def _everyone_index(self) -> Tensor:
        from multiview.distributed import gather

        return gather(self.index) if self.gathered.index is None else self.gathered.index

    @cached_property
    def columns(self) -> Tensor | None:
        """`everyone_present`, or None when every row is present: then nothing has to be masked.

        On a GPU always the tensor, because finding out would wait for the GPU.
        """
        from multiview.distributed import unless_all

        return unless_all(self.everyone_present)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the present rows of all processes, with exact gradients.

        A scalar, 0 when no row is present. values: (n,), or the rows of k views one after
        the other, (k n,).
        """
        from multiview.distributed import mean_over_rows

        if self.present.is_cpu and self.columns is None:
            return mean_over_rows(values, None)
        views = len(values) // max(1, len(self.present))
        return mean_over_rows(values, self.present.repeat(views) if views > 1 else self.present)

    def temperature(self, fixed: float) -> float | Tensor:
        """The learned temperature, with gradient; `fixed` when the edge learns none."""
        return self.scalars["log_temperature"].exp() if "log_temperature" in self.scalars else fixed

    def temperature_log(self) -> dict[str, Tensor]:
        """What to log of a learned temperature; empty when the edge learns none."""
        learned = self.scalars.get("log_temperature")
        return {} if learned is None else {"temperature": learned.detach().exp()}

    def uniform(self, name: str, count: int) -> Tensor:
        """(n, count) random float32 numbers in [0, 1) per row's sample, whatever other rows are.

        name: keeps the draws of one edge apart.
        """
        import torch

        from multiview.batch import sent

        assert self.draws is not None
        numbers = self.draws.uniform(name, count).numpy().astype("float32")  # MPS has no float64
        return sent(torch.from_numpy(numbers).clamp_(max=1 - 2**-24), self.index.device)

    def output(self, terms: Terms, **log: Tensor) -> EdgeOutput:
        """The mean of the terms; logs the share of positives found and the learned temperature."""
        found = self.mean(terms.found)
        return EdgeOutput(self.mean(terms.loss), {"found": found, **log, **self.temperature_log()})

    def batch_scores(self, rows: int, temperature: float | Tensor, *, own: bool) -> tuple[Tensor, Tensor]:
        """`Objective.scores` against the other view's batch; with `own`, both views'."""
        from multiview.distributed import gather

        a, b = self.embeddings()
        all_a, all_b, columns = gather(a), gather(b), self.everyone_present
        groups = None if self.group is None else (self.group[:rows], self.everyone_groups)
        rest = columns, self.offset, temperature, groups
        return (
            ops.candidates.in_batch(a[:rows], all_a if own else None, all_b, *rest),
            ops.candidates.in_batch(b[:rows], all_b if own else None, all_a, *rest),
        )


@dataclass
class EdgeOutput:
    """The loss of an edge (a scalar), numbers to log, and the edge's state after this step."""

    loss: Tensor
    log: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of_directions(cls, outputs: Sequence[EdgeOutput]) -> EdgeOutput:
        """Joins the directions of an edge: losses are added, logs averaged, states stacked."""
        import torch

        loss = sum((out.loss for out in outputs[1:]), start=outputs[0].loss)
        log = {name: sum((out.log[name] for out in outputs[1:]), start=x) for name, x in outputs[0].log.items()}
        state = {name: torch.stack([out.state[name] for out in outputs]) for name in outputs[0].state}
        return cls(loss, {name: total / len(outputs) for name, total in log.items()}, state)


def _full_precision(tensors: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """None stays None: a one-way objective reads nothing at that side."""
    return tuple(x if x is None else ops.precision.full_precision(x) for x in tensors)  # type: ignore[misc]
