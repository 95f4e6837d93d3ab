"""The linear probe: the rows it is fitted on, the choice of C, and the reduction of the width."""

from __future__ import annotations

from itertools import pairwise
from math import log10

import numpy as np
import pytest
from clusters import clusters, splits

from multiview.errors import MultiviewError
from multiview.measure import linear, logistic, reduction
from multiview.measure.linear import Probes, common_dim, labelled, linear_probe, principal_axes, reduced, tuned
from multiview.measure.recent_results import RecentResults


class TestReduction:
    @pytest.mark.parametrize("shape", [(80, 30), (30, 80)])
    def test_axes_are_those_of_a_singular_value_decomposition(self, shape):
        x = np.random.default_rng(0).normal(size=shape) * np.geomspace(1, 0.1, shape[1])
        x = (x - x.mean(0)).astype(np.float32)
        axes = principal_axes(x, 9)
        expected = np.linalg.svd(x.astype(np.float64), full_matrices=False)[2][:9].T
        np.testing.assert_allclose(np.abs((axes * expected).sum(0)), 1, atol=1e-5)
        np.testing.assert_allclose(axes.T @ axes, np.eye(9), atol=1e-5)
        assert (np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0) > 0).all()

    def test_large_sides_use_a_fixed_seed(self, monkeypatch):
        x = (np.random.default_rng(0).normal(size=(60, 40)) * np.geomspace(1, 0.01, 40)).astype(np.float32)
        x -= x.mean(0)
        exact = principal_axes(x, 3)
        monkeypatch.setattr(reduction, "EXACT", 10)
        np.testing.assert_array_equal(principal_axes(x, 3), principal_axes(x, 3))
        np.testing.assert_allclose(np.abs((principal_axes(x, 3) * exact).sum(0)), 1, atol=1e-3)

    def test_is_deterministic_and_keeps_the_order_of_rows(self):
        train, test = clusters(60, dim=20)[0], clusters(30, dim=20, seed=1)[0]
        first, again = reduced(train, test, dim=6), reduced(train, test, dim=6)
        np.testing.assert_array_equal(first[1], again[1])
        order = np.random.default_rng(0).permutation(60)
        np.testing.assert_allclose(reduced(train[order], test, dim=6)[1], first[1], atol=1e-4)
        np.testing.assert_array_equal(reduced(train, train, dim=6)[0], reduced(train, train, dim=6)[1])

    def test_mean_variance_is_one_and_axes_keep_their_proportions(self):
        x = clusters(200, dim=20)[0]
        out = reduced(x, dim=5)[0]
        assert np.square(out).mean() == pytest.approx(1, rel=1e-5)
        assert out.std(0)[0] > 1.5 * out.std(0)[-1]

    def test_constant_columns_and_rank_deficiency_leave_no_nan(self):
        x = np.ones((6, 50), dtype=np.float32)
        assert (reduced(x, dim=3)[0] == 0).all()
        x[:3] += 1
        out = reduced(x, dim=4)[0]
        assert np.isfinite(out).all()
        assert (np.abs(out).max(0) > 0).tolist() == [True, False, False, False]

    def test_the_width_never_exceeds_the_rank_of_the_rows(self):
        assert reduced(np.random.default_rng(0).normal(size=(5, 50)), dim=20)[0].shape == (5, 4)
        assert reduced(np.random.default_rng(0).normal(size=(5, 8)), dim=None)[0].shape == (5, 8)

    def test_common_dim_is_the_smallest_width_within_the_number_of_rows(self):
        assert common_dim([512, 256, 12288], 2800) == 256
        assert common_dim([512, 256], 100) == 99
        assert common_dim([4], 1) == 1


class TestProbe:
    def test_separable_classes_are_classified_without_error(self):
        result = linear_probe(*splits(noise=0.1))
        assert result.accuracy == result.balanced_accuracy == result.val_accuracy == 1.0
        assert result.converged
        assert result.dim == 12

    def test_labels_without_signal_stay_near_chance(self):
        train, val, test = splits()
        rng = np.random.default_rng(5)
        shuffled = [(x, rng.permutation(y)) for x, y in (train, val, test)]
        assert linear_probe(*shuffled).accuracy < 0.45

    def test_c_is_chosen_on_validation_and_never_on_test(self):
        train, val, test = splits(noise=2.5, dim=60)
        result = linear_probe(train, val, test)
        assert (result.c, result.val_accuracy) == max(
            ((trial.c, trial.accuracy) for trial in result.curve),
            key=lambda pair: (pair[1], [-trial.loss for trial in result.curve if trial.c == pair[0]]),
        )
        other = linear_probe(train, val, (test[0], 3 - test[1]))
        assert (other.c, other.curve) == (result.c, result.curve)
        assert other.accuracy != result.accuracy
        contrary = linear_probe(train, (val[0], np.random.default_rng(0).permutation(val[1])), test)
        assert contrary.c != result.c

    @pytest.mark.parametrize("with_val", [True, False])
    def test_the_tested_probe_was_fitted_on_all_of_train_and_nothing_else(self, with_val):
        train, val, test = splits(noise=5.0, dim=60)
        result = linear_probe(train, val if with_val else None, test)
        from sklearn.linear_model import LogisticRegression

        x, test_x = reduced(train[0], test[0])
        own = LogisticRegression(C=result.c, max_iter=5000, tol=1e-6).fit(x, train[1])
        assert own.score(test_x, test[1]) == pytest.approx(result.accuracy, abs=0.01)

    def test_rows_without_label_are_dropped(self):
        train, val, test = splits(noise=2.0)
        expected = linear_probe(train, val, test)
        dirty = [
            (np.concatenate([x, 100 * x[:20]]), np.concatenate([y, np.full(20, -1)])) for x, y in (train, val, test)
        ]
        assert linear_probe(*dirty) == expected
        assert linear_probe(train, (val[0], val[1] * 0 - 1), test) == linear_probe(train, None, test)

    def test_without_validation_a_fixed_fifth_of_every_class_chooses(self):
        train, _, test = splits(noise=2.0)
        (fit_x, fit_y), (held_x, held_y) = linear._held_out(train)
        assert (np.bincount(held_y) == np.bincount(train[1]) // 5).all()
        assert len(fit_x) + len(held_x) == len(train[0]) == len(fit_y) + len(held_y)
        result = linear_probe(train, None, test)
        assert result == linear_probe(train, None, test)
        assert result.accuracy == pytest.approx(linear_probe(train, splits(noise=2.0)[1], test).accuracy, abs=0.06)

    @pytest.mark.parametrize(("labels", "fit", "held"), [([0, 0, 1, 1], 2, 2), ([0, 1], 2, 2), ([0] * 5 + [1], 5, 1)])
    def test_a_tiny_training_set_still_chooses_c(self, labels, fit, held):
        y = np.array(labels)
        x = np.eye(len(y), dtype=np.float32)
        chosen_from, chosen_on = linear._held_out((x, y))
        assert (len(chosen_from[1]), len(chosen_on[1])) == (fit, held)

    def test_the_grid_grows_upwards_while_its_end_is_best(self):
        rng = np.random.default_rng(1)

        def faint(rows, seed):
            x, y = clusters(rows, seed=seed, noise=0.6, dim=8)
            loud = np.random.default_rng(seed + 10).normal(size=(rows, 40)) * np.geomspace(3, 0.3, 40)
            return np.concatenate([x * 0.02, loud], axis=1) @ turn, y

        turn = np.linalg.qr(rng.normal(size=(48, 48)))[0]
        result = linear_probe(faint(400, 0), faint(150, 1), faint(150, 2))
        assert result.c > 100
        assert result.accuracy > 0.8
        decades = [trial.accuracy for trial in result.curve if trial.c >= 100 and log10(trial.c).is_integer()]
        assert all(later > earlier for earlier, later in pairwise(decades[:-1]))
        assert len(decades) > 2 and decades[-1] <= decades[-2], "it goes on until a decade gains nothing"

    def test_the_grid_grows_downwards_too(self):
        train, val, test = splits(noise=4.0, dim=60)
        result = linear_probe(train, val, test, grid=(1.0, 10.0))
        assert result.c < 1
        assert result.val_accuracy >= max(trial.accuracy for trial in result.curve)

    def test_non_convergence_is_recorded_without_a_warning(self, monkeypatch):
        monkeypatch.setattr(logistic, "ITERATIONS", 1)
        result = linear_probe(*splits(noise=2.0))
        assert not result.converged
        assert not all(trial.converged for trial in result.curve)

    def test_balanced_accuracy_is_the_mean_recall(self):
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1], [190, 10])
        x = rng.normal(size=(200, 3)).astype(np.float32)
        x[y == 1, 0] += 1.0
        result = linear_probe((x, y), None, (x, y))
        assert result.accuracy > 0.9
        assert 0.5 <= result.balanced_accuracy < 0.8

    def test_a_class_that_is_not_in_train_counts_as_wrong(self):
        train, val, test = splits(noise=0.1)
        strange = (test[0], np.where(test[1] == 3, 9, test[1]))
        assert linear_probe(train, (val[0], strange[1]), strange).accuracy == (strange[1] != 9).mean()

    def test_the_result_is_deterministic(self):
        assert linear_probe(*splits(noise=2.0), dim=5) == linear_probe(*splits(noise=2.0), dim=5)
        assert linear_probe(*splits(noise=2.0), dim=5).dim == 5

    def test_missing_classes_labels_and_finite_values_are_errors(self):
        train, val, test = splits()
        with pytest.raises(MultiviewError, match="200 labelled train rows are of 1 class; give"):
            linear_probe((train[0], train[1] * 0), val, test)
        with pytest.raises(MultiviewError, match="0 labelled train rows are of 0 classes"):
            linear_probe((train[0], train[1] * 0 - 1), val, test)
        with pytest.raises(MultiviewError, match="no test row has a label"):
            linear_probe(train, val, (test[0], test[1] * 0 - 1))
        broken = train[0].copy()
        broken[4, 2] = np.inf
        with pytest.raises(MultiviewError, match=r"1 of 200 train features .* lower learning rate"):
            linear_probe((broken, train[1]), val, test)

    def test_an_unlabelled_row_may_be_nan(self):
        x, y = labelled((np.array([[np.nan], [1.0]]), np.array([-1, 2])), "train")
        assert (x.tolist(), y.tolist()) == ([[1.0]], [2])


class TestProbes:
    def test_the_same_rows_are_fitted_once_over_several_evaluations(self, monkeypatch):
        probes, fitted = Probes(), []
        monkeypatch.setattr(linear, "tuned", lambda train, val, grid: fitted.append(1) or tuned(train, val, grid=grid))
        results = []
        for noise in (0.5, 1.0, 0.5):
            train, val, test = splits(noise=noise)
            train_x, val_x, test_x = probes.reduced(train[0], val[0], test[0], dim=4)
            results.append(probes.tuned((train_x, train[1]), (val_x, val[1])).tested((test_x, test[1])))
        assert len(fitted) == 2
        assert results[0] == results[2] == linear_probe(*splits(noise=0.5), dim=4)

    def test_the_least_recently_used_results_go_first(self):
        kept, made = RecentResults(10), []
        for key in "abacabd":
            assert kept.once(key, 4, lambda key=key: made.append(key) or key) == key
        assert "".join(made) == "abcbd"
        assert kept.held == 8
        assert kept.once("large", 100, lambda: 1) == 1
        assert kept.held == 0
