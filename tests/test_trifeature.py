"""The pairs of pictures: what is shared, unique and synergic, and that draws are reproducible."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import multiview as mv
from multiview.data.load.open_data import open_data
from multiview.data.scenes.trifeature import COLOURS, SHAPES, TEXTURES, draw_pairs, picture, split_of
from multiview.data.sources.trifeature import COLUMNS, Trifeature
from multiview.errors import MultiviewError

COUNT = 2400


def columns(relation: float | None) -> dict[str, np.ndarray]:
    plan = Trifeature(count=COUNT, relation=relation).plan()
    assert plan.column is not None
    found = {name: np.array(plan.column(name)) for name in COLUMNS}
    return {
        **found,
        "shape": np.array([row.label for row in plan.rows]),
        "split": np.array([r.split for r in plan.rows]),
    }


@pytest.mark.parametrize(("relation", "share"), [(0.7, 0.7), (0.0, 0.0), (1.0, 1.0), (None, 1 / 6)])
def test_so_many_training_samples_follow_the_relation(relation: float | None, share: float) -> None:
    found = columns(relation)
    related = found["synergy"] == "related"
    follows = np.array([TEXTURES.index(t) for t in found["texture_1"]]) == np.array(
        [COLOURS.index(c) for c in found["colour_2"]]
    )
    assert (related == follows).all()
    assert related[found["split"] == "train"].mean() == pytest.approx(share, abs=0.04)
    assert related[found["split"] == "test"].mean() == pytest.approx(0.5, abs=0.08)


def test_every_other_feature_is_uniform_and_independent() -> None:
    found = columns(0.7)
    for name in ("shape", "texture_1", "texture_2", "colour_1", "colour_2"):
        assert min(Counter(found[name]).values()) > 0.75 * COUNT / 6, name
    for one, two in (("shape", "texture_1"), ("texture_1", "texture_2"), ("texture_2", "colour_2")):
        pairs = Counter(zip(found[one], found[two], strict=True))
        assert len(pairs) == 36
        assert max(pairs.values()) < 2 * COUNT / 36, (one, two)


def test_a_sample_depends_on_seed_and_number_alone() -> None:
    few, many = Trifeature(count=8).plan(), Trifeature(count=40).plan()
    for number in (7, 3):
        for name, value in few.read(number).items():
            assert value.tobytes() == many.read(number)[name].tobytes()
    assert draw_pairs(0, 8, 0.7) == draw_pairs(0, 40, 0.7)[:8]
    assert draw_pairs(1, 8, 0.7) != draw_pairs(0, 8, 0.7)


def test_a_picture_has_the_hue_of_its_colour_and_a_shape_on_grey() -> None:
    pairs = draw_pairs(3, 60, 0.7)
    for pair in pairs:
        seen = picture(pair.first, np.full((32, 32), 0.5), 32).astype(float)
        vivid = seen.max(2) - seen.min(2) > 60
        assert 0.02 < vivid.mean() < 0.5
        mean = seen[vivid].mean(0)
        expected = {"red": "r", "yellow": "rg", "green": "g", "cyan": "gb", "blue": "b", "magenta": "rb"}
        high = "".join(name for name, x in zip("rgb", mean, strict=True) if x > (mean.max() + mean.min()) / 2)
        assert high == expected[COLOURS[pair.first.colour]]
    assert {SHAPES[pair.first.shape] for pair in pairs} == set(SHAPES)
    assert all(pair.first.shape == pair.second.shape for pair in pairs)


def test_the_name_is_enough_and_targets_are_columns(tmp_path: Path) -> None:
    store = open_data("trifeature:24", tmp_path)
    assert isinstance(store, mv.Store)
    assert [each.name for each in store.manifest.modalities] == ["first", "second"]
    assert set(COLUMNS) <= set(store.target_names)
    assert store.manifest.splits == {"train": 18, "test": 6} or len(store.rows("test")) == 6
    assert Counter(map(split_of, range(24))) == {"train": 18, "test": 6}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"count": 3}, "give 4 or more"), ({"size": 8}, "16 to 512 pixels"), ({"relation": 2.0}, "relation is 2")],
)
def test_a_mistake_says_what_to_give(options: dict[str, float], message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        Trifeature(**options)  # type: ignore[arg-type]


def test_a_count_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="how many samples; write trifeature:COUNT"):
        open_data("trifeature:many", tmp_path)


def test_cross_and_self_is_a_topology() -> None:
    views = {name: mv.GraphView(view="rgb", modality=name) for name in ("first", "second")}
    graph = mv.Graph.of(views, "full+self:0.5", mv.SimCLR())
    assert [(edge.views, edge.weight) for edge in graph.edges] == [
        (("first", "second"), 1.0),
        (("first", "first"), 0.5),
        (("second", "second"), 0.5),
    ]
    assert graph.setup().graph.names() == ("first-second", "first-first_2", "second-second_2")
    assert [edge.weight for edge in mv.Graph.of(views, "core:second + self", mv.SimCLR()).edges] == [1.0, 1.0, 1.0]
    for wrong in ("full+self:0", "full+self:much"):
        with pytest.raises(MultiviewError, match="give a number above 0, as in full"):
            mv.Graph.of(views, wrong, mv.SimCLR())
