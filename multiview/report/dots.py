"""Values with their intervals as a drawing: one line for each value, on a common axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from multiview.errors import printable
from multiview.measure.intervals import Interval

LEFT, WIDTH, RIGHT, LINE, TOP = 142, 470, 72, 22, 8
LETTERS = 16
"""Most characters of a label."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One value. kind: `trained`, `random`, `raw`, `A`: the colour. text: the value in words."""

    label: str
    kind: str
    value: float
    interval: Interval | None
    text: str


def dots(rows: Sequence[Dot], low: float, high: float, name: str, unit: float = 1.0) -> Markup:
    """The drawing as SVG; the axis goes from `low` to `high`, in percent where the texts are.

    name: its description. unit: one of the axis's numbers, such as 0.01 for percentage points.
    """
    height = TOP + LINE * len(rows) + 24
    drawn = [
        _row(row, TOP + LINE * i + LINE / 2, low, high, i > 0 and rows[i - 1].label == row.label)
        for i, row in enumerate(rows)
    ]
    percent = all(row.text.endswith("%") for row in rows)
    unit, sign = (0.01, " %") if percent else (unit, "")
    ticks = [low + (high - low) * k / 4 for k in range(5)]
    axis = [_tick(_x(x, low, high), f"{round(x / unit, 3):g}{sign}", height - 20) for x in ticks]
    return Markup('<svg class="dots" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, height, name, Markup("").join(axis), Markup("").join(drawn)
    )


def nice_top(values: Sequence[float]) -> float:
    """The next of .1, .2, .4, .6, .8 and 1 above all values."""
    return next((top for top in (0.1, 0.2, 0.4, 0.6, 0.8) if max(values, default=0) <= top), 1.0)


def _x(value: float, low: float, high: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (min(max(value, low), high) - low) / (high - low), 1)


def _tick(x: float, text: str, bottom: int) -> Markup:
    return Markup(
        '<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/><text class="tick" x="{0}" y="{3}">{4}</text>'
    ).format(x, TOP, bottom, bottom + 14, text)


def _row(row: Dot, y: float, low: float, high: float, again: bool) -> Markup:
    label = printable(row.label)
    short = label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
    parts = [Markup('<g class="k-{}"><title>{} {}: {}</title>').format(row.kind, label, row.kind, row.text)]
    if not again:
        parts.append(Markup('<text class="label" x="{}" y="{}">{}</text>').format(LEFT - 12, y + 4, short))
    if row.interval:
        ends = _x(row.interval.low, low, high), _x(row.interval.high, low, high)
        parts.append(Markup('<line class="bar" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(*ends, y, y))
    parts.append(Markup('<circle cx="{}" cy="{}" r="5"/>').format(_x(row.value, low, high), y))
    parts.append(Markup('<text class="value" x="{}" y="{}">{}</text></g>').format(WIDTH - RIGHT + 14, y + 4, row.text))
    return Markup("").join(parts)


def words(text: str) -> Markup:
    """A foreign text without control characters, escaped."""
    return escape(printable(text))
