"""Retrieval between views and the effective rank: by hand, on one and two processes, in words."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sparse_tables import sparse

import multiview as mv
from multiview.errors import MultiviewError
from multiview.measure.evaluate import evaluate
from multiview.measure.files import rows_from_json, to_json
from multiview.measure.intervals import wilson
from multiview.measure.partners import distinct_views, is_same_input, plan, same_views_in_words, shared_heads
from multiview.measure.retrieval import Bootstrap, effective_rank, over_control, pool, ranks
from multiview.measure.rows import Measure
from multiview.measure.table import compare, render

GEOMETRY = {"effective_rank", "alignment", "uniformity", "cka", "modality_gap"}
MEASURES = [*(f"retrieval_recall_{k}" for k in (1, 5, 10)), "retrieval_median_rank"]


def ranks_by_hand(query: np.ndarray, gallery: np.ndarray) -> list[int]:
    """One pair at a time, in Python floats; every other row that is as similar comes before."""

    def cosine(a: list[float], b: list[float]) -> float:
        length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        return sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0

    found = []
    for i, q in enumerate(query.tolist()):
        own = cosine(q, gallery[i].tolist())
        found.append(1 + sum(cosine(q, g) >= own - 1e-12 for j, g in enumerate(gallery.tolist()) if j != i))
    return found


def pairs(n: int, noise: float, width: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(n, width))
    return query, query + noise * rng.normal(size=(n, width))


class TestRanks:
    @pytest.mark.parametrize(("n", "noise"), [(2, 1.0), (40, 0.1), (130, 1.0), (60, 100.0)])
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_equal_loops_by_hand(self, n: int, noise: float, dtype: str) -> None:
        query, gallery = (x.astype(dtype) for x in pairs(n, noise))
        assert ranks(query, gallery).tolist() == ranks_by_hand(query, gallery)

    @pytest.mark.parametrize("copies", [2, 3, 7])
    def test_equal_samples_count_against_us(self, copies: int) -> None:
        query, gallery = (np.repeat(x, copies, axis=0) for x in pairs(20, 0.01))
        assert ranks(query, gallery).tolist() == ranks_by_hand(query, gallery) == [copies] * 20 * copies

    @pytest.mark.parametrize("collapsed", ["query", "gallery", "both", "zero"])
    def test_collapsed_embeddings_find_nothing(self, collapsed: str) -> None:
        query, gallery = pairs(50, 0.1)
        if collapsed != "gallery":
            query = np.zeros_like(query) if collapsed == "zero" else np.tile(query[:1], (50, 1))
        if collapsed in ("gallery", "both"):
            gallery = np.tile(gallery[:1], (50, 1))
        assert ranks(query, gallery).tolist() == ranks_by_hand(query, gallery)
        assert (ranks(query, gallery) == 1).mean() <= 1 / 50

    def test_blocks_of_queries_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        query, gallery = pairs(97, 0.5)
        whole = ranks(query, gallery)
        for rows in (1, 10, 96, 97, 98):
            monkeypatch.setattr("multiview.measure.retrieval.ROWS", rows)
            assert (ranks(query, gallery) == whole).all()

    def test_a_diverged_encoder_is_an_error(self) -> None:
        query, gallery = pairs(10, 0.1)
        query[3, 0] = np.nan
        with pytest.raises(MultiviewError, match="1 of 10 held-out features are NaN"):
            ranks(query, gallery)


class TestIntervals:
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
    def test_the_bootstrap_agrees_with_the_normal_approximation(self, share: float) -> None:
        hits = np.arange(600) < 600 * share
        low, high = Bootstrap(600).of_mean(hits)
        half = 1.96 * math.sqrt(share * (1 - share) / 600)
        assert (low, high) == pytest.approx((share - half, share + half), abs=0.006)
        assert Bootstrap(600).of_mean(hits) == (low, high)

    def test_the_median_has_an_interval(self) -> None:
        low, high = Bootstrap(101).of_median(np.arange(1, 102))
        assert 35 < low < 51 < high < 67

    @pytest.mark.parametrize(("ours", "theirs", "clear"), [(300, 200, True), (205, 200, False), (600, 600, False)])
    def test_a_margin_is_taken_on_the_same_queries(self, ours: int, theirs: int, clear: bool) -> None:
        rng = np.random.default_rng(0)
        hits, control = (rng.permutation(600) < count for count in (ours, theirs))
        m = over_control(hits, control, Bootstrap(600))
        assert m.points == pytest.approx((ours - theirs) / 600)
        assert m.clear is clear
        assert m.low < m.points < m.high

    def test_the_pool_is_chosen_by_the_seed(self) -> None:
        usable = np.arange(0, 9000, 2)
        chosen = pool(usable)
        assert len(chosen) == 2000
        assert (np.diff(chosen) > 0).all()
        assert set(chosen) <= set(usable)
        assert (pool(usable) == chosen).all()
        assert (pool(usable, seed=1) != chosen).any()
        assert pool(usable[:7]).tolist() == usable[:7].tolist()


@pytest.mark.parametrize(("rank", "width"), [(1, 8), (3, 8), (8, 8)])
def test_the_effective_rank_counts_directions(rank: int, width: int) -> None:
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(200, width)))[0][:, :rank]
    h = directions @ np.linalg.qr(np.random.default_rng(1).normal(size=(width, width)))[0][:rank]
    assert effective_rank(h) == pytest.approx(rank)
    assert effective_rank(h * 0) == 1


class TestPlan:
    @pytest.mark.parametrize(
        ("graph", "edges"),
        [
            (lambda views: mv.ContrastGraph.full(views, mv.SimCLR()), {("a", "b"): "a-b", ("c", "a"): "a-c"}),
            (lambda views: mv.ContrastGraph.core(views, mv.CMC()), {("a", "b"): "a-b", ("b", "c"): ""}),
            (lambda views: mv.ContrastGraph.joint(views, mv.Symile()), {("c", "b"): "a-b-c"}),
            (
                lambda views: mv.ContrastGraph(views, (mv.Edge("a", "b", mv.CMC(dim=8)), mv.Edge("a", "c", mv.CMC()))),
                {("b", "a"): "a-b", ("b", "c"): None},
            ),
        ],
    )
    def test_which_embedding_two_views_share(
        self, graph: Callable[[tuple[str, ...]], mv.ContrastGraph], edges: dict[tuple[str, str], str | None]
    ) -> None:
        for views, edge in edges.items():
            shared = shared_heads(graph(("a", "b", "c")), *views)
            assert (shared and shared[0]) == edge

    def test_two_crops_of_one_picture_are_no_partners(self) -> None:
        views = {name: mv.views.rgb(mv.Crop(name=name), mv.views.SMALL) for name in ("one", "two")}
        encoder = mv.make_encoder("convnet", 3, width=0.1)
        graph = mv.ContrastGraph.full(views, mv.SimCLR())
        assert is_same_input(mv.Setup(views, {"one": encoder, "two": "one"}, graph), "one", "two")
        other = mv.make_encoder("convnet", 3, width=0.1)
        assert not is_same_input(mv.Setup(views, {"one": encoder, "two": other}, graph), "one", "two")

    def test_a_view_is_measured_under_one_name(self) -> None:
        views = {name: mv.views.rgb(mv.Crop(name=name), mv.views.SMALL) for name in ("one", "two", "three")}
        encoder, other = (mv.make_encoder("convnet", 3, width=0.1) for _ in range(2))
        graph = mv.ContrastGraph.full(views, mv.SimCLR())
        setup = mv.Setup(views, {"one": encoder, "two": "one", "three": other}, graph)
        assert distinct_views(setup) == ("one", "three")
        assert same_views_in_words(setup) == [
            "Not measured twice: two (as one), equal without random crops and augmentation."
        ]
        apart = mv.Setup(views, {"one": encoder, "two": other, "three": mv.make_encoder("convnet", 3)}, graph)
        assert distinct_views(apart) == ("one", "two", "three")
        assert same_views_in_words(apart) == []

    def test_a_second_draw_of_a_view_is_searched_for_once(self, scenes: Path) -> None:
        words = mv.Graph.from_yaml(
            "views: {L: {encoder: {name: convnet, width: 0.1}}, depth: {encoder: {name: convnet, width: 0.1}},"
            " normal: {encoder: {name: convnet, width: 0.1}}}\n"
            "edges: [L - depth: {objective: simclr, crop: own}, depth - normal: simclr]\n"
        )
        setup, store = words.setup(), mv.Store.open(scenes)
        assert list(setup.views) == ["L", "depth", "depth_2", "normal"]
        found = plan(setup, store, ["test"])
        assert found is not None
        named = {pair.name: pair.facts["edge"] for pair in found.pairs if pair.query < pair.gallery}
        assert named == {"L -> depth": "L-depth_2", "L -> normal": "", "depth -> normal": "depth-normal"}

    @pytest.mark.parametrize(
        ("labels", "split"), [({"train": 1, "val": 1, "test": 1}, "test"), ({"train": 1, "val": 1}, "val")]
    )
    def test_a_held_out_split_is_searched(self, labels: dict[str, int], split: str, tmp_path: Path) -> None:
        trained = sparse(tmp_path / "store", two_every=4, **labels)
        found = plan(trained.setup, trained.store, list(labels))
        assert found is not None
        assert found.split == split
        assert [(pair.query, pair.gallery, len(pair.positions)) for pair in found.pairs] == [
            ("one", "two", 10),
            ("two", "one", 10),
        ]


def by_name(rows: list[Measure]) -> dict[tuple[str, str, str], Measure]:
    return {(row.group, row.weights, row.measure): row for row in rows}


@pytest.mark.parametrize("two_every", [1, 3])
def test_a_run_without_labels_has_a_verdict(two_every: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal values and one encoder: each view finds the other, also where samples lack a view."""
    trained = replace(sparse(tmp_path / "store", two_every, shared=True, train=0, val=0, test=0), folder=tmp_path)
    rows = evaluate(trained)
    assert rows_from_json((tmp_path / "evaluation.json").read_text()) == rows
    assert {row.measure for row in rows} == {*MEASURES, *GEOMETRY, "kept_mean", "kept_values"}
    known = by_name(rows)
    n = int(trained.store.present("two")[trained.store.rows("test")].sum())
    assert (n < 40) == (two_every > 1)
    for group in ("one -> two", "two -> one"):
        for weights in ("trained", "random"):
            first, median = (known[group, weights, name] for name in (MEASURES[0], MEASURES[-1]))
            assert (first.tested, first.facts["pool"], first.facts["chance"]) == (n, n, 1 / n)
            assert (median.value, median.unit, median.higher_is_better) == (1, "rank", False)
            assert first.facts["edge"] == "one-two"
        first = known[group, "trained", MEASURES[0]]
        assert (first.value, first.interval) == (1, wilson(1.0, n))
    text = " ".join(capsys.readouterr().out.split())
    assert "Measured without labels: kNN and the linear probe need labels" in text
    assert f"finds the two of a sample by its one at the first try in 100.0 % of {n} (95 %" in text
    few = f"but {n} samples are too few to tell whether the encoders learned"
    assert (few if n < 20 else "neither at the first try (R@1) nor among the first ten (R@10)") in text


def test_labels_and_retrieval_stand_in_one_file(tmp_path: Path) -> None:
    rows = evaluate(sparse(tmp_path / "store", train=1, val=1, test=4))
    kept = {"kept_mean", "kept_values"}
    probes = {"knn", "linear", "linear_balanced", "target_top1", "target_auroc", "target_balanced"}
    assert {row.measure for row in rows} == {*probes, *MEASURES, *GEOMETRY, *kept}
    known = by_name(rows)
    assert known["concat", "raw", "linear"].tested == 10
    assert known["one -> two", "trained", MEASURES[0]].tested == 40
    assert rows_from_json(to_json(rows)) == rows


def test_one_input_under_two_names_is_probed_once(tmp_path: Path) -> None:
    trained = sparse(tmp_path / "store", shared=True, train=1, val=1, test=1)
    one = trained.setup.views["one"]
    rows = evaluate(replace(trained, setup=replace(trained.setup, views={"one": one, "two": one})))
    assert {row.group for row in rows if row.measure in ("knn", "linear", "target_top1")} == {"one"}


@pytest.mark.parametrize("layer", [None, "layer1"])
def test_a_view_without_a_partner_has_an_effective_rank(
    layer: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = sparse(tmp_path / "store", shared=True, train=0, test=0)
    one = trained.setup.views["one"]
    trained = replace(trained, setup=replace(trained.setup, views={"one": one, "two": one}))
    rows = evaluate(trained, layer=layer if layer in trained.encoder("one").layers else None)
    assert [(row.measure, row.group, row.weights) for row in rows if not row.measure.startswith("kept")] == [
        ("effective_rank", "one", "trained"),
        ("effective_rank", "one", "random"),
    ]
    assert 1 < rows[0].value <= rows[0].range[1]
    text = " ".join(capsys.readouterr().out.split())
    assert "Not measured twice: two (as one), equal without random crops and augmentation." in text
    assert "one: no other view to find, so only the spread of its features was measured" in text


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    sparse(tmp_path / "store", two_every=3, train=3, val=0, test=2)
    script = str(Path(__file__).with_name("sparse_tables.py"))

    def rows(processes: int) -> list[dict[str, object]]:
        (tmp_path / "meeting").unlink(missing_ok=True)
        started = [
            subprocess.Popen(
                [sys.executable, script, str(tmp_path), str(rank), str(processes)], stdout=subprocess.PIPE, text=True
            )
            for rank in range(processes)
        ]
        outputs = [process.communicate(timeout=100)[0] for process in started]
        (line,) = [line for line in outputs[0].splitlines() if line.startswith("rows ")]
        return json.loads(line.removeprefix("rows "))

    one, two = rows(1), rows(2)
    assert one == two
    assert {row["measure"] for row in one} >= set(MEASURES)


def made(first: float, over: float, half: float, group: str = "image -> depth", **changes: object) -> list[Measure]:
    facts = {"head": "linear_128", "chance": 1 / 500, "seed": 0, "same_crop": True}
    margin = {"points": over, "low": over - half, "high": over + half}
    common = {"views": tuple(group.split(" -> ")), "group": group, "width": 128, "samples": {"test": 500}, **changes}
    shares = {"trained": (first, {**facts, "over_random": margin}), "random": (first - over, facts)}
    return [
        Measure(measure=MEASURES[0], weights=weights, value=value, interval=wilson(value, 500), facts=each, **common)
        for weights, (value, each) in shares.items()
    ]


def ten(over: float, half: float, group: str = "image -> depth") -> list[Measure]:
    """The R@10 of the trained weights, with its margin over random weights."""
    (row, _) = made(0.3, over, half, group)
    return [replace(row, measure=MEASURES[2])]


def printed(show: Callable[..., None], what: object) -> str:
    console = Console(file=io.StringIO())
    show(what, console)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            made(0.41, 0.32, 0.04),
            "image -> depth: finds the depth of a sample by its image at the first try in 41.0 % of 500 (95 % 36.8 to "
            "45.4), against 9.0 % with random weights and 0.2 % by chance (+32.0 ± 4.0 over random weights)",
        ),
        (made(0.41, 0.32, 0.04), "Without labels: the encoders learned what these views have in common."),
        (made(0.1, 0.01, 0.04), "(+1.0 ± 4.0 over random weights, within noise)"),
        (made(0.1, 0.01, 0.04), "which shows no learning."),
        (
            made(0.02, 0.01, 0.02) + ten(0.2, 0.05),
            "first try (R@1), but among the first ten (R@10) in 1 of 1 direction: the encoders have begun to learn.",
        ),
        (
            made(0.02, 0.01, 0.02) + ten(0.2, 0.05) + ten(0.02, 0.05, "depth -> image"),
            "among the first ten (R@10) in 1 of 2 directions (image -> depth): the encoders have begun to learn.",
        ),
        (made(0.02, 0.01, 0.02) + ten(0.02, 0.05), "nor among the first ten (R@10), which shows no learning."),
        (
            made(0.3, 0.2, 0.3, samples={"test": 6}) + ten(0.0, 0.0),
            "at the first try (R@1) beyond noise, but 6 samples are too few to tell whether the encoders learned.",
        ),
        (made(0.3, 0.2, 0.3, samples={"test": 6}), "Next: hold out more samples"),
        (made(0.1, -0.3, 0.1, samples={"test": 6}), "which shows no learning. Worse than random weights:"),
        (made(0.02, 0.01, 0.02) + ten(0.2, 0.05), "Next: train longer"),
        (made(0.02, 0.01, 0.02) + ten(0.02, 0.05), "Next: look in"),
        (
            made(0.41, 0.32, 0.04) + made(0.1, 0.01, 0.04, "depth -> image"),
            "better than random weights in 1 of 2 directions (image -> depth).",
        ),
        (made(0.4, 0.3, 0.04)[:1], "No control"),
        (made(0.41, 0.32, 0.04), "Both views of image -> depth show the same central crop"),
        (made(0.41, 0.32, 0.04, split="train", samples={"train": 500}), "these samples were trained on"),
    ],
)
def test_the_verdict_in_words(rows: list[Measure], words: str) -> None:
    if len(rows) == 1:
        rows = [replace(rows[0], facts={k: v for k, v in rows[0].facts.items() if k != "over_random"})]
    assert words in printed(render, rows)


def test_runs_without_labels_are_compared() -> None:
    text = printed(compare, {"a": made(0.41, 0.32, 0.04), "b": made(0.1, 0.01, 0.04)})
    lines = [line.split() for line in text.splitlines()]
    assert ["image", "->", "depth", "a", "41.0", "36.8", "to", "45.4", "-", "-", "-", "9.0", "0.2", "+32.0"] in lines
    assert any(line[:2] == ["b", "10.0"] and line[-1] == "(+1.0)" for line in lines)
    assert "found at the first try in 25.5 % (10.0 to 41.0)" in text
    assert "beyond noise in 1 of 2" in text
    assert json.loads(to_json(made(0.41, 0.32, 0.04)))["rows"][0] == json.loads(
        json.dumps(asdict(made(0.41, 0.32, 0.04)[0]))
    )


@pytest.mark.parametrize(("data", "name"), [("/x/photos", "photos"), ("my photos!", "my-photos"), ("..", "data")])
def test_other_data_leave_the_own_evaluation(
    data: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evaluation.json").write_text("own")
    trained = replace(sparse(tmp_path / "store", train=0, test=0), folder=tmp_path, other_data=data)
    rows = evaluate(trained)
    file = tmp_path / f"evaluation-{name}-{trained.store.manifest.hash[:8]}.json"
    assert rows_from_json(file.read_text()) == rows
    assert (tmp_path / "evaluation.json").read_text() == "own"
    assert file.name in capsys.readouterr().out.replace("\n", "")
