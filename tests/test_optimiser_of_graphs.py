"""A graph in words learns with the same optimiser in Python as from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import multiview as mv
from multiview.plugins import load

TRAIN = mv.Train(steps=1, batch=6, knn_every=0, threads=1, workers=0)
NAMES = ("L", "ab")
CROP = mv.Crop(size=16)


def in_words() -> mv.Setup:
    views = {name: mv.GraphView(view=name, encoder_options={"width": 0.25}) for name in NAMES}
    return mv.Graph(views=views, crop=CROP).setup()


def in_parts() -> mv.Setup:
    views = {name: mv.make_view(name, CROP) for name in NAMES}
    encoders = {name: mv.make_encoder("convnet", view.channels.count, width=0.25) for name, view in views.items()}
    return mv.Setup(views, dict(encoders), mv.ContrastGraph.full(views, mv.SimCLR()))


def optimiser(setup: mv.Setup, out: Path, train: mv.Train, resume: bool = False) -> dict[str, Any]:
    """What the run of the setup notes."""
    pictures = torch.randint(0, 255, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    mv.fit(setup, data={"image": pictures}, out=str(out), evaluate=False, train=train, resume=resume)
    found: dict[str, Any] = yaml.safe_load((out / "config.yaml").read_text())["train"]["optimizer"]
    return found


def test_none_given_is_that_of_graph_files(tmp_path: Path) -> None:
    found = optimiser(in_words(), tmp_path / "run", TRAIN)
    usual = load("recipes", "graph")().train.optimizer
    assert (found["name"], found["lr"]) == (usual.name, usual.lr) == ("adamw", 1e-3)


def test_fit_takes_a_graph_in_words(tmp_path: Path) -> None:
    words = mv.Graph(views=mv.GraphView.named(NAMES, encoder_options={"width": 0.25}), crop=CROP)
    pictures = torch.randint(0, 255, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    trained = mv.fit(words, data={"image": pictures}, out=str(tmp_path / "run"), evaluate=False, train=TRAIN)
    assert tuple(trained.setup.views) == NAMES


def test_a_view_that_is_a_word_is_one_sentence() -> None:
    with pytest.raises(mv.MultiviewError, match=r"view 'photo' is a str; give mv.GraphView\(view='rgb'\)"):
        mv.Graph(views={"photo": "rgb"})  # type: ignore[dict-item]


@pytest.mark.parametrize("given", [mv.Optimizer(), mv.Optimizer(name="adamw", lr=3e-3)])
def test_a_given_one_stays_also_when_it_equals_the_default(given: mv.Optimizer, tmp_path: Path) -> None:
    found = optimiser(in_words(), tmp_path / "run", replace(TRAIN, optimizer=given))
    assert (found["name"], found["lr"]) == (given.name, given.lr)


def test_a_resumed_run_keeps_its_own(tmp_path: Path) -> None:
    """Such as the SGD of a run of an older version."""
    optimiser(in_words(), tmp_path / "run", replace(TRAIN, optimizer=mv.Optimizer(lr=0.02)))
    found = optimiser(in_words(), tmp_path / "run", replace(TRAIN, steps=2), resume=True)
    assert (found["name"], found["lr"]) == ("sgd", 0.02)


def test_a_setup_of_parts_keeps_the_default_of_train(tmp_path: Path) -> None:
    assert optimiser(in_parts(), tmp_path / "run", TRAIN)["name"] == "sgd"
