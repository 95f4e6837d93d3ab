"""Small pictures of samples as a view shows them, as JPEG data URIs; texts stay texts."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING

import numpy as np

from multiview.data.inspect import pictures
from multiview.data.inspect.contact_sheet import render_view
from multiview.data.modality import Modality
from multiview.view import View

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

SIDE = 64
"""The longer side of a picture, in pixels."""
READ_SIDE = 160
"""Larger stored images are made so small before the view converts them."""
QUALITY = 70
WIDE = ("audio", "series", "table")
"""Kinds of modality that are drawn twice as wide as high; their longer side is doubled."""
SPREAD = 3.0
"""Bars of a table go from so many standard deviations below the mean to as many above it."""
LETTERS = 160
"""Characters of a text that are kept."""

RARE = (5, 95)
"""Percentiles of measured depth between which a picture shows colours."""


def thumbnail(store: Store, view: View, row: int, side: int = SIDE) -> str | None:
    """A sample of a view: a data URI, or a text for a view of text; None when it is absent."""
    stored = store.modality(view.modality)
    sample = np.asarray(store.read([row], stored.name)[0])
    if not store.present(stored.name)[row] or not sample.size:
        return None
    if stored.kind == "text":
        text = bytes(sample).rstrip(b"\0").decode("utf-8", "replace")
        return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
    return _jpeg(_drawn(view, stored, sample), side * (2 if stored.kind in WIDE else 1))


def _drawn(view: View, stored: Modality, sample: np.ndarray) -> np.ndarray:
    """The sample as uint8 (h, w, 3): a spectrogram for sound, curves for series."""
    if stored.kind == "audio":
        mono = sample.reshape(len(sample), -1).mean(axis=1)
        return pictures.spectrogram(mono / max(float(np.abs(mono).max()), 1e-12))
    if stored.kind == "points":
        return pictures.scatter(sample)
    if stored.kind == "table":
        return _bars(view, sample)
    if stored.kind == "mask":
        return pictures.of_identities(sample)
    if stored.kind == "series":  # whole: the window of a view may be a few values of a slow series
        return pictures.of_modality(stored, sample, *_limits(view, sample))
    values = render_view(view, stored, _smaller(sample) if stored.kind == "image" else sample)
    measured = (values != 0).any(axis=0) if stored.kind in ("depth", "normal") and values.ndim == 3 else None
    low, high = _limits(view, values)
    if stored.kind == "depth" and values.ndim == 3 and len(values) == 1:
        return pictures.ramp(values[0], *shown_range(values, low, high), measured)
    return pictures.of_view(values, low, high, measured)


def _bars(view: View, sample: np.ndarray) -> np.ndarray:
    """A bar for each column, in standard deviations from its mean where the view knows them."""
    values = np.nan_to_num(np.asarray(sample, "float64").reshape(-1))
    mean, std = np.asarray(view.mean or ()), np.asarray(view.std or ())
    if len(mean) == len(std) == len(values):
        picture = pictures.bars((values - mean) / np.maximum(std, 1e-12), -SPREAD, SPREAD)
    else:
        picture = pictures.bars(values, *_limits(view, values))
    wide = 2 * picture.shape[0]
    return picture[:, np.arange(wide) * len(values) // wide] if len(values) < wide else picture


def _limits(view: View, values: np.ndarray) -> tuple[float, float]:
    """The range of the view's channels; of these values where the range is open."""
    low, high = view.channels.low, view.channels.high
    known = values[np.isfinite(values) & (values != 0)]
    if (math.isfinite(low) and math.isfinite(high)) or not len(known):
        return (low, high) if math.isfinite(low) and math.isfinite(high) else (0.0, 1.0)
    return float(known.min()), max(float(known.max()), float(known.min()) + 1e-6)


def shown_range(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The range without its rarest values; a far background would take all colours."""
    known = values[np.isfinite(values) & (values != 0)]
    if not len(known):
        return low, high
    low, high = (float(x) for x in np.percentile(known, RARE))
    return low, max(high, low + 1e-6)


def _smaller(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    if max(image.shape[:2]) <= READ_SIDE:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((READ_SIDE, READ_SIDE))
    return np.asarray(picture)


def _jpeg(picture: np.ndarray, side: int) -> str:
    from PIL import Image

    image = Image.fromarray(picture)
    scale = side / max(image.size)
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    height = max(image.height, image.width // 2) if image.width > 2 * image.height else image.height
    image = image.resize((max(1, round(image.width * scale)), max(1, round(height * scale))), way)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
