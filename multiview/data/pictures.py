"""Arrays as pictures that a person can read: one way for each kind of modality and each number of channels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from multiview.data.modality import Modality

GROUND = 255
ABSENT = 225
# Dark blue over green to yellow, of even lightness steps (five points of matplotlib's viridis, CC0).
RAMP = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], "float64")
# Red against green and yellow against blue, added to a middle grey: what chroma planes look like at one lightness.
OPPONENT = np.array([[0.40, -0.30, 0.10], [0.15, 0.15, -0.55]])


def of_modality(modality: Modality, sample: np.ndarray, low: float, high: float) -> np.ndarray:
    """A stored sample as uint8 (h, w, 3); depth, sound and tables are drawn over the range `low` to `high`."""
    if modality.kind == "image":
        return sample
    if modality.kind == "depth":
        return ramp(sample, low, high, sample > 0)
    if modality.kind == "normal":
        return of_planes(np.moveaxis(sample, -1, 0).astype("float64"), -1, 1, (sample != 0).any(axis=-1))
    if modality.kind == "mask":
        return of_identities(sample)
    if modality.kind == "audio":
        return waveform(sample.reshape(len(sample), -1).mean(axis=1) / max(abs(low), abs(high), 1e-12))
    return bars(sample.reshape(-1), low, high)


def of_planes(planes: np.ndarray, low: float, high: float, there: np.ndarray | None = None) -> np.ndarray:
    """Planes (c, h, w) in [low, high] as uint8 (h, w, 3): one as grey, two as opponent colours, three as red, green,
    blue.

    there: bool (h, w), pixels to draw; the others stay blank. Of more than three planes the first three are drawn.
    """
    unit = np.clip((planes - low) / (high - low), 0, 1)
    if len(unit) == 1:
        colour = np.repeat(unit, 3, axis=0)
    elif len(unit) == 2:
        colour = 0.6 + np.einsum("chw,cr->rhw", 2 * unit - 1, OPPONENT)
    else:
        colour = unit[:3]
    return _blanked(np.moveaxis(np.clip(colour, 0, 1) * 255, 0, -1), there)


def ramp(values: np.ndarray, low: float, high: float, there: np.ndarray | None = None) -> np.ndarray:
    """(h, w) values as uint8 (h, w, 3) on a ramp of even lightness: low is dark blue, high is yellow."""
    place = np.clip((values.astype("float64") - low) / max(high - low, 1e-12), 0, 1) * (len(RAMP) - 1)
    colour = [np.interp(place, np.arange(len(RAMP)), channel) for channel in RAMP.T]
    return _blanked(np.stack(colour, axis=-1), there)


def of_identities(mask: np.ndarray) -> np.ndarray:
    """(h, w) integers as uint8 (h, w, 3): 0 blank, every other its own colour, neighbours far apart in hue."""
    hue = (mask.astype("float64") * 0.618034) % 1 * 6
    distance = np.abs((hue[..., None] - np.array([0, 2, 4]) + 3) % 6 - 3)
    return _blanked(np.clip(2 - distance, 0, 1) * 200 + 30, mask != 0)


def waveform(samples: np.ndarray, height: int = 64, width: int = 128) -> np.ndarray:
    """Sound (n,) in [-1, 1] as uint8 (height, width, 3): for each column the span from its lowest to its highest
    sample.
    """
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    spans = [samples[start : max(stop, start + 1)] for start, stop in pairwise(edges)]
    low = np.array([part.min(initial=0) for part in spans])
    high = np.array([part.max(initial=0) for part in spans])
    level = np.linspace(1, -1, height)[:, None]
    step = 1 / height
    inked = (level >= low - step) & (level <= high + step)
    return np.where(inked[..., None], np.array([40, 80, 140]), GROUND).astype("uint8")


def bars(values: np.ndarray, low: float, high: float, height: int = 64) -> np.ndarray:
    """A row of a table (n,) as uint8 (height, n, 3): a bar a column."""
    share = np.clip((values.astype("float64") - low) / max(high - low, 1e-12), 0, 1)
    inked = np.linspace(1, 0, height)[:, None] <= share
    return np.where(inked[..., None], np.array([40, 80, 140]), GROUND).astype("uint8")


def _blanked(colour: np.ndarray, there: np.ndarray | None) -> np.ndarray:
    picture = (colour + 0.5).astype("uint8")
    if there is not None:
        picture[~there] = GROUND
    return picture
