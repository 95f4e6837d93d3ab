"""The intervals of accuracies and of their differences, and the verdict that they decide."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from made_scores import score, three

from multiview.measure.intervals import Margin, hits_fact, margin, paired_margin, wilson
from multiview.measure.scores import measures_of
from multiview.measure.sentences import verdict


class TestNoise:
    def test_the_interval_is_agresti_and_caffos_around_the_difference(self):
        """The end towards zero, which decides, is theirs; the other end mirrors it."""
        m = margin(0.6, 0.5, 100, 50)
        p1, p2 = 61 / 102, 26 / 52
        half = 1.96 * math.sqrt(p1 * (1 - p1) / 102 + p2 * (1 - p2) / 52)
        assert (m.points, m.low) == pytest.approx((0.1, p1 - p2 - half))
        assert m.high == pytest.approx(0.2 - m.low)
        assert m.high >= p1 - p2 + half
        assert m.half == pytest.approx(0.1 - m.low)
        worse = margin(0.5, 0.6, 50, 100)
        assert (worse.points, worse.low, worse.high) == pytest.approx((-0.1, -m.high, -m.low))

    @pytest.mark.parametrize("count", [3, 5, 11, 40, 600, 20_000])
    def test_the_printed_figures_decide(self, count):
        """Whoever reads `+a ± b` decides as the verdict does, for any two counts of hits."""
        hits = [round(share * count) for share in (0, 0.02, 0.3, 0.31, 0.5, 0.52, 0.7, 0.97, 1)]
        for ours in hits:
            for theirs in hits:
                rows = [score(linear=ours / count, test=count), score("raw pixels", linear=theirs / count, test=count)]
                text = verdict(rows)
                points, half = map(float, re.search(r", ([+-][\d.]+) ± ([\d.]+) over raw pixels", text).groups())
                assert points == pytest.approx(100 * (ours - theirs) / count, abs=0.05)
                assert ("the encoders learned." in text) == (points - half > 0)
                assert ("(within noise)" in text) == (points - half <= 0 <= points + half)

    @pytest.mark.parametrize(
        ("low", "words"), [(0.0004, "+5.40 ± 5.36"), (0.00001, "+5.400 ± 5.399"), (-0.00001, "+5.4 ± 5.4")]
    )
    def test_decimals_are_added_until_the_side_of_zero_shows(self, low, words):
        assert Margin(0.054, low, 0.108 - low).in_words == words

    def test_the_interval_of_one_accuracy_is_wilsons(self):
        """From either end, the measured accuracy is 1.96 standard deviations away."""
        interval = wilson(0.7, 50)
        for end in (interval.low, interval.high):
            assert abs(0.7 - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / 50))
        assert (wilson(0.0, 5).low, wilson(1.0, 5).high) == (0.0, 1.0)

    def test_1_point_on_100_samples_is_noise_and_20_points_on_600_are_not(self):
        assert margin(0.51, 0.50, 100, 100).noise
        assert margin(0.70, 0.50, 600, 600).clear
        assert not margin(0.50, 0.70, 600, 600).clear
        assert not margin(0.50, 0.70, 600, 600).noise

    def test_perfect_scores_on_few_samples_prove_nothing(self):
        assert margin(1.0, 1.0, 5, 5).noise
        assert margin(1.0, 0.8, 5, 5).noise

    def test_covers_95_percent_of_equal_accuracies(self):
        rng = np.random.default_rng(0)
        draws = rng.binomial(200, 0.3, size=(4000, 2)) / 200
        assert 0.93 < np.mean([margin(a, b, 200, 200).noise for a, b in draws]) < 0.97

    @pytest.mark.parametrize(
        ("accuracies", "sentence"),
        [
            ((0.713, 0.531, 0.434), "L+ab: linear 71.3 %, +18.2 ± 5.4 over random weights, "),
            ((0.713, 0.531, 0.434), "over raw pixels: the encoders learned."),
            ((0.54, 0.53, 0.40), "+1.0 ± 5.6 over random weights (within noise), "),
            (
                (0.54, 0.53, 0.40),
                "Not better than random weights: the probe of this label shows no learning.",
            ),
            ((0.54, 0.55, 0.56), "Not better than random weights or raw pixels: the probe of this label shows no"),
            ((0.54, 0.55, 0.66), "Not better than random weights, and worse than raw pixels: the probe of this label"),
            ((0.54, 0.63, 0.66), "Worse than random weights or raw pixels: the probe of this label shows no learning."),
            ((0.70, 0.53, 0.79), "Better than random weights but worse than raw pixels: training helped"),
            ((0.97, 0.96, 0.50), "Random weights already reach 96.0 %, which leaves no room: judge by"),
            (
                (0.99, 0.85, 0.985),
                "not better than raw pixels: training helped. Raw pixels already reach 98.5 %,",
            ),
            ((0.85, 0.70, 0.99), "but worse than raw pixels: training helped, but not enough."),
            (
                (0.70, 0.53, 0.69),
                "Better than random weights but not better than raw pixels: training helped, but not enough.",
            ),
        ],
    )
    def test_the_verdict_in_words(self, accuracies, sentence):
        assert sentence in verdict(three(*accuracies))

    def test_one_view_that_learned_is_not_called_nothing(self):
        """A frozen tower beside it can hide what the other encoder learned."""
        rows = three(0.50, 0.50, 0.50)
        rows = [replace(row, linear=0.7) if (row.features, row.view) == ("trained", "ab") else row for row in rows]
        text = verdict(rows)
        assert "Not better than random weights or raw pixels; but by itself ab (+20.0 ± 5.5 over random" in text
        assert ") is: its encoder learned." in text
        assert "no learning" not in text
        both = [replace(row, linear=0.7) if row.features == "trained" and row.view != "concat" else row for row in rows]
        assert "; but by themselves L (+20.0" in verdict(both)
        assert ") are: their encoders learned." in verdict(both)
        rows = [
            replace(row, linear=0.4) if row.view == "concat" and row.features[:6] == "random" else row for row in rows
        ]
        assert "Better than random weights but not better than raw pixels; by itself ab (+20.0" in verdict(rows)
        assert ") is better than all controls: its encoder learned." in verdict(rows)

    def test_the_fused_embedding_has_a_sentence_of_its_own(self):
        rows = measures_of(three(0.50, 0.50, 0.50))
        fused = [
            replace(row, group="fused", views=("fused",), value=0.7 if row.weights == "trained" else 0.5)
            for row in rows
            if row.group == "ab" and row.measure == "linear" and row.weights != "raw"
        ]
        text = verdict([*rows, *fused])
        assert "; but by itself fused (+20.0 ± 5.5 over random weights) is: its encoder learned." in text
        assert "fused (views fused into one embedding): linear 70.0 %, +20.0 ± 5.5 over random weights." in text
        assert "fused" not in verdict(rows)
        level = [replace(row, value=0.5) for row in fused]
        assert "embedding): linear 50.0 %, +0.0 ± 5.6 over random weights (within noise)." in verdict([*rows, *level])

    def test_a_probe_that_knows_one_class_judges_no_encoder(self):
        text = verdict(three(0.45, 0.45, 0.45, majority=0.45))
        assert "The probe gives the commonest class to all samples" in text
        assert "learned" not in text
        assert "commonest" not in verdict(three(0.45, 0.5, 0.45, majority=0.45))

    @pytest.mark.parametrize(
        ("value", "labels", "said"), [(0.72, "all", True), (0.69, "all", False), (0.72, "2 a class", False)]
    )
    def test_statistics_that_know_as_much_are_named(self, value, labels, said):
        rows = measures_of(three(0.7, 0.5, 0.4))
        facts = {"target": "label", "labels": labels, "probe": "linear"}
        head = next(row for row in rows if row.measure == "linear" and row.group == "concat")
        other = replace(head, measure="target_top1", weights="statistics", value=value, facts=facts)
        text = verdict([*rows, other])
        assert ("Simple statistics of the raw values tell as much or more, without a network: 72.0 %." in text) == said
        assert ": the encoders learned." in text

    @pytest.mark.parametrize(("untrained", "said"), [(0.6, True), (0.42, False)])
    def test_neighbours_that_training_lost_are_named(self, untrained, said):
        rows = measures_of(three(0.7, 0.5, 0.4))
        head = next(row for row in rows if row.measure == "linear" and row.group == "concat")
        near = [replace(head, measure="knn", weights=w, value=x) for w, x in (("trained", 0.4), ("random", untrained))]
        text = verdict([*(row for row in rows if row.measure != "knn"), *near])
        told = "But nearest neighbours (kNN) know the label worse than with random weights (40.0 and 60.0 %)."
        assert (told in text) == said

    def test_the_verdict_of_a_single_view(self):
        rows = [score("trained", "rgb", 0.7), score("random weights", "rgb", 0.4)]
        assert verdict(rows).startswith("rgb: linear 70.0 %, +30.0")
        assert "No control was evaluated" in verdict(rows[:1])


def test_a_margin_on_the_same_samples_counts_where_they_differ() -> None:
    rng = np.random.default_rng(0)
    control = rng.random(400) < 0.6
    subject = control | (rng.random(400) < 0.1)
    facts = [hits_fact(hits)["hits"] for hits in (subject, control)]
    paired = paired_margin(*facts, 400)
    more = int((subject & ~control).sum())
    half = 1.96 * ((more + 1 - more**2 / 402) ** 0.5) / 402
    assert paired.points == pytest.approx(more / 400)
    assert paired.low == pytest.approx(min(more / 402 - half, 2 * more / 400 - more / 402 - half))
    assert paired.clear
    assert not margin(subject.mean(), control.mean(), 400, 400).clear
    assert paired_margin(facts[0], facts[0], 400).noise
    assert hits_fact(np.ones(30_000, bool)) == {}


def test_the_interval_of_a_paired_margin_holds_the_truth_in_95_of_100_draws() -> None:
    rng, inside = np.random.default_rng(1), 0
    for _ in range(2_000):
        shared = rng.random(150)
        subject, control = shared + 0.3 * rng.random(150) < 0.75, shared + 0.3 * rng.random(150) < 0.65
        found = paired_margin(hits_fact(subject)["hits"], hits_fact(control)["hits"], 150)
        inside += found.low <= 0.1 <= found.high
    assert inside / 2_000 > 0.94
