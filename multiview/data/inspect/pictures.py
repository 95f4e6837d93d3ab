"""Draws arrays as pictures, by kind of modality and by number of channels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from multiview.data.inspect.lettering import choose_font
from multiview.data.modality import Modality

GROUND = 255
ABSENT = 225
# Dark blue, green, yellow in even steps of lightness (five points of matplotlib's viridis, CC0).
RAMP = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], "float64")
# Red against green and yellow against blue, added to grey: chroma planes at one lightness.
OPPONENT = np.array([[0.40, -0.30, 0.10], [0.15, 0.15, -0.55]])


def of_modality(modality: Modality, sample: np.ndarray, low: float, high: float) -> np.ndarray:
    """A decoded sample as uint8 (h, w, 3). low, high: the value range of plots and colour ramps."""
    match modality.kind:
        case "image":
            return sample
        case "depth":
            return ramp(sample, low, high, sample > 0)
        case "normal":
            return of_planes(np.moveaxis(sample, -1, 0).astype("float64"), -1, 1, (sample != 0).any(axis=-1))
        case "mask":
            return of_identities(sample)
        case "bands":
            return of_planes(np.moveaxis(sample, -1, 0)[:3].astype("float64"), low, high)
        case "audio":
            mono = sample.reshape(len(sample), -1).mean(axis=1) / max(abs(low), abs(high), 1e-12)
            return np.concatenate([waveform(mono), spectrogram(mono)])
        case "video":
            return strip(sample)
        case "series":
            return curves(sample.T, low, high)
        case "points":
            return scatter(sample)
        case "text":
            return written(bytes(sample).rstrip(b"\0").decode("utf-8", "replace"))
        case _:
            return bars(sample.reshape(-1), low, high)


def of_view(values: np.ndarray, low: float, high: float, there: np.ndarray | None = None) -> np.ndarray:
    """A view of one sample, (channels, ...), in [low, high] as uint8 (h, w, 3).

    Planes become a picture (of frames the middle one), series become curves, other values bars.
    """
    if values.ndim == 4:
        return of_planes(values[:, values.shape[1] // 2], low, high)
    if values.ndim == 3:
        return of_planes(values, low, high, there)
    return curves(values, low, high) if values.ndim == 2 else bars(values, low, high)


def of_planes(planes: np.ndarray, low: float, high: float, there: np.ndarray | None = None) -> np.ndarray:
    """Planes (c, h, w) in [low, high] as uint8 (h, w, 3).

    One plane is grey, two are opponent colours, the first three are red, green and blue.
    there: bool (h, w), pixels to draw; the others stay blank.
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
    """Values (h, w) as uint8 (h, w, 3) on a colour ramp from dark blue (low) to yellow (high)."""
    place = np.clip((values.astype("float64") - low) / max(high - low, 1e-12), 0, 1) * (len(RAMP) - 1)
    colour = [np.interp(place, np.arange(len(RAMP)), channel) for channel in RAMP.T]
    return _blanked(np.stack(colour, axis=-1), there)


def of_identities(mask: np.ndarray) -> np.ndarray:
    """Integers (h, w) as uint8 (h, w, 3): 0 is blank, each other number has its own colour."""
    hue = (mask.astype("float64") * 0.618034) % 1 * 6
    distance = np.abs((hue[..., None] - np.array([0, 2, 4]) + 3) % 6 - 3)
    return _blanked(np.clip(2 - distance, 0, 1) * 200 + 30, mask != 0)


def waveform(samples: np.ndarray, height: int = 64, width: int = 128) -> np.ndarray:
    """Sound (n,) in [-1, 1] as uint8 (height, width, 3): lowest to highest sample per column."""
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    spans = [samples[start : max(stop, start + 1)] for start, stop in pairwise(edges)]
    low = np.array([part.min(initial=0) for part in spans])
    high = np.array([part.max(initial=0) for part in spans])
    level = np.linspace(1, -1, height)[:, None]
    step = 1 / height
    return _drawn((level >= low - step) & (level <= high + step))


def bars(values: np.ndarray, low: float, high: float, height: int = 64) -> np.ndarray:
    """A row of a table (n,) as uint8 (height, n, 3): one bar per column."""
    share = np.clip((values.astype("float64") - low) / max(high - low, 1e-12), 0, 1)
    return _drawn(np.linspace(1, 0, height)[:, None] <= share)


def _drawn(inked: np.ndarray) -> np.ndarray:
    """Blue where `inked` (h, w), on the ground."""
    return np.where(inked[..., None], np.array([40, 80, 140]), GROUND).astype("uint8")


def spectrogram(samples: np.ndarray, height: int = 64, width: int = 128) -> np.ndarray:
    """Sound (n,) in [-1, 1] as uint8 (height, width, 3): time to the right, frequency upwards.

    Shows 80 decibels; Hann windows of 2 * height samples.
    """
    length = 2 * height
    starts = np.linspace(0, max(len(samples) - length, 0), width).astype(int)
    padded = np.pad(samples.astype("float64"), (0, length))
    frames = np.stack([padded[start : start + length] for start in starts]) * np.hanning(length)
    power = np.abs(np.fft.rfft(frames)[:, 1:]) ** 2
    decibels = 10 * np.log10(power / max(power.max(), 1e-12) + 1e-12)
    return ramp(decibels.T[::-1], -80, 0)


def strip(frames: np.ndarray) -> np.ndarray:
    """A video (frames, h, w, 3) as one picture of four frames, evenly spread, two by two."""
    four = frames[np.linspace(0, len(frames) - 1, 4).astype(int)]
    return np.concatenate([np.concatenate(four[:2], axis=1), np.concatenate(four[2:], axis=1)])


def curves(values: np.ndarray, low: float, high: float, height: int = 64, width: int = 128) -> np.ndarray:
    """A series (channels, times) as uint8 (height, width, 3): one coloured line per channel.

    Longer series are drawn from the lowest to the highest value of each column.
    """
    level = np.clip((high - np.nan_to_num(values.astype("float64"))) / max(high - low, 1e-12), 0, 1) * (height - 1)
    marks = np.zeros((height, width), int)
    times = max(values.shape[1], width)
    places = np.linspace(0, values.shape[1] - 1, times)
    edges = (np.arange(width + 1) * (times - 1) / width).astype(int)
    for channel, row in enumerate(level):
        line = np.interp(places, np.arange(len(row)), row).round().astype(int)
        for column, (start, stop) in enumerate(pairwise(edges)):
            span = line[start : stop + 1]  # with the first value of the next column: the line has no gaps
            marks[span.min() : span.max() + 1, column] = channel + 1
    return of_identities(marks)


def scatter(points: np.ndarray, side: int = 128) -> np.ndarray:
    """Points (n, d) as uint8 (side, side, 3): first coordinate to the right, second upwards."""
    plane = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))[:, :2].astype("float64")
    reach = max(float(np.ptp(plane, axis=0).max()), 1e-12)
    place = ((plane - plane.min(axis=0)) / reach * (side - 1)).astype(int)
    marks = np.zeros((side, side), int)
    marks[side - 1 - place[:, 1], place[:, 0]] = 1
    return of_identities(marks)


def written(text: str, side: int = 128) -> np.ndarray:
    """The beginning of a text as a picture, uint8 (side, side, 3)."""
    import textwrap

    from PIL import Image, ImageDraw

    page = Image.new("RGB", (side, side), "white")
    beginning, font = choose_font(text[: side * side // 72], 10)
    lines = textwrap.wrap(beginning, side // 6)[: side // 12]
    ImageDraw.Draw(page).text((2, 2), "\n".join(lines), fill=(0, 0, 0), font=font)
    return np.asarray(page)


def _blanked(colour: np.ndarray, there: np.ndarray | None) -> np.ndarray:
    picture = (colour + 0.5).astype("uint8")
    if there is not None:
        picture[~there] = GROUND
    return picture
