"""The drawing of the evidence: every paired difference with its 95 % interval, on one axis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _evidence_page import HOLDS
from markupsafe import Markup

from multiview.measure.intervals import Margin
from multiview.settings import t_interval

LEFT, RIGHT, WIDTH, LINE, TOP, BOTTOM = 330, 650, 790, 22, 34, 48
TITLE = "Paired differences of the measured claims in points, with 95 % intervals over seeds"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.s{font-size:11px;fill:#555}.t{font-size:14px;font-weight:600}"
    ".g{stroke:#d5d9e2}.z{stroke:#5b6b8c;stroke-width:1.5}.y{stroke:#2e7d4f;fill:#2e7d4f;stroke-width:2}"
    ".n{stroke:#b3423a;fill:#b3423a;stroke-width:2}"
)
SHAPE = {
    "y": '<circle class="y" cx="{0:.1f}" cy="{1:.1f}" r="4"/>',
    "n": '<path class="n" d="M{0:.1f} {2:.1f}l5 5-5 5-5-5z"/>',
}


class Row(NamedTuple):
    """One difference. holds: whether the claim of it holds."""

    label: str
    margin: Margin
    holds: bool


def drawing(claims: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The SVG of all results in a folder."""
    rows = rows_of(claims, folder)
    most = max([5.0, *(100 * max(abs(row.margin.low), abs(row.margin.high)) for row in rows)])
    most = next((top for top in (5, 10, 20, 40, 60, 80) if most <= top), 100)
    height = TOP + LINE * len(rows) + BOTTOM
    parts = [*_axis(most, height), *(_row(row, TOP + LINE * i + LINE / 2, most) for i, row in enumerate(rows))]
    start = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
        'aria-label="{2}"><title>{2}</title><style>{3}</style><rect width="{0}" height="{1}" rx="8" fill="#f7f8fb"/>'
        '<text class="t" x="16" y="22">Differences in points, 95 % intervals</text>{4}</svg>\n'
    )
    return str(start.format(WIDTH, height, TITLE, Markup(STYLE), Markup("\n").join(parts)))


def rows_of(claims: Sequence[Mapping[str, Any]], folder: Path) -> list[Row]:
    """The differences that the claims are judged by, in their order."""
    rows = []
    for claim in claims:
        file = folder / f"{claim['name']}.json"
        if file.is_file():
            rows += _of_claim(claim, json.loads(file.read_text("utf-8")))
    return rows


def _of_claim(claim: Mapping[str, Any], result: Mapping[str, Any]) -> list[Row]:
    name, holds = claim["name"], result["verdict"] == HOLDS
    base, *others = result["variants"]
    of = {other: result["variants"][other]["trained"] for other in others}
    labels = {other: f"{name}: {base} minus {other}" for other in others}
    if claim["expect"] == "untrained":
        of, labels = {base: result["variants"][base]["random"]}, {base: f"{name}: trained minus random"}
    ours = result["variants"][base]["trained"]
    pairs = {key: [x - y for x, y in zip(ours, values, strict=True)] for key, values in of.items()}
    return [Row(labels[key].replace("_", " "), t_interval(pair), holds) for key, pair in pairs.items() if len(pair) > 1]


def _x(points: float, most: float) -> float:
    return (LEFT + RIGHT) / 2 + (RIGHT - LEFT) / 2 * min(1.0, max(-1.0, points / most))


def _axis(most: float, height: int) -> list[Markup]:
    bottom = height - BOTTOM + 6
    parts = [
        Markup(
            '<line class="{}" x1="{x}" x2="{x}" y1="{}" y2="{}"/>'
            '<text class="s" x="{x}" y="{}" text-anchor="middle">{}</text>'
        ).format(
            "g" if points else "z", TOP, bottom, bottom + 15, f"{points:+g}" if points else "0", x=_x(points, most)
        )
        for points in (-most, -most / 2, 0, most / 2, most)
    ]
    key = [("y", 16, "the claim holds"), ("n", 150, "it does not hold")]
    for kind, x, text in key:
        y = height - 12
        parts.append(Markup(SHAPE[kind]).format(x + 5, y - 4, y - 9))
        parts.append(Markup('<text class="s" x="{}" y="{}">{}</text>').format(x + 16, y, text))
    return parts


def _row(row: Row, y: float, most: float) -> Markup:
    kind = "y" if row.holds else "n"
    low, mid, high = (_x(100 * value, most) for value in (row.margin.low, row.margin.points, row.margin.high))
    line = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{y}" y2="{y}"/>').format(kind, low, high, y=y)
    label = Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 8, y + 4, row.label)
    numbers = tuple(100 * value for value in (row.margin.points, row.margin.low, row.margin.high))
    text = Markup('<text class="s" x="{}" y="{}">{:+.1f} [{:.1f}, {:.1f}]</text>').format(RIGHT + 14, y + 4, *numbers)
    return label + line + Markup(SHAPE[kind]).format(mid, y, y - 5) + text
