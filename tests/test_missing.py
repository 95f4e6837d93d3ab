"""Samples that lack a modality, from the store to the tables: counted, skipped, said."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import multiview as mv
from multiview.cli import run
from multiview.data.inspect import CELL, GAP, LEFT, TOP, contact_sheet, summary
from multiview.data.pictures import ABSENT
from multiview.data.preprocess import preprocess
from multiview.data.presence import patterns, presence_text
from multiview.data.source import Plan
from multiview.data.sources.scenes import Scenes
from multiview.evaluate.groups import gap, name_of, subsets, usual
from multiview.evaluate.run import evaluate
from multiview.evaluate.table import CONCAT, Features, evaluate_features, render

LACKS = {"image": 5, "depth": 3, "normal": 2}
"""Modality -> the numbers that it divides lack it."""


@dataclass(frozen=True, kw_only=True)
class Holed:
    """Scenes with holes."""

    never_in: str = ""
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        plan = Scenes(count=90, size=24).plan(root)
        modalities = tuple(each for each in plan.modalities if each.name in LACKS)
        rows = {i for i, row in enumerate(plan.rows) if row.split == self.never_in}
        return Plan(plan.rows, modalities, partial(_holed, plan.read, rows), plan.classes)


def _holed(read: Callable[[int], Mapping], without_depth: set[int], number: int) -> dict[str, np.ndarray]:
    sample = {name: array for name, array in read(number).items() if name in LACKS and number % LACKS[name]}
    if number in without_depth:
        sample.pop("depth", None)
    return sample


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> mv.Store:
    out = tmp_path_factory.mktemp("holes") / "store"
    preprocess(Holed(), None, out, max_bad=9)
    return mv.Store.open(out)


@pytest.fixture(scope="module")
def trained(store: mv.Store, tmp_path_factory: pytest.TempPathFactory) -> mv.Trained:
    out = tmp_path_factory.mktemp("runs") / "holes"
    words = f"--data {store.path} --out {out} --steps 3 --batch 16 --size 16 --width 0.1 --threads 1 --knn_every 0"
    views = ["--views", "[L, depth, normal]", "--evaluate", "false"]
    assert run(["train", "cmc_rgbd", *words.split(), *views]) == 0
    return mv.load(out)


def holders(store: mv.Store, split: str, *modalities: str) -> int:
    rows = store.rows(split)
    return int(np.logical_and.reduce([store.present(name)[rows] for name in modalities]).sum())


def test_every_subset_is_measured_on_the_samples_that_have_all_of_it(
    trained: mv.Trained, store: mv.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = evaluate(trained, subsets=True, console=Console(width=200))
    text = capsys.readouterr().out
    read = {"L": "image", "depth": "depth", "normal": "normal"}
    groups = ["L", "depth", "normal", "L + depth", "L + normal", "depth + normal", CONCAT]
    assert [row.view for row in rows] == groups * 3
    for row in rows:
        views = list(read) if row.view == CONCAT else row.view.split(" + ")
        modalities = [read[view] for view in views]
        assert (row.train, row.test) == (holders(store, "train", *modalities), holders(store, "test", *modalities))
    assert {row.features for row in rows} == {"trained", "random weights", "raw pixels"}
    assert "Some samples lack a view: what stands side by side is measured on the test samples that have all" in text
    assert f"L + depth {holders(store, 'test', 'image', 'depth')}," in text
    assert "L+depth+normal: linear" in text
    assert trained.folder is not None
    assert len(json.loads((trained.folder / "evaluation.json").read_text())["scores"]) == len(rows)


def test_views_that_no_test_sample_has_are_named_and_the_rest_is_measured(
    trained: mv.Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocess(Holed(never_in="test"), None, tmp_path / "store", max_bad=9)
    assert trained.folder is not None
    assert run(["evaluate", str(trained.folder), "--data", str(tmp_path / "store"), "--subsets"]) == 0
    text = capsys.readouterr().out
    assert "depth is not measured: no labelled sample of the test split has depth." in text
    assert "concat is not measured: no labelled sample of the test split has L and depth and normal." in text
    assert "L + normal: linear" in text


def test_features_of_absent_rows_are_never_counted() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    x = np.eye(3, dtype=np.float32)[y] + rng.normal(0, 0.6, (90, 3)).astype(np.float32)
    gone = np.where(np.arange(90) % 4, y, -1)
    poisoned = np.where((gone < 0)[:, None], np.float32(np.nan), x)
    whole = Features(train=(x, y), test=(x[::-1], y[::-1]))
    scores = [
        evaluate_features({"trained": {"a": whole, "b": Features(train=(b, gone), test=(b[::-1], gone[::-1]))}})
        for b in (x, poisoned)
    ]
    assert scores[0] == scores[1]


def test_a_group_with_few_samples_has_a_width_of_its_own_which_is_said() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = rng.normal(size=(80, 12)).astype(np.float32)
    rare = np.where(np.arange(80) < 6, y, -1)
    ours = {"a": Features(train=(x, y), test=(x, y)), "b": Features(train=(x, rare), test=(x, y))}
    rows = evaluate_features({"trained": ours}, dim=10)
    assert {row.view: row.dim for row in rows} == {"a": 10, "b": 5, CONCAT: 5}
    out = io.StringIO()
    render(rows, Console(file=out))
    assert "Fewer dimensions where train samples are few: b 5 of 6, concat 5 of 6." in out.getvalue()


def test_subsets_are_bounded_and_end_with_all() -> None:
    assert usual(["a"]) == [("a",)]
    assert usual(["a", "b", "c"]) == [("a",), ("b",), ("c",), ("a", "b", "c")]
    assert len(subsets("abcdef")) == 63
    many = subsets("abcdefgh")
    assert (len(many), many[-1], len(many[0])) == (64, tuple("abcdefgh"), 1)
    assert name_of(("a",), "ab") == "a"
    assert [name_of(group, "abc") for group in (("a", "c"), ("a", "b", "c"))] == ["a + c", CONCAT]


def test_a_gap_says_what_is_lacking() -> None:
    one, two = np.array([0, 0, -1]), np.array([-1, 1, 1])
    labels = {"train": {"a": one, "b": two}, "test": {"a": two, "b": two}}
    assert gap(("b",), labels) == "no two classes of the train split have a labelled sample that has b"
    assert gap(("a",), {**labels, "train": {"a": two * np.array([1, 0, 1])}, "test": {"a": one * 0 - 1}}) == (
        "no labelled sample of the test split has a"
    )


def test_inspect_counts_the_patterns_and_leaves_cells_blank(store: mv.Store, tmp_path: Path) -> None:
    found = patterns(store)
    assert sum(found.values()) == len(store) == 87  # those without any are rejected
    assert found["image", "depth", "normal"] == holders(store, "train", *LACKS) + holders(
        store, "val", *LACKS
    ) + holders(store, "test", *LACKS)
    text = dict(summary(store))["presence"]
    assert f"image+depth {found['image', 'depth']}" in text
    assert f"image only {found['image',]}" in text
    sheet = np.asarray(Image.open(contact_sheet(store, tmp_path / "sheet.png", {}, lambda view, x: x, n=90)))
    for column, name in enumerate(LACKS):
        for row, there in enumerate(store.present(name)):
            down, right = TOP + row * (CELL + GAP), LEFT + column * (CELL + GAP)
            assert (sheet[down : down + CELL, right : right + CELL] == ABSENT).all() != there


def test_presence_in_words() -> None:
    assert presence_text({("image", "audio"): 812, ("image",): 14, (): 3}) == "image+audio 812, image only 14, none 3"
    many = {(f"m{i}",): i for i in range(15)}
    assert presence_text(many).endswith("m11 only 11, and 3 more patterns")
