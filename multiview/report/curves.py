"""The curves of one or several runs, as plain values that the page draws with plotly.js."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multiview.report.gather import Gathered

POINTS = 1000
"""Most points of a line."""
LEAST, ALL_POINTS = 60, 40_000
"""Fewest points of a long line, and about the most points of all lines."""
OF_VIEWS = (
    ("effective_rank", "effective rank", "directions"),
    ("std", "spread of embeddings", "std * sqrt(d)"),
    ("knn", "kNN accuracy", "fraction"),
)
OF_RUN = (("lr", "learning rate", ""), ("samples_per_second", "speed", "samples per second"))
FROM_ZERO = ("directions", "std * sqrt(d)", "fraction", "samples per second")
"""Units of which the axis begins at zero."""

Figure = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A figure to draw. lines: (name in metrics, label, style). of: whose warnings are marked."""

    title: str
    unit: str
    lines: Sequence[tuple[str, str, str]]
    edge: str = ""
    views: Sequence[str] = ()
    of: Sequence[str] = ()


def figures(runs: Sequence[Gathered], colours: Sequence[int]) -> list[Figure]:
    """All figures: of the edges, of the views, of the run. colours: one number for each run."""
    edges = {name: views for run in runs for name, views in run.edges.items()}
    views = list(dict.fromkeys(view for run in runs for view in run.views))
    specs = [*_of_edges(edges), *(_of_views(views) if len(runs) == 1 else _of_each_view(views))]
    specs += [Spec(title=title, unit=unit, lines=[(key, title, "solid")]) for key, title, unit in OF_RUN]
    most = min(POINTS, max(LEAST, ALL_POINTS // max(len(runs) * sum(len(spec.lines) for spec in specs), 1)))
    found = [_figure(runs, colours, spec, most) for spec in specs]
    return [{"id": f"figure-{i}", **figure} for i, figure in enumerate(each for each in found if each["lines"])]


def _of_edges(edges: Mapping[str, tuple[str, ...]]) -> Iterator[Spec]:
    for name, views in edges.items():
        common: dict[str, Any] = {"edge": name, "views": views, "of": (name,)}
        yield Spec(title=f"loss of {name}", unit="loss", lines=[(f"loss/{name}", "loss", "solid")], **common)
        lines = [(f"bound/{name}", "information shown", "solid"), (f"ceiling/{name}", "ceiling ln(K+1)", "dash")]
        yield Spec(title=f"shared information of {name}", unit="nats", lines=lines, **common)


def _of_views(views: Sequence[str]) -> Iterator[Spec]:
    """One figure for each measure, with a line for each view."""
    for key, title, unit in OF_VIEWS:
        yield Spec(title=title, unit=unit, lines=[(f"{key}/{view}", view, "solid") for view in views], of=views)


def _of_each_view(views: Sequence[str]) -> Iterator[Spec]:
    """One figure for each measure and view, for the lines of several runs."""
    for view in views:
        for key, title, unit in OF_VIEWS:
            lines = [(f"{key}/{view}", title, "solid")]
            yield Spec(title=f"{title} of {view}", unit=unit, lines=lines, views=(view,), of=(view,))


def _figure(runs: Sequence[Gathered], colours: Sequence[int], spec: Spec, most: int) -> Figure:
    drawn = []
    for run, colour in zip(runs, colours, strict=True):
        for number, (key, name, style) in enumerate(spec.lines):
            x, y = line_of(run, key, most)
            label = name if len(runs) == 1 else run.name if style == "solid" else f"{run.name}, {name}"
            shade = number if len(runs) == 1 and not spec.edge else colour
            drawn += [{"name": label, "x": x, "y": y, "style": style, "colour": shade}] if x else []
    return {
        "title": spec.title,
        "unit": spec.unit,
        "lines": drawn,
        "from_zero": spec.unit in FROM_ZERO,
        "marks": [mark for run in runs for mark in _marks(run, spec.of)],
        "views": list(spec.views),
        "edge": spec.edge,
    }


def line_of(run: Gathered, key: str, most: int = POINTS) -> tuple[list[float], list[float]]:
    """Steps and values of one number of the metrics, at most `most`, the last one included."""
    known = [(line["step"], line[key]) for line in run.run.metrics if isinstance(line.get(key), int | float)]
    stride = -(-len(known) // most)
    kept = known[::-1][:: max(stride, 1)][::-1]
    return [x for x, _ in kept], [y for _, y in kept]


def _marks(run: Gathered, of: Sequence[str]) -> list[dict[str, Any]]:
    """Where the run was continued, and the warnings about these edges or views."""
    resumed = [
        {"step": step, "kind": "resume", "text": f"{run.name}: continued at step {step}"} for step in run.resumes
    ]
    warned = [
        {"step": line.get("step", 0), "kind": "warning", "text": line["text"]}
        for line in run.warnings
        if line.get("of") in of
    ]
    return resumed + warned
