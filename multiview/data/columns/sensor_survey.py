"""Reads every recording once: its sensors, their lengths, rates and beginnings, and its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from multiview.data.columns.sensor_columns import ALONE, Channels, Columns, columns_of, seconds_of, step_of
from multiview.data.files.csvfiles import Measurements, read_measurements
from multiview.data.listing.filetree import as_unicode
from multiview.data.listing.recordings import SOLE, Recordings
from multiview.data.source import BadSample
from multiview.data.values import number_text
from multiview.errors import MultiviewError


@dataclass(frozen=True)
class Track:
    """One sensor of one recording.

    Args:
        file: its file below the folder.
        rows: number of times.
        begin: the first time in seconds, None without a column of times.
        step: the median step of the times in seconds, 0 without one.
    """

    file: str
    rows: int
    begin: float | None = None
    step: float = 0.0


@dataclass(frozen=True)
class Recording:
    """One recording: its tracks, a label for every row where a column holds labels, a fault."""

    key: str
    tracks: Mapping[str, Track] = field(default_factory=dict)
    labels: Sequence[str | None] = ()
    fault: str = ""


@dataclass(frozen=True)
class Survey:
    """All recordings, and which columns of their files are used.

    Args:
        sensors: sensor -> its channels, in the order of the input.
        columns: the use of the columns of each kind of file: `SOLE`, or a sensor.
        recordings: in order.
    """

    sensors: Mapping[str, Channels]
    columns: Mapping[str, Columns]
    recordings: tuple[Recording, ...]


@dataclass(frozen=True)
class Surveyor:
    """Surveys recordings below `folder`.

    Args:
        folder: the folder.
        wanted: sensor -> columns, see `columns_of`.
        label: the column of labels.
        timed: whether the times are read.
        keep: whether a recording may lack a sensor.
    """

    folder: Path
    wanted: Mapping[str, Sequence[str]] | None
    label: str | None
    timed: bool
    keep: bool

    def survey(self, found: Recordings) -> Survey:
        """Reads all recordings. Raises MultiviewError when none can be read."""
        kinds = dict.fromkeys(sensor for files in found.files.values() for sensor in files)
        columns = {kind: self._columns(kind, found) for kind in kinds}
        sensors = _all_sensors(columns)
        recordings = tuple(self._recording(key, files, columns, sensors) for key, files in found.files.items())
        return Survey(sensors, columns, recordings)

    def _columns(self, kind: str, found: Recordings) -> Columns:
        """The use of the columns of the first file of a kind that can be read."""
        fault = ""
        for files in found.files.values():
            if kind not in files:
                continue
            name = as_unicode(files[kind])
            try:
                table = read_measurements(self.folder / files[kind], name)
                return columns_of(table, one_sensor=kind != SOLE, wanted=self.wanted, label=self.label)
            except BadSample as cause:
                fault = fault or str(cause)
            except MultiviewError as cause:
                raise MultiviewError(f"{name}: {cause}") from cause
        raise MultiviewError(f"no CSV file{f' of {kind}' if kind else ''} below {self.folder} can be read; {fault}.")

    def _recording(
        self, key: str, files: Mapping[str, str], columns: Mapping[str, Columns], sensors: Mapping[str, Channels]
    ) -> Recording:
        tracks: dict[str, Track] = {}
        labels: list[str | None] = []
        try:
            for kind, file in files.items():
                table = read_measurements(self.folder / file, as_unicode(file))
                track = self._track(table, file, columns[kind])
                tracks |= dict.fromkeys(sensors if kind == SOLE else [kind], track)
                labels = labels or _labels(table, columns[kind].label)
        except BadSample as cause:
            return Recording(key, fault=str(cause))
        lacking = [sensor for sensor in sensors if sensor not in tracks]
        if lacking and not self.keep:
            return Recording(key, fault=f"{key}: no file of {' or '.join(lacking)}; keep it with --missing keep")
        return Recording(key, tracks, labels)

    def _track(self, table: Measurements, file: str, columns: Columns) -> Track:
        if not self.timed or columns.time is None or columns.time not in table.numbers:
            return Track(file, table.rows)
        times = seconds_of(table, columns.time)
        known = times[np.isfinite(times)]
        return Track(file, table.rows, float(known[0]) if len(known) else None, step_of(times))


def _all_sensors(columns: Mapping[str, Columns]) -> dict[str, Channels]:
    """Sensor -> channels, for files of one sensor each and for files of several."""
    found: dict[str, Channels] = {}
    for kind, each in columns.items():
        found |= {(kind or ALONE) if sensor == SOLE else sensor: use for sensor, use in each.sensors.items()}
    return found


def _labels(table: Measurements, column: str | None) -> list[str | None]:
    """The label of every row, [] without a column of labels."""
    if column in table.texts:
        return list(table.texts[column])
    if column in table.numbers:
        return [number_text(value) or None for value in table.numbers[column]]
    return []
