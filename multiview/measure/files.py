"""The JSON file of measured rows: `evaluation.json` and `segmentation.json` of a run.

Files of earlier versions are read too: schema 1, a list of scores, and segmentation files that are
a list without a schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview import typed
from multiview.errors import MultiviewError
from multiview.measure.intervals import Interval
from multiview.measure.rowform import checked
from multiview.measure.rows import MIOU, PIXEL_ACCURACY, Measure, short_weights
from multiview.measure.scores import Score, measures_of, scores_of
from multiview.parsing import MALFORMED

if TYPE_CHECKING:
    from multiview.trained import Trained

SCHEMA = 2
EVALUATION = "evaluation.json"
SEGMENTATION = "segmentation.json"
REPORT_DATA = "report/data.json"
"""What the page of a run needs from the data and the encoders."""


def file_of(trained: Trained, name: str) -> Path:
    """The file in the folder of a run for rows that were measured on its data.

    `evaluation.json` for the run's own data; for other data `evaluation-DATA-HASH.json`, named
    after the data and the hash of their manifest.
    """
    assert trained.folder is not None
    if not trained.other_data:
        return trained.folder / name
    stem, _, ending = name.rpartition(".")
    data = re.sub(r"[^\w.-]+", "-", Path(trained.other_data).name).strip("-.") or "data"
    return trained.folder / f"{stem}-{data[:40]}-{trained.store.manifest.hash[:8]}.{ending}"


def to_json(rows: Iterable[Measure | Score]) -> str:
    """The JSON text of an evaluation file, for `rows_from_json` and other programs."""
    return json.dumps({"schema": SCHEMA, "rows": [asdict(row) for row in measures_of(rows)]}, indent=1) + "\n"


def from_json(text: str) -> list[Score]:
    """The scores in the text of an evaluation file; raises MultiviewError for other text."""
    return scores_of(rows_from_json(text))


def rows_from_json(text: str) -> list[Measure]:
    """The rows in the text of an evaluation file; raises MultiviewError for other text."""
    try:
        content = json.loads(text)
        if isinstance(content, list) and content:
            return [checked(row) for old in content for row in _old_segmentation(**old)]
        schema = content["schema"]
        if schema == 1:
            return [checked(row) for row in measures_of(Score(**row) for row in content["scores"])]
        if schema == SCHEMA:
            return [checked(_row(values)) for values in content["rows"]]
    except MALFORMED as cause:
        raise MultiviewError(
            f"these are not evaluation scores ({type(cause).__name__}: {cause}); expected 'schema' and a list 'rows' "
            f"of {', '.join(column.name for column in fields(Measure))}. "
            "Write them anew with: multiview evaluate RUN"
        ) from cause
    raise MultiviewError(
        f"these evaluation scores have schema {schema}, this version reads 1 and {SCHEMA}. Update multiview-cmc, or "
        "write them anew with: multiview evaluate RUN"
    )


def _row(values: dict[str, Any]) -> Measure:
    limits, interval = values["range"], values["interval"]
    made = {
        "views": typed.list_of(typed.text)(values["views"]),
        "range": limits and tuple(limits),
        "interval": interval and Interval(**interval),
    }
    return Measure(**values | made)


def _old_segmentation(
    *, features: str, view: str, width: int, pixel: float, miou: float, train: int, test: int, **facts: Any
) -> list[Measure]:
    common: dict[str, Any] = {"views": (view,), "group": view, "weights": short_weights(features), "width": width}
    samples = {"train": train, "test": test}
    values = {PIXEL_ACCURACY: pixel, MIOU: miou}
    return [Measure(measure=name, value=x, samples=samples, facts=facts, **common) for name, x in values.items()]
