"""Rows of the segmentation probe as a table on the console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from multiview.measure.rows import MIOU, PIXEL_ACCURACY, Measure
from multiview.plurals import counted


def render_segmentation(rows: Sequence[Measure], console: Console) -> None:
    """Prints a line for each view and weights: layer, size of the maps, pixel accuracy, mIoU."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("view", "features", "layer", "maps", "pixel %", "mIoU %"):
        table.add_column(name, justify="right" if "%" in name else "left")
    lines: dict[tuple[str, str], dict[str, Measure]] = {}
    for row in rows:
        lines.setdefault((row.group, row.weights_in_words), {})[row.measure] = row
    for (view, weights), line in lines.items():
        head = line[MIOU]
        maps = f"{head.width} x {head.facts['cells']}"
        percents = (f"{100 * line[name].value:.1f}" for name in (PIXEL_ACCURACY, MIOU))
        table.add_row(view, weights, head.facts["layer"] or "-", maps, *percents)
    console.print(table)
    console.print(
        f"{rows[0].samples['train']} train and {counted(rows[0].tested, 'test picture')}, "
        f"{rows[0].facts['classes']} classes; unlabelled pixels do not count.",
        highlight=False,
    )
