"""Recipes for other data than photographs, trained for a few steps by their commands."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path

import numpy as np
import objective_cases
import pytest
import torch
from PIL import Image
from published import write_stl10

import multiview as mv
from multiview.check.steps import trial_of
from multiview.cli import run
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError
from multiview.plugins import load
from multiview.train.step import seen_views

pytestmark = pytest.mark.usefixtures("rough_probes")
FAST = ["--steps", "2", "--batch", "16", "--width", "0.1", "--knn_every", "0", "--threads", "1"]


def trained(recipe: str, folder: Path, data: str, *words: str) -> list[dict]:
    """Trains a short run; returns the rows of its evaluation."""
    out = folder / "run"
    assert run(["train", recipe, "--data", data, "--out", str(out), *FAST, *words]) == 0
    file = out / "evaluation.json"
    return json.loads(file.read_text())["rows"] if file.exists() else []


def test_six_tables_of_the_published_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
    split = np.array(["train", "train", "test"] * 40)
    arrays = {name: rng.normal(size=(120, width)).astype("float32") for name, width in shapes.items()}
    np.savez(tmp_path / "mfeat6.npz", **arrays, y=np.arange(120) // 3 % 10, split=split)
    assert run(["preprocess", "arrays", str(tmp_path / "mfeat6.npz"), str(tmp_path / "store")]) == 0
    scores = trained("six_tables", tmp_path, str(tmp_path / "store"))
    assert {score["group"] for score in scores if score["measure"] == "knn"} == {*shapes, "concat"}
    edges = {
        name for name in json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0]) if "loss/" in name
    }
    assert len(edges) == 15, "the full graph of six views"


def test_image_and_sound_of_scenes(tmp_path: Path) -> None:
    assert run(["preprocess", "scenes", str(tmp_path / "store"), "--count", "60", "--size", "24"]) == 0
    scores = trained("image_sound", tmp_path, str(tmp_path / "store"), "--size", "24", "--seconds", "0.2")
    assert {score["group"] for score in scores} >= {"image", "sound", "concat"}


def test_six_tables_takes_the_tables_of_other_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "cells.npz", genes=rng.normal(size=(60, 9)), proteins=rng.normal(size=(60, 4)))
    words = ["--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--evaluate", "false", *FAST]
    assert run(["train", "six_tables", "--data", str(tmp_path / "cells.npz"), *words]) == 0
    assert "tables: genes, proteins." in capsys.readouterr().out
    assert set(mv.load(tmp_path / "run").setup.views) == {"genes", "proteins"}


@pytest.mark.parametrize(("longer", "windows"), [(0, r"\b(the whole length|windows of 0.1 s)"), (40, "windows of 0.1")])
def test_image_and_sound_of_any_rate_length_and_folder(
    longer: int, windows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for folder in ("data/photos", "data/calls"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(40):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(tmp_path / f"data/photos/{number}.png")
        sound = rng.uniform(-1, 1, 1600 + longer * number)
        write_wave(tmp_path / f"data/calls/{number}.wav", sound, rate=16000)
    words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert run(["train", "image_sound", *words, "--size", "16", *FAST, "--evaluate", "false"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"sound at 16000 Hz, {windows}", said)
    assert "view 'sound' reads 'calls', the only audio of these data." in said
    assert mv.load(tmp_path / "run").setup.views["sound"].rate == 16000


def test_a_run_of_before_the_sound_had_an_encoder_of_its_own_loads_and_goes_on(tmp_path: Path) -> None:
    assert run(["preprocess", "scenes", str(tmp_path / "store"), "--count", "40", "--size", "16"]) == 0
    words = ["train", "image_sound", "--data", str(tmp_path / "store"), "--out", str(tmp_path / "run"), *FAST[2:]]
    assert run([*words, "--size", "16", "--steps", "2", "--sound_encoder", "null", "--evaluate", "false"]) == 0
    config = tmp_path / "run/config.yaml"
    config.write_text(config.read_text().replace("sound_encoder: null\n", ""))
    assert type(mv.load(tmp_path / "run").model.encoders["sound"]).__name__ == "ConvNet"
    assert run(["train", "image_sound", "--out", str(tmp_path / "run"), "--resume", "--steps", "3"]) == 0
    assert mv.load(tmp_path / "run").steps == 3


def test_stl10_with_unlabelled_images(tmp_path: Path) -> None:
    write_stl10(tmp_path)
    assert run(["preprocess", "stl10", str(tmp_path / "stl10_binary"), str(tmp_path / "store")]) == 0
    words = ["--data", str(tmp_path / "store"), "--out", str(tmp_path / "run"), "--size", "32", "--encoder", "convnet"]
    assert run(["train", "stl10_lab", *words, *FAST, "--batch", "4", "--negatives", "3", "--evaluate", "false"]) == 0
    assert (tmp_path / "run/checkpoints").is_dir()


def test_stl10_lab_takes_all_others_where_the_data_has_fewer_than_the_paper(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "stl10_lab", "--data", str(scenes), "--encoder", "convnet", *FAST, "--evaluate", "false"]
    assert run([*words, "--out", str(tmp_path / "run")]) == 0
    assert "negatives: all 55 other training samples, which are fewer" in capsys.readouterr().out
    assert mv.load(tmp_path / "run").setup.graph.named_edges()["L-ab"].objective.negatives == 55
    with pytest.raises(MultiviewError, match="9000 negatives asked for, but the data has only 55 other samples"):
        run([*words, "--out", str(tmp_path / "typed"), "--negatives", "9000"])


def write_words(folder: Path, speakers: int = 8) -> None:
    """Writes `WORD/SPEAKER.wav`: each word is a tone, each speaker a loudness."""
    rng = np.random.default_rng(0)
    for number, word in enumerate("abc"):
        (folder / word).mkdir(parents=True)
        for speaker in range(speakers):
            time = np.arange(3200) / 8000
            sound = rng.uniform(0.2, 0.9) * np.sin(2 * np.pi * 300 * (number + 1) * time) + rng.normal(0, 0.01, 3200)
            write_wave(folder / word / f"speaker{speaker}.wav", sound, rate=8000)


def write_wave(path: Path, sound: np.ndarray, rate: int) -> None:
    """Writes a sound of numbers from -1 to 1 with 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((sound * 32000).clip(-32768, 32767).astype("<i2").tobytes())


def test_words_are_paired_by_class_within_their_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_words(tmp_path / "words")
    assert run(["preprocess", "pairs", str(tmp_path / "words"), str(tmp_path / "store"), "--split", "50/50"]) == 0
    output = capsys.readouterr().out
    store = mv.Store.open(tmp_path / "store")
    sounds = {split: [store.ids[row].split(" & ") for row in store.rows(split)] for split in store.split_names}
    for split, samples in sounds.items():
        assert all(len({name.split("/")[0] for name in names}) == 1 for names in samples)
        recordings = [name for names in samples for name in names]
        assert split == "train" or len(recordings) == len(set(recordings))
    learned, tested = ({name for names in sounds[split] for name in names} for split in ("train", "test"))
    assert not learned & tested
    assert all(len(names) == 2 for names in sounds["train"])
    single = [len(names) == 1 for split in store.split_names for names in sounds[split]]
    order = np.concatenate([store.rows(split) for split in store.split_names])
    assert (store.present("second")[order] == ~np.array(single)).all()
    whole, alone = (sum(len(names) == size for names in sounds["test"]) for size in (2, 1))
    assert alone
    assert re.search(
        rf"{whole} pairs? and {alone} without a partner in test; a larger share gives more pairs to test on", output
    )
    scores = trained("spoken_letters", tmp_path, str(tmp_path / "store"), "--seconds", "0.3")
    assert {score["group"] for score in scores} >= {"first"}


def test_a_class_with_one_recording_makes_no_pair(tmp_path: Path) -> None:
    write_words(tmp_path / "words", speakers=1)
    with pytest.raises(MultiviewError, match=r"no class of .* has two sounds in the split train"):
        run(["preprocess", "pairs", str(tmp_path / "words"), str(tmp_path / "store"), "--split", "100"])


@pytest.mark.parametrize("words", [["siglip"], ["byol"], ["vicreg"], ["symile", "--topology", "joint"]])
def test_a_recipe_with_another_objective(words: list[str], scenes: Path, tmp_path: Path) -> None:
    more = ["--objective", *words, "--size", "24", "--evaluate", "false"]
    trained("cmc_rgbd", tmp_path, str(scenes), *more)
    assert type(mv.load(tmp_path / "run").setup.graph.edges[0].objective).__name__.lower() == words[0]


def test_a_joint_objective_names_the_topology_that_it_needs(scenes: Path) -> None:
    with pytest.raises(MultiviewError, match="--topology joint"):
        run(["train", "cmc_rgbd", "--data", str(scenes), "--objective", "symile"])


def test_comm_fuses_two_crops_and_its_loss_is_that_by_hand() -> None:
    """In float64, with normals absent of every third sample."""
    recipe = load("recipes", "comm")(width=0.1, size=14, train=mv.Train(batch=9))
    made = trial_of(recipe, hole=True)
    parts, batch = made.parts, made.batch
    (edge,) = parts.graph.edges
    assert edge.views == ("rgb", "depth", "normal", "rgb_2", "depth_2", "normal_2")
    views, present, known = seen_views(parts, batch, Draws(0, 1, batch.index.numpy(), "augment"))
    model = parts.model.double()
    embeddings = model({name: x.double() for name, x in views.items()}, known)
    (found,) = parts.memories.edge_inputs(embeddings, {}, batch.index, present, 1)
    assert present["normal"].sum() == 6
    torch.testing.assert_close(edge.objective.scored(found).loss, objective_cases.comm(found, 0.2), rtol=1e-12, atol=0)
