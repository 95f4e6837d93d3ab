"""The options of objectives whose softmax can weight its negatives."""

from typing import TYPE_CHECKING, Protocol

from multiview import ops, require

if TYPE_CHECKING:
    from multiview.ops.weighting import Weighting


class Weighted(Protocol):
    """An objective with these options."""

    @property
    def name(self) -> str:
        """The name in messages."""

    @property
    def decoupled(self) -> bool:
        """Whether the positive is left out of the denominator."""

    @property
    def hardness(self) -> float:
        """Beta: the weight of hard negatives."""

    @property
    def tau_plus(self) -> float:
        """The share of negatives that are of the sample's own class."""


def require_weighting(objective: Weighted) -> None:
    """Raises MultiviewError for a hardness below 0 or a tau_plus outside [0, 1)."""
    require.options(
        objective, ["hardness"], lambda x: 0 <= x < float("inf"), "a finite number, 0 or more", objective.name
    )
    require.fraction(objective.name, tau_plus=objective.tau_plus)


def is_weighted(objective: Weighted) -> bool:
    """Whether any of the options differs from a plain softmax."""
    return objective.decoupled or objective.hardness > 0 or objective.tau_plus > 0


def weighting_of(objective: Weighted) -> "Weighting | None":
    """How the negatives are summed; None for a plain softmax."""
    if not is_weighted(objective):
        return None
    return ops.weighting.Weighting(objective.decoupled, objective.hardness, objective.tau_plus)
