"""Recordings of sensors in CSV files: layouts, separators, times, windows, splits, and damage."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from multiview.data.columns import sensor_columns
from multiview.data.files.csvfiles import read_measurements
from multiview.data.listing.recordings import SOLE, recordings_of, sensor_of_column
from multiview.data.load.detect_source import detect_source
from multiview.data.load.sourcestore import SourceStore
from multiview.data.source import BadSample, Plan
from multiview.data.sources.manifest import Manifest
from multiview.data.sources.sensors import Sensors
from multiview.data.values import UnknownRateError
from multiview.errors import MultiviewError
from multiview.portable.opening import open_store

pytest.importorskip("pyarrow")
RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(2, 300, 3)).round(4)


def write(
    path: Path,
    values: np.ndarray,
    names: str = "time,x,y,z",
    rate: float = 50.0,
    separator: str = ",",
    begin: float = 0.0,
) -> Path:
    """A CSV file of times and values; no times where `names` has as many names as columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    timed = len(names.split(",")) > values.shape[1]
    times = [[f"{begin + row / rate:.4f}"] if timed else [] for row in range(len(values))]
    lines = [[*time, *(f"{cell:.4f}" for cell in row)] for time, row in zip(times, values, strict=True)]
    rows = [names.split(","), *lines] if names.strip(",") else lines
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n")
    return path


def six(path: Path, names: str = "t,acc_x,acc_y,acc_z,gyr_x,gyr_y,gyr_z", **options: object) -> Path:
    return write(path, np.concatenate(VALUES, axis=1), names, **options)  # type: ignore[arg-type]


def layout(root: Path, name: str) -> Path:
    """The same two recordings in one of the layouts."""
    for key in ("walk1", "walk2"):
        if name == "columns":
            six(root / f"{key}.csv")
            continue
        for number, sensor in enumerate(("acc", "gyr")):
            place = {"folders": f"{sensor}/{key}", "endings": f"{key}_{sensor}", "beginnings": f"{sensor}-{key}"}
            write(root / f"{place.get(name, f'{key}/{sensor}')}.csv", VALUES[number])
    return root


def shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    return {each.name: each.shape for each in plan.modalities}


@pytest.mark.parametrize("name", ["folders", "endings", "beginnings", "a folder per recording", "columns"])
def test_every_layout_gives_the_same_windows(tmp_path: Path, name: str) -> None:
    root = layout(tmp_path / "data", name)
    assert detect_source(root) == Sensors()
    plan = Sensors(window=128).plan(root)
    assert [row.id for row in plan.rows] == [f"{key}/{at:06d}" for key in ("walk1", "walk2") for at in (0, 64, 128)]
    assert shapes(plan) == {"acc": (128, 3), "gyr": (128, 3)}
    assert {each.rate for each in plan.modalities} == {50.0}
    assert {each.names for each in plan.modalities} == {("x", "y", "z")}
    found = plan.read(4)
    assert np.array_equal(found["acc"], VALUES[0, 64:192].astype("float32"))
    assert np.array_equal(found["gyr"], VALUES[1, 64:192].astype("float32"))


def test_short_recordings_are_kept_whole(tmp_path: Path) -> None:
    root = layout(tmp_path, "columns")
    plan = Sensors().plan(root)
    assert [row.id for row in plan.rows] == ["walk1", "walk2"]
    assert shapes(plan) == {"acc": (300, 3), "gyr": (300, 3)}
    six(root / "long.csv")
    text = (root / "long.csv").read_text().splitlines()
    (root / "long.csv").write_text("\n".join([*text, *text[1:]]))
    assert shapes(Sensors(rate=50).plan(root)) == {"acc": (128, 3), "gyr": (128, 3)}


@pytest.mark.parametrize(("separator", "comma"), [(",", False), (";", False), ("\t", False), (";", True), ("\t", True)])
@pytest.mark.parametrize("header", [True, False])
def test_separators_headers_and_decimal_commas(tmp_path: Path, separator: str, comma: bool, header: bool) -> None:
    file = write(tmp_path / "acc.csv", VALUES[0], "time,x,y,z" if header else ",,,", separator=separator)
    if comma:
        file.write_text(file.read_text().replace(".", ","))
    plan = Sensors().plan(file) if header else Sensors(rate=50).plan(file)
    (value,) = plan.read(0).values()
    assert np.array_equal(value[:, -3:], VALUES[0].astype("float32"))
    assert value.shape[1] == (3 if header else 4)


@pytest.mark.parametrize(
    ("name", "scale"),
    [("time", 1), ("t [ms]", 1e3), ("Time (s)", 1), ("timestamp_us", 1e6), ("timestamp", 1e3), ("epoch", 1e9)],
)
def test_times_tell_the_rate_and_are_left_out(tmp_path: Path, name: str, scale: float) -> None:
    begin = 1.7e9 if name == "epoch" else 0.0
    times = (begin + np.arange(300) / 50) * scale
    rows = [f"{time:.0f},1,2" if scale > 1 else f"{time:.3f},1,2" for time in times]
    (tmp_path / "a.csv").write_text("\n".join([f"{name},acc_x,acc_y", *rows]))
    plan = Sensors().plan(tmp_path)
    assert [each.rate for each in plan.modalities] == [50.0]
    assert f"left out as times: {name}." in plan.notes
    assert shapes(plan) == {"series": (300, 2)}


def test_dates_are_times(tmp_path: Path) -> None:
    rows = [f"2024-05-01 12:00:{row // 10:02d}.{row % 10}00,1,{row}" for row in range(300)]
    (tmp_path / "a.csv").write_text("\n".join(["date,acc_x,acc_y", *rows]))
    assert [each.rate for each in Sensors().plan(tmp_path).modalities] == [10.0]


def test_the_unit_of_times_is_found_once_for_all_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Sensors(window=20, hop=10).plan(six(tmp_path / "one.csv"))
    asked: list[object] = []
    monkeypatch.setattr(sensor_columns, "step_of", lambda times: asked.append(times) or 0.01)
    read_measurements(tmp_path / "one.csv", "one.csv").scales.clear()
    assert len([plan.read(number) for number in range(len(plan.rows))]) > 5
    assert len(asked) == 1


def test_an_unknown_rate_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", VALUES[0], "x,y,z")
    with pytest.raises(UnknownRateError, match="give --rate, in samples per second"):
        Sensors().plan(tmp_path)


def test_sensors_begin_together_and_may_differ_in_rate(tmp_path: Path) -> None:
    write(tmp_path / "acc" / "a.csv", VALUES[0], rate=50)
    write(tmp_path / "gyr" / "a.csv", VALUES[1], rate=100, begin=1.0)
    plan = Sensors(window="1s", hop="0.5s").plan(tmp_path)
    assert shapes(plan) == {"acc": (50, 3), "gyr": (100, 3)}
    assert len(plan.rows) == 5  # 3 s of gyr, from second 1 to 4
    second = plan.read(1)
    assert np.array_equal(second["acc"], VALUES[0, 75:125].astype("float32"))
    assert np.array_equal(second["gyr"], VALUES[1, 50:150].astype("float32"))
    with pytest.raises(MultiviewError, match=r"differ in rate \(acc 50 Hz, gyr 100 Hz\); give --window in seconds"):
        Sensors(window=128).plan(tmp_path)


def test_windows_of_a_recording_are_in_one_split(tmp_path: Path) -> None:
    for number in range(30):
        six(tmp_path / f"r{number}.csv")
    plan = Sensors(window=50).plan(tmp_path)
    splits = defaultdict(set)
    for row in plan.rows:
        splits[row.groups["recording"]].add(row.split)
    assert len(splits) == 30
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val", "test"}
    assert plan.linked is not None and len(set(plan.linked)) == 30


def test_one_recording_is_training_data_and_given_splits_stay(tmp_path: Path) -> None:
    six(tmp_path / "own" / "r1.csv")
    assert {row.split for row in Sensors(split="0/0/100", window=100).plan(tmp_path / "own").rows} == {"train"}
    (tmp_path / "own" / "labels.csv").write_text("id,split\nr1,test\n")
    assert {row.split for row in Sensors(window=100).plan(tmp_path / "own").rows} == {"test"}


def test_labels_come_from_folders_a_table_or_a_column(tmp_path: Path) -> None:
    for label in ("run", "walk"):
        six(tmp_path / "folders" / label / "a.csv")
        six(tmp_path / "table" / f"{label}1.csv")
    assert [row.label for row in Sensors().plan(tmp_path / "folders").rows] == ["run", "walk"]
    (tmp_path / "table" / "labels.csv").write_text("id,label,person\nrun1,runs,p1\nwalk1,walks,p2\n")
    plan = Sensors(window=100).plan(tmp_path / "table")
    assert [row.label for row in plan.rows] == ["runs"] * 5 + ["walks"] * 5
    assert plan.column is not None and plan.column("person") == ["p1"] * 5 + ["p2"] * 5
    rows = [f"{row / 10},1,2,{'sit' if row < 120 else 'stand'}" for row in range(300)]
    (tmp_path / "a.csv").write_text("\n".join(["time,acc_x,acc_y,activity", *rows]))
    plan = Sensors(window=100, hop=100).plan(tmp_path / "a.csv")
    assert [row.label for row in plan.rows] == ["sit", "stand", "stand"]


@pytest.mark.parametrize(
    ("line", "text", "reason"),
    [
        (5, "0.08,1,,3", "1 value missing in this window, the first in row 5 of 'y'"),
        (5, "0.08,1,err,3", "'err' in row 5 of 'y' is no number"),
        (5, "0.08,1,3", "line 6: 3 cells under 4 columns"),
        (200, "99,1,2,3", "rows 193 to 256 span 95.16 s instead of 1.28"),
    ],
)
def test_damage_rejects_its_window_or_its_file(tmp_path: Path, line: int, text: str, reason: str) -> None:
    file = write(tmp_path / "acc.csv", VALUES[0])
    write(tmp_path / "gyr.csv", VALUES[1])
    lines = file.read_text().splitlines()
    lines[line] = text
    file.write_text("\n".join(lines))
    if "cells" in reason:
        write(tmp_path / "p" / "acc.csv", VALUES[0])
        write(tmp_path / "p" / "gyr.csv", VALUES[1])
    plan = Sensors(window=64, hop=64).plan(tmp_path)
    bad = [row.id for row in plan.rows].index(f"recording/{0 if line == 5 else 192:06d}")
    with pytest.raises(BadSample, match=f"acc.csv: {reason}"):
        plan.read(bad)
    assert plan.read((bad + 1) % len(plan.rows)).keys() == {"acc", "gyr"}


def test_mistakes_are_told_in_one_sentence(tmp_path: Path) -> None:
    layout(tmp_path, "folders")
    (tmp_path / "gyr" / "walk2.csv").unlink()
    plan = Sensors().plan(tmp_path)
    with pytest.raises(BadSample, match="walk2: no file of gyr; keep it with --missing keep"):
        plan.read(1)
    assert Sensors(missing="keep").plan(tmp_path).read(1).keys() == {"acc"}
    with pytest.raises(MultiviewError, match=r"window is '2\.5x'; give rows, such as 128, or seconds"):
        Sensors(window="2.5x")
    with pytest.raises(MultiviewError, match=r"'accx' is not a sensor of .*available: .*"):
        Sensors(sensors=("accx", "gyr")).plan(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\nx,y\n")
    with pytest.raises(MultiviewError, match=r"t\.csv: no column holds numbers; there are: a, b"):
        Sensors().plan(tmp_path / "t.csv")


def test_columns_can_be_given(tmp_path: Path) -> None:
    six(tmp_path / "a.csv", "t,a1,a2,a3,b1,b2,b3")
    plan = Sensors(sensors={"hand": ["a1", "a3"], "foot": "b*"}).plan(tmp_path)
    assert shapes(plan) == {"hand": (300, 2), "foot": (300, 3)}
    with pytest.raises(MultiviewError, match="the sensor 'hand' has no column; columns of numbers: a1, "):
        Sensors(sensors={"hand": "c*"}).plan(tmp_path)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("acc_x", ("acc", "x")),
        ("AccX", ("acc", "x")),
        ("accz", ("acc", "z")),
        ("gy", ("gyr", "y")),
        ("x_acc", ("acc", "x")),
        ("Linear Acceleration z (m/s^2)", ("linear_acceleration", "z")),
        ("emg 1", ("emg", "1")),
        ("heart rate", ("heart_rate", "")),
        ("frequency", ("frequency", "")),
        ("Y", ("", "y")),
    ],
)
def test_names_of_columns_are_understood(column: str, expected: tuple[str, str]) -> None:
    assert sensor_of_column(column) == expected


def test_classes_are_not_taken_for_sensors() -> None:
    assert all(SOLE in each for each in recordings_of(["run/a.csv", "walk/a.csv"]).files.values())
    assert all(SOLE in each for each in recordings_of(["p1_run.csv", "p1_walk.csv", "p2_run.csv"]).files.values())
    named = recordings_of(["phoneA/a.csv", "phoneB/a.csv"], ["phoneA", "phoneB"])
    assert named.files == {"a": {"phoneA": "phoneA/a.csv", "phoneB": "phoneB/a.csv"}}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["w1_acc.csv", "w1-acc.csv", "w1_gyr.csv", "w2_acc.csv", "w2_gyr.csv"],
            r"^w1_acc.csv and w1-acc.csv are both the sensor 'acc' of the recording 'w1'; rename or remove one of them",
        ),
        (["b.csv", "a.csv", "a.tsv"], r"^a.csv and a.tsv are both the recording 'a'"),
    ],
)
def test_no_file_is_dropped_for_another_one(files: list[str], message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        recordings_of(files)


def test_tables_of_samples_stay_manifests(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,acc_x,f1,f2\na,1,2,3\n")
    (tmp_path / "recording.csv").write_text("time,acc_x,acc_y\n0,2,3\n")
    assert detect_source(tmp_path / "table.csv") == Manifest()
    assert detect_source(tmp_path / "recording.csv") == Sensors()


def test_new_files_are_cut_like_those_of_the_training(tmp_path: Path) -> None:
    six(tmp_path / "new.csv", "acc_x,acc_y,acc_z,gyr_x,gyr_y,gyr_z")
    series = [{"name": name, "kind": "series", "shape": [50, 3], "rate": 50.0} for name in ("acc", "gyr")]
    data = {"source": "sensors", "modalities": series, "options": {"hop": 100}}
    store = open_store(data, str(tmp_path / "new.csv"))
    assert store.ids == ["new/000000", "new/000100", "new/000200"]
    assert store.read([1], "gyr").shape == (1, 50, 3)
    lines = (tmp_path / "new.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:41]))
    short = open_store(data, str(tmp_path / "short.csv"))
    assert short.modality("acc").shape == (50, 3)
    assert isinstance(short, SourceStore)
    with pytest.raises(BadSample, match=r"short\.csv: has 4\d rows, a window has 50"):
        short.plan.read(0)
