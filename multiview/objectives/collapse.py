"""What to change when embeddings collapse: only what the run has, and does not do already."""

from __future__ import annotations

from collections.abc import Mapping

from multiview.config import Optimizer
from multiview.objectives.base import Objective
from multiview.objectives.needs import Needs

ADAMW = {
    False: "--train.optimizer.name adamw --train.optimizer.lr 0.001",
    True: 'train=mv.Train(optimizer=mv.Optimizer(name="adamw", lr=1e-3))',
}
"""How AdamW is chosen: by whether the run was started from Python."""


def collapse_advice(objectives: Mapping[str, Objective], optimizer: Optimizer | None, python: bool = False) -> str:
    """What to change against embeddings that are all alike, in one or two sentences.

    Args:
        objectives: the objective of each edge by name.
        optimizer: of the run; None when it is not known.
        python: the run was started by `mv.fit`, where no command line has options.
    """
    rate = f" (now {optimizer.lr:g})" if optimizer else ""
    changes = [f"lower the learning rate{rate}"]
    if optimizer is None or optimizer.name != "adamw":
        instead = f" in place of {optimizer.name.upper()}" if optimizer else ""
        changes.append(f"use AdamW{instead} ({ADAMW[python]})")
    nce = [name for name, each in objectives.items() if getattr(each, "variant", None) == "nce"]
    if nce:
        changes.append(f"use `variant: softmax` for the edge {', '.join(nce)}")
    last = f", or {changes.pop()}" if len(changes) > 1 else ""
    text = f"{', '.join(changes)}{last}."
    checked = [*_with(objectives, "predictor", "the predictor"), *_with(objectives, "keys", "the key encoder")]
    checked += ["the temperature"] * any(hasattr(each, "temperature") for each in objectives.values())
    return text[0].upper() + text[1:] + (f" Check {' and '.join(checked)}." if checked else "")


def _with(objectives: Mapping[str, Objective], part: str, called: str) -> list[str]:
    """`the predictor of SimSiam`, for the objectives that need such a part."""
    found = [type(each).__name__ for each in objectives.values() if any(getattr(n, part) for n in _needs(each))]
    return [f"{called} of {', '.join(dict.fromkeys(found))}"] if found else []


def _needs(objective: Objective) -> tuple[Needs, ...]:
    needs = objective.needs()
    return needs if isinstance(needs, tuple) else (needs,)
