"""What the columns of a recording hold: channels of sensors, the time, a label, and others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from multiview.data.columns.file_columns import TIMES
from multiview.data.files.csvfiles import Measurements
from multiview.data.listing.labels import is_label_like
from multiview.data.listing.recordings import SENSORS, SOLE, sensor_of_column
from multiview.errors import MultiviewError, suggestion

ALONE = "series"
"""The name of the only sensor of files that name none."""
OTHER_TIMES = ("epoch", "elapsed", "ms", "seconds_elapsed", "unix", "unixtime", "elapsed time", "sample time")
ACTIVITIES = ("activity", "activities", "gesture", "event")
UNITS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
"""Seconds of a unit of time."""
STEPS = ((1e16, 1e-9), (1e13, 1e-6), (1e11, 1e-3), (1e8, 1.0))
"""Unix times above the first number are in units of the second number of seconds."""
NEAR = 0.01
"""A rate this close to a whole number is that number."""


@dataclass(frozen=True)
class Channels:
    """Columns of one sensor, and the names of its channels."""

    columns: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The use of every column.

    Args:
        sensors: sensor -> its columns; `SOLE` where the file tells the sensor.
        time: the column of times, None without one.
        label: the column of labels, None without one.
        left_out: columns that hold text or nothing.
    """

    sensors: Mapping[str, Channels]
    time: str | None
    label: str | None
    left_out: tuple[str, ...]


def columns_of(
    table: Measurements, *, one_sensor: bool, wanted: Mapping[str, Sequence[str]] | None, label: str | None
) -> Columns:
    """Sorts the columns of a file.

    Args:
        table: the file.
        one_sensor: whether all channels are of one sensor.
        wanted: sensor -> its columns, or patterns such as `acc*` (None = by their names).
        label: the column of labels (None = by its name).

    Raises MultiviewError when no column holds numbers, or for an unknown column.
    """
    time = _time(table)
    label = label if label in table.names else _label(table)
    rest = [name for name in table.names if name not in (time, label)]
    usable = [name for name in rest if name in table.numbers and name not in table.dates]
    usable = [name for name in usable if not np.isnan(table.numbers[name]).all()]
    if not usable:
        raise MultiviewError(f"no column holds numbers; there are: {', '.join(table.names)}.")
    sensors = _wanted(wanted, usable) if wanted else _by_name(table, usable, one_sensor)
    used = {column for each in sensors.values() for column in each.columns}
    return Columns(sensors, time, label, tuple(name for name in rest if name not in used))


def _time(table: Measurements) -> str | None:
    """The column of times: by its name, or the only dates of a file without a header."""
    named = [name for name in table.names if _unit(name) is not None] if table.header else []
    dated = [name for name in table.names if name in table.dates]
    return next(iter(dated + named), None)


def _unit(name: str) -> str | None:
    """The unit in the name of a column of times, "" when it names none; None for other columns."""
    plain = name.casefold().strip()
    bracket = re.search(r"[\(\[{]\s*(.*?)\s*[\)\]}]", plain)
    words = re.sub(r"\s*[\(\[{].*", "", plain).strip()
    head, _, tail = words.rpartition("_")
    if tail in UNITS and _is_time(head):
        return tail
    if not _is_time(words):
        return None
    return bracket[1] if bracket and bracket[1] in UNITS else words if words in UNITS else ""


def _is_time(words: str) -> bool:
    return words in TIMES or words in OTHER_TIMES or words.replace("_", " ") in OTHER_TIMES


def _label(table: Measurements) -> str | None:
    """The column whose name says that it holds labels."""
    if not table.header:
        return None
    channels = {"y"} if {"x", "X"}.intersection(table.names) else set()
    names = [name for name in table.names if name.casefold() not in channels]
    return next((name for name in names if is_label_like(name) or name.casefold() in ACTIVITIES), None)


def _wanted(wanted: Mapping[str, Sequence[str]], usable: Sequence[str]) -> dict[str, Channels]:
    found = {}
    for sensor, patterns in wanted.items():
        columns = [name for pattern in patterns for name in usable if name == pattern or fnmatchcase(name, pattern)]
        if not columns:
            near = suggestion(patterns[0], usable)
            raise MultiviewError(f"the sensor '{sensor}' has no column; columns of numbers: {', '.join(usable)}.{near}")
        found[sensor] = Channels(tuple(dict.fromkeys(columns)), tuple(dict.fromkeys(columns)))
    return found


def _by_name(table: Measurements, usable: Sequence[str], one_sensor: bool) -> dict[str, Channels]:
    """The sensors that the names of the columns mean; all columns are one sensor in doubt."""
    if not table.header:
        return {SOLE: Channels(tuple(usable), ())}
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in usable:
        sensor, channel = sensor_of_column(name)
        groups.setdefault(sensor, []).append((channel or sensor, name))
    several = sum(len(found) > 1 for found in groups.values())
    if one_sensor or len(groups) == 1 or not (several > 1 or any(map(_means_sensor, groups))):
        return {SOLE: _one(groups, usable)}
    return {sensor or ALONE: _ordered(found) for sensor, found in groups.items()}


def _means_sensor(name: str) -> bool:
    return bool(SENSORS.intersection(re.findall("[a-z]+", name.casefold())))


def _one(groups: Mapping[str, Sequence[tuple[str, str]]], usable: Sequence[str]) -> Channels:
    """All columns as one sensor; the axes name the channels when there is one group."""
    if len(groups) == 1:
        return _ordered(next(iter(groups.values())))
    return Channels(tuple(usable), tuple(usable))


def _ordered(found: Sequence[tuple[str, str]]) -> Channels:
    """The columns in the order of their axes, where they have axes."""
    if all(channel in tuple("wxyz") for channel, _ in found):
        found = sorted(found, key=lambda pair: "xyzw".index(pair[0]))
    names = [channel for channel, _ in found]
    columns = tuple(column for _, column in found)
    return Channels(columns, tuple(names) if len(set(names)) == len(names) else columns)


def seconds_of(table: Measurements, column: str, rows: slice = slice(None)) -> NDArray[np.float64]:
    """The times of some rows of a recording in seconds."""
    if column not in table.scales:
        table.scales[column] = _scale(table, column)
    return table.numbers[column][rows] * table.scales[column]


def _scale(table: Measurements, column: str) -> float:
    """The seconds of one unit of a column of times.

    The unit stands in the name, as in `time_ms` and `t [s]`. Otherwise the numbers tell it: Unix
    times have a known size, and steps of 2 and more are milliseconds.
    """
    times = table.numbers[column]
    if column in table.dates:
        return 1.0
    unit = _unit(column)
    if unit:
        return UNITS[unit]
    largest = float(np.nanmax(np.abs(times), initial=0))
    known = next((scale for least, scale in STEPS if largest > least), None)
    if known is None:
        known = 1e-3 if step_of(times) >= 2 else 1.0
    return known


def step_of(times: NDArray[np.float64]) -> float:
    """The median step of times; 0 for fewer than two."""
    steps = np.diff(times[np.isfinite(times)])
    return float(np.median(steps)) if len(steps) else 0.0


def rate_of(steps: Sequence[float]) -> float | None:
    """Samples per second for the steps of recordings, in seconds; None without a positive step."""
    positive = [step for step in steps if step > 0]
    if not positive:
        return None
    rate = 1 / float(np.median(positive))
    whole = round(rate)
    return float(whole) if whole and abs(rate - whole) <= NEAR * rate else rate
