"""The embedded scenes: reproducible, as planned, with the right colours."""

import math
import pickle
from collections import Counter

import numpy as np
import pytest

from multiview.data.scenes.random_scenes import BLOCK, arrangement, draw_scenes
from multiview.data.scenes.raycast import picture
from multiview.data.scenes.scene import KINDS, TEXTURES, Colour, Scene
from multiview.data.scenes.textures import linear_rgb, srgb
from multiview.data.sources.scenes import Scenes
from multiview.errors import MultiviewError

NUMBERS = range(len(KINDS))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(0, arrangement(0, 2 * BLOCK)[0])


def read(number: int, **options: int) -> dict[str, np.ndarray]:
    return dict(Scenes(**options).plan().read(number))


# What a scene is a function of


def test_the_same_seed_gives_the_same_bytes_in_any_order() -> None:
    one, other = Scenes(count=24).plan(), Scenes(count=24).plan()
    forth = {number: one.read(number) for number in range(24)}
    for number in reversed(range(24)):
        again = other.read(number)
        for name, value in forth[number].items():
            assert again[name].tobytes() == value.tobytes(), (number, name)
    for a, b in zip(one.rows, other.rows, strict=True):
        assert (a.id, a.label, a.split) == (b.id, b.label, b.split)
        np.testing.assert_equal(dict(a.factors), dict(b.factors))


def test_a_smaller_count_gives_the_first_scenes_of_a_larger_count() -> None:
    few, many = Scenes(count=100).plan(), Scenes(count=4000).plan()
    for a, b in zip(few.rows, many.rows[:100], strict=True):
        assert (a.id, a.label, a.split) == (b.id, b.label, b.split)
        np.testing.assert_equal(dict(a.factors), dict(b.factors))
    assert few.read(99)["image"].tobytes() == many.read(99)["image"].tobytes()
    assert few.read(99)["audio"].tobytes() == many.read(99)["audio"].tobytes()


def test_another_seed_is_another_scene() -> None:
    assert not np.array_equal(read(3, count=8)["image"], read(3, count=8, seed=1)["image"])
    assert not np.array_equal(read(3, count=8)["audio"], read(3, count=8, seed=1)["audio"])


def test_a_scene_does_not_depend_on_the_scenes_around_it() -> None:
    assert draw_scenes(5, [0, 1, 2])[2].factors()["body_x"] == draw_scenes(5, [7, 7, 2])[2].factors()["body_x"]


def test_the_reader_pickles() -> None:
    plan = Scenes(count=3).plan()
    copy = pickle.loads(pickle.dumps(plan.read))
    for name, value in plan.read(2).items():
        np.testing.assert_array_equal(copy(2)[name], value)


# What the plan says


def test_samples_are_as_declared() -> None:
    plan = Scenes(count=2, size=48).plan()
    sample = plan.read(1)
    assert set(sample) == {modality.name for modality in plan.modalities}
    for modality in plan.modalities:
        assert sample[modality.name].shape == modality.shape, modality.name
        assert sample[modality.name].dtype == modality.dtype, modality.name
        assert sample[modality.name].flags.c_contiguous


def test_every_kind_is_in_every_split_as_often_as_its_share_says() -> None:
    plan = Scenes(count=2 * BLOCK).plan()
    counts = Counter((row.label, row.split) for row in plan.rows)
    assert plan.classes == KINDS
    for kind in KINDS:
        assert [counts[kind, split] for split in ("train", "val", "test")] == [14, 2, 4], kind
    assert len({row.id for row in plan.rows}) == 2 * BLOCK


def test_two_blocks_are_in_different_order() -> None:
    kinds, splits = arrangement(0, 2 * BLOCK)
    assert kinds[:BLOCK] != kinds[BLOCK:]
    assert splits[:BLOCK] != splits[BLOCK:]
    for start in (0, BLOCK):
        assert kinds[start : start + len(KINDS)] != list(NUMBERS)


def test_factors_are_complete_and_distinct(scenes: list[Scene]) -> None:
    tables = [scene.factors() for scene in scenes]
    assert len({frozenset(table) for table in tables}) == 1
    for scene, table in zip(scenes, tables, strict=True):
        missing = {name for name, value in table.items() if math.isnan(value)}
        assert all(name.startswith("other_") for name in missing)
        assert bool(missing) == (scene.other is None)
        assert KINDS[int(table["body_kind"])] == scene.kind
    for name in ("body_size", "body_yaw", "body_paint_first_hue", "light_azimuth", "body_damping", "ground_hue"):
        assert len({table[name] for table in tables}) == len(tables), name
    assert {int(table["body_paint_texture"]) for table in tables} == set(range(len(TEXTURES)))


def test_factors_decide_the_picture(scenes: list[Scene]) -> None:
    """A scene that is built from its factors alone has the same picture."""
    scene = next(scene for scene in scenes if scene.other is None)
    table = scene.factors()

    def rebuilt(part: object, prefix: str) -> object:
        values = {}
        for name, value in vars(part).items():
            values[name] = (
                table[prefix + name] if isinstance(value, float) else value and rebuilt(value, f"{prefix}{name}_")
            )
        return type(part)(**values)

    again = rebuilt(scene, "")
    assert again == scene
    assert picture(again, 16).image.tobytes() == picture(scene, 16).image.tobytes()  # type: ignore[arg-type]


def test_colour_tells_nothing_about_the_kind() -> None:
    kinds, _ = arrangement(0, 4000)
    label = np.array(kinds)
    tables = [scene.factors() for scene in draw_scenes(0, kinds)]
    for name in ("body_paint_first_lightness", "body_paint_first_chroma", "ground_lightness", "light_power"):
        values = np.array([table[name] for table in tables])
        means = np.array([values[label == kind].mean() for kind in NUMBERS])
        assert np.abs(means - values.mean()).max() < 5 * values.std() / math.sqrt(500), name


def test_the_solid_stands_out_in_lightness_and_in_chroma(scenes: list[Scene]) -> None:
    gaps = [
        min(abs(one[0] - two[0]), math.hypot(one[1] - two[1], one[2] - two[2]))
        for scene in scenes
        for one, two in [(scene.body.paint.first.lab(), scene.ground.lab())]
    ]
    signs = Counter(scene.body.paint.first.lightness > scene.ground.lightness for scene in scenes)
    assert np.median(gaps) > 25
    assert min(signs.values()) > len(scenes) / 4


@pytest.mark.parametrize(("option", "value"), [("count", 0), ("size", 4), ("size", 5000)])
def test_impossible_options_are_refused(option: str, value: int) -> None:
    with pytest.raises(MultiviewError, match=f"{option} is {value}; give .* such as --{option}"):
        Scenes(**{option: value})


# Colour


@pytest.mark.parametrize("lab", [(50.0, 20.0, 1.0), (80.0, 30.0, -2.0), (30.0, 15.0, 3.0)])
def test_colours_are_those_of_skimage(lab: tuple[float, float, float]) -> None:
    color = pytest.importorskip("skimage.color")
    colour = Colour(lightness=lab[0], chroma=lab[1], hue=lab[2])
    expected = color.lab2rgb(np.array([[colour.lab()]]))[0, 0] * 255
    np.testing.assert_allclose(srgb(linear_rgb(colour)[:, None])[0], expected, atol=1.0)


def test_a_colour_outside_srgb_keeps_its_lightness() -> None:
    color = pytest.importorskip("skimage.color")
    wild = Colour(lightness=40.0, chroma=130.0, hue=2.5)
    lightness = color.rgb2lab(srgb(linear_rgb(wild)[:, None])[None] / 255)[0, 0, 0]
    assert abs(lightness - 40) < 1
