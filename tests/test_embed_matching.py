"""A view of a portable model reads its own modality of new files, or none."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from many_kinds import trained_of
from PIL import Image

import multiview as mv
from multiview.data.load.open_data import open_data
from multiview.portable.model import PortableModel
from multiview.portable.naming import alike
from multiview.portable.write import write_model

RNG = np.random.default_rng(0)


def _picture(path: Path, mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    high, dtype, shape = (5000, "uint16", (16, 16)) if mode == "I;16" else (256, "uint8", (16, 16, 3))
    Image.fromarray(RNG.integers(0, high, shape).astype(dtype)).save(path)


def _sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(RNG.integers(-9000, 9000, 2000).astype("int16").tobytes())


def _series(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{row / 50},{','.join(f'{x:.3f}' for x in RNG.normal(size=3))}" for row in range(40)]
    path.write_text("\n".join(["time,x,y,z", *rows]))


def _model(data: Path, views: Mapping[str, mv.View], encoder: str) -> PortableModel:
    store = open_data(str(data), data.parent / "cache", say=lambda _: None)
    encoders = {name: mv.make_encoder(encoder, each.channels.count, width=0.25) for name, each in views.items()}
    return mv.load(write_model(trained_of(store, views, encoders), data.parent / "model")[0])


@pytest.fixture(scope="module")
def sensors(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortableModel, Path]:
    root = tmp_path_factory.mktemp("sensors")
    for number in range(24):
        for name in ("acc", "gyr"):
            _series(root / "data" / name / f"walk{number}.csv")
    views = {n: mv.make_view("series", mv.Crop(seconds=0.5), channels=3, modality=n) for n in ("acc", "gyr")}
    return _model(root / "data", views, "resnet1d"), root


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortableModel, Path]:
    root = tmp_path_factory.mktemp("languages")
    for number in range(24):
        for name in ("en", "es"):
            _sound(root / "data" / name / f"s{number}.wav")
    (root / "data" / "labels.csv").write_text("id,split\n" + "\n".join(f"s{n},train" for n in range(24)))
    views = {n: mv.make_view("waveform", mv.Crop(seconds=0.1), modality=n) for n in ("en", "es")}
    return _model(root / "data", views, "waveconv"), root


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortableModel, Path]:
    root = tmp_path_factory.mktemp("rooms")
    for number in range(24):
        _picture(root / "data" / "rgb" / f"r{number}.png", "RGB")
        _picture(root / "data" / "depth" / f"r{number}.png", "I;16")
    views = {name: mv.make_view(name, mv.Crop(size=12)) for name in ("rgb", "depth")}
    return _model(root / "data", views, "convnet"), root


@pytest.mark.parametrize(
    ("file", "view"),
    [
        ("acc/w.csv", "acc"),
        ("gyr/w.csv", "gyr"),
        ("gyroscope/w.csv", "gyr"),
        ("w_acc.csv", "acc"),
        ("accelerometer-w.csv", "acc"),
    ],
)
def test_a_sensor_is_known_by_folder_or_file(
    file: str, view: str, sensors: tuple[PortableModel, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _series(tmp_path / file)
    for place in (tmp_path / file, (tmp_path / file).parent):
        found = sensors[0].embed(place)
        assert [column.view for column in found.columns] == [view]
        other = ({"acc", "gyr"} - {view}).pop()
        assert f"left out the view {other}: " in capsys.readouterr().err
    np.testing.assert_array_equal(found[view], sensors[0].embed(tmp_path / file, views=[view])[view])


@pytest.mark.parametrize("file", ["w.csv", "mag/w.csv", "accident/w.csv"])
def test_a_sensor_that_nothing_names_is_refused_until_a_view_is_named(
    file: str, sensors: tuple[PortableModel, Path], tmp_path: Path
) -> None:
    _series(tmp_path / file)
    with pytest.raises(mv.MultiviewError, match=r"nothing says that this is one of acc, gyr.*--views acc"):
        sensors[0].embed(tmp_path / file)
    assert [column.view for column in sensors[0].embed(tmp_path / file, views=["gyr"]).columns] == ["gyr"]


def test_two_sensors_under_their_names_are_both_read(sensors: tuple[PortableModel, Path], tmp_path: Path) -> None:
    for name in ("acc", "gyr"):
        _series(tmp_path / name / "w.csv")
    assert {column.view for column in sensors[0].embed(tmp_path).columns} == {"acc", "gyr"}


def test_another_sensor_does_not_fill_the_only_view(tmp_path: Path) -> None:
    for number in range(24):
        _series(tmp_path / "data" / "acc" / f"w{number}.csv")
        _series(tmp_path / "data" / "gyr" / f"w{number}.csv")
        _series(tmp_path / "new" / "gyr" / f"w{number}.csv")
        _series(tmp_path / "new" / "mag" / f"w{number}.csv")
    crops = [mv.Crop(seconds=0.5, name=name) for name in ("one", "two")]
    views = {crop.name: mv.make_view("series", crop, channels=3, modality="acc") for crop in crops}
    model = _model(tmp_path / "data", views, "resnet1d")
    with pytest.raises(mv.MultiviewError, match=r"holds 'gyr, mag' \(series\); nothing says that this is 'acc'"):
        model.embed(tmp_path / "new")


@pytest.mark.parametrize("name", ["en", "es"])
def test_sounds_of_one_language_fill_the_view_of_this_language(
    name: str, languages: tuple[PortableModel, Path], tmp_path: Path
) -> None:
    model, root = languages
    _sound(tmp_path / name / "new.wav")
    for place in (tmp_path / name, tmp_path):
        assert [column.view for column in model.embed(place).columns] == [name]
    row = model.embed(root / "data").ids.index("s3")
    own = model.embed(root / "data" / name)
    np.testing.assert_allclose(own[name][own.ids.index("s3")], model.embed(root / "data")[name][row], atol=1e-5)


def test_sounds_of_an_unknown_language_are_refused(languages: tuple[PortableModel, Path], tmp_path: Path) -> None:
    _sound(tmp_path / "sounds" / "new.wav")
    with pytest.raises(mv.MultiviewError, match=r"nothing says that this is one of en, es"):
        languages[0].embed(tmp_path / "sounds")


@pytest.mark.parametrize(("folder", "view", "mode"), [("depth", "depth", "I;16"), ("rgb", "rgb", "RGB")])
def test_a_folder_of_depth_is_read_as_depth(
    folder: str, view: str, mode: str, rooms: tuple[PortableModel, Path], tmp_path: Path
) -> None:
    _picture(tmp_path / folder / "new.png", mode)
    for place in (tmp_path / folder, tmp_path):
        assert [column.view for column in rooms[0].embed(place).columns] == [view]


def test_depth_in_a_folder_of_another_name_is_no_photo(rooms: tuple[PortableModel, Path], tmp_path: Path) -> None:
    _picture(tmp_path / "scans" / "new.png", "I;16")
    with pytest.raises(mv.MultiviewError, match=r"grey picture of 16 bits.*name the folder `depth`"):
        rooms[0].embed(tmp_path / "scans")
    _picture(tmp_path / "holiday" / "new.png", "RGB")
    assert [column.view for column in rooms[0].embed(tmp_path / "holiday").columns] == ["rgb"]


def test_the_query_of_a_search_is_matched_alike(rooms: tuple[PortableModel, Path], tmp_path: Path) -> None:
    from multiview import cli

    model, root = rooms
    assert cli.run(["embed", str(model.layout.folder), str(root / "data"), str(tmp_path / "v.npz")]) == 0
    from multiview.embed.gallery import read_gallery
    from multiview.embed.queries import answers

    gallery = read_gallery(tmp_path / "v.npz")
    for folder, view in (("depth", "depth"), ("rgb", "rgb")):
        (found,) = answers(gallery, [str(root / "data" / folder / "r3.png")], model, None, None, 1)
        assert (found.view, gallery.ids[found.rows[0]]) == (view, "r3")


def test_a_named_view_reads_one_file_from_any_folder(rooms: tuple[PortableModel, Path], tmp_path: Path) -> None:
    from multiview import cli
    from multiview.embed.gallery import read_gallery
    from multiview.embed.queries import answers

    model, root = rooms
    assert cli.run(["embed", str(model.layout.folder), str(root / "data"), str(tmp_path / "v.npz")]) == 0
    gallery, scan = read_gallery(tmp_path / "v.npz"), tmp_path / "scan.png"
    scan.write_bytes((root / "data" / "depth" / "r3.png").read_bytes())
    (found,) = answers(gallery, [str(scan)], model, "depth", None, 1)
    assert (found.view, gallery.ids[found.rows[0]]) == ("depth", "r3")
    with pytest.raises(mv.MultiviewError, match=r"scan\.png is a grey picture of 16 bits") as error:
        answers(gallery, [str(scan)], model, None, None, 1)
    assert "query.png" not in str(error.value)
    with pytest.raises(mv.MultiviewError, match=r"r3\.pgn' does not exist\. Did you mean '.*r3\.png'"):
        answers(gallery, [str(root / "data" / "depth" / "r3.pgn")], model, None, None, 1)
    with pytest.raises(mv.MultiviewError, match=r"scan\.png is one image; give the folder that holds it"):
        model.embed(scan)


def test_names_of_one_sensor() -> None:
    assert alike("acc", "Accelerometer", "series")
    assert alike("EN", "en", "audio")
    assert not alike("acc", "gyr", "series")
    assert not alike("en", "english", "audio")
