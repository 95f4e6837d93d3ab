"""kNN against plain loops, rows and their files, and the text of the tables."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from clusters import clusters, splits
from made_scores import printed, three

import multiview.measure
from multiview.errors import MultiviewError
from multiview.measure.features import Features, concatenated, measure_features
from multiview.measure.files import from_json, rows_from_json, to_json
from multiview.measure.intervals import Interval, wilson
from multiview.measure.knn import weighted_knn
from multiview.measure.linear import linear_probe, reduced
from multiview.measure.rows import CONCAT, Measure
from multiview.measure.scores import evaluate_features, measures_of, scores_of
from multiview.measure.table import render


def knn_by_hand(train_x, train_y, test_x, test_y, neighbours, temperature, exclude=None):
    """InstDisc's vote, one pair at a time, in Python floats."""

    def cosine(a, b):
        length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        return sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0

    hits = asked = 0
    for row, (x, y) in enumerate(zip(test_x.tolist(), test_y.tolist(), strict=True)):
        if y < 0:
            continue
        pairs = [
            (cosine(x, other), label)
            for j, (other, label) in enumerate(zip(train_x.tolist(), train_y.tolist(), strict=True))
            if label >= 0 and (exclude is None or exclude[row] != j)
        ]
        votes: dict[int, float] = {}
        for similarity, label in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:neighbours]:
            votes[label] = votes.get(label, 0.0) + math.exp(similarity / temperature)
        asked += 1
        hits += min(votes, key=lambda label: (-votes[label], label)) == y
    return hits / asked


class TestKnn:
    @pytest.mark.parametrize("neighbours", [1, 7, 20])
    @pytest.mark.parametrize("temperature", [0.07, 1.0])
    def test_equals_loops_by_hand(self, neighbours, temperature):
        train_x, train_y = clusters(90, noise=2.0)
        test_x, test_y = clusters(60, noise=2.0, seed=1)
        train_y[::11], test_y[::7] = -1, -1
        exclude = np.random.default_rng(2).integers(-1, 90, 60)
        given = weighted_knn(
            train_x, train_y, test_x, test_y, neighbours=neighbours, temperature=temperature, exclude=exclude
        )
        assert given == knn_by_hand(train_x, train_y, test_x, test_y, neighbours, temperature, exclude)
        assert 0.3 < given < 1

    def test_chunks_change_nothing(self):
        train, test = clusters(150, noise=2.0), clusters(97, noise=2.0, seed=1)
        assert len({weighted_knn(*train, *test, chunk=chunk) for chunk in (None, 1, 10, 96, 97, 1000)}) == 1

    def test_the_order_of_rows_does_not_matter_even_with_duplicates(self):
        rng = np.random.default_rng(3)
        x, _ = clusters(40, noise=2.0)
        x, y = np.repeat(x, 5, axis=0), rng.integers(0, 4, 200)
        test_x, test_y = clusters(50, noise=2.0, seed=1)
        accuracies = set()
        for _ in range(5):
            a, b = rng.permutation(200), rng.permutation(50)
            accuracies.add(weighted_knn(x[a], y[a], test_x[b], test_y[b], neighbours=7))
        assert len(accuracies) == 1

    def test_numpy_and_torch_and_halves_agree(self):
        train, test = clusters(80), clusters(40, seed=1)
        as_torch = [torch.from_numpy(array) for array in (*train, *test)]
        assert weighted_knn(*as_torch) == weighted_knn(*train, *test)
        assert weighted_knn(as_torch[0].half(), *as_torch[1:]) == pytest.approx(weighted_knn(*train, *test), abs=0.05)

    def test_equal_votes_go_to_the_lowest_class(self):
        x = np.eye(3, dtype=np.float32)
        query = np.ones((1, 3), dtype=np.float32)
        assert weighted_knn(x, np.array([2, 1, 5]), query, np.array([1])) == 1.0
        assert weighted_knn(x, np.array([2, 1, 0]), query, np.array([0]), neighbours=1) == 1.0

    def test_all_rows_vote_when_there_are_fewer_than_neighbours(self):
        x, y = np.eye(3, dtype=np.float32), np.array([0, 1, 1])
        assert weighted_knn(x, y, np.ones((1, 3)), np.array([1]), neighbours=500) == 1.0

    def test_zero_vectors_are_neither_near_nor_nan(self):
        x = np.array([[0, 0], [1, 0], [0, 0]], dtype=np.float32)
        y = np.array([0, 1, 0])
        assert weighted_knn(x, y, np.array([[2.0, 0]]), np.array([1]), neighbours=3) == 1.0
        assert weighted_knn(x, y, np.zeros((1, 2)), np.array([0]), neighbours=3) == 1.0

    def test_tiny_temperature_is_the_nearest_neighbour(self):
        train, test = clusters(90, noise=2.0), clusters(60, noise=2.0, seed=1)
        assert weighted_knn(*train, *test, temperature=1e-5) == weighted_knn(*train, *test, neighbours=1)

    def test_excluding_itself_measures_a_set_against_itself(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
        assert weighted_knn(x, y, x, y, neighbours=1) == 1.0
        assert weighted_knn(x, y, x, y, neighbours=1, exclude=np.arange(300)) < 0.5

    def test_an_excluded_row_has_no_vote_at_any_temperature(self):
        x = np.array([[1, 0], [-0.9, 0.1], [0, 1]], dtype=np.float32)
        query, y = np.array([[1.0, 0]]), np.array([0, 0, 1])
        assert weighted_knn(x, y, query, np.array([0]), temperature=10) == 1.0
        assert weighted_knn(x, y, query, np.array([1]), temperature=10, exclude=np.array([0])) == 1.0

    def test_a_row_with_no_neighbour_left_still_gets_a_class(self):
        x, y = np.ones((1, 2)), np.array([1])
        assert weighted_knn(x, y, x, y, exclude=np.array([0])) in (0.0, 1.0)

    def test_bad_input_is_an_error(self):
        x, y = np.ones((2, 2)), np.array([0, 1])
        with pytest.raises(MultiviewError, match="2 of 2 test features are NaN"):
            weighted_knn(x, y, x * np.nan, y)
        with pytest.raises(MultiviewError, match="labelled train and test rows"):
            weighted_knn(x, y, x, y * 0 - 1)
        with pytest.raises(MultiviewError, match="0 neighbours"):
            weighted_knn(x, y, x, y, neighbours=0)


@pytest.fixture(scope="module")
def measured():
    """Scores of two informative views, and of two views of pure noise, with different widths."""

    def features(noise, dims):
        views = {}
        for view, dim in zip(("L", "ab"), dims, strict=True):
            train, val, test = (clusters(n, noise=noise, seed=s, dim=dim) for s, n in enumerate((160, 60, 100)))
            views[view] = Features(train=train, val=val, test=test)
        return views

    return evaluate_features({"trained": features(1.5, (10, 14)), "raw pixels": features(1e6, (40, 300))})


class TestEvaluateFeatures:
    def test_all_feature_sets_are_measured_at_the_same_width(self, measured):
        assert [(row.features, row.view, row.width) for row in measured] == [
            ("trained", "L", 10),
            ("trained", "ab", 14),
            ("trained", "concat", 24),
            ("raw pixels", "L", 40),
            ("raw pixels", "ab", 300),
            ("raw pixels", "concat", 340),
        ]
        assert {(row.dim, row.train, row.val, row.test, row.classes) for row in measured} == {(10, 160, 60, 100, 4)}

    def test_signal_is_found_and_noise_is_not(self, measured):
        trained, noise = measured[:3], measured[3:]
        assert min(row.linear for row in trained) > 0.5 > 0.4 > max(row.linear for row in noise)
        assert min(row.knn for row in trained) > 0.5 > 0.4 > max(row.knn for row in noise)
        assert trained[2].linear > max(trained[0].linear, trained[1].linear)

    def test_scores_are_those_of_the_two_measures(self):
        train, val, test = splits(noise=2.0)
        (row,) = evaluate_features({"trained": {"L": Features(train=train, val=val, test=test)}}, dim=7)
        probe = linear_probe(train, val, test, dim=7)
        assert (row.linear, row.balanced, row.c) == (probe.accuracy, probe.balanced_accuracy, probe.c)
        train_x, test_x = reduced(train[0], test[0], dim=7)
        assert row.knn == weighted_knn(train_x, train[1], test_x, test[1])
        assert row.majority == (test[1] == np.bincount(train[1]).argmax()).mean()

    def test_a_few_raw_values_do_not_reduce_the_width_of_encoded_features(self):
        train, val, test = splits()
        wide = Features(train=train, val=val, test=test)
        few = Features(train=(train[0][:, :3], train[1]), val=(val[0][:, :3], val[1]), test=(test[0][:, :3], test[1]))
        rows = evaluate_features({"trained": {"L": wide}, "raw pixels": {"L": few}})
        assert [row.dim for row in rows] == [train[0].shape[1], 3]
        assert "Fewer dimensions, because these features have no more: raw pixels of L 3." in printed(render, rows)

    def test_a_sample_that_lacks_a_view_is_left_out_of_the_concatenation(self):
        train, val, test = splits()
        gaps = [(x, np.where(np.arange(len(y)) % 4 == 0, -1, y)) for x, y in (train, val, test)]
        whole = Features(train=train, val=val, test=test)
        holed = Features(train=gaps[0], val=gaps[1], test=gaps[2])
        side = concatenated({"L": whole, "depth": holed})
        assert side.width == 24
        assert (side.train[1] == gaps[0][1]).all()
        rows = {row.view: row for row in evaluate_features({"trained": {"L": whole, "depth": holed}})}
        assert [rows[view].test for view in ("L", "depth", CONCAT)] == [120, 90, 90]

    def test_views_of_different_samples_are_refused(self):
        train, val, test = splits()
        ours = Features(train=train, val=val, test=test)
        shuffled = replace(ours, train=(train[0], np.roll(train[1], 1)))
        with pytest.raises(MultiviewError, match="L, ab do not hold the same samples"):
            evaluate_features({"trained": {"L": ours, "ab": shuffled}})
        with pytest.raises(MultiviewError, match="do not hold the same samples"):
            concatenated({"L": ours, "ab": replace(ours, test=(test[0][:9], test[1][:9]))})
        with pytest.raises(MultiviewError, match="only some of the views L, ab have a validation split"):
            concatenated({"L": ours, "ab": replace(ours, val=None)})


class TestRows:
    """Rows, and the files that hold them."""

    def test_scores_round_trip_exactly(self, measured):
        assert from_json(to_json(measured)) == measured

    def test_rows_round_trip_exactly(self, measured):
        rows = measures_of(measured)
        assert rows_from_json(to_json(rows)) == rows
        assert scores_of(rows) == measured
        assert json.loads(to_json(rows))["schema"] == 2

    def test_a_row_says_what_was_measured(self):
        train, val, test = splits(noise=2.0)
        views = {name: Features(train=train, val=val, test=test) for name in ("L", "ab")}
        rows = measure_features({"trained": views, "random weights": views}, dim=7)
        assert [(row.measure, row.weights, row.group) for row in rows] == [
            (measure, weights, group)
            for weights in ("trained", "random")
            for group in ("L", "ab", "concat")
            for measure in ("knn", "linear", "linear_balanced")
        ]
        knn, linear, balanced = rows[6:9]
        assert linear.views == ("L", "ab")
        assert (linear.width, linear.split, linear.samples) == (7, "test", {"train": 200, "val": 120, "test": 120})
        assert linear.interval == wilson(linear.value, 120)
        assert balanced.interval is None
        assert knn.facts["neighbours"] == 20
        assert linear.facts["extracted"] == 24
        assert linear.facts["c"] > 0

    def test_a_later_measure_fits_into_a_row_and_leaves_the_table_alone(self):
        """A rank, of which less is better, has neither a range of 0 to 1 nor a margin."""
        rank = Measure(
            measure="median_rank",
            views=("L",),
            group="L",
            weights="trained",
            value=3.0,
            interval=Interval(2.0, 5.0, "bootstrap, 95 %"),
            unit="rank",
            range=None,
            higher_is_better=False,
            width=64,
            samples={"test": 600},
        )
        rows = measures_of(three(0.713, 0.531, 0.434))
        assert rows_from_json(to_json([*rows, rank])) == [*rows, rank]
        assert printed(render, [*rows, rank]) == printed(render, rows)

    def test_files_of_the_first_schema_are_read(self, measured):
        text = json.dumps({"schema": 1, "scores": [asdict(row) for row in measured]})
        assert from_json(text) == measured
        assert rows_from_json(text)[8].views == ("L", "ab")

    def test_segmentation_files_without_a_schema_are_read(self):
        old = {"features": "raw pixels", "view": "L", "layer": "", "width": 1, "cells": "32x32", "pixel": 0.5}
        pixel, miou = rows_from_json(json.dumps([{**old, "miou": 0.25, "classes": 3, "train": 9, "test": 4}]))
        assert (pixel.value, miou.value, miou.weights, miou.tested) == (0.5, 0.25, "raw", 4)
        assert miou.facts == {"layer": "", "cells": "32x32", "classes": 3}

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "scores": [{"linear": 1}]}', '{"schema": 1}'])
    def test_other_files_are_refused(self, text):
        with pytest.raises(MultiviewError, match=r"not evaluation scores .* multiview evaluate RUN"):
            from_json(text)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("value", 1e308),
            ("value", -0.25),
            ("value", float("inf")),
            ("value", "0.5"),
            ("split", "no split"),
            ("split", 1e308),
            ("weights", 7),
            ("group", None),
            ("views", "L"),
            ("samples", {"test": 3}),
            ("samples", {"train": 1, "val": 1, "test": -3}),
            ("interval", {"low": 0.1}),
            ("range", [0, "1"]),
            ("facts", {}),
            ("facts", {"extracted": 8, "classes": 0, "majority": 0.5, "c": 1.0, "converged": True}),
            ("facts", {"extracted": 8, "classes": 2, "majority": 0.5, "c": 1.0}),
            ("facts", {"extracted": 8, "classes": 2, "majority": 0.5, "c": 1.0, "converged": "yes"}),
        ],
    )
    def test_a_row_with_a_value_that_cannot_be_is_refused(self, name, value, measured):
        content = json.loads(to_json(measured))
        assert content["rows"][1]["measure"] == "linear"
        content["rows"][1][name] = value
        with pytest.raises(MultiviewError, match="not evaluation scores"):
            rows_from_json(json.dumps(content))

    def test_another_schema_is_refused(self):
        with pytest.raises(MultiviewError, match="schema 3, this version reads 1 and 2"):
            from_json('{"schema": 3, "rows": []}')


def test_names_come_lazily_and_all_exist():
    for name in multiview.measure._HOMES:
        assert getattr(multiview.measure, name).__module__.startswith("multiview.measure.")
        assert name in dir(multiview.measure)
    with pytest.raises(AttributeError, match="no attribute 'labdog'"):
        _ = multiview.measure.labdog
    program = (
        "import sys, multiview.measure; print([name for name in ('torch', 'sklearn', 'rich') if name in sys.modules]);"
        "multiview.measure.weighted_knn; print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]
