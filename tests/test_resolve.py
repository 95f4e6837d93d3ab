"""Opening data by name: which source is detected and when a store is made."""

import os
from pathlib import Path

import pytest
from pictures import noise, save, write_aligned, write_list, write_pets

from multiview.data.load.detect_source import detect_source
from multiview.data.load.open_data import open_data
from multiview.data.sources.aligned import Aligned
from multiview.data.sources.arrays import Arrays
from multiview.data.sources.audio import Audio
from multiview.data.sources.cifar import Cifar10
from multiview.data.sources.folder import Folder
from multiview.data.sources.manifest import Manifest
from multiview.data.sources.nyuv2 import NyuV2
from multiview.data.sources.stl10 import Stl10
from multiview.data.sources.video import Video
from multiview.errors import MultiviewError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_pets(tmp_path)


@pytest.fixture
def listed(pets: Path) -> Path:
    return write_list(pets)


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    return write_aligned(tmp_path)


def test_the_source_is_detected(aligned: Path) -> None:
    assert detect_source(aligned) == Aligned()
    assert detect_source(aligned / "rgb") == Folder()


def test_the_usual_table_is_used_where_it_lists_the_files(listed: Path) -> None:
    by_name = Folder(csv="labels.csv").plan(listed)
    assert Folder().plan(listed).rows == by_name.rows
    (listed / "labels.csv").write_text("id,split\nsomething/else,train\n")
    assert Folder().plan(listed).rows != by_name.rows
    (listed / "labels.csv").write_text("a table of something else")
    assert len(Folder().plan(listed).rows) == 12


def test_sounds_clips_arrays_and_manifests_are_detected(tmp_path: Path) -> None:
    files = {
        "sounds": ["a/1.wav", "a/2.flac", "cover.png"],
        "clips": ["run/1.mp4", "run/2.mkv"],
        "tables": ["x.npz"],
        "rows": ["x.npy", "y.npy"],
        "listed": ["manifest.jsonl", "bilder/1.png"],
        "cifar-10-batches-py": ["batches.meta"],
        "unpacked": ["stl10_binary/train_X.bin"],
        "rooms": ["nyu_depth_v2_labeled.mat"],
        "nothing": ["readme.txt"],
    }
    for folder, names in files.items():
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
    assert {folder: type(detect_source(tmp_path / folder)) for folder in files} == {
        "sounds": Audio,
        "clips": Video,
        "tables": Arrays,
        "rows": Arrays,
        "listed": Manifest,
        "cifar-10-batches-py": Cifar10,
        "unpacked": Stl10,
        "rooms": NyuV2,
        "nothing": Folder,
    }
    assert detect_source(tmp_path / "listed" / "manifest.jsonl") == Manifest()
    assert detect_source(tmp_path / "tables" / "x.npz") == Arrays()
    assert detect_source(tmp_path / "rooms" / "nyu_depth_v2_labeled.mat") == NyuV2()


def test_a_manifest_is_data(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", noise(0))
    (tmp_path / "in" / "rows.csv").write_text("id,split,photo\n1,train,a.png\n2,test,a.png\n")
    store = open_data(str(tmp_path / "in" / "rows.csv"), tmp_path / "cache", lambda _: None)
    assert store.ids == ["1", "2"]
    assert open_data(str(store.path), tmp_path / "cache").manifest.hash == store.manifest.hash


def test_open_data(pets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    store = open_data(str(pets), cache, said.append)
    assert len(store) == 12
    assert store.path.parent == cache
    assert len(said) == 1
    assert "12 samples" in said[0]
    assert open_data(str(pets), cache, said.append).manifest.hash == store.manifest.hash
    assert len(said) == 1
    assert open_data(str(store.path), cache, said.append).manifest.hash == store.manifest.hash
    save(pets / "cats" / "new.png", noise(77))
    assert len(open_data(str(pets), cache, said.append)) == 13
    assert any("has changed" in line for line in said)
    assert len(list(cache.glob("*/manifest.json"))) == 1


def test_an_image_edited_in_place_is_noticed(pets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = open_data(str(pets), tmp_path / "cache", said.append).manifest
    picture = pets / "cats" / "2024 é" / "n 1.PNG"
    os.utime(picture, ns=(1, 1))
    assert open_data(str(pets), tmp_path / "cache", said.append).manifest == first
    assert "has changed: its store" in said[1]
    save(picture, noise(78))
    assert open_data(str(pets), tmp_path / "cache", said.append).manifest.hash != first.hash
    said.clear()
    open_data(str(pets), tmp_path / "cache", said.append)
    assert not said


def test_a_cache_inside_the_folder_is_no_change_of_it(pets: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        open_data(str(pets), pets / "data", said.append)
    assert len(said) == 1


def test_open_data_mistakes(tmp_path: Path) -> None:
    for spec, message in [
        (str(tmp_path / "gone"), "does not exist"),
        (__file__, "no source reads the file"),
        ("scenes:many", "does not say how many scenes"),
        ("scenes:0", "does not say how many scenes"),
    ]:
        with pytest.raises(MultiviewError, match=message):
            open_data(spec, tmp_path / "cache")
