"""The contact sheet of a store: a picture with a row per sample, a column per modality and view."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multiview.data.inspect import pictures
from multiview.data.inspect.lettering import write
from multiview.data.modality import Modality
from multiview.data.store.reading import Store
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError
from multiview.files import replace_bytes
from multiview.view import View

if TYPE_CHECKING:
    from PIL.Image import Image

Render = Callable[[View, Modality, np.ndarray], np.ndarray]
"""(view, its modality, one stored sample) -> floats (channels, ...) in the unit of the view."""

SECONDS = 5
CELL = 128
GAP = 8
LEFT = 150
TOP = 44


def render_view(view: View, stored: Modality, sample: np.ndarray) -> np.ndarray:
    """One stored sample as the view converts it, (channels, ...), but not cropped or normalised."""
    import torch

    from multiview.batch import Batch
    from multiview.data.load.crops import to_batch_layout
    from multiview.viewlayer import ViewLayer

    part = sample[: max(1, round(SECONDS * stored.rate))] if stored.timed and stored.rate else sample
    layer = ViewLayer({"view": replace(view, mean=(0.0,), std=(1.0,), missing=None, augment=None)})
    batch = Batch(
        {view.crop.name: {stored.name: to_batch_layout(stored, part[None])}}, torch.zeros(1, dtype=torch.int64), {}
    )
    return np.asarray(layer(batch)["view"][0].numpy())


@dataclass(frozen=True)
class _Column:
    """A column of the sheet: heading, modality, and how to draw a sample of that modality."""

    title: str
    subtitle: str
    modality: str
    draw: Callable[[np.ndarray], np.ndarray]


def contact_sheet(store: Store, path: Path, views: Mapping[str, View], render: Render, n: int = 8) -> Path:
    """Draws `n` samples, evenly spread over the store, as a PNG; returns the path of the picture.

    render: converts a stored sample for a view; see `render_view`. Raises MultiviewError when the
    picture cannot be written.
    """
    from PIL import Image

    rows = np.unique(np.linspace(0, len(store) - 1, min(max(n, 1), len(store))).round().astype(int))
    columns = [_modality_column(store, modality) for modality in store.manifest.modalities]
    columns += [_view_column(store, name, view, render) for name, view in views.items()]
    pitch = CELL + GAP
    sheet = Image.new("RGB", (LEFT + len(columns) * pitch, TOP + len(rows) * pitch), "white")
    for place, row in enumerate(rows):
        write(sheet, (GAP, TOP + place * pitch + GAP), _caption(store, int(row)), LEFT - 2 * GAP)
    for place, column in enumerate(columns):
        write(sheet, (LEFT + place * pitch, GAP), [column.title, column.subtitle], CELL)
        for down, cell in enumerate(_cells(store, column, rows)):
            sheet.paste(cell, (LEFT + place * pitch, TOP + down * pitch))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        png = BytesIO()
        sheet.save(png, "PNG")
        replace_bytes(path, png.getvalue())
    except OSError as cause:
        raise MultiviewError(
            f"the contact sheet cannot be written to {path}: {cause}. Choose another with --out."
        ) from cause
    return path


def _modality_column(store: Store, modality: Modality) -> _Column:
    statistics = store.manifest.statistics.get(modality.name) or Statistics(0, (0.0,), (1.0,), (0.0,), (1.0,))
    subtitle = f"{modality.unit}, {min(statistics.low):.3g} to {max(statistics.high):.3g}"
    low, high = min(statistics.low), max(statistics.high)
    if modality.kind == "depth":
        low, high = _usual_range(statistics)
    return _Column(
        modality.name, subtitle, modality.name, lambda sample: pictures.of_modality(modality, sample, low, high)
    )


def _usual_range(statistics: Statistics) -> tuple[float, float]:
    """The range of most values, so that a few far values do not take all colours."""
    reach = 2 * statistics.std[0]
    low, mean, high = statistics.low[0], statistics.mean[0], statistics.high[0]
    return max(low, mean - reach), min(high, mean + reach)


def _view_column(store: Store, name: str, view: View, render: Render) -> _Column:
    channels = view.channels
    stored = store.modality(view.modality)
    low, high = _view_range(store, view)
    if stored.kind == "depth" and stored.unit == channels.unit and stored.name in store.manifest.statistics:
        low, high = _usual_range(store.manifest.statistics[stored.name])

    def draw(sample: np.ndarray) -> np.ndarray:
        values = render(view, stored, sample)
        measured = (values != 0).any(axis=0) if stored.kind in ("depth", "normal") and values.ndim == 3 else None
        if stored.kind == "depth" and len(values) == 1:
            return pictures.ramp(values[0], low, high, measured)
        return pictures.of_view(values, low, high, measured)

    return _Column(f"view {name}", f"{channels.unit}, {low:.3g} to {high:.3g}", view.modality, draw)


def _view_range(store: Store, view: View) -> tuple[float, float]:
    """The range of the channels of a view or, if infinite, the measured range of its modality.

    Raises MultiviewError when the view takes channels that are not stored.
    """
    low, high = view.channels.low, view.channels.high
    statistics = store.manifest.statistics.get(view.modality)
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    if statistics is None or view.convert is not None:
        return 0.0, 1.0
    view.with_statistics(store.manifest.statistics, {view.modality: store.modality(view.modality)})
    taken = range(len(statistics.low)) if view.take is None else view.take
    return min(statistics.low[each] for each in taken), max(statistics.high[each] for each in taken)


def _cells(store: Store, column: _Column, rows: np.ndarray) -> list[Image]:
    from PIL import Image

    present = store.present(column.modality)[rows]
    samples = store.read(rows, column.modality)
    blank = np.full((CELL, CELL, 3), pictures.ABSENT, "uint8")
    return [
        _fit_cell(Image.fromarray(column.draw(sample) if known else blank))
        for sample, known in zip(samples, present, strict=True)
    ]


def _fit_cell(picture: Image) -> Image:
    """The picture scaled to a cell, in proportion; small pictures keep sharp pixels."""
    from PIL import Image

    scale = min(CELL / picture.width, CELL / picture.height)
    resampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    cell = Image.new("RGB", (CELL, CELL), "white")
    cell.paste(picture.resize(size, resampling), ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return cell


def _caption(store: Store, row: int) -> list[str]:
    label = int(store.labels[row])
    return [store.ids[row], store.manifest.classes[label] if label >= 0 else "unlabelled", f"row {row}"]
