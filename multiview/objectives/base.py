"""The contract of an objective: how one edge of the contrast graph is scored.

An objective is a frozen value of hyper-parameters with one pure function, `loss`. It says what it
needs:

- What learns lives in the model: projectors, predictors, learned temperatures (`needs.py`).
- What remembers lives in the memories: banks, queues, key encoders, running constants.
- `loss` only reads (`edge.py`). It returns the edge's new state, which is stored after the
  optimiser's step.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from multiview import require
from multiview.errors import MultiviewError
from multiview.objectives.edge import EdgeInput, EdgeOutput, Side
from multiview.objectives.matryoshka import averaged
from multiview.objectives.needs import TEMPERATURES, Bank, Head, Keys, Needs, Queue, Scalar, log_temperature

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "TEMPERATURES",
    "Bank",
    "EdgeInput",
    "EdgeOutput",
    "Head",
    "Keys",
    "Needs",
    "Objective",
    "Queue",
    "Scalar",
    "Side",
    "Situation",
    "log_temperature",
    "need_pairs",
]

# Former names, which plugins may import.
positive, share = require.positive, require.fraction
temperature_of, temperature_log, batch_scores = EdgeInput.temperature, EdgeInput.temperature_log, EdgeInput.batch_scores


@dataclass(frozen=True)
class Situation:
    """The data and processes that an objective is used with.

    Args:
        samples: number of samples in the training data.
        per_rank: samples per step in each process.
        ranks: number of processes.
        labelled: number of training samples with a label (None = not known).
    """

    samples: int
    per_rank: int
    ranks: int = 1
    labelled: int | None = None


@dataclass(frozen=True, kw_only=True)
class Objective(metaclass=ABCMeta):
    """How one edge is contrasted. A subclass is a frozen dataclass of hyper-parameters.

    The fields become command-line options. Do not write `from __future__ import annotations` in
    that file, because the types of the fields are read. Do not import torch at its top, because
    `--help` must not wait for torch.

    Args:
        matryoshka: widths of prefixes of the embedding, such as (16, 32, 64, 128), the last one
            its whole width. The loss is the mean over the prefixes, each normalised anew
            (arXiv:2205.13147). Not for objectives with a memory bank.

    Example:
        >>> from dataclasses import dataclass
        >>> from multiview.objectives import EdgeInput, EdgeOutput, Head, Needs
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Distance(mv.Objective):
        ...     dim: int = 128
        ...     def needs(self) -> Needs:
        ...         return Needs(projector=Head(dim=self.dim))
        ...     def loss(self, edge: EdgeInput) -> EdgeOutput:
        ...         a, b = edge.embeddings()
        ...         return EdgeOutput(edge.mean((a - b).square().sum(1)))
        >>> mv.Edge("L", "ab", Distance(dim=64)).objective
        Distance(dim=64)
    """

    plugins: ClassVar[str] = "objectives"
    """The plugin group whose classes a field of this type accepts."""

    least_rows: ClassVar[int] = 1
    """Samples with all views that a batch of all processes needs before there is a loss."""

    pairwise: ClassVar[bool] = True
    """Whether it contrasts two views. False: three or more together, on a HyperEdge."""

    excludes_groups: ClassVar[bool | None] = False
    """Whether samples of one group are never each other's negatives (`EdgeInput.groups`).

    None: it has no negatives, so there is nothing to exclude. A run with `--group` refuses an
    objective with False.
    """

    also_pairs: ClassVar[bool] = False
    """Whether an objective that is not pairwise can contrast two views too, on an Edge."""

    fuses: ClassVar[bool] = False
    """Whether it reads fused embeddings: a HyperEdge of views, then the same ones drawn again."""

    matryoshka: tuple[int, ...] = field(default=(), repr=False)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # `fitted` is the former name of `resolved`: a plugin may still define or call it.
        if "resolved" in vars(cls):
            cls.fitted = cls.resolved
        elif "fitted" in vars(cls):
            cls.resolved = cls.fitted  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        """The name in logs and tables."""
        return type(self).__name__

    def resolved(self, situation: Situation) -> "Objective":  # noqa: ARG002
        """The objective with its open options (such as the length of a queue) chosen for this data.

        Raises MultiviewError when it cannot work with the data or the batch.
        """
        return self

    fitted = resolved

    @abstractmethod
    def needs(self) -> Needs | tuple[Needs, ...]:
        """What it needs of each view in turn, or one `Needs` that holds for every view."""

    def scalars(self) -> Mapping[str, Scalar]:
        """The numbers that the edge learns, by name."""
        return {}

    def initial_state(self) -> dict[str, Any]:
        """First values of what the edge remembers from step to step: numbers or lists, by name."""
        return {}

    @abstractmethod
    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Scores the edge. Changes nothing."""

    def scored(self, edge: EdgeInput) -> EdgeOutput:
        """`loss`, or its mean over the prefixes that `matryoshka` names. The trainer calls it."""
        return averaged(self, edge) if self.matryoshka else self.loss(edge)

    def has_loss(self, edge: EdgeInput) -> "Tensor":
        """Whether there is anything to contrast (scalar, bool), in this process at least.

        Otherwise `loss` returns 0, which is not logged.
        """
        rows = edge.present if self.least_rows == 1 else edge.everyone_present
        return rows.sum() >= self.least_rows

    def at_first(self, edge: str) -> str:  # noqa: ARG002
        """A sentence about the first steps of the edge that is called `edge`; empty = none."""
        return ""

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":  # noqa: ARG002
        """Scores of the first `rows` rows, from which the edge's health is measured.

        One tensor (rows, 1 + K) per direction: divided by the temperature, the positive first, -inf
        where there is no negative. Empty for an objective without negatives. Every process calls
        it.
        """
        return ()

    def meets_itself(self, situation: Situation) -> float | None:  # noqa: ARG002
        """The expected share of samples whose negatives include the sample (None = no memory)."""
        return None

    def remedy(self, symptom: str) -> str:  # noqa: ARG002
        """A sentence that says which option to change against a symptom; empty when none helps.

        symptom: a name in `train/diagnosis.py`, or `itself`: the negatives include the sample.
        """
        return ""


def need_pairs(owner: str, situation: Situation) -> None:
    """Raises MultiviewError when a process would see a single sample per step."""
    if situation.per_rank < 2:
        raise MultiviewError(
            f"{owner} contrasts the samples of a batch, but each of {situation.ranks} processes would see "
            f"{situation.per_rank} per step; give --batch {2 * situation.ranks} or more."
        )
