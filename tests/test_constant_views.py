"""Constant views are found before training, and advice comes only when it is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multiview import plugins
from multiview.launch import parse_recipe
from multiview.train.constant_views import constant_note
from multiview.train.diagnosis import Doctor
from multiview.train.prepare import prepare


def pictures(folder: Path, kind: str) -> Path:
    """24 pictures: grey, of one colour, or coloured."""
    rng = np.random.default_rng(0)
    for number in range(24):
        grey = rng.integers(0, 256, (24, 24, 1), dtype=np.uint8).repeat(3, 2)
        pixels = {
            "grey": grey,
            "one colour": np.full_like(grey, 90),
            "coloured": rng.integers(0, 256, (24, 24, 3), dtype=np.uint8),
        }[kind]
        (folder / "class").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "class" / f"{number}.png")
    return folder


@pytest.mark.parametrize(("kind", "constant"), [("grey", ("ab",)), ("one colour", ("L", "ab")), ("coloured", ())])
def test_constant_views_are_found_and_said(
    kind: str, constant: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(pictures(tmp_path / "pictures", kind)), "--cache", str(tmp_path / "data")]
    words += ["--size", "16", "--width", "0.25", "--batch", "8", "--threads", "1"]
    prepared = prepare(parse_recipe(plugins.load("recipes", "cmc_lab"), words))
    assert prepared.constant == constant
    assert ("cannot teach anything" in capsys.readouterr().out.replace("\n", " ")) == bool(constant)
    assert (constant_note(constant) is None) == (not constant)


AT_CHANCE = {"bound/L-ab": 0.001, "ceiling/L-ab": 4.0}
LEARNING = {"bound/L-ab": 0.5, "ceiling/L-ab": 4.0}


def test_nothing_learned_is_said_only_when_it_lasts(tmp_path: Path) -> None:
    doctor = Doctor(tmp_path / "health.jsonl", patience=200)
    told = [step for step in range(10, 400, 10) if doctor.look(step, AT_CHANCE)]
    assert told == [210]


@pytest.mark.parametrize("learns_at", [60, 150, 200])
def test_a_run_that_learns_late_is_not_told_that_it_does_not(learns_at: int, tmp_path: Path) -> None:
    doctor = Doctor(tmp_path / "health.jsonl", patience=200)
    for step in range(10, 400, 10):
        assert doctor.look(step, LEARNING if step >= learns_at else AT_CHANCE) == []


@pytest.mark.parametrize("of", ["L-ab", "ab", "ab:L-ab", "L-ab:CMC"])
def test_a_constant_view_gets_no_other_advice(of: str, tmp_path: Path) -> None:
    values = {f"bound/{of}": 0.0, f"ceiling/{of}": 4.0, f"std/{of}": 0.0, f"effective_rank/{of}": 1.0}
    assert Doctor(tmp_path / "a.jsonl", constant=("ab",)).look(100, values) == []
    assert Doctor(tmp_path / "b.jsonl", constant=("depth",)).look(100, values) != []
