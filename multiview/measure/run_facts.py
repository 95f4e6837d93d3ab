"""Facts of rows that depend on the run: how the raw control is called, advice on a collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from multiview.config import Optimizer
from multiview.errors import MultiviewError
from multiview.measure.kept_sentences import ADVICE, ALIKE
from multiview.measure.rows import CALLED, RAW, RAW_VALUES, TRAINED, UNIFORMITY, Measure
from multiview.objectives.collapse import collapse_advice
from multiview.train.runfolder import CONFIG

if TYPE_CHECKING:
    from multiview.trained import Trained

SETUP = "setup.json"
"""A run of `mv.fit` has this record of its setup."""


def with_called(rows: Sequence[Measure], trained: Trained) -> list[Measure]:
    """The rows, whose raw control is called raw values where a view is no picture."""
    if all("height" in view.axes for view in trained.setup.views.values()):
        return list(rows)
    called = {CALLED: RAW_VALUES}
    return [replace(row, facts={**row.facts, **called}) if row.weights == RAW else row for row in rows]


def with_advice(rows: Sequence[Measure], trained: Trained) -> list[Measure]:
    """The rows; those of embeddings that are all alike say what to change in this run."""
    ill = [row for row in rows if row.measure == UNIFORMITY and row.weights == TRAINED and row.value > ALIKE]
    if not ill:
        return list(rows)
    objectives = {name: edge.objective for name, edge in trained.setup.graph.named_edges().items()}
    python = trained.folder is not None and (trained.folder / SETUP).is_file()
    advice = collapse_advice(objectives, _optimizer(trained.folder), python)
    return [replace(row, facts={**row.facts, ADVICE: advice}) if row in ill else row for row in rows]


def _optimizer(folder: Path | None) -> Optimizer | None:
    """The optimiser of a run; None where nothing says it."""
    try:
        content: dict[str, Any] = yaml.safe_load((folder / CONFIG).read_text("utf8")) if folder else {}
        known = {each.name for each in fields(Optimizer)}
        plain: dict[str, Any] = {name: x for name, x in content["train"]["optimizer"].items() if name in known}
        options: Any = {name: tuple(x) if isinstance(x, list) else x for name, x in plain.items()}
        return Optimizer(**options)
    except (AttributeError, KeyError, MultiviewError, OSError, TypeError, ValueError, yaml.YAMLError):
        return None
