"""Writes `report/data.json` of a run: what its page needs from the data and the encoders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview.cores import one_thread
from multiview.data.inspect.summary import summarise
from multiview.distributed import rank
from multiview.files import refuse_link, replace_text
from multiview.gallery.choice import PICTURES, Choice, choose, shown_first
from multiview.gallery.duplicates import duplicates
from multiview.gallery.held_out import HeldOut, held_out
from multiview.gallery.neighbours import neighbours, searches
from multiview.gallery.numbers import numbers
from multiview.gallery.orders import orders
from multiview.gallery.projection import projected
from multiview.gallery.sounds import sounds
from multiview.gallery.store_facts import store_facts
from multiview.gallery.thumbnails import SIDE, thumbnail
from multiview.graphs.facts import facts_of
from multiview.measure.embeddings import share_buffers
from multiview.measure.files import REPORT_DATA

if TYPE_CHECKING:
    from multiview.trained import Trained

SCHEMA = 1
MOST_BYTES = 2_400_000
"""Bytes of all pictures; when they need more, they are drawn smaller."""
SIDES = (SIDE, 48, 32)


def write_gallery(trained: Trained) -> Path | None:
    """Writes the file in the run folder and returns its path; None in other processes.

    Every process must call it. Raises OSError when the file cannot be written.
    """
    share_buffers(trained.model)
    held = held_out(trained)
    if trained.folder is None or rank() != 0:
        return None
    file = trained.folder / REPORT_DATA
    refuse_link(file.parent)
    file.parent.mkdir(exist_ok=True)
    replace_text(file, json.dumps(content(trained, held)) + "\n")
    return file


def content(trained: Trained, held: HeldOut | None) -> dict[str, Any]:
    """All that the file holds, as plain values, with the keys that `multiview.report` reads."""
    facts = {
        "schema": SCHEMA,
        "graph": graph_of(trained),
        "store": [list(line) for line in summarise(trained.store)],
        **store_facts(trained.store),
    }
    if held is None:
        return facts
    found = neighbours(held)
    pairs = duplicates(trained.store, held, found)
    doubled = [i for pair in pairs for i in (pair["a"], pair["b"])]
    searched = searches(held, found)
    choice = choose(held, found, searched, orders(held, found, searched), doubled, _most_pictures(trained))
    ids, labels, classes = trained.store.ids, trained.store.labels, trained.store.manifest.classes
    samples = [{"id": ids[row], "label": int(labels[row])} for row in held.rows.tolist()]
    return facts | {
        "split": held.split,
        "views": list(held.z),
        "classes": list(classes),
        "samples": samples,
        "table": choice.table,
        "queries": [{"sample": i, "found": of_query} for i, of_query in choice.queries.items()],
        "orders": choice.orders,
        "duplicates": pairs,
        "failures": choice.failures,
        "map": projected(held),
        "pictures": _pictures(trained, held, choice),
        **_heard_and_read(trained, held, choice),
    }


def _heard_and_read(trained: Trained, held: HeldOut, choice: Choice) -> dict[str, Any]:
    """`sounds` and `numbers` of the views of sound and of tables.

    View -> the sounds of `multiview.gallery.sounds`; two views of one modality share them: the
    second one holds the name of the first. View -> the numbers of `multiview.gallery.numbers`.
    """
    store, views = trained.store, {view: trained.setup.views[view].modality for view in held.z}
    heard: dict[str, Any] = {}
    read: dict[str, Any] = {}
    first: dict[str, str] = {}
    for view, modality in views.items():
        kind = store.modality(modality).kind
        again = first.setdefault(modality, view)
        rows = [(i, int(held.rows[i])) for i in shown_first(choice, view)]
        if kind == "audio":
            heard[view] = again if again != view else sounds(store, modality, rows)
        elif kind == "table":
            read[view] = again if again != view else numbers(store, modality, rows)
    return {"sounds": heard, "numbers": read}


def _most_pictures(trained: Trained) -> int:
    spatial = any(trained.store.modality(view.modality).spatial for view in trained.setup.views.values())
    return PICTURES if spatial else 2 * PICTURES


def graph_of(trained: Trained) -> dict[str, Any]:
    """Views, encoders and edges of the run, with the weight of every edge as a number."""
    facts = asdict(facts_of(trained.setup, trained.model))
    weights = {name: float(edge.weight) for name, edge in trained.setup.graph.named_edges().items()}
    return facts | {"edges": [edge | {"size": weights[edge["name"]]} for edge in facts["edges"]]}


def _pictures(trained: Trained, held: HeldOut, choice: Choice) -> dict[str, dict[str, str]]:
    """view -> number of the sample -> its picture or text."""
    made: dict[str, dict[str, str]] = {}
    with one_thread():  # one small picture at a time
        for side in SIDES:
            made = _drawn(trained, held, choice, side)
            if sum(len(text) for of_view in made.values() for text in of_view.values()) <= MOST_BYTES:
                break
    return made


def _drawn(trained: Trained, held: HeldOut, choice: Choice, side: int) -> dict[str, dict[str, str]]:
    made: dict[str, dict[str, str]] = {view: {} for view in held.z}
    for view, i in sorted(choice.pictures):
        text = (
            thumbnail(trained.store, trained.setup.views[view], int(held.rows[i]), side)
            if held.present[view][i]
            else None
        )
        if text is not None:
            made[view][str(i)] = text
    return made
