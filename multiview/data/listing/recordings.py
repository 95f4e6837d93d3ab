"""Which CSV files are one recording, and which sensor each file holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from multiview.data.values import SERIES
from multiview.errors import MultiviewError

SHORT = {"a": "acc", "g": "gyr", "m": "mag"}
"""Letters of sensors in names of columns, such as `ax` and `gz`."""
SENSORS = SERIES | frozenset(
    re.findall(
        r"\w+",
        "gyr mag magn barometer baro pressure temperature temp light bvp hr heart breath respiration resp orientation "
        "gravity rotation linear motion force torque goniometer skin bioz",
    )
)
"""Words of names that mean a sensor."""
PLACES = frozenset(
    re.findall(
        r"\w+",
        "left right wrist ankle thigh trunk chest hip waist arm forearm leg shin head back hand foot knee belt pocket "
        "phone watch torso",
    )
)
"""Words of names that mean where a sensor is worn."""
SOLE = ""
"""Stands for the sensor of a file whose columns tell the sensors."""


@dataclass(frozen=True)
class Recordings:
    """Recording -> sensor -> file, in the order of the recordings, and the files of neither.

    The sensor is `SOLE` when one file holds all sensors of a recording.
    """

    files: Mapping[str, Mapping[str, str]]
    left_out: tuple[str, ...] = ()


def recordings_of(files: Sequence[str], named: Collection[str] | None = None) -> Recordings:
    """Sorts files into recordings, by their paths alone.

    A folder or an ending (or beginning) of file names tells the sensor, when files of several such
    names are equal otherwise: `acc/walk1.csv` and `gyr/walk1.csv`, `walk1_acc.csv` and
    `walk1_gyr.csv`, `walk1/acc.csv` and `walk1/gyr.csv`. Else every file is one recording.

    Args:
        files: paths of CSV files, with `/`.
        named: the names of sensors (None = words such as `acc`, `gyroscope` and `ankle`).

    Raises MultiviewError when two files would be one sensor of one recording.
    """
    levels = range(max((path.count("/") for path in files), default=0))
    ways = [*((_by_folder, level) for level in levels), (_by_ending, -1), (_by_ending, 0)]
    for way, place in ways:
        found = _joined(files, [way(PurePosixPath(path), place, named) for path in files])
        if found is not None:
            return found
    _require_one_each(files, [(_key(PurePosixPath(path)), SOLE) for path in files])
    return Recordings({_key(PurePosixPath(path)): {SOLE: path} for path in files})


def _joined(files: Sequence[str], places: Sequence[tuple[str, str] | None]) -> Recordings | None:
    """Recordings of several sensors, when most files belong to one."""
    table: dict[str, dict[str, str]] = {}
    for path, place in zip(files, places, strict=True):
        if place is not None:
            table.setdefault(place[0], {})[place[1]] = path
    sensors = {sensor for found in table.values() for sensor in found}
    shared = sum(len(found) for found in table.values() if len(found) > 1)
    if len(sensors) < 2 or 2 * shared < len(files):
        return None
    _require_one_each(files, places)
    left = tuple(path for path, place in zip(files, places, strict=True) if place is None)
    return Recordings({key: table[key] for key in sorted(table)}, left)


def _require_one_each(files: Sequence[str], places: Sequence[tuple[str, str] | None]) -> None:
    """Raises MultiviewError when two files are one sensor of one recording."""
    first: dict[tuple[str, str], str] = {}
    for path, place in zip(files, places, strict=True):
        if place is not None and first.setdefault(place, path) != path:
            recording, sensor = place
            what = f"the sensor '{sensor}' of " if sensor else ""
            raise MultiviewError(
                f"{first[place]} and {path} are both {what}the recording '{recording}'; rename or remove one of them."
            )


def _by_folder(path: PurePosixPath, level: int, named: Collection[str] | None) -> tuple[str, str] | None:
    """Recording and sensor of a file whose folder number `level` is named after the sensor."""
    if level >= len(path.parts) - 1 or not is_sensor(path.parts[level], named):
        return None
    rest = PurePosixPath(*path.parts[:level], *path.parts[level + 1 :])
    return _key(rest), path.parts[level]


def _by_ending(path: PurePosixPath, end: int, named: Collection[str] | None) -> tuple[str, str] | None:
    """Recording and sensor of a file whose name ends (-1) or begins (0) with the sensor."""
    words = re.split(r"([_\-. ]+)", path.stem)
    steps = words if end == 0 else words[::-1]
    count = 0
    while count < len(steps) and is_sensor(steps[count], named):
        count += 2
    if not count:
        return None
    sensor, rest = steps[: count - 1], steps[count:]
    if end:
        sensor, rest = sensor[::-1], rest[::-1]
    folder = path.parent.as_posix().removeprefix(".")
    return "/".join(filter(None, [folder, "".join(rest)])) or "recording", "".join(sensor)


def _key(path: PurePosixPath) -> str:
    return path.with_suffix("").as_posix()


def is_sensor(name: str, named: Collection[str] | None = None) -> bool:
    """Whether a name is one of the given ones, or means a sensor or a place on a body."""
    if named is not None:
        return name in named
    words = re.findall("[A-Z]?[a-z]+|[A-Z]+", name)
    return bool((SENSORS | PLACES).intersection(word.casefold() for word in words))


def sensor_of_column(column: str) -> tuple[str, str]:
    """Sensor and channel that the name of a column means; no sensor for `x` alone.

    `acc_x`, `AccX`, `accx`, `ax`, `x_acc`, `Acceleration x (m/s^2)`, `emg 1`; the channel of a
    column without an axis, such as `heart rate`, is empty.
    """
    name = re.sub(r"\s*[\(\[{].*?[\)\]}]", "", column).strip()
    if re.fullmatch("[xyzwXYZW]", name):
        return "", name.casefold()
    if re.fullmatch("[agmAGM][xyzXYZ]", name):
        return SHORT[name[0].casefold()], name[1].casefold()
    for pattern in (r"(?P<sensor>.+?)[\s_.\-:/]+(?P<axis>[xyzwXYZW]|\d+)", r"(?P<sensor>.*[a-z])(?P<axis>[XYZW]|\d+)"):
        if match := re.fullmatch(pattern, name):
            return _clean(match["sensor"]), match["axis"].casefold()
    if match := re.fullmatch(r"(?P<axis>[xyzwXYZW])[\s_.\-:/]+(?P<sensor>.+)", name):
        return _clean(match["sensor"]), match["axis"].casefold()
    if name[-1:].casefold() in "xyzw" and name[:-1].casefold() in SENSORS:
        return _clean(name[:-1]), name[-1:].casefold()
    return _clean(name), ""


def _clean(sensor: str) -> str:
    return re.sub(r"\W+", "_", sensor.casefold()).strip("_") or "series"
