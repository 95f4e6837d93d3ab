"""The verdict without labels: controls without a network, crops, kept facts, geometry, groups."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from unlabelled_rows import related

import multiview as mv
from multiview.data.store.reading import Store
from multiview.measure.cuts import GALLERY, QUERY, cut_views
from multiview.measure.evaluate import evaluate
from multiview.measure.geometry import cka, modality_gap
from multiview.measure.plain_models import FITS, Fit, cca, choose, components, folds_of, ridge
from multiview.measure.plain_values import COLUMNS, MOST, log_spectrum, statistics, values
from multiview.measure.retrieval import Bootstrap, fused_ranks, ranks
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.setup import with_statistics
from multiview.trained import Trained

Rows = NDArray[np.float64]


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


@pytest.mark.parametrize("fit", [ridge, cca])
@pytest.mark.filterwarnings("error")
def test_a_view_that_never_changes_is_related_to_nothing_without_a_warning(fit: Fit) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    for x, y in ((rows, rows[:, :0]), (rows[:, :0], rows)):
        ours, theirs = fit(x, y, 0.1)(x, y)
        assert np.isfinite(ours).all() and np.isfinite(theirs).all()
