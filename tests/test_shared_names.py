"""Files of several kinds under equal names are views; files that are missing are holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from pictures import noise, save
from PIL import Image

from multiview.data.load import shared_names
from multiview.data.load.detect_source import detect_source
from multiview.data.load.open_data import open_data
from multiview.data.sources.aligned import Aligned
from multiview.data.sources.audio import Audio
from multiview.data.sources.folder import Folder
from multiview.data.sources.hf import HuggingFace
from multiview.data.sources.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


CASES = {
    "two kinds": (["cam/1.png", "cam/2.png", "mic/1.wav", "mic/2.wav"], Aligned(modalities=("cam", "mic"))),
    "several of a kind": (["a/1.png", "b/1.jpg", "c/1.npy", "d/1.flac"], Aligned(modalities=("a", "b", "c", "d"))),
    "classes below": (["cam/x/1.png", "cam/y/1.png", "mic/x/1.wav", "mic/y/1.wav"], Aligned(modalities=("cam", "mic"))),
    "an unknown folder": (["rgb/1.png", "depth/1.png", "mic/1.wav"], Aligned(modalities=("rgb", "depth", "mic"))),
    "one folder": (["1.png", "2.png", "1.wav", "2.wav"], Aligned(modalities={"image": "*.png", "audio": "*.wav"})),
    "holes": (["cam/1.png", "cam/2.png", "cam/3.png", "mic/1.wav"], Aligned(modalities=("cam", "mic"), missing="keep")),
    "known names with holes": (["rgb/1.png", "rgb/2.png", "depth/1.png"], Aligned(missing="keep")),
    "classes of pictures": (["cat/1.png", "dog/1.png"], Folder()),
    "other names": (["cat/1.wav", "dog/2.wav", "covers/x.png"], Audio()),
    "covers in class folders": (["cat/1.png", "cat/1.wav", "dog/2.png", "dog/3.png"], Folder()),
    "ends of names": (
        ["1_rgb.png", "1_depth.png", "2_rgb.png", "2_depth.png"],
        Aligned(modalities={"image": "*_rgb", "depth": "*_depth"}),
    ),
    "ends of names below": (
        ["s/a-RGB.png", "s/a-Normal.png", "s/a-disp.png"],
        Aligned(modalities={"image": "s/*-RGB", "normal": "s/*-Normal"}),
    ),
    "ends with holes": (
        ["1_rgb.png", "1_depth.npy", "2_rgb.png", "2_depth.npy", "3_rgb.png"],
        Aligned(modalities={"image": "*_rgb", "depth": "*_depth"}, missing="keep"),
    ),
    "two ends of a kind": (
        ["1_rgb.png", "1_image.png", "1_depth.png"],
        Aligned(modalities={"image:image": "*_image", "rgb:image": "*_rgb", "depth": "*_depth"}),
    ),
    "two sides": (
        ["1_left.png", "1_right.png", "1_disp.png"],
        Aligned(modalities={"left": "*_left", "right": "*_right"}),
    ),
    "one side is missing": (["1_left.png", "1_right.png", "2_left.png"], Folder()),
    "one side in capitals is missing": (["1_LEFT.png", "1_RIGHT.png", "2_LEFT.png"], Folder()),
    "sides in capitals": (
        ["1_LEFT.png", "1_RIGHT.png"],
        Aligned(modalities={"LEFT": "*_LEFT", "RIGHT": "*_RIGHT"}),
    ),
    "one end": (["sun_image.png", "sea_image.png", "a_rgb.png"], Folder()),
    "ends that mean nothing": (["red_circle.png", "red_square.png", "blue_circle.png", "blue_square.png"], Folder()),
    "two endings of a kind": (["1.png", "1.jpg", "1.wav"], Folder()),
    "folders of sides": (["left/1.png", "right/1.png"], Aligned(modalities={"left": "left", "right": "right"})),
    "folders that end in sides": (
        ["Cam_Left/1.png", "Cam_Right/1.jpg"],
        Aligned(modalities={"Cam_Left": "Cam_Left", "Cam_Right": "Cam_Right"}),
    ),
    "sides with other names": (["left/1.png", "right/2.png"], Folder()),
    "sides and a class": (["left/1.png", "right/1.png", "up/1.png"], Folder()),
    "spoken sides": (["left/1.wav", "right/1.wav"], Audio()),
    "arrays alone": (["acc/1.npy", "acc/2.npy", "gyr/1.npy", "gyr/2.npy"], Aligned(modalities=("acc", "gyr"))),
}


@pytest.mark.parametrize("case", CASES)
def test_the_source_of(case: str, tmp_path: Path) -> None:
    files, source = CASES[case]
    assert detect_source(touched(tmp_path, *files)) == source


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
def test_a_dataset_that_was_saved_to_disk_is_read_as_such(name: str, tmp_path: Path) -> None:
    assert detect_source(touched(tmp_path, name, "data.arrow")) == HuggingFace(dataset=str(tmp_path))


def grey(path: Path, dtype: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(800, 1800).reshape(25, 40).astype(dtype)).save(path)


@pytest.mark.parametrize(
    ("dtypes", "modalities"),
    [
        ({"kamera": "uint8", "tiefe": "uint16"}, {"kamera": "kamera", "tiefe:depth": "tiefe"}),
        ({"a": "uint8", "b": "uint16", "c": "uint8"}, {"a": "a", "b:depth": "b", "c": "c"}),
        ({"kamera": "uint8", "tiefe": "uint8"}, None),
        ({"kamera": "uint16", "tiefe": "uint16"}, None),
    ],
)
def test_deep_greys_beside_pictures_are_depth(
    dtypes: dict[str, str], modalities: dict[str, str] | None, tmp_path: Path
) -> None:
    for folder, dtype in dtypes.items():
        for number in range(12):
            grey(tmp_path / "in" / folder / f"{number}.png", dtype)
    said: list[str] = []
    store = open_data(str(tmp_path / "in"), tmp_path / "cache", said.append)
    if modalities is None:
        assert (len(store), store.manifest.classes) == (24, ("kamera", "tiefe"))
        return
    kinds = {each.name: each.kind for each in store.manifest.modalities}
    assert kinds == {name.partition(":")[0]: name.partition(":")[2] or "image" for name in modalities}
    bands = ", ".join(f"'{name}:bands': {name}" if kinds[name] == "depth" else f"{name}: {name}" for name in dtypes)
    assert f'STORE --modalities "{{{bands}}}"' in said[-1] and "`multiview preprocess folder " in said[-1]
    other = preprocess(Aligned(modalities=yaml.safe_load(f"{{{bands}}}")), tmp_path / "in", tmp_path / "bands")
    assert "bands" in {each.kind for each in Store.open(other.out).manifest.modalities}


@pytest.mark.parametrize(
    ("table", "patterns"),
    [("id\na\nb\n", True), ("name\na\n", True), ("who\na\n", False), ("id\na_rgb\nb_rgb\na_depth\nb_depth\n", False)],
)
def test_a_table_decides_whether_ends_of_names_are_views(table: str, patterns: bool, tmp_path: Path) -> None:
    touched(tmp_path, "a_rgb.png", "a_depth.png", "b_rgb.png", "b_depth.png")
    (tmp_path / "labels.csv").write_text(table)
    assert isinstance(detect_source(tmp_path), Aligned) == patterns


@pytest.mark.parametrize("names", ["{0}_rgb.png {0}_normal.png", "rgb/{0}.png normal/{0}.png", "{0}.png"])
def test_a_usual_table_needs_no_splits(names: str, tmp_path: Path) -> None:
    for number in range(12):
        for name in names.format(number).split():
            save(tmp_path / "in" / name, noise(number))
    lines = [f"{number},{'ab'[number % 2]},{number / 2}" for number in range(12)]
    (tmp_path / "in/labels.csv").write_text("\n".join(["id,label,height", *lines]) + "\n")
    said: list[str] = []
    store = open_data(str(tmp_path / "in"), tmp_path / "cache", said.append)
    assert (len(store), tuple(store.manifest.classes)) == (12, ("a", "b"))
    assert "% by a hash of each id" in " ".join(said)
    assert "kept for --target: height" in " ".join(said)
    (tmp_path / "in/labels.csv").write_text("\n".join(["id,splt", "0,train"]) + "\n")
    if "_" in names or "/" in names:
        with pytest.raises(MultiviewError, match=r"no column 'split'.* Did you mean 'splt'"):
            open_data(str(tmp_path / "in"), tmp_path / "cache", lambda _: None)


def test_a_table_that_names_files_is_read(tmp_path: Path) -> None:
    touched(tmp_path, "img/1.png", "img/2.png")
    (tmp_path / "patients.csv").write_text("patient,photo\n7,img/1.png\n8,img/2.png\n")
    assert detect_source(tmp_path) == Manifest()
    (tmp_path / "patients.csv").write_text("patient,photo\n7,img/9.png\n")
    assert detect_source(tmp_path) == Folder()


def test_an_option_of_the_source_is_told_with_its_command(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("id,sentence\n1,one\n2,two\n")
    with pytest.raises(
        MultiviewError, match=r"--modalities belongs to `multiview preprocess manifest .*texts.csv STORE"
    ):
        open_data(str(tmp_path / "texts.csv"), tmp_path / "cache", lambda _: None)


def test_many_folders_are_classes(tmp_path: Path) -> None:
    assert detect_source(touched(tmp_path, *(f"{n}/1.png" for n in range(64)), "sounds/1.wav")) == Folder()


def test_samples_with_holes_are_read(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path / "in" / "cam" / f"{number}.png", noise(number)) if number % 4 else None
        (tmp_path / "in" / "nir").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "in" / "nir" / f"{number}.npy", np.arange(5).astype(">i2")) if number % 4 != 1 else None
    store = open_data(str(tmp_path / "in"), tmp_path / "cache", lambda _: None)
    assert sorted(each.name for each in store.manifest.modalities) == ["cam", "nir"]
    assert len(store) == 8
    assert [int(store.present(name).sum()) for name in ("cam", "nir")] == [6, 6]


@pytest.mark.parametrize("case", CASES)
def test_a_folder_is_listed_once_to_find_its_source(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    original = shared_names.find_files
    monkeypatch.setattr(shared_names, "find_files", lambda *words: calls.append(words[0]) or original(*words))
    detect_source(touched(tmp_path, *CASES[case][0]))
    assert calls == [tmp_path]


@pytest.mark.parametrize("places", [("images", "captions"), ("cam", "words"), ("", "")])
def test_captions_are_texts_with_the_names_of_pictures(places: tuple[str, str], tmp_path: Path) -> None:
    pictures, texts = (tmp_path / "data" / place for place in places)
    for number in range(8):
        save(pictures / f"{number}.png", noise(number))
        texts.mkdir(parents=True, exist_ok=True)
        (texts / f"{number}.txt").write_text(f"a clock, number {'é' * number}\n", "utf-8")
    (tmp_path / "data" / "README.txt").write_text("what this is")
    (texts / "3.txt").write_text("")
    source = detect_source(tmp_path / "data")
    assert isinstance(source, Aligned)
    report = preprocess(source, tmp_path / "data", tmp_path / "out", max_bad=0.5)
    store = Store.open(tmp_path / "out")
    (text,) = (each for each in store.manifest.modalities if each.kind == "text")
    assert bytes(store.read([store.ids.index("7")], text.name)[0]).rstrip(b"\0").decode() == "a clock, number ééééééé"
    assert "3.txt: is an empty file" in (tmp_path / "out" / "rejects.jsonl").read_text()
    assert report.rejected in (1, 2)  # in one folder README.txt has no picture


def test_texts_that_are_boxes_or_notes_are_no_views(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path / "images" / f"{number}.png", noise(number))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.25 0.125\n")
    assert isinstance(detect_source(tmp_path), Folder)
    (tmp_path / "labels" / "0.txt").write_text("a clock")
    assert isinstance(detect_source(tmp_path), Aligned)


def test_a_text_beside_the_pictures_of_a_folder_is_a_note(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "rgb" / f"{number}.png", noise(number))
        np.save(tmp_path / f"{number}.npy", np.ones((6, 6), "float32"))
        (tmp_path / "depth").mkdir(exist_ok=True)
        (tmp_path / f"{number}.npy").rename(tmp_path / "depth" / f"{number}.npy")
        (tmp_path / "rgb" / f"{number}.txt").write_text("taken by day")
    plan = Aligned().plan(tmp_path)
    assert [each.name for each in plan.modalities] == ["image", "depth"]
    assert len(plan.rows) == 4


def test_long_texts_are_cut(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png", noise(number))
        (tmp_path / "captions").mkdir(exist_ok=True)
        (tmp_path / "captions" / f"{number}.txt").write_text("word " * (number + 1))
    plan = Aligned(text_bytes=6).plan(tmp_path)
    assert plan.modalities[1].shape == (6,)
    assert "2 texts of 'text' cut at 6 bytes." in plan.notes
    with pytest.raises(MultiviewError, match="text_bytes is -1; give 1 or more"):
        Aligned(text_bytes=-1)
