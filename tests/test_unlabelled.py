"""The verdict without labels: controls without a network, crops, kept facts, geometry, groups."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import multiview as mv
from multiview.data.modality import Modality
from multiview.data.store.reading import Store
from multiview.measure.cuts import GALLERY, QUERY, cut_views
from multiview.measure.evaluate import evaluate
from multiview.measure.geometry import cka, modality_gap
from multiview.measure.intervals import wilson
from multiview.measure.kept import Regression, facts_of, kept_rows, opponents
from multiview.measure.kept_sentences import kept_lines, kept_verdict
from multiview.measure.plain_models import FITS, cca, choose, components, folds_of, ridge
from multiview.measure.plain_values import COLUMNS, MOST, log_spectrum, statistics, values
from multiview.measure.retrieval import Bootstrap, Partners, Searched, fused_ranks, ranks, rows_of
from multiview.measure.retrieval_sentences import retrieval_notes, retrieval_verdict, standing
from multiview.measure.rows import Measure
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.setup import with_statistics
from multiview.trained import Trained

Rows = NDArray[np.float64]


def related(n: int, noise: float = 0.1, seed: int = 0) -> tuple[Rows, Rows]:
    """Two views of five numbers that share three directions."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    x = np.concatenate([common, rng.normal(size=(n, 2))], 1)
    return x, common @ rng.normal(size=(3, 5)) + noise * rng.normal(size=(n, 5)) + 7


class TestPlainModels:
    @pytest.mark.parametrize("penalty", [1e-3, 1.0])
    def test_ridge_is_the_minimum_of_its_loss(self, penalty: float) -> None:
        x, y = related(80)
        found, kept = ridge(x, y, penalty)(x, y)
        assert np.allclose(kept, y - y.mean(0))
        a, b = x - x.mean(0), y - y.mean(0)
        strength = penalty * (a**2).mean()
        by_hand = np.linalg.lstsq(
            np.concatenate([a / math.sqrt(80), math.sqrt(strength) * np.eye(5)]),
            np.concatenate([b / math.sqrt(80), np.zeros((5, 5))]),
            rcond=None,
        )[0]
        assert np.allclose(found, a @ by_hand, atol=1e-9)

    def test_cca_finds_the_correlations_of_the_eigenvalue_problem(self) -> None:
        x, y = related(500)
        a, b = cca(x, y, 0.0)(x, y)
        sxx, syy, sxy = np.cov(x.T, bias=True), np.cov(y.T, bias=True), (x - x.mean(0)).T @ (y - y.mean(0)) / 500
        squared = np.linalg.eigvals(np.linalg.solve(sxx, sxy) @ np.linalg.solve(syy, sxy.T)).real
        expected = np.sqrt(np.sort(np.clip(squared, 0, 1))[::-1])
        # Each direction has variance 1 before it is weighted by its correlation.
        assert np.allclose(a.std(0), expected, atol=1e-6)
        assert np.allclose((a * b).mean(0), expected**3, atol=1e-6)

    @pytest.mark.parametrize("name", FITS)
    def test_related_views_are_found_and_unrelated_ones_are_not(self, name: str) -> None:
        x, y = related(300, noise=0.01)
        model = FITS[name](x[:200], y[:200], 1e-3)
        assert (ranks(*model(x[200:], y[200:])) == 1).mean() > 0.8
        other = np.random.default_rng(1).normal(size=y.shape)
        assert (ranks(*FITS[name](x[:200], other[:200], 1e-3)(x[200:], other[200:])) == 1).mean() < 0.1

    def test_the_better_of_values_and_statistics_is_chosen_on_the_folds(self) -> None:
        x, y = related(120)
        noise = np.random.default_rng(2).normal(size=(120, 5))
        for views in ({"values": (x, y), "statistics": (noise, y)}, {"values": (noise, y), "statistics": (x, y)}):
            chosen = choose(ridge, views, folds_of(np.arange(120)))
            assert views[chosen.plain][0] is x
            assert chosen.score > 0.3

    def test_groups_stay_in_one_fold(self) -> None:
        groups = np.repeat(np.arange(40), 5)
        folds = folds_of(groups)
        assert all(len(set(folds[groups == group])) == 1 for group in range(40))
        assert set(folds) == {0, 1, 2}
        assert set(folds_of(np.arange(2000))) == {0, 1}

    def test_neighbours_that_are_alike_do_not_choose_what_recognises_them(self) -> None:
        # Two unrelated slow walks: a fit on random samples knows the place of the samples between.
        rng = np.random.default_rng(3)
        walks = rng.normal(size=(2, 240, 12)).cumsum(1)
        views = {"values": related(240, noise=0.6), "statistics": (walks[0], walks[1])}
        assert choose(cca, views, folds_of(np.arange(240))).plain == "values"
        assert choose(cca, views, rng.permutation(240) % 3).plain == "statistics"
        groups = np.array([5, 5, 2, 9, 9, 1])
        assert folds_of(groups).tolist() == [0, 0, 0, 1, 1, 2]

    def test_components_keep_distances_and_leave_constants_out(self) -> None:
        x = np.concatenate([related(60)[0], np.full((60, 2), 3.0)], 1)
        z = components(x, standardise=False)(x)
        assert z.shape == (60, 5)
        assert np.allclose(((z[:1] - z) ** 2).sum(1), ((x[:1] - x) ** 2).sum(1))
        scaled = components(x * np.arange(1, 8), standardise=True)(x * np.arange(1, 8))
        assert np.allclose((scaled**2).sum() / 60, 5)


class TestFused:
    def test_equals_loops_by_hand(self) -> None:
        pairs = [related(30, seed=seed) for seed in (0, 1)]
        total = np.zeros((30, 30))
        for query, gallery in pairs:
            cosine = np.array([[q @ g / math.sqrt((q @ q) * (g @ g)) for g in gallery] for q in query])
            total += (cosine - cosine.mean()) / cosine.std()
        by_hand = [1 + sum(total[i, j] >= total[i, i] - 1e-12 for j in range(30) if j != i) for i in range(30)]
        assert fused_ranks(pairs).tolist() == by_hand

    def test_ties_count_against_it(self) -> None:
        same = np.ones((6, 3))
        assert fused_ranks([(same, same), (same, same)]).tolist() == [6] * 6


class TestGroups:
    def test_intervals_are_wider_when_groups_agree(self) -> None:
        groups = np.repeat(np.arange(50), 8)
        hits = np.random.default_rng(0).random(50)[groups] < 0.5
        (low, high), (narrow_low, narrow_high) = (
            Bootstrap(400, groups=codes).of_mean(hits) for codes in (groups, None)
        )
        assert (high - low) > 2 * (narrow_high - narrow_low)
        half = 1.96 * math.sqrt(hits.mean() * (1 - hits.mean()) / 50)
        assert (low, high) == pytest.approx((hits.mean() - half, hits.mean() + half), abs=0.03)

    def test_groups_of_one_change_nothing(self) -> None:
        values_ = np.random.default_rng(0).random(60)
        own, plain = Bootstrap(60, groups=np.arange(60)[::-1]), Bootstrap(60)
        assert own.facts == plain.facts == {}
        assert own.of_median(np.sort(values_)) == pytest.approx(plain.of_median(np.sort(values_)[::-1]), abs=0.1)

    def test_a_ratio_and_a_median_by_hand(self) -> None:
        draws = Bootstrap(21, draws=200)
        above, below, found = (np.random.default_rng(seed).random(21) + 0.5 for seed in (0, 1, 2))
        rows = [np.repeat(np.arange(21), times.astype(int)) for times in draws.times]
        ratios = [above[row].sum() / below[row].sum() for row in rows]
        assert draws.of_ratio(above, below) == pytest.approx(np.percentile(ratios, (2.5, 97.5)), rel=1e-5)
        medians = [np.median(found[row]) for row in rows]
        assert draws.of_median(found) == pytest.approx(np.percentile(medians, (2.5, 97.5)))


class TestGeometry:
    def test_cka_knows_rotations_and_scales(self) -> None:
        x, _ = related(200)
        turned = 3 * x @ np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0] + 1
        assert cka(x, turned) == pytest.approx(1)
        assert cka(x, np.random.default_rng(1).normal(size=(200, 5))) < 0.1
        assert cka(x, np.ones((200, 2))) == 0

    def test_cka_equals_the_gram_matrices_by_hand(self) -> None:
        x, y = related(40)
        centre = np.eye(40) - 1 / 40
        k, other = (centre @ each @ each.T @ centre for each in (x, y))
        assert cka(x, y) == pytest.approx((k * other).sum() / math.sqrt((k * k).sum() * (other * other).sum()))

    def test_the_gap_is_the_distance_of_the_means(self) -> None:
        a = np.array([[2.0, 0], [0, 3]])
        assert modality_gap(a, -a) == pytest.approx(math.sqrt(2))
        assert modality_gap(a, a * 5) == 0


class TestKept:
    def test_the_penalty_has_the_smallest_leave_one_out_error(self) -> None:
        from sklearn.linear_model import Ridge

        x, y = related(60, noise=1.0)
        found = Regression(x[:40]).predict(y[:40], x[40:])
        scaled = (x - x[:40].mean(0)) / x[:40].std(0)
        by_hand = {}
        for k in range(-3, 5):
            errors = []
            for i in range(40):
                rest = [j for j in range(40) if j != i]
                a, b = scaled[:40][rest], y[:40][rest]
                # The leverage counts one sample less in the mean; the penalty stays.
                errors.append(((Ridge(10.0**k * 40).fit(a, b).predict(scaled[i : i + 1]) - y[i]) ** 2).mean())
            by_hand[k] = np.mean(errors)
        best = min(by_hand, key=lambda k: by_hand[k])
        assert np.allclose(found, Ridge(10.0**best * 40).fit(scaled[:40], y[:40]).predict(scaled[40:]))

    def test_features_without_the_fact_keep_nothing(self) -> None:
        x, y = related(300)
        noise = np.random.default_rng(5).normal(size=(300, 4))
        h = {"trained": (noise[:200], noise[200:]), "random": (x[:200], x[200:])}
        rows = kept_rows("L", h, {"colour": (y[:200], y[200:])}, Bootstrap(100), "test")
        assert [(row.measure, row.weights) for row in rows] == [("kept_colour", "trained"), ("kept_colour", "random")]
        assert rows[0].value < 0.05
        assert rows[1].value > 0.9
        assert rows[0].facts["over_random"]["high"] < -0.5
        assert rows[1].interval is not None
        assert rows[1].interval.low < rows[1].value < rows[1].interval.high
        assert kept_lines(rows) == [f"L: mean colour {rows[0].value:.2f} ({rows[1].value:.2f})"]
        assert "Training lost what random weights keep: mean colour of L (R2 -" in kept_verdict(rows)[0]

    def test_lost_colours_are_named_although_the_brightness_stays(self) -> None:
        generator = np.random.default_rng(0)
        light, colour = generator.normal(0, 60, (300, 1)), generator.normal(0, 6, (300, 3))
        rgb = torch.from_numpy(128 + light + colour)
        h = {"trained": np.repeat(light, 2, 1), "random": np.hstack([light, colour])}
        facts = {"colour": rgb.numpy(), "chroma": opponents(rgb).numpy()}
        split = {name: (each[:200], each[200:]) for name, each in h.items()}
        rows = kept_rows("one", split, {k: (v[:200], v[200:]) for k, v in facts.items()}, Bootstrap(100), "test")
        kept = {row.measure: row.value for row in rows if row.weights == "trained"}
        assert kept["kept_colour"] > 0.9
        assert kept["kept_chroma"] < 0.05
        (sentence,) = kept_verdict(rows)
        assert "colour without brightness of one (R2 -" in sentence
        assert "mean colour" not in sentence
        assert "(of colours: hue, saturation and grey)" in sentence
        assert opponents(torch.full((2, 3), 77.0)).abs().max() == 0

    def test_constant_facts_have_no_row(self) -> None:
        x, _ = related(60)
        fact = np.full((60, 2), 255.0)
        assert (
            kept_rows("L", {"trained": (x[:40], x[40:])}, {"colour": (fact[:40], fact[40:])}, Bootstrap(20), "t") == []
        )

    @pytest.mark.parametrize(
        ("kind", "shape", "dtype", "names"),
        [
            ("image", (5, 3, 9, 9), torch.uint8, {"colour": 3, "chroma": 2, "thumbnail": 48}),
            ("video", (5, 3, 4, 9, 9), torch.uint8, {"colour": 3, "chroma": 2, "thumbnail": 48}),
            ("normal", (5, 3, 9, 9), torch.float32, {"colour": 3, "thumbnail": 48}),
            ("depth", (5, 1, 9, 9), torch.float32, {"colour": 1, "thumbnail": 16}),
            ("audio", (5, 1, 400), torch.int16, {"level": 1, "spectrum": 16}),
            ("series", (5, 6, 25), torch.float32, {"level": 12, "spectrum": 72}),
            ("series", (5, 6, 1), torch.float32, {"level": 12}),
            ("table", (5, 200), torch.float32, {"mean": 1, "values": 64}),
            ("points", (5, 3, 50), torch.float32, {"extent": 6}),
            ("text", (5, 30), torch.int64, {"length": 1}),
        ],
    )
    def test_every_kind_has_facts(
        self, kind: str, shape: tuple[int, ...], dtype: torch.dtype, names: dict[str, int]
    ) -> None:
        timed = {"rate": 10.0} if kind in ("audio", "video", "series") else {}
        modality = Modality(name="m", kind=kind, dtype="float32", shape=shape[1:], unit="", **timed)
        x = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 100).to(dtype)
        facts = facts_of(modality, x)
        assert {name: fact.shape[1] for name, fact in facts.items()} == names
        assert all(len(fact) == 5 and torch.isfinite(fact).all() for fact in facts.values())


class TestPlainValues:
    @pytest.mark.parametrize(
        ("axes", "shape"),
        [
            (("channels", "height", "width"), (3, 40, 30)),
            (("channels", "height", "width"), (3, 2, 2)),
            (("channels", "frames", "height", "width"), (3, 4, 20, 20)),
            (("channels", "bands", "frames"), (1, 40, 90)),
            (("channels", "samples"), (1, 4000)),
            (("channels", "samples"), (12, 2)),
            (("channels",), (3000,)),
            (("channels", "points"), (3, 64)),
            (("bytes",), (20,)),
        ],
    )
    def test_every_view_has_few_finite_values(self, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        view = mv.make_view("table", mv.Crop(), columns=3)
        view = replace(view, axes=axes)
        x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
        if axes == ("bytes",):
            x = (x.abs() * 100).long()
        for made in (values(view, x), statistics(view, x)):
            assert made.shape[0] == 4
            assert made.shape[1] <= max(COLUMNS, 3 * MOST)
            assert torch.isfinite(made).all()

    def test_the_spectrum_shows_the_frequency(self) -> None:
        time = torch.arange(128) / 128
        slow, fast = (torch.sin(2 * math.pi * f * time)[None, None] for f in (2, 40))
        assert log_spectrum(slow)[0, 0].argmax() < log_spectrum(fast)[0, 0].argmax()


def test_two_crops_differ_and_are_the_same_for_all_views() -> None:
    views = {"L": mv.views.Lab.lightness(mv.Crop(size=16)), "ab": mv.views.Lab.chroma(mv.Crop(size=32))}
    query, gallery = (cut_views(views, cut) for cut in (QUERY, GALLERY))
    assert query["L"].crop.draw == query["ab"].crop.draw != gallery["L"].crop.draw
    assert query["L"].crop.name != query["ab"].crop.name
    assert (query["L"].crop.size, query["L"].crop.flip) == (16, 0)


def searched(trained: float, random: float, ridge: float, cca: float, n: int = 500) -> list[Measure]:
    """The rows of a search whose shares of first tries are given."""
    rng = np.random.default_rng(0)
    shares = {"trained": trained, "random": random, "ridge": ridge, "cca": cca}
    found = {name: np.where(rng.permutation(n) < share * n, 1, 50) for name, share in shares.items()}
    facts = {"head": "linear_128", "crop": "own", "same_crop": False}
    return rows_of(
        Searched(
            pair=Partners(query="photo", gallery="depth", facts=facts, positions=np.arange(n)),
            found=found,
            widths=dict.fromkeys(found, 128),
            facts={"ridge": {"fitted": 900}},
            draws=Bootstrap(n),
        ),
        "test",
    )


class TestWords:
    def test_the_sentence_names_every_control(self) -> None:
        text = retrieval_verdict(searched(0.41, 0.09, 0.12, 0.1))
        assert "finds the depth of a sample by its photo at the first try in 41.0 % of 500 (95 % 3" in text
        assert (
            "against 9.0 % with random weights, 12.0 % by ridge regression, 10.0 % by CCA and 0.2 % by chance" in text
        )
        assert "over random weights, +29.0 ± " in text
        assert "over ridge regression)" in text
        assert "Without labels: the encoders learned what these views have in common.\nNext: `multiview rep" in text

    def test_a_run_that_ridge_regression_matches_is_told_so(self) -> None:
        text = retrieval_verdict(searched(0.41, 0.09, 0.12, 0.6))
        assert "better than random weights in 1 of 1 direction, but not better than ridge regression or CCA" in text

    @pytest.mark.parametrize(
        ("shares", "state", "words"),
        [
            ((0.41, 0.09, 0.12, 0.1), "good", "`multiview embed RUN DATA vectors.parquet` writes the features."),
            ((0.41, 0.09, 0.12, 0.6), "unknown", "Next: train longer (--train.epochs), or with more negatives"),
            ((0.09, 0.09, 0.01, 0.01), "bad", "Next: look in `multiview report RUN` whether the losses fell."),
        ],
    )
    def test_every_verdict_says_what_to_do_next(
        self, shares: tuple[float, float, float, float], state: str, words: str
    ) -> None:
        rows = searched(*shares)
        assert standing(rows) == state
        assert words in retrieval_verdict(rows)

    @pytest.mark.parametrize(
        ("trained", "random", "told"), [(-0.004, -1.04, True), (-0.02, -0.06, False), (-0.4, -1.0, False)]
    )
    def test_a_collapse_is_named(self, trained: float, random: float, told: bool) -> None:
        rows = [
            replace(searched(0.1, 0.1, 0.1, 0.1)[0], measure="uniformity", views=("photo",), group="photo", value=value)
            for value in (trained, random)
        ]
        rows = [replace(row, weights=weights) for row, weights in zip(rows, ("trained", "random"), strict=True)]
        text = " ".join(kept_verdict(rows))
        assert ("Collapse: training made the embeddings alike of photo (uniformity -0.00" in text) == told
        assert ("--train.optimizer.lr 0.001" in text) == told

    @pytest.mark.parametrize(("tested", "told"), [(7, True), (29, True), (30, False)])
    def test_few_test_samples_are_named(self, tested: int, told: bool) -> None:
        text = retrieval_verdict(searched(0.6, 0.1, 0.1, 0.1, n=tested))
        assert (f"Only {tested} samples of the test split: the intervals are wide." in text) == told
        assert ("`multiview split STORE NEW_STORE --split 60/10/30`" in text) == told

    def test_the_warning_speaks_of_the_kind_of_data(self) -> None:
        noise = np.random.default_rng(5).normal(size=(300, 4))
        _, y = related(300)
        h = {"trained": (noise[:200], noise[200:]), "random": (noise[:200], noise[200:])}
        for fact, word, other in (("level", "noise of one recording", "pictures"), ("thumbnail", "pictures", "noise")):
            kept = [
                row
                for view in ("photo", "depth")
                for row in kept_rows(view, h, {fact: (y[:200], y[200:])}, Bootstrap(100), "test")
            ]
            (text,) = kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *kept])
            assert word in text
            assert other not in text

    def test_without_a_control_nothing_is_good_or_bad(self) -> None:
        bare = [replace(row, facts={"chance": 0.002}) for row in searched(0.4, 0.1, 0.1, 0.1)]
        assert standing(bare) == "unknown"

    def test_the_notes_say_how_it_was_cut_and_fitted(self) -> None:
        text = " ".join(retrieval_notes(searched(0.41, 0.09, 0.12, 0.6)))
        assert "Queries and gallery are cut at different places" in text
        assert "of 900 training samples" in text

    def test_retrieval_alone_is_not_believed(self) -> None:
        x, y = related(300)
        noise = np.random.default_rng(5).normal(size=(300, 4))
        h = {"trained": (noise[:200], noise[200:]), "random": (noise[:200], noise[200:])}
        kept = [
            row
            for view in ("photo", "depth")
            for row in kept_rows(view, h, {"colour": (y[:200], y[200:])}, Bootstrap(100), "test")
        ]
        (text,) = kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *kept])
        assert "it says that photo, depth learned, but their features keep none of the simple facts better" in text
        h = {"trained": (x[:200], x[200:]), "random": (noise[:200], noise[200:])}
        better = [
            row
            for view in ("photo", "depth")
            for row in kept_rows(view, h, {"colour": (y[:200], y[200:])}, Bootstrap(100), "test")
        ]
        assert kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *better]) == []

    @pytest.mark.parametrize(
        ("trained", "random", "few", "told"),
        [
            (0.5, 0.5, None, True),
            (0.9, 0.5, None, False),
            (0.96, 0.96, None, False),
            (0.5, 0.5, (0.01, 0.2), False),
            (0.5, 0.5, (-0.1, 0.2), True),
        ],
        ids=["untrained", "better", "no room", "few labels better", "few labels unclear"],
    )
    def test_the_probe_has_the_last_word(
        self, trained: float, random: float, few: tuple[float, float] | None, told: bool
    ) -> None:
        facts = {"extracted": 4, "classes": 2, "majority": 0.5, "c": 1.0, "converged": True}
        samples = {"train": 400, "val": 0, "test": 400}
        probes = [
            Measure(
                measure="linear",
                views=("photo",),
                group="photo",
                weights=weights,
                value=value,
                interval=wilson(value, 400),
                width=4,
                samples=samples,
                facts=facts,
            )
            for weights, value in (("trained", trained), ("random", random))
        ]
        if few:
            over = {"random": {"points": sum(few) / 2, "low": few[0], "high": few[1]}}
            probes.append(replace(probes[0], measure="target_top1", facts={"labels": "2 a class", "over": over}))
        text = " ".join(kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *probes]))
        assert ("the linear probe finds their features no better" in text) is told


def test_pictures_are_searched_by_two_crops(scenes: Path) -> None:
    """One view of pictures and its two crops; the untrained run has every row."""
    store = Store.open(scenes)
    views = {name: mv.views.rgb(mv.Crop(size=16, name=name), mv.views.SMALL) for name in ("one", "two")}
    setup = mv.Setup(
        views,
        {"one": mv.make_encoder("convnet", 3, width=0.1), "two": "one"},
        mv.ContrastGraph.full(views, mv.SimCLR()),
    )
    setup = with_statistics(setup, store, Situation(60, 16))
    rows = evaluate(Trained(setup, MultiviewModel(setup.encoders, setup.graph), store))
    found = {row.weights: row for row in rows if row.measure == "retrieval_recall_1"}
    assert set(found) == {"trained", "random", "ridge", "cca", "fused"}
    assert {row.group for row in found.values()} == {"one -> one, another crop"}
    assert found["trained"].facts["crop"] == "own"
    assert {row.measure for row in rows if row.group == "one"} >= {"alignment", "uniformity", "kept_colour"}
