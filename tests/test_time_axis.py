"""What data without words are: series or points, one picture or two of a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multiview.data.columns.time_axis import neighbour_correlation, time_axis
from multiview.data.load.detect_source import detect_source
from multiview.data.sources.aligned import Aligned
from multiview.data.sources.arrays import Arrays
from multiview.data.sources.folder import Folder

RANDOM = np.random.default_rng(0)
WALK = RANDOM.standard_normal((20, 3, 60)).cumsum(2).astype(np.float32)
CLOUD = RANDOM.standard_normal((20, 60, 3)).astype(np.float32)


def test_the_smooth_axis_is_time() -> None:
    assert time_axis(WALK) == 1
    assert time_axis(WALK.transpose(0, 2, 1)) == 0
    assert time_axis(CLOUD) is None
    assert time_axis(CLOUD.transpose(0, 2, 1)) is None


def test_constant_and_short_rows_are_not_smooth() -> None:
    assert neighbour_correlation(np.ones((4, 20))) == 0
    assert neighbour_correlation(np.arange(28.0).reshape(4, 7)) == 0
    assert neighbour_correlation(np.arange(32.0).reshape(4, 8)) == pytest.approx(0.625)


def test_arrays_become_series_or_points(tmp_path: Path) -> None:
    file = tmp_path / "both.npz"
    np.savez(file, ankle=WALK, shape=CLOUD, points=WALK.transpose(0, 2, 1))
    plan = Arrays().plan(file)
    found = {each.name: (each.kind, each.shape) for each in plan.modalities}
    assert found == {"ankle": ("series", (60, 3)), "shape": ("points", (60, 3)), "points": ("points", (60, 3))}
    assert any("'ankle' (3, 60) is taken for a series of 60 times and 3 channels" in note for note in plan.notes)
    assert (plan.read(4)["ankle"] == WALK[4].T).all()


def test_equal_notes_are_said_once(tmp_path: Path) -> None:
    file = tmp_path / "walk.npz"
    np.savez(file, ankle=WALK, thigh=WALK + 1, trunk=WALK + 2, shape=CLOUD)
    said = [note for note in Arrays().plan(file).notes if "is taken for a series" in note]
    assert len(said) == 1
    assert said[0].startswith("'ankle' (3, 60)")
    assert said[0].endswith("The same holds for thigh, trunk.")


def test_the_kind_and_the_rate_that_are_given_hold(tmp_path: Path) -> None:
    file = tmp_path / "walk.npz"
    np.savez(file, ankle=WALK)
    (named,) = Arrays(modalities={"ankle:points": "ankle"}).plan(file).modalities
    (timed,) = Arrays(rate=64.0).plan(file).modalities
    assert named.kind == "points"
    assert (timed.kind, timed.shape, timed.rate) == ("series", (60, 3), 64.0)


def test_left_and_right_pictures_are_views_of_one_scene(tmp_path: Path) -> None:
    for name in ("a_left", "a_right", "b_left", "b_right", "b_disp"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{name}.png")
    source = detect_source(tmp_path)
    assert isinstance(source, Aligned)
    assert source.modalities == {"left": "*_left", "right": "*_right"}
    assert [row.id for row in source.plan(tmp_path).rows] == ["a", "b"]
    (tmp_path / "a_right.png").unlink()
    assert isinstance(detect_source(tmp_path), Folder)


def test_a_few_random_numbers_are_no_series() -> None:
    assert all(time_axis(np.random.default_rng(seed).random((3, 8, 2))) is None for seed in range(500))
