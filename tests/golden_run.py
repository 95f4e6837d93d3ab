"""A whole run with its data, and what its encoders gave when it was recorded."""

from __future__ import annotations

import os
import shutil
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path

import numpy as np
from goldens import CLIPS, FOLDER, RUN, STORE, command
from safetensors.numpy import load_file

import multiview as mv
from multiview.measure import from_json

MIDDLE, LAST = "step-00000008", "step-00000012"
WORDS = ["--size", "14", "--width", "0.1", "--objective.dim", "8", "--batch", "8", "--steps", "12", "--log_every", "1"]
WORDS += ["--knn_every", "0", "--save_every", "1", "--threads", "1", "--workers", "0"]
KINDS = "{image: image, 'depth:depth': depth, 'normal:normal': normal}"


def embeddings(run: Path) -> dict[str, np.ndarray]:
    """`SPLIT/VIEW` -> features (n, width) of a run on the committed store."""
    trained = mv.load(run, data=str(STORE))
    parts = {split: trained.embed(split) for split in ("train", "val", "test")}
    return {f"{split}/{view}": x for split, part in parts.items() for view, x in part.features.items()}


def scores(run: Path) -> list[dict]:
    """The scores of a run's evaluation.json, of any schema."""
    return [asdict(score) for score in from_json((run / "evaluation.json").read_text("utf8"))]


def tensors(run: Path, step: str) -> dict[str, np.ndarray]:
    """`FILE/NAME` -> every tensor of a checkpoint."""
    files = sorted((run / "checkpoints" / step).glob("*.safetensors"))
    return {f"{file.stem}/{name}": x for file in files for name, x in load_file(file).items()}


def copied(folder: Path) -> Path:
    """The run in a folder of its own, which a test may change."""
    return Path(shutil.copytree(RUN, folder / "run"))


def record(folder: Path) -> None:
    """Makes the store and the run in `folder` and replaces the committed ones."""
    _make_store(folder)
    with chdir(folder):
        assert command("train", "cmc_lab", "--data", "store", "--out", "run", *WORDS) == 0
    shutil.rmtree(folder / "run" / "tensorboard", ignore_errors=True)
    for made in (STORE, RUN):
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(folder / made.name, made)
    np.savez(FOLDER / "embeddings.npz", **embeddings(RUN))


def _make_store(folder: Path) -> None:
    """52 scenes of 14 pixels, without their sounds and masks, which would be most of the bytes.

    The class is the most frequent colour: kinds of solids cannot be learned from so few pictures.
    """
    quick = ["--workers", "1", "--view_statistics"]
    words = ["--count", "52", "--size", "14", *quick, "false"]
    assert command("preprocess", "scenes", str(folder / "scenes"), *words) == 0
    scenes = mv.Store.open(folder / "scenes")
    rows = np.arange(len(scenes))
    split = np.empty(len(scenes), "<U5")
    for name in scenes.split_names:
        split[scenes.rows(name)] = name
    arrays = {name: np.asarray(scenes.read(rows, name)) for name in ("image", "depth", "normal")}
    colours, means = np.array(["red", "green", "blue"]), arrays["image"].mean((1, 2))
    np.savez(folder / "pictures.npz", **arrays, y=colours[means.argmax(1)], split=split)
    words = [str(folder / "pictures.npz"), str(folder / "store"), "--modalities", KINDS, *quick, "true"]
    assert command("preprocess", "arrays", *words) == 0


def record_clips() -> None:
    """Two clips of 6 small frames, lossless, one of them with sound."""
    rng = np.random.default_rng(0)
    shutil.rmtree(CLIPS, ignore_errors=True)
    for place, sound in (("up/1.mkv", True), ("down/2.mkv", False)):
        (CLIPS / place).parent.mkdir(parents=True)
        _write_clip(CLIPS / place, rng, sound)


def _write_clip(path: Path, rng: np.random.Generator, sound: bool) -> None:
    import av

    with av.open(os.fspath(path), "w") as file:
        video = file.add_stream("ffv1", rate=5)
        video.width, video.height, video.pix_fmt = 16, 12, "bgr0"
        audio = file.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for pixels in rng.integers(0, 256, (6, 12, 16, 3), "uint8"):
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")))
        file.mux(video.encode(None))
        if audio is not None:
            heard = rng.integers(-9000, 9000, (1, 4000), "int16")
            frame = av.AudioFrame.from_ndarray(heard, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 0
            file.mux(audio.encode(frame))
            file.mux(audio.encode(None))
