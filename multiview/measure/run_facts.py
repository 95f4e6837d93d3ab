"""Facts of rows that depend on the run: names of controls, advice, what changes a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from multiview.measure.kept_sentences import ADVICE, ALIKE, CHANGES, ONE_PLACE
from multiview.measure.rows import CALLED, KEPT, RAW, RAW_VALUES, TRAINED, UNIFORMITY, Measure
from multiview.objectives.collapse import collapse_advice
from multiview.setup_record import SETUP
from multiview.train.runfolder import optimizer_of
from multiview.train.shared_crops import views_of_one_place

if TYPE_CHECKING:
    from multiview.trained import Trained


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
    folder = trained.folder
    python = folder is not None and (folder / SETUP).is_file()
    advice = collapse_advice(objectives, optimizer_of(folder) if folder else None, python)
    return [replace(row, facts={**row.facts, ADVICE: advice}) if row in ill else row for row in rows]


def with_changes(rows: Sequence[Measure], trained: Trained) -> list[Measure]:
    """The rows; those of kept facts say what changed their view, and whether it shares a crop."""
    views, at_one_place = trained.setup.views, views_of_one_place(trained.setup)
    changes = {
        name: [what for what, one in (("colours", view.augment), ("values", view.mask or view.distort)) if one]
        for name, view in views.items()
    }
    return [
        replace(row, facts={**row.facts, CHANGES: changes[row.group], ONE_PLACE: row.group in at_one_place})
        if row.measure.startswith(KEPT) and row.group in changes
        else row
        for row in rows
    ]
