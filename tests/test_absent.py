"""A view whose modality the data lacks: what is there, what is missing, how to rename."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import multiview as mv
from multiview.cli import run
from multiview.data.load.absent import absent_modality, other_notes, reading_others
from multiview.data.load.dataset import Samples
from multiview.data.load.viewstatistics import with_statistics
from multiview.data.modality import Modality
from multiview.data.sources.arrays import Arrays
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.train.prepare import few_samples

HELD = {
    "image": Modality(name="image", kind="image", dtype="uint8", shape=(8, 8, 3), unit="sRGB"),
    "distance": Modality(name="distance", kind="depth", dtype="float32", shape=(8, 8), unit="m"),
    "caption": Modality(name="caption", kind="text", dtype="uint8", shape=(9,), unit="byte"),
    "sound": Modality(name="sound", kind="audio", dtype="int16", shape=(-1,), unit="", rate=8000),
    "one": Modality(name="one", kind="table", dtype="float32", shape=(3,), unit=""),
    "two": Modality(name="two", kind="table", dtype="float32", shape=(4,), unit=""),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of one table, `measures`."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    np.savez(folder / "measures.npz", measures=rng.normal(size=(30, 5)), y=np.arange(30) % 3)
    preprocess(Arrays(), folder / "measures.npz", folder / "store")
    return Store.open(folder / "store")


@pytest.mark.parametrize(
    ("name", "options", "held", "words"),
    [
        ("depth", {}, ["image"], "reads 'depth', which photos does not hold; it holds image. Where you have 'depth' ("),
        (
            "depth",
            {},
            ["image", "distance"],
            "it holds distance (depth), image. A view reads a modality of another name by mv.make_view('depth', crop,",
        ),
        ("text", {}, ["image", "caption"], "mv.make_view('text', crop, modality='caption')"),
        ("table", {"columns": 3}, ["one", "two"], "mv.make_view('table', crop, modality=NAME)"),
        ("L", {}, ["caption"], "STORE --modalities \"{'caption:text': FOLDER_OF_CAPTION, image: FOLDER_OF_IMAGE}\"`"),
        ("table", {"columns": 3}, ["image"], "the sources `aligned` and `manifest` take several files per sample"),
    ],
)
def test_the_message_says_what_is_there_and_how_to_name_it(
    name: str, options: dict[str, int], held: list[str], words: str
) -> None:
    view = mv.make_view(name, mv.Crop(), **options)
    error = str(absent_modality(view, [HELD[each] for each in held], "photos"))
    assert words in error
    assert "has no mean" not in error


def test_the_option_to_type_keeps_the_name_of_the_view_in_the_graph() -> None:
    error = str(absent_modality(mv.make_view("text", mv.Crop()), [HELD["caption"]], "photos", "words"))
    assert "--views by words=text:modality=caption. The recipe `auto`" in error


@pytest.mark.parametrize(
    ("names", "held", "words"),
    [
        (("L", "ab", "depth"), ["image"], "type --views '[L, ab]'. Where you have 'depth' ("),
        (("photo=rgb", "L", "depth"), ["image"], "type --views '[photo=rgb, L]'. Where you have 'depth' ("),
        (("L", "L_2", "depth"), ["image"], "it holds image. Where you have 'depth' ("),
    ],
)
def test_the_views_that_remain_are_named(names: tuple[str, ...], held: list[str], words: str) -> None:
    views = {
        name.partition("=")[0]: mv.make_view(name.rpartition("=")[2][:5].rstrip("_2"), mv.Crop()) for name in names
    }
    error = str(absent_modality(views["depth"], [HELD[each] for each in held], "photos", "depth", views))
    assert words in error and error.endswith("The recipe `auto` chooses views by what the data hold.")


def test_the_two_sounds_of_a_class_are_made_by_pairs() -> None:
    view = mv.make_view("logmel", mv.Crop(), modality="first", rate=8000)
    error = str(absent_modality(view, [HELD["sound"]], "words", "first"))
    assert "`multiview preprocess pairs FOLDER STORE`" in error


@pytest.mark.parametrize("name", ["depth", "L", "text", "logmel", "normal"])
def test_statistics_and_samples_refuse_such_a_view(name: str, tables: Store) -> None:
    view = mv.make_view(name, mv.Crop())
    with pytest.raises(MultiviewError, match=rf"^view '{name}' reads '\w+', which .* does not hold; it holds measures"):
        with_statistics(view, tables)
    with pytest.raises(MultiviewError, match=r"does not hold; it holds measures"):
        Samples(tables, "train", {name: view}, train=True)


def test_a_table_of_another_name_is_read_by_that_name(tables: Store) -> None:
    with pytest.raises(MultiviewError, match=r"--views by table:modality=measures"):
        with_statistics(mv.make_view("table", mv.Crop(), columns=5), tables)
    view = mv.make_view("table:modality=measures:columns=5", mv.Crop())
    assert with_statistics(view, tables).mean is not None


@pytest.mark.parametrize(
    ("asked", "held", "read"),
    [
        ({"L": "L", "ab": "ab"}, {"photo": "image"}, {"L": "photo", "ab": "photo"}),
        ({"a": "depth"}, {"distance": "depth", "image": "image"}, {"a": "distance"}),
        ({"a": "text"}, {"one": "text", "two": "text"}, {"a": "text"}),
        ({"a": "rgb:modality=left", "b": "rgb"}, {"left": "image"}, {"a": "left", "b": "image"}),
        ({"a": "rgb:modality=lfet"}, {"left": "image"}, {"a": "lfet"}),
        ({"a": "rgb"}, {"image": "image", "thermal": "image"}, {"a": "image"}),
    ],
)
def test_a_view_reads_the_only_modality_of_its_kind(
    asked: dict[str, str], held: dict[str, str], read: dict[str, str]
) -> None:
    views = {name: mv.make_view(words, mv.Crop()) for name, words in asked.items()}
    stored = {name: replace(HELD["image"], name=name, kind=kind) for name, kind in held.items()}
    found = reading_others(views, stored)
    assert {name: view.modality for name, view in found.items()} == read
    assert len(other_notes(views, found)) == len({read[name] for name in asked if read[name] != views[name].modality})


def test_a_run_on_photos_of_another_name_says_what_it_reads_and_loads_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (24, 12, 12, 3), np.uint8)
    np.savez(tmp_path / "shots.npz", picture=pictures, split=np.array(["train"] * 16 + ["test"] * 8))
    preprocess(Arrays(), tmp_path / "shots.npz", tmp_path / "store")
    words = ["--data", str(tmp_path / "store"), "--out", str(tmp_path / "run"), "--train.steps", "2", "--width", "0.1"]
    run(["train", "cmc_lab", *words, "--size", "8", "--evaluate", "false"])
    assert "view 'L' reads 'picture', the only image of these data." in capsys.readouterr().out
    trained = mv.load(tmp_path / "run")
    assert {view.modality for view in trained.setup.views.values()} == {"picture"}
    assert len(trained.embed("test").features["L"]) == 8
    assert not trained.notes
    np.savez(tmp_path / "more.npz", snap=pictures, split=np.array(["test"] * 24))
    other = mv.load(tmp_path / "run", data=tmp_path / "more.npz")
    assert other.notes == ("view 'L' reads 'snap', the only image of these data.",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bands:8", "write NAME:OPTION=VALUE"),
        ("depth:mean=far:std=wide", "is not|wrong kind|must|could not|std"),
        ("logmel:band=8", "'band' is not an option of the view 'logmel'"),
    ],
)
def test_options_after_a_name_are_checked(words: str, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        mv.make_view(words, mv.Crop())


@pytest.mark.parametrize("count", [1, 3, 19])
def test_too_little_data_is_said(count: int) -> None:
    assert f"only {count} training sample" in str(few_samples(count))
    assert few_samples(20) is None


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_sample_is_refused(split: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", image=np.zeros((1, 8, 8, 3), np.uint8), split=np.array([split]))
    preprocess(Arrays(), tmp_path / "one.npz", tmp_path / "store")
    with pytest.raises(MultiviewError, match="holds one sample, which nothing can be contrasted with"):
        run(["train", "simclr", "--data", str(tmp_path / "store"), "--out", str(tmp_path / "run")])


@pytest.mark.parametrize("words", [(), ("--views", "L,ab,depth")])
def test_a_recipe_on_photos_without_depth_says_so(words: tuple[str, ...], tmp_path: Path) -> None:
    from samples import write_photos

    from multiview import plugins
    from multiview.launch import parse_recipe, start

    write_photos(tmp_path / "photos", each=4)
    recipe = parse_recipe(
        plugins.load("recipes", "cmc_rgbd"),
        ["--data", str(tmp_path / "photos"), "--cache", str(tmp_path / "data"), "--plan", *words],
    )
    with pytest.raises(MultiviewError, match=r"^view 'depth' reads 'depth', which .* does not hold; it holds image"):
        start(recipe)
