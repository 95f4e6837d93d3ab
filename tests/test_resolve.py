"""Opening data by name: which source is detected and when a store is made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
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
    assert not store.manifest.views, "a run measures the views that it uses, when it starts"
    assert len(said) == 1
    assert "12 samples" in said[0]
    assert open_data(str(pets), cache, said.append).manifest.hash == store.manifest.hash
    assert len(said) == 1
    assert open_data(str(store.path), cache, said.append).manifest.hash == store.manifest.hash
    save(pets / "cats" / "new.png", noise(77))
    assert len(open_data(str(pets), cache, said.append)) == 13
    assert any("has changed" in line for line in said)
    assert len(list(cache.glob("*/manifest.json"))) == 2, "another run may be reading the older store"
    assert len(open_data(str(store.path), cache)) == 12


def test_an_image_edited_in_place_is_noticed(pets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = open_data(str(pets), tmp_path / "cache", said.append).manifest
    picture = pets / "cats" / "2024 é" / "n 1.PNG"
    os.utime(picture, ns=(1, 1))
    assert open_data(str(pets), tmp_path / "cache", said.append).manifest.hash == first.hash
    assert "has changed: " in said[2]
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


def test_a_running_reader_keeps_its_store_when_pictures_are_replaced(pets: Path, tmp_path: Path) -> None:
    cache, said = tmp_path / "cache", []
    reading = open_data(str(pets), cache, said.append)
    before = reading.read(reading.rows(), "image")
    reading.close()
    for number, picture in enumerate(sorted(pets.rglob("*.[Pp][Nn][Gg]"))):
        save(picture, noise(100 + number))
    again = open_data(str(pets), cache, said.append)
    assert again.path != reading.path
    assert np.array_equal(reading.read(reading.rows(), "image"), before)
    assert str(reading.path) in said[-1], "the older store is named"
    said.clear()
    assert open_data(str(pets), cache, said.append).path == again.path
    assert said == []


START = """
import sys
from pathlib import Path
from multiview.data.load.open_data import open_data
if __name__ == "__main__":
    said = []
    store = open_data(sys.argv[1], Path(sys.argv[2]), said.append)
    print(sum("prepared" in line for line in said), store.path.name, store.read(store.rows(), "image").sum(), sep="|")
"""


def test_two_starts_make_a_store_once(pets: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", START, str(pets), str(tmp_path / "cache")]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    lines = [run.communicate(timeout=120)[0].split("|") for run in runs]
    assert sorted(line[0] for line in lines) == ["0", "0", "1"]
    assert len({tuple(line[1:]) for line in lines}) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [lines[0][1]]


def test_an_interrupted_making_is_continued_or_replaced(pets: Path, tmp_path: Path) -> None:
    cache, said = tmp_path / "cache", []
    path = open_data(str(pets), cache, said.append).path
    making = path.with_name(f"{path.name}.making")
    making.mkdir()
    path.rename(making / "store")
    (making / "store" / "manifest.json").unlink()
    (making / "store" / ".unfinished").write_text("of other files\n")
    assert len(open_data(str(pets), cache, said.append)) == 12
    assert [each.name for each in cache.iterdir()] == [path.name]


def written_beside(root: Path) -> list[str]:
    """What runs of this program leave below a folder that they read."""
    run, store = root / "runs" / "one", root / "data" / "photos-1"
    for file in (run / "config.yaml", run / "environment.json", root / "notes.txt"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    for picture in (
        run / "health.png",
        root / "contact-sheet.png",
        root / "@eaDir" / "a.png",
        root / "__MACOSX/x/b.png",
    ):
        save(picture, noise(7))
    store.mkdir(parents=True)
    (store / "manifest.json").write_text('{"schema": 1}')
    (store / "shard-00000.h5").write_bytes(b"")
    save(store / "contact-sheet.png", noise(8))
    return ["@eaDir", "__MACOSX", "contact-sheet.png", "data/photos-1", "runs/one"]


@pytest.mark.parametrize("kind", ["folder", "aligned", "table", "folder by its table"])
def test_what_the_program_wrote_is_no_data_and_no_change(
    kind: str, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "aligned":
        (tmp_path / "scans").mkdir()
        pets = write_aligned(tmp_path / "scans")
    spec = "."
    monkeypatch.chdir(pets)
    if kind == "table":
        names = [str(path.relative_to(pets)) for path in sorted(pets.rglob("*.[Pp][Nn][Gg]"))]
        lines = [json.dumps({"photo": name, "split": "train"}) for name in names]
        Path("table.jsonl").write_text("\n".join(lines))
        spec = "table.jsonl"
    said: list[str] = []
    first = open_data(spec, Path("data"), said.append)
    passed = written_beside(pets)
    said.clear()
    again = open_data(spec, Path("data"), said.append)
    assert (said, again.ids, again.manifest.classes) == ([], first.ids, first.manifest.classes)
    assert again.path == first.path
    if kind != "table":
        notes = detect_source(pets).plan(pets).notes
        assert any(note.startswith("skipped ") and passed[0] in note for note in notes)


def test_a_table_is_made_again_when_a_file_that_it_names_changes(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "in" / f"{name}.png", noise(ord(name)))
    table = tmp_path / "in" / "rows.csv"
    table.write_text("id,split,photo\n1,train,a.png\n2,test,b.png\n")
    paths = [open_data(str(table), tmp_path / "cache", lambda _: None).path]
    for name in ("c.png", "a.png", "rows.csv"):
        os.utime(tmp_path / "in" / name, ns=(5, 5))
        paths.append(open_data(str(table), tmp_path / "cache", lambda _: None).path)
    assert paths[0] == paths[1], "the table does not name c.png"
    assert len(set(paths)) == 3


@pytest.mark.parametrize("change", ["content", "time", "size"])
@pytest.mark.parametrize("unfinished", [False, True])
def test_preprocess_says_that_files_were_replaced(pets: Path, tmp_path: Path, change: str, unfinished: bool) -> None:
    out = tmp_path / "out"
    preprocess(Folder(), pets, out)
    assert preprocess(Folder(), pets, out).already
    picture = sorted(pets.rglob("*.[Pp][Nn][Gg]"))[0]
    if change == "time":
        os.utime(picture, ns=(1, 1))
    elif change == "size":
        picture.write_bytes(picture.read_bytes() + b"\0")
    else:
        save(picture, noise(99))
    if unfinished:
        origin = Store.open(out).manifest.provenance
        (out / "manifest.json").unlink()
        (out / ".unfinished").write_text(f"{origin.origin()}\n{origin.files}\n")
    with pytest.raises(MultiviewError, match=r"Replace it with --overwrite, or choose another OUT"):
        preprocess(Folder(), pets, out)
    assert not preprocess(Folder(), pets, out, overwrite=True).already
    assert preprocess(Folder(), pets, out).already


def test_a_store_of_an_older_version_is_whole_without_a_fingerprint(pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    preprocess(Folder(), pets, out)
    data = json.loads((out / "manifest.json").read_text())
    del data["checksum"], data["provenance"]["files"]
    (out / "manifest.json").write_text(json.dumps(data))
    assert preprocess(Folder(), pets, out).already
