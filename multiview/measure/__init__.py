"""Did the encoders learn? kNN, linear probe and segmentation of frozen features, beside controls.

A measure returns plain rows (`rows.Measure`); `files` writes and reads them, `table` prints them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiview.measure.features import Features as Features
    from multiview.measure.features import measure_features as measure_features
    from multiview.measure.files import from_json as from_json
    from multiview.measure.files import rows_from_json as rows_from_json
    from multiview.measure.files import to_json as to_json
    from multiview.measure.knn import weighted_knn as weighted_knn
    from multiview.measure.linear import ProbeResult as ProbeResult
    from multiview.measure.linear import common_dim as common_dim
    from multiview.measure.linear import linear_probe as linear_probe
    from multiview.measure.rows import Measure as Measure
    from multiview.measure.scores import Score as Score
    from multiview.measure.scores import evaluate_features as evaluate_features
    from multiview.measure.sentences import verdict as verdict
    from multiview.measure.table import compare as compare
    from multiview.measure.table import render as render

# Imported on first use: training needs kNN without waiting for scikit-learn.
_HOMES = {
    "Features": "features",
    "Measure": "rows",
    "ProbeResult": "linear",
    "Score": "scores",
    "common_dim": "linear",
    "compare": "table",
    "evaluate_features": "scores",
    "from_json": "files",
    "linear_probe": "linear",
    "measure_features": "features",
    "render": "table",
    "rows_from_json": "files",
    "to_json": "files",
    "verdict": "sentences",
    "weighted_knn": "knn",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'multiview.measure' has no attribute '{name}'")
    return getattr(import_module(f"multiview.measure.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
