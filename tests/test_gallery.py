"""What the page of a run takes from the data: orders of queries, sounds, numbers, copies, leaks."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import many_kinds
import numpy as np
import pytest
import soundfile
from many_kinds import Leaky, of_names, trained_of

import multiview as mv
from multiview import Trained
from multiview.data.modality import Modality
from multiview.gallery.choice import choose
from multiview.gallery.duplicates import candidates
from multiview.gallery.held_out import HeldOut, held_out
from multiview.gallery.neighbours import neighbours, searches
from multiview.gallery.orders import orders
from multiview.gallery.sounds import sound, sounds
from multiview.gallery.store_facts import store_facts
from multiview.gallery.thumbnails import shown_range
from multiview.gallery.write import content
from multiview.report.gather import checked

VIEWS = ("rgb", "logmel", "waveform", "series", "table", "text")


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return of_names(many_kinds.make(tmp_path_factory.mktemp("leaky") / "store", Leaky()), *VIEWS)


@pytest.fixture(scope="module")
def written(leaky: Trained) -> dict[str, Any]:
    """What report/data.json of the run would hold, through JSON and the checks of its reader."""
    return checked(json.loads(json.dumps(content(leaky, held_out(leaky)))))


def test_sounds_can_be_played_and_views_of_one_modality_share_them(written: dict[str, Any]) -> None:
    heard = written["sounds"]
    assert set(heard) == {"logmel", "waveform"} and heard["waveform"] == "logmel"
    kind, text = heard["logmel"]["3"].split(",")
    values, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
    assert kind == "data:audio/mpeg;base64" and rate == 8000
    assert len(values) >= 900 + 10 * 23 and 0.05 < np.std(values) < 0.3


def test_a_long_sound_is_cut_and_sounds_stop_at_the_budget(leaky: Trained) -> None:
    kind = Modality(name="audio", kind="audio", dtype="int16", shape=(-1, 2), unit="full scale", rate=9000.0)
    stereo = np.random.default_rng(0).integers(-9000, 9000, (90_000, 2)).astype("int16")
    values, rate = soundfile.read(io.BytesIO(base64.b64decode(sound(stereo, kind).split(",")[1])))
    assert rate == 11025 and len(values) / rate == pytest.approx(4, abs=0.3)
    assert sound(stereo[:0], kind) == ""
    rows = [(0, 20), (1, 21), (2, 22)]
    first = len(sounds(leaky.store, "audio", rows)["0"])
    assert list(sounds(leaky.store, "audio", rows, most=first)) == ["0"]


def test_numbers_of_tables_are_those_that_are_stored(leaky: Trained, written: dict[str, Any]) -> None:
    read = written["numbers"]["table"]
    stored = leaky.store.read([23], "table")[0]
    assert read["columns"] == ["a", "b", "c", "d"] and read["more"] == 0
    assert read["rows"]["3"] == pytest.approx(stored.tolist(), rel=1e-3)


def test_nearly_equal_samples_are_suspected_and_others_are_not(written: dict[str, Any]) -> None:
    assert [(pair["a"], pair["b"]) for pair in written["duplicates"]] == [(0, 1)]
    assert 0.99 < written["duplicates"][0]["alike"] <= 1
    assert all("0" in of and "1" in of for view, of in written["pictures"].items() if view != "text")


def test_groups_and_copies_in_two_splits_are_found(leaky: Trained) -> None:
    facts = store_facts(leaky.store)
    assert facts["splits"] == [["train", 20], ["test", 10]]
    assert [leak["found"] for leak in facts["leaks"]] == [True, True]
    groups, copies = (leak["text"] for leak in facts["leaks"])
    assert groups.startswith("4 groups by place: 1 of them are in more than one split, such as p2")
    assert copies == "1 sample with exact copies in another split."
    assert sum(count for _, count in facts["presence"]) == 30


def plane(degrees: list[float]) -> np.ndarray:
    angles = np.radians(np.asarray(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")


def held(a: np.ndarray, b: np.ndarray) -> HeldOut:
    there = np.ones(len(a), bool)
    pairs = {("a", "a"): (a, a), ("b", "b"): (b, b), ("a", "b"): (a, b), ("b", "a"): (b, a)}
    return HeldOut(
        split="test", rows=np.arange(len(a)), present={"a": there, "b": there}, z={"a": a, "b": b}, pairs=pairs
    )


def ordered(of: HeldOut) -> dict[str, np.ndarray]:
    found = neighbours(of)
    return orders(of, found, searches(of, found))


def test_orders_by_hand() -> None:
    """Samples 0 and 1 find each other's partner; 3 is opposite to its own in the other view."""
    of = held(plane([0, 20, 40, 60, 80]), plane([0, 20, 40, 240, 80]))
    made = ordered(of)
    assert set(made) == {"nearest", "hardest", "disagreeing", "spread"}
    assert made["hardest"][0] == 3 and made["nearest"][-1] == 3
    assert made["disagreeing"][0] in (2, 3, 4)
    assert sorted(made["disagreeing"].tolist()) == made["spread"].tolist() == [0, 1, 2, 3, 4]


def test_orders_of_one_view_go_by_its_nearest_sample() -> None:
    a = plane([0, 1, 40, 100])
    one = replace(held(a, a), z={"a": a}, present={"a": np.ones(4, bool)}, pairs={("a", "a"): (a, a)})
    made = ordered(one)
    assert made["hardest"][0] == 3 and set(made["nearest"][:2].tolist()) == {0, 1}
    assert "disagreeing" not in made


def test_a_view_without_a_partner_shows_the_queries_that_missed_their_other_crop() -> None:
    """Sample 2 comes after 1 on its other crop, and 3 after all others; 0 and 1 find themselves."""
    a = plane([0, 20, 40, 100])
    one = HeldOut(
        split="test",
        rows=np.arange(4),
        present={"a": np.ones(4, bool)},
        z={"a": a},
        pairs={("a", "a"): (a, a)},
        crops={"a": (plane([0, 20, 35, 100]), plane([0, 30, 60, 250]))},
    )
    found = neighbours(one)
    searched = searches(one, found)
    assert searched["a", "a"].rank.tolist() == [1, 1, 2, 4]
    made = ordered(one)
    assert made["hardest"][:2].tolist() == [3, 2]
    (missed,) = choose(one, found, searched, made).failures
    assert (missed["query"], missed["gallery"], missed["missed"], missed["of"]) == ("a", "a", 2, 4)
    assert [(case["sample"], case["top"][0]) for case in missed["cases"]] == [(2, 1), (3, 2)]


def test_a_picture_under_two_names_is_shown_once(leaky: Trained) -> None:
    views = {name: mv.make_view("rgb", mv.Crop(size=10, scale=(0.2, 0.6), name=name)) for name in ("one", "two")}
    encoders = {"one": mv.make_encoder("convnet", 3, width=0.1), "two": "one"}
    shown = held_out(trained_of(leaky.store, views, encoders))
    assert shown is not None and list(shown.z) == list(shown.crops) == ["one"] and set(shown.pairs) == {("one", "one")}
    query, found = shown.crops["one"]
    assert query.shape == found.shape and not np.allclose(query, found)


def test_a_sample_that_no_pair_has_is_in_no_order_of_difficulty() -> None:
    of = held(plane([0, 20, 40]), plane([0, 20, 40]))
    lacking = replace(of, present={"a": np.array([True, True, True]), "b": np.array([True, True, False])})
    made = ordered(lacking)
    assert set(made["nearest"].tolist()) == {0, 1}


def test_queries_of_all_orders_have_pictures_and_candidates_are_near() -> None:
    of = held(plane(list(range(0, 360, 3))), plane(list(range(0, 360, 3))))
    found = neighbours(of)
    choice = choose(of, found, searches(of, found), ordered(of))
    assert set(choice.orders) == {"nearest", "hardest", "disagreeing", "spread"}
    assert all(("a", i) in choice.pictures and ("b", i) in choice.pictures for i in choice.queries)
    assert {i for each in choice.orders.values() for i in each} == set(choice.queries)
    assert all(abs(a - b) in (1, 119) for a, b in candidates(found))
    assert candidates({("a", "a"): SimpleNamespace(best=np.array([0.1]), top=np.array([[0]]))}) == []


def test_the_colours_of_depth_are_spent_on_the_object() -> None:
    depth = np.full((1, 10, 10), 2.0, np.float32)
    depth[0, 2:8, 2:8] = np.linspace(2, 3, 36).reshape(6, 6)
    depth[0, 0, :3], depth[0, 9, 9] = 57.0, 0.0  # a far background, and a pixel that was not measured
    low, high = shown_range(depth, 0.0, 60.0)
    assert 1.9 < low < high < 3.1
    assert shown_range(np.zeros((1, 2, 2)), 0.0, 60.0) == (0.0, 60.0)
