"""What the objectives share that work on the samples of the batch alone, without a memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from multiview import require
from multiview.objectives.base import Objective, Situation, need_pairs
from multiview.objectives.needs import Scalar, log_temperature


@dataclass(frozen=True, kw_only=True)
class InBatch(Objective):
    """An objective that needs two samples or more in every process."""

    def resolved(self, situation: Situation) -> Objective:
        """Raises MultiviewError when a process sees one sample per step."""
        need_pairs(self.name, situation)
        return super().resolved(situation)


@dataclass(frozen=True, kw_only=True)
class InBatchContrast(InBatch):
    """An objective whose negatives are in the batch and whose scores are divided by a temperature.

    Read the temperature with `edge.temperature(self.temperature)`. It is learned unless the class
    has an option `learn_temperature` that is False.

    Args:
        temperature: T, or its first value when it is learned.
    """

    temperature: float = 0.1

    least_rows: ClassVar[int] = 2

    def __post_init__(self) -> None:
        require.positive(self.name, temperature=self.temperature)
        self.scalars()

    def scalars(self) -> Mapping[str, Scalar]:
        """log T, when it is learned."""
        learned = getattr(self, "learn_temperature", True)
        return log_temperature(self.name, self.temperature) if learned else {}
