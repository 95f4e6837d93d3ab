"""Windows of recordings: their places in every sensor, which may have rates of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from multiview.data.columns.sensor_columns import Channels, rate_of
from multiview.data.columns.sensor_survey import Recording, Survey
from multiview.data.listing.filetree import as_unicode
from multiview.data.modality import ANY, Modality
from multiview.data.source import Row
from multiview.data.values import UnknownRateError
from multiview.errors import MultiviewError
from multiview.plurals import counted

Length = int | str | None
"""Rows, or seconds as in `2.5s`."""
WHOLE = 512
"""Recordings of at most so many rows are one sample each, unless --window is given."""
WINDOW = 128
"""Rows of a window of longer recordings."""
SAME_RATE = 0.05
"""The rate of a recording may differ by this share from that of the others."""
RECORDING = "recording"
"""The column of groups: windows of one recording belong together."""


def length_in_rows(option: str, given: Length, rate: float) -> int | None:
    """A length in rows, from rows or from seconds at `rate`. Raises MultiviewError."""
    if given is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s?)\s*", str(given))
    value = float(match[1]) * (rate if match[2] else 1) if match else 0
    if not match or value <= 0 or (not match[2] and value != round(value)):
        raise MultiviewError(f"{option} is '{given}'; give rows, such as 128, or seconds, such as 2.5s.")
    return max(1, round(value))


@dataclass(frozen=True)
class Piece:
    """Window number `number` of a recording."""

    recording: int
    number: int


@dataclass(frozen=True)
class Cut:
    """How recordings become windows.

    Args:
        survey: the recordings.
        rates: sensor -> samples per second.
        window: seconds of a window, None for whole recordings.
        hop: seconds from one window to the next.
        modalities: of every sensor.
    """

    survey: Survey
    rates: Mapping[str, float]
    window: float | None
    hop: float
    modalities: tuple[Modality, ...]

    def pieces(self, listed: Mapping[str, Row], by_table: bool) -> tuple[list[Piece], list[Row]]:
        """The windows of the listed recordings, and the row of each."""
        pieces, rows = [], []
        for place, recording in enumerate(self.survey.recordings):
            if recording.key not in listed:
                continue
            row, count = listed[recording.key], 1 if self.window is None else max(self.count(recording), 1)
            own = () if by_table else recording.labels
            for number in range(count):
                pieces.append(Piece(place, number))
                rows.append(self._row(row, recording, number, own))
        return pieces, rows

    def _row(self, row: Row, recording: Recording, number: int, own: Sequence[str | None]) -> Row:
        start, length = self.place(recording, next(iter(recording.tracks), ""), number)
        label = Counter(own[start : start + length]).most_common(1)[0][0] if own[start : start + length] else row.label
        if self.window is None:
            return replace(row, label=label)
        return replace(row, id=f"{row.id}/{start:06d}", label=label, groups={RECORDING: row.id})

    def count(self, recording: Recording) -> int:
        """How many whole windows every sensor of a recording has; 0 for none."""
        assert self.window is not None
        if recording.fault or not recording.tracks:
            return 0
        spare = min(
            (track.rows - self.offset(recording, sensor)) / self.rates[sensor]
            - round(self.window * self.rates[sensor]) / self.rates[sensor]
            for sensor, track in recording.tracks.items()
        )
        return 0 if spare < 0 else int(spare / self.hop + 1e-9) + 1

    def offset(self, recording: Recording, sensor: str) -> int:
        """The rows of a sensor before the latest of the sensors begins."""
        begins = [track.begin for track in recording.tracks.values()]
        if any(begin is None for begin in begins):
            return 0
        own = recording.tracks[sensor].begin
        return round((max(b for b in begins if b is not None) - (own or 0.0)) * self.rates[sensor])

    def place(self, recording: Recording, sensor: str, number: int) -> tuple[int, int]:
        """First row and number of rows of a window of a sensor."""
        if recording.fault or sensor not in recording.tracks:
            return 0, 0
        first = self.offset(recording, sensor)
        if self.window is None:
            return first, max(recording.tracks[sensor].rows - first, 0)
        rate = self.rates[sensor]
        return first + round(number * self.hop * rate), round(self.window * rate)

    def fault(self, recording: Recording) -> str:
        """Why a recording cannot be read, or an empty text."""
        if recording.fault:
            return recording.fault
        for sensor, track in recording.tracks.items():
            rate, name = self.rates[sensor], as_unicode(track.file)
            if track.step > 0 and abs(1 / track.step - rate) > SAME_RATE * rate:
                return f"{name}: is sampled at {1 / track.step:.4g} Hz, the others at {rate:.4g} Hz; resample it"
            if self.offset(recording, sensor) >= track.rows:
                return f"{name}: its times do not overlap with those of the other sensors"
            if self.window is not None and not self.count(recording):
                return f"{name}: has {counted(track.rows, 'row')}, a window has {round(self.window * rate)}"
        return ""


def cut_windows(survey: Survey, window: Length, hop: Length, rate: float | None) -> Cut:
    """Rates, window and hop; the arguments are options of the source `sensors`.

    Raises UnknownRateError when nothing tells the rate.
    """
    rates = {sensor: rate or _rate(survey, sensor) for sensor in survey.sensors}
    fastest = max(rates, key=lambda sensor: rates[sensor])
    if len(set(rates.values())) > 1:
        _require_seconds({"window": window, "hop": hop}, rates)
    rows = length_in_rows("window", window, rates[fastest])
    longest = max((track.rows for each in survey.recordings for track in each.tracks.values()), default=0)
    if rows is None and longest > WHOLE:
        rows = WINDOW
    seconds = None if rows is None else rows / rates[fastest]
    step = length_in_rows("hop", hop, rates[fastest]) or max(1, (rows or 2) // 2)
    cut = Cut(survey, rates, seconds, step / rates[fastest], ())
    return replace(cut, modalities=tuple(_modality(cut, name, use) for name, use in survey.sensors.items()))


def _rate(survey: Survey, sensor: str) -> float:
    tracks = [each.tracks[sensor] for each in survey.recordings if sensor in each.tracks]
    rate = rate_of([track.step for track in tracks])
    if rate is None:
        raise UnknownRateError(
            f"no column of the CSV files of '{sensor}' is a time, so the rate is unknown; give --rate, in samples per "
            "second."
        )
    return rate


def _require_seconds(options: Mapping[str, Length], rates: Mapping[str, float]) -> None:
    """Raises MultiviewError for a window in rows when sensors differ in their rates."""
    for name, given in options.items():
        if given is not None and not str(given).strip().endswith("s"):
            listing = ", ".join(f"{sensor} {rate:g} Hz" for sensor, rate in rates.items())
            raise MultiviewError(f"the sensors differ in rate ({listing}); give --{name} in seconds, such as 2.5s.")


def _modality(cut: Cut, sensor: str, channels: Channels) -> Modality:
    rate = cut.rates[sensor]
    if cut.window is None:
        lengths = {cut.place(each, sensor, 0)[1] for each in cut.survey.recordings if not cut.fault(each)} - {0}
        length = lengths.pop() if len(lengths) == 1 else ANY
    else:
        length = round(cut.window * rate)
    shape = (length, len(channels.columns))
    how = {"kind": "series", "dtype": "float32", "unit": "number", "rate": rate, "names": channels.names}
    return Modality(name=sensor, shape=shape, **how)  # type: ignore[arg-type]
