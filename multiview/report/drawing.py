"""The contrast graph as a drawing: views in a circle, edges between them, hyperedges as stars.

The colour of an edge says how near it is to its ceiling, and its width is its weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

from markupsafe import Markup

from multiview.errors import printable
from multiview.report.gather import Gathered

WIDTH, BOX, TALL = 500, 134, 46
UNKNOWN = "unknown"
LETTERS = 18
Places = list[tuple[float, float]]


@dataclass(frozen=True)
class Edge:
    """An edge as drawn. share: its bound on mutual information / the ceiling; None = not known."""

    name: str
    views: tuple[str, ...]
    weight: float
    share: float | None
    said: str


def edges_of(run: Gathered) -> list[Edge]:
    """The edges of a run, with their newest measures."""
    stored: Mapping[str, Any] = {edge["name"]: edge for edge in run.data.get("graph", {}).get("edges", [])}
    return [_edge(name, views, stored.get(name, {}), run.run.health.get(name, {})) for name, views in run.edges.items()]


def _edge(name: str, views: tuple[str, ...], stored: Mapping[str, Any], measured: Mapping[str, float]) -> Edge:
    ceiling, bound = measured.get("ceiling"), measured.get("bound")
    share = min(max(bound / ceiling, 0.0), 1.0) if ceiling and bound is not None else None
    said = [f"{stored['objective']}({stored.get('options', '')})" if stored.get("objective") else ""]
    said += [f"weight {stored['weight']}"] if stored.get("weight") else []
    said += (
        [f"{bound:.2f} of at most {ceiling:.2f} nats shown"] if ceiling and bound is not None else ["ceiling not known"]
    )
    text = printable(", ".join(part for part in said if part))
    return Edge(name, views, float(stored.get("size", 1.0)), share, text)


def svg(run: Gathered) -> Markup:
    """The drawing as SVG. Views and edges carry their names as `data-view` and `data-edge`."""
    views, edges = run.views, edges_of(run)
    loops = any(len(set(edge.views)) == 1 for edge in edges)
    height = (110 + 140 * loops) if len(views) <= 2 else min(170 + 60 * len(views), 520)
    places = _places(views, height)
    thickest = max((edge.weight for edge in edges), default=1.0) or 1.0
    seen: dict[tuple[str, ...], int] = {}
    taken: Places = []
    lines = []
    for edge in edges:
        number = seen[edge.views] = seen.get(edge.views, -1) + 1
        lines.append(_line(edge, [places[view] for view in edge.views if view in places], thickest, number, taken))
    drawn = [*(line for line, _ in lines), *(value for _, value in lines)]  # no line crosses a value
    drawn += [_node(view, *places[view], run) for view in views]
    return Markup(
        '<svg id="graph-drawing" viewBox="0 0 {} {}" role="group" aria-label="contrast graph">{}</svg>'
    ).format(WIDTH, height, Markup("").join(drawn))


def _places(views: Sequence[str], height: int) -> dict[str, tuple[float, float]]:
    if len(views) == 1:
        return {views[0]: (WIDTH / 2, height / 2 + 50)}
    start = pi if len(views) == 2 else -pi / 2
    wide, tall = WIDTH / 2 - BOX / 2 - 8, height / 2 - TALL / 2 - 14
    angles = [start + 2 * pi * i / len(views) for i in range(len(views))]
    return {
        view: (WIDTH / 2 + wide * cos(a), height / 2 + tall * sin(a)) for view, a in zip(views, angles, strict=True)
    }


def _line(
    edge: Edge, ends: Sequence[tuple[float, float]], thickest: float, number: int, taken: Places
) -> tuple[Markup, Markup]:
    """An edge and its value. number: of edges of the same views before. taken: places of values."""
    width = round(2 + 6 * edge.weight / thickest, 1)
    paths, x, y = _paths(ends, number)
    if len(ends) == 2 and number == 0 and any(abs(x - a) < 50 and abs(y - b) < 24 for a, b in taken):
        x, y = (0.65 * a + 0.35 * b for a, b in zip(*ends, strict=True))  # beside the other value
    taken.append((x, y))
    level = UNKNOWN if edge.share is None else str(min(int(edge.share * 5), 4))
    name, share = printable(edge.name), "?" if edge.share is None else f"{100 * edge.share:.0f} %"
    path_of = Markup('<path class="hit" d="{0}"/><path d="{0}" stroke-width="{1}"/>')
    drawn = Markup("").join(path_of.format(path, width) for path in paths)
    tag, text = (round(x - 24, 1), round(y - 10, 1)), (round(x, 1), round(y + 4, 1))
    line = Markup(
        '<g class="edge level-{}" tabindex="0" role="button" data-edge="{}" aria-label="edge {}">'
        "<title>{}: {}</title>{}</g>"
    ).format(level, name, name, name, edge.said, drawn)
    value = Markup(
        '<g class="of level-{}"><rect class="tag" x="{}" y="{}" width="48" height="20" rx="10"/>'
        '<text class="share" x="{}" y="{}">{}</text></g>'
    ).format(level, *tag, *text, share)
    return line, value


def _paths(ends: Sequence[tuple[float, float]], number: int) -> tuple[list[str], float, float]:
    """The lines of an edge, and where its value stands.

    Two views: a curve, which bends from the second edge of the same views on. One view: a loop.
    Three and more: a star.
    """
    x, y = (sum(end[k] for end in ends) / max(len(ends), 1) for k in (0, 1))
    if len(set(ends)) == 1:
        rise = y - 120 - 60 * number
        loop = f"M{x - 40:.1f} {y:.1f}C{x - 70:.1f} {rise:.1f} {x + 70:.1f} {rise:.1f} {x + 40:.1f} {y:.1f}"
        return [loop], x, y - 90 - 45 * number
    if len(ends) == 2:
        (x1, y1), (x2, y2) = ends
        bend = 46 * ((number + 1) // 2) * (-1) ** number
        return [f"M{x1:.1f} {y1:.1f}Q{x:.1f} {y + 2 * bend:.1f} {x2:.1f} {y2:.1f}"], x, y + bend
    return [f"M{x:.1f} {y:.1f}L{x1:.1f} {y1:.1f}" for x1, y1 in ends], x, y


def _node(view: str, x: float, y: float, run: Gathered) -> Markup:
    graph = run.data.get("graph", {})
    encoder = next((each for each in graph.get("encoders", []) if view in each.get("views", ())), None)
    under = f"{encoder['kind']}, h {encoder['features']}" if encoder else "view"
    name = printable(view)
    return Markup(
        '<g class="node" tabindex="0" role="button" data-view="{}" aria-label="view {}"><title>{}</title>'
        '<rect x="{}" y="{}" width="{}" height="{}" rx="10"/><text class="name" x="{}" y="{}">{}</text>'
        '<text class="under" x="{}" y="{}">{}</text></g>'
    ).format(
        name, name, name, round(x - BOX / 2, 1), round(y - TALL / 2, 1), BOX, TALL, round(x, 1), round(y - 3, 1),
        _short(name), round(x, 1), round(y + 14, 1), _short(printable(under), 24),
    )  # fmt: skip


def _short(text: str, letters: int = LETTERS) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
