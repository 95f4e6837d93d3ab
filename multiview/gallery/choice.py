"""Which samples the page of a run shows, and of which of them it has pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from multiview.gallery.held_out import HeldOut
from multiview.gallery.neighbours import Found, failures
from multiview.gallery.orders import SPREAD, Numbers

Key = tuple[str, int]
"""A view, and the number of a sample."""
SHOWN = 10
"""Samples of the table of the data."""
QUERIES = 48
"""Most queries of the gallery, of all orders together."""
FAILURES = 6
"""Most failures of a pair of views."""
PICTURES = 800
"""Most pictures of a page; twice as many when no view is an image."""


@dataclass(frozen=True)
class Choice:
    """What is shown, as numbers of samples.

    Args:
        table: the samples that are shown in all views.
        queries: query -> view of the query -> view of the gallery -> what was found.
        failures: pairs of views, with the queries that did not find their own sample.
        pictures: the pictures to draw.
        orders: name of an order -> its queries, see `multiview.gallery.orders`.
    """

    table: list[int]
    queries: dict[int, dict[str, dict[str, Any]]]
    orders: dict[str, list[int]]
    failures: list[dict[str, Any]]
    pictures: set[Key]


def choose(
    held: HeldOut,
    found: Mapping[tuple[str, str], Found],
    searched: Mapping[tuple[str, str], Found],
    wanted: Mapping[str, Numbers],
    doubled: Iterable[int] = (),
    most: int = PICTURES,
) -> Choice:
    """Chooses as many samples as `most` pictures allow.

    In this order: the table and `doubled` samples in all views, queries of every order and what
    they found, failures of every pair of views, and the first view of further samples for the map.
    """
    views, count = list(held.z), len(held.rows)
    table = _evenly(range(count), SHOWN)
    twins = list(doubled)[: most // (4 * len(views))]
    pictures = {(view, i) for i in dict.fromkeys([*table, *twins]) for view in views}
    queries: dict[int, dict[str, dict[str, Any]]] = {}
    orders: dict[str, list[int]] = {name: [] for name in wanted}
    for name, i in _in_turns(wanted):
        of_query = queries.get(i) or {a: {b: found[a, b].of(i) for b in views if (a, b) in found} for a in views}
        needed = {(view, i) for view in views} | _shown(of_query)
        if len(pictures | needed) <= most // 2 or not queries:
            pictures |= needed
            queries[i] = of_query
            orders[name].append(i)
    missed = _failures(searched, pictures, most)
    spare = most - len(pictures)
    pictures |= {(views[0], i) for i in _evenly(range(count), max(spare, 0))}
    return Choice(table, queries, {name: each for name, each in orders.items() if each}, missed, pictures)


def _in_turns(wanted: Mapping[str, Numbers]) -> Iterator[tuple[str, int]]:
    """An order and one of its samples, the orders in turns, as many as `QUERIES` allows."""
    most = QUERIES // max(len(wanted), 1)
    firsts = {
        name: _evenly(each, most) if name == SPREAD else [int(i) for i in each[:most]] for name, each in wanted.items()
    }
    for place in range(most):
        yield from ((name, each[place]) for name, each in firsts.items() if place < len(each))


def _failures(searched: Mapping[tuple[str, str], Found], pictures: set[Key], most: int) -> list[dict[str, Any]]:
    """The failures of every pair; adds their pictures, a third of `most` at the most."""
    each = max(1, min(FAILURES, most // (3 * 7 * max(len(searched), 1))))
    listed = []
    for (a, b), found in searched.items():
        cases: list[dict[str, Any]] = [{"sample": i, **found.of(i)} for i in failures(found, each)]
        missed, of = int((found.rank > 1).sum()), int((found.rank > 0).sum())
        listed.append({"query": a, "gallery": b, "missed": missed, "of": of, "cases": cases})
        pictures |= {key for case in cases for key in ((a, case["sample"]), (b, case["sample"]))}
        pictures |= {(b, i) for case in cases for i in case["top"]}
    return listed


def _shown(of_query: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> set[Key]:
    return {(b, i) for of_view in of_query.values() for b, found in of_view.items() for i in found["top"]}


def _evenly(samples: Iterable[int], most: int) -> list[int]:
    every = np.asarray(list(samples))
    if len(every) > most:
        every = every[np.linspace(0, len(every) - 1, most).astype(int)] if most else every[:0]
    return [int(x) for x in every]


def shown_first(choice: Choice, view: str) -> list[int]:
    """The samples with a picture in a view: queries and table first, then the others."""
    pictured = {i for each, i in choice.pictures if each == view}
    ordered = dict.fromkeys([*choice.queries, *choice.table, *sorted(pictured)])
    return [i for i in ordered if i in pictured]
