"""Did it learn? Weighted kNN, linear probe, and the table that sets trained features beside their controls."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiview.measure.knn import weighted_knn as weighted_knn
    from multiview.measure.linear import ProbeResult as ProbeResult
    from multiview.measure.linear import common_dim as common_dim
    from multiview.measure.linear import linear_probe as linear_probe
    from multiview.measure.scores import Features as Features
    from multiview.measure.scores import Score as Score
    from multiview.measure.scores import evaluate_features as evaluate_features
    from multiview.measure.scores import from_json as from_json
    from multiview.measure.scores import to_json as to_json
    from multiview.measure.table import compare as compare
    from multiview.measure.table import render as render
    from multiview.measure.table import verdict as verdict

# Imported on first use: training needs kNN without waiting for scikit-learn.
_HOMES = {
    "weighted_knn": "knn",
    "ProbeResult": "linear",
    "common_dim": "linear",
    "linear_probe": "linear",
    "Features": "scores",
    "Score": "scores",
    "compare": "table",
    "evaluate_features": "scores",
    "from_json": "scores",
    "render": "table",
    "to_json": "scores",
    "verdict": "table",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'multiview.measure' has no attribute '{name}'")
    return getattr(import_module(f"multiview.measure.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
