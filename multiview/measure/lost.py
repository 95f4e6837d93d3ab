"""What training lost: facts of a sample, and neighbours of one label, that random weights keep."""

from __future__ import annotations

from collections.abc import Iterable

from multiview.measure.intervals import Margin, margin
from multiview.measure.rows import CONCAT, KEPT, KNN, RANDOM, TRAINED, Measure, margin_of

LOSS, LEAST = 0.03, 0.1
"""Of R²: smaller losses are not worth a sentence; of a fact with less, nothing can be lost."""


def lost_facts(rows: Iterable[Measure]) -> list[tuple[Measure, Margin]]:
    """The facts that training lost beyond noise, and by how much of R²."""
    kept = [row for row in rows if row.measure.startswith(KEPT) and row.weights == TRAINED]
    margins = [(row, m) for row in kept if (m := margin_of(row))]
    kept_before = [(row, m) for row, m in margins if row.value - m.points >= LEAST]
    return [(row, m) for row, m in kept_before if m.high < 0 and m.points <= -LOSS]


def lost_neighbours(rows: Iterable[Measure]) -> tuple[float, float] | None:
    """The accuracy of kNN on all views, trained and untrained, where training made it worse."""
    found = {(row.group, row.weights): row for row in rows if row.measure == KNN}
    groups = [group for group, weights in found if weights == TRAINED]
    group = CONCAT if CONCAT in groups else next(iter(groups), "")
    if (group, RANDOM) not in found:
        return None
    trained, random = found[group, TRAINED], found[group, RANDOM]
    below = margin(trained.value, random.value, trained.tested, random.tested).high < 0
    return (trained.value, random.value) if below else None
