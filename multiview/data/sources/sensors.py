"""Recordings of sensors in CSV files, cut into windows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from multiview.data.columns.sensor_columns import Channels, seconds_of
from multiview.data.columns.sensor_survey import Recording, Survey, Surveyor
from multiview.data.columns.sensor_windows import RECORDING, WHOLE, Cut, Piece, cut_windows, length_in_rows
from multiview.data.files.csvfiles import ENDINGS, Measurements, read_measurements, require_reader
from multiview.data.listing import labels
from multiview.data.listing.classtree import ClassTreeOptions
from multiview.data.listing.filetree import FileTree, as_unicode, find_files
from multiview.data.listing.recordings import Recordings, recordings_of
from multiview.data.listing.splits import hash_split_note, parse_shares
from multiview.data.source import BadSample, Plan, Row
from multiview.errors import MultiviewError, unknown_name
from multiview.plurals import counted

GAP = 1.5
"""A window whose times span this many times its length has a gap."""


@dataclass(frozen=True, kw_only=True)
class Sensors(ClassTreeOptions):
    """Recordings in CSV files, cut into windows; every sensor becomes a modality.

    A folder or an ending of names tells the sensor (`acc/walk1.csv` and `gyr/walk1.csv`, or
    `walk1_acc.csv` and `walk1_gyr.csv`), or the columns do (`acc_x`, ..., `gyr_z`). Columns of
    times tell the rate. Classes come from class folders, `labels.csv` (ids are the recordings), or
    a column of labels. Windows of one recording are in one split. INPUT may be one CSV file.

    Args:
        window: length of a window in rows, such as 128, or in seconds, such as 2.5s (null = 128
            rows; recordings of at most 512 rows are kept whole).
        hop: rows or seconds from one window to the next (null = half a window).
        rate: samples per second (null = from the column of times).
        sensors: names of the folders, endings or columns of sensors, as [left, right], or columns
            of each sensor, as {acc: [ax, ay, az], gyr: 'g*'} (null = names such as acc, gyroscope
            or ankle).
        missing: `reject` recordings that lack a sensor, or `keep` them without it.
    """

    window: int | str | None = None
    hop: int | str | None = None
    rate: float | None = None
    sensors: dict[str, str | list[str]] | tuple[str, ...] | None = None
    missing: Literal["reject", "keep"] = "reject"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window", "hop"):
            length_in_rows(name, getattr(self, name), 1.0)
        if self.rate is not None and not self.rate > 0:
            raise MultiviewError(f"rate is {self.rate}; give samples per second, more than 0.")
        if self.missing not in ("reject", "keep"):
            raise unknown_name("way to take incomplete recordings", self.missing, ("reject", "keep"))

    def plan(self, root: Path | None) -> Plan:
        """Plans the windows of all recordings. Raises MultiviewError when there is none."""
        assert root is not None
        require_reader()
        folder, found = self._files(root)
        recordings = recordings_of(found.files, self.sensors if isinstance(self.sensors, (list, tuple)) else None)
        survey = self._chosen(self._surveyor(folder).survey(recordings), root)
        listed, table, notes = self._listed(folder, found, recordings)
        cut = cut_windows(survey, self.window, self.hop, self.rate)
        pieces, rows = cut.pieces(listed, by_table=table is not None and bool(table.label_column(self.label_column)))
        keys = [survey.recordings[piece.recording].key for piece in pieces]
        first = {key: row.id for key, row in zip(reversed(keys), reversed(rows), strict=True)}
        column = partial(_cells, table, keys) if table else None
        others = _others(table, self) if table else ()
        linked = [first[key] for key in keys] if len(first) < len(keys) else None
        notes = (*notes, *_notes(survey, cut, recordings, len(rows), self))
        files = tuple(file for sensors in recordings.files.values() for file in sensors.values())
        read = _Reader(folder, cut, pieces, files)
        return Plan(rows, cut.modalities, read, None, notes, column=column, linked=linked, others=others)

    def _files(self, root: Path) -> tuple[Path, FileTree]:
        """The folder, and the CSV files below it that are no table of labels."""
        if root.is_file():
            return root.parent, FileTree(root.parent, "CSV file", ENDINGS, (root.name,), Counter(), (), 0)
        found = find_files(root, "CSV file", ENDINGS, links=self.links == "follow")
        tables = {labels.USUAL_CSV, self.csv, Path(self.csv).name if self.csv else None}
        found = replace(found, files=tuple(file for file in found.files if file not in tables))
        found.require_files()
        return root, found

    def _surveyor(self, folder: Path) -> Surveyor:
        named = self.sensors if isinstance(self.sensors, Mapping) else None
        wanted = {name: [x] if isinstance(x, str) else list(x) for name, x in named.items()} if named else None
        return Surveyor(folder, wanted, self.label_column, self.rate is None, self.missing == "keep")

    def _chosen(self, survey: Survey, root: Path) -> Survey:
        """The named sensors. Raises MultiviewError for a name that is none."""
        names = self.sensors if isinstance(self.sensors, (list, tuple)) else tuple(survey.sensors)
        for name in names:
            if name not in survey.sensors:
                raise unknown_name(f"sensor of {root}", name, survey.sensors)
        kept = [replace(x, tracks={n: x.tracks[n] for n in names if n in x.tracks}) for x in survey.recordings]
        return replace(survey, sensors={name: survey.sensors[name] for name in names}, recordings=tuple(kept))

    def _listed(
        self, folder: Path, found: FileTree, recordings: Recordings
    ) -> tuple[dict[str, Row], labels.LabelTable | None, tuple[str, ...]]:
        """The row of every recording, the table that lists them, and notes."""
        tree = replace(found, kind="recording", folders=(), files=tuple(f"{key}.csv" for key in recordings.files))
        table, options = self._label_table(folder, recordings), self
        if table is not None:
            named = self.split_column if self.csv or self.split_column in table.columns else None
            options = replace(self, csv=str(table.path), split_column=named)
        elif self.label_column:
            options = replace(self, label_column=None)
        listing = ClassTreeOptions.list_files(options, folder, tree)
        rows = {row.id: row for row in listing.rows if row.id in recordings.files}
        by_hash = hash_split_note(parse_shares(self.split)) in listing.notes
        if by_hash and not any(row.split == "train" for row in rows.values()):
            few = "so few recordings leave no training split, so all are in it."
            return {key: replace(row, split="train") for key, row in rows.items()}, table, (*listing.notes, few)
        return rows, table, listing.notes

    def _label_table(self, folder: Path, recordings: Recordings) -> labels.LabelTable | None:
        if self.csv:
            return labels.read_table(labels.find_csv(folder, self.csv), self.id_column)
        usual = folder / labels.USUAL_CSV
        try:
            table = labels.read_table(usual, self.id_column) if usual.is_file() else None
        except MultiviewError:  # a `labels.csv` of another format is ignored, as by other sources
            return None
        return table if table and any(key in recordings.files for key in table.rows) else None


@dataclass(frozen=True)
class _Reader:
    """Reads one window of every sensor."""

    folder: Path
    cut: Cut
    windows: Sequence[Piece]
    files: tuple[str, ...]

    def input_files(self) -> list[Path]:
        """The files of all recordings, also of those that cannot be read today."""
        return [self.folder / file for file in self.files]

    def file_of(self, number: int) -> Path | None:
        """The first file of a window."""
        tracks = self.cut.survey.recordings[self.windows[number].recording].tracks
        return next((self.folder / track.file for track in tracks.values()), None)

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """Raises BadSample for a missing value, a gap, or a recording that cannot be read."""
        piece = self.windows[number]
        recording = self.cut.survey.recordings[piece.recording]
        if fault := self.cut.fault(recording):
            raise BadSample(fault)
        return {sensor: self._values(recording, sensor, piece.number) for sensor in recording.tracks}

    def _values(self, recording: Recording, sensor: str, number: int) -> np.ndarray:
        track, channels = recording.tracks[sensor], self.cut.survey.sensors[sensor]
        name = as_unicode(track.file)
        table = read_measurements(self.folder / track.file, name)
        first, length = self.cut.place(recording, sensor, number)
        _require_columns(table, channels, name)
        values = np.stack([table.numbers[column][first : first + length] for column in channels.columns], axis=1)
        if len(values) != length:
            raise BadSample(f"{name}: ends within this window")
        if not np.isfinite(values).all():
            raise BadSample(f"{name}: {_missing(table, channels, values, first)}")
        self._require_no_gap(recording, sensor, table, slice(first, first + length))
        return values.astype("float32")

    def _require_no_gap(self, recording: Recording, sensor: str, table: Measurements, rows: slice) -> None:
        track = recording.tracks[sensor]
        columns = self.cut.survey.columns
        time = next((each.time for kind, each in columns.items() if kind in ("", sensor)), None)
        if track.begin is None or time is None:
            return
        times = seconds_of(table, time, rows)
        span = float(np.ptp(times[np.isfinite(times)])) if np.isfinite(times).any() else 0.0
        if span > GAP * (rows.stop - rows.start) / self.cut.rates[sensor]:
            name = f"{as_unicode(track.file)}: rows {rows.start + 1} to {rows.stop}"
            raise BadSample(
                f"{name} span {span:.4g} s instead of {(rows.stop - rows.start) / self.cut.rates[sensor]:.4g}"
            )


def _require_columns(table: Measurements, channels: Channels, name: str) -> None:
    for column in channels.columns:
        if column in table.texts:
            text = next(cell for cell in table.texts[column] if cell is not None)
            raise BadSample(f"{name}: the column '{column}' holds text, such as '{text:.20}', instead of numbers")
        if column not in table.numbers:
            raise BadSample(f"{name}: has no column '{column}'; it has: {', '.join(table.names)}")


def _missing(table: Measurements, channels: Channels, values: np.ndarray, first: int) -> str:
    """Where the first value of a window is missing, and why."""
    row, place = (int(axis[0]) for axis in np.nonzero(~np.isfinite(values)))
    column, count = channels.columns[place], int((~np.isfinite(values)).sum())
    odd = table.odd.get(column)
    if odd and odd[0] == first + row:
        return f"'{odd[1]:.20}' in row {odd[0] + 1} of '{column}' is no number"
    return f"{counted(count, 'value')} missing in this window, the first in row {first + row + 1} of '{column}'"


def _cells(table: labels.LabelTable, keys: Sequence[str], name: str) -> list[str | None]:
    """The cells of a column of the table of recordings, one per window."""
    table.require_column(name, "group")
    return [table.rows.get(key, {}).get(name) or None for key in keys]


def _others(table: labels.LabelTable, options: Sensors) -> list[str]:
    """The columns of the table of recordings that evaluation may predict."""
    used = {table.id_column, options.split_column, table.label_column(options.label_column)}
    return [name for name in table.columns if name and name not in used]


def _sensors_note(survey: Survey, cut: Cut) -> str:
    sensors = ", ".join(
        f"{name} ({', '.join(use.names) or counted(len(use.columns), 'column')}; {cut.rates[name]:g} Hz)"
        for name, use in survey.sensors.items()
    )
    return f"sensors: {sensors}."


def _notes(survey: Survey, cut: Cut, recordings: Recordings, rows: int, options: Sensors) -> list[str]:
    """What became of columns and recordings."""
    notes = [_sensors_note(survey, cut)]
    times = sorted({each.time for each in survey.columns.values() if each.time})
    left = sorted({name for each in survey.columns.values() for name in each.left_out})
    named = sorted({each.label for each in survey.columns.values() if each.label})
    notes += [f"labels: {', '.join(named)}."] if named else []
    notes += [f"left out as times: {', '.join(times)}."] if times else []
    notes += [f"left out, because they hold text or nothing: {', '.join(left)}."] if left else []
    files = recordings.left_out
    notes += [f"left out, because they name no sensor: {', '.join(files[:5])}."] if files else []
    return [*notes, *_window_notes(survey, cut, rows, options)]


def _window_notes(survey: Survey, cut: Cut, rows: int, options: Sensors) -> list[str]:
    count = counted(len(survey.recordings), "recording")
    if cut.window is None:
        return [f"{count} of at most {WHOLE} rows: each is one sample; cut them with --window."]
    rate = max(cut.rates.values())
    choose = "" if options.window else "; choose with --window and --hop"
    return [
        f"{count}: {rows} windows of {round(cut.window * rate)} rows ({cut.window:g} s), one every "
        f"{round(cut.hop * rate)} rows{choose}.",
        f"all windows of a recording are in one split; --group {RECORDING} also keeps them from being each other's "
        "negatives.",
    ]
