"""Draws the facts of a graph as one SVG file that needs no other file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from multiview.errors import printable
from multiview.graphs.facts import EdgeFact, EncoderFact, Facts, ViewFact

GAP, LINE, PAD, HEAD = 18, 17, 12, 56
COLUMNS = ((24, 230), (340, 250), (680, 380))
"""Left side and width of the columns: views, encoders, edges."""
PALETTE = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777")
"""One colour for each objective."""
STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#334155}
.name{font-weight:600;font-size:14px;fill:#0f172a}
.head{font-weight:600;font-size:12px;fill:#64748b;letter-spacing:.08em}
.box{fill:#fff;stroke:#cbd5e1;stroke-width:1.2}
.way{fill:none;stroke:#94a3b8;stroke-width:1.4}
.edge{fill:none;stroke-width:2;opacity:.75}
"""


@dataclass
class Box:
    """A box with lines of text; the first line is its name."""

    lines: list[str]
    column: int
    colour: str = ""
    top: float = 0.0

    @property
    def height(self) -> float:
        """Pixels from the top to the bottom."""
        return 2 * PAD + LINE * len(self.lines) - 4

    @property
    def middle(self) -> float:
        """Pixels from the top of the picture to the middle of the box."""
        return self.top + self.height / 2


def svg_of(facts: Facts) -> str:
    """The text of the SVG file."""
    views, encoders, edges = boxes_of(facts)
    stacks = [list(each.values()) for each in (views, encoders, edges)]
    tallest = max(_height(boxes) for boxes in stacks)
    for boxes in stacks:
        _spread(boxes, HEAD, tallest)
    owner = {view: each.name for each in facts.encoders for view in each.views}
    ways = [_curve(views[view], encoders[name], "way") for view, name in owner.items()]
    ways += [line for edge in facts.edges for line in _edge_curves(edge, encoders, owner, edges[edge.name])]
    drawn = [part for boxes in stacks for box in boxes for part in _drawn(box)]
    return _svg(HEAD + tallest + 24, [*_heads(), *ways, *drawn])


def boxes_of(facts: Facts) -> tuple[dict[str, Box], dict[str, Box], dict[str, Box]]:
    """The boxes of the views, the encoders and the edges, by name."""
    objectives = dict.fromkeys(edge.objective for edge in facts.edges)
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(objectives)}
    return (
        {view.name: Box(_view_lines(view), 0) for view in facts.views},
        {each.name: Box(_encoder_lines(each), 1) for each in facts.encoders},
        {edge.name: Box(_edge_lines(edge), 2, colours[edge.objective]) for edge in facts.edges},
    )


def _edge_curves(edge: EdgeFact, encoders: Mapping[str, Box], owner: Mapping[str, str], box: Box) -> list[str]:
    """One line for each view of an edge, side by side where they arrive."""
    middle = (len(edge.views) - 1) / 2
    return [_curve(encoders[owner[view]], box, "edge", number - middle) for number, view in enumerate(edge.views)]


def _heads() -> list[str]:
    return [
        f'<text class="head" x="{left}" y="36">{text}</text>' for (left, _), text in zip(COLUMNS, HEADS, strict=True)
    ]


def _svg(height: float, parts: Sequence[str]) -> str:
    """The file around the parts of the picture."""
    width = COLUMNS[2][0] + COLUMNS[2][1] + 24
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" '
        f'viewBox="0 0 {width} {height:g}" role="img" aria-label="contrast graph" '
        'style="max-width: 100%; height: auto">'
    )
    ground = f'<rect width="{width}" height="{height:g}" fill="#f8fafc"/>'
    return "\n".join([opening, f"<style>{STYLE}</style>", ground, *parts, "</svg>\n"])


HEADS = ("VIEWS", "ENCODERS", "EDGES")


def _view_lines(view: ViewFact) -> list[str]:
    return [view.name, f"reads {view.reads}, draw {view.crop}", view.channels, view.shape]


def _encoder_lines(encoder: EncoderFact) -> list[str]:
    lines = [
        f"{encoder.kind} of {', '.join(encoder.views)}",
        f"h {encoder.features}, {encoder.parameters:,} parameters",
    ]
    return lines + ([encoder.learns] if encoder.learns else [])


def _edge_lines(edge: EdgeFact) -> list[str]:
    options = f" ({edge.options})" if edge.options else ""
    return [" – ".join(edge.views), f"{edge.objective}{options}", f"weight {edge.weight}", *edge.memories]


def _height(boxes: Sequence[Box]) -> float:
    """The height of boxes below each other with the smallest gaps."""
    return sum(box.height + GAP for box in boxes) - GAP


def _spread(boxes: Sequence[Box], top: float, height: float) -> None:
    """Puts boxes below each other, over the whole height; a single one in its middle."""
    gap = GAP + (height - _height(boxes)) / max(len(boxes) - 1, 1)
    at = top if len(boxes) > 1 else top + (height - boxes[0].height) / 2
    for box in boxes:
        box.top = at
        at += box.height + gap


def _curve(start: Box, end: Box, kind: str, shift: float = 0.0) -> str:
    x1, x2 = sum(COLUMNS[start.column]), COLUMNS[end.column][0]
    y1, y2, bend = (
        start.middle + 5 * shift,
        end.middle + 12 * shift,
        (COLUMNS[end.column][0] - sum(COLUMNS[start.column])) / 2,
    )
    colour = f' stroke="{end.colour}"' if end.colour else ""
    return f'<path class="{kind}"{colour} d="M{x1} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2} {y2:g}"/>'


def _drawn(box: Box) -> Iterator[str]:
    left, width = COLUMNS[box.column]
    stroke = f' style="stroke:{box.colour}"' if box.colour else ""
    yield f'<rect class="box"{stroke} x="{left}" y="{box.top:g}" width="{width}" height="{box.height:g}" rx="9"/>'
    for number, line in enumerate(box.lines):
        kind = ' class="name"' if number == 0 else ""
        y = box.top + PAD + 12 + number * LINE
        yield f'<text{kind} x="{left + PAD}" y="{y:g}">{_shown(line, width)}</text>'


def _shown(line: str, width: int) -> str:
    """The line, escaped, and cut where the box ends."""
    fits = int((width - 2 * PAD) / 6.6)
    text = printable(line)
    return escape(text if len(text) <= fits else f"{text[: fits - 1]}…")
