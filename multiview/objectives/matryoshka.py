"""Matryoshka: one loss for several prefixes of the embeddings (Kusupati et al., arXiv:2205.13147).

Every objective has the option `matryoshka`, because this is done around `loss`, not in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from multiview import ops
from multiview.errors import MultiviewError
from multiview.objectives.edge import EdgeInput, EdgeOutput, Side
from multiview.objectives.needs import Needs

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.memory.queue import KeyQueue
    from multiview.objectives.base import Objective


def averaged(objective: Objective, edge: EdgeInput) -> EdgeOutput:
    """The mean of the losses and logs of every prefix that `objective.matryoshka` names (Eq. 1)."""
    outputs = [objective.loss(prefix(objective, edge, width)) for width in objective.matryoshka]
    mean = EdgeOutput.of_directions(outputs)
    return EdgeOutput(mean.loss / len(outputs), mean.log)


def prefix(objective: Objective, edge: EdgeInput, width: int) -> EdgeInput:
    """The edge as if every embedding, prediction, key and key of a queue had `width` numbers.

    Each is normalised anew, where its head normalises.
    """
    needs = _needs_of(objective, len(edge.sides))
    sides = tuple(_prefix(side, of, width) for side, of in zip(edge.sides, needs, strict=True))
    return replace(edge, sides=sides)


def _prefix(side: Side, needs: Needs, width: int) -> Side:
    unit, predicted = needs.projector.unit, needs.predictor is None or needs.predictor.unit
    return Side(
        z=_first(side.z, width, unit),
        p=_first(side.p, width, predicted),
        key=_first(side.key, width, unit),
        memory=None if side.memory is None else cast("KeyQueue", side.memory).prefix(width),
        present=side.present,
    )


def _first(x: Tensor | None, width: int, unit: bool) -> Tensor | None:
    if x is None or x.shape[1] == width:
        return x
    first = ops.precision.full_precision(x[:, :width])
    return ops.precision.normalised(first) if unit else first


def require_widths(objective: Objective) -> None:
    """Raises MultiviewError when the objective cannot have these prefixes."""
    name, widths, needs = objective.name, objective.matryoshka, _needs_of(objective, 1)
    if any(of.memory and of.memory.per_sample for of in needs) or objective.initial_state():
        raise MultiviewError(
            f"{name}: matryoshka needs embeddings of the batch or of a queue, and {name} keeps a memory bank or a "
            "number from step to step, for one width only. Use SimCLR or MoCo, or leave matryoshka out."
        )
    dims = {of.projector.dim for of in needs}
    last = max(dims)
    if len(dims) > 1 or tuple(sorted({*widths})) != tuple(widths) or widths[0] < 1 or widths[-1] != last:
        raise MultiviewError(
            f"{name}: matryoshka is {tuple(widths)}; give rising widths that end with the width of the embedding, "
            f"such as {_example(last)}."
        )


def _needs_of(objective: Objective, views: int) -> tuple[Needs, ...]:
    needs = objective.needs()
    return needs if isinstance(needs, tuple) else (needs,) * views


def _example(dim: int) -> tuple[int, ...]:
    return tuple(sorted({max(1, dim // part) for part in (8, 4, 2, 1)}))
