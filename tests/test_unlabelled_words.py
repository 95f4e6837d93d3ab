"""Retrieval and kept facts in sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from unlabelled_rows import related, searched

from multiview.measure.intervals import wilson
from multiview.measure.kept import kept_rows
from multiview.measure.kept_sentences import ONE_PLACE, kept_verdict
from multiview.measure.retrieval import Bootstrap
from multiview.measure.retrieval_sentences import retrieval_notes, retrieval_verdict, standing
from multiview.measure.rows import Measure

Rows = NDArray[np.float64]


def kept_of(fact: str, learned: bool = False) -> list[Measure]:
    """The rows of a fact of photo and depth, whose trained features know it when they `learned`."""
    x, y = related(300)
    noise = np.random.default_rng(5).normal(size=(300, 4))
    trained = x if learned else noise
    h = {"trained": (trained[:200], trained[200:]), "random": (noise[:200], noise[200:])}
    facts = {fact: (y[:200], y[200:])}
    return [row for view in ("photo", "depth") for row in kept_rows(view, h, facts, Bootstrap(100), "test")]


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
        text = retrieval_verdict(searched(0.41, 0.09, 0.12, 0.42))
        assert "better than random weights in 1 of 1 direction, but not better than ridge regression or CCA" in text
        worse = searched(0.41, 0.09, 0.12, 0.6)
        assert "but worse than ridge regression or CCA, which need no network, in photo -> depth." in retrieval_verdict(
            worse
        )
        back = [replace(row, group="depth -> photo") for row in searched(0.41, 0.09, 0.12, 0.42)]
        text = retrieval_verdict([*worse, *back])
        assert "but not better than" in text
        assert "in photo -> depth, depth -> photo (and worse in photo -> depth)." in text

    def test_a_direction_that_training_made_worse_is_shown_first_and_named(self) -> None:
        better = [replace(row, group=f"a{n} -> b") for n in range(8) for row in searched(0.4, 0.1, 0.1, 0.1)]
        text = retrieval_verdict([*better, *searched(0.1, 0.4, 0.1, 0.1)])
        assert text.startswith("photo -> depth: finds the depth")
        assert "and 3 directions more" in text
        assert "Worse than random weights: photo -> depth." in text
        assert "Worse than" not in retrieval_verdict(better)
        assert "and 1 direction more" in retrieval_verdict([row for row in better if row.group != "a7 -> b"])

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
        assert ("Use a lower learning rate (--train.optimizer.lr)." in text) == told
        rows[0] = replace(rows[0], facts={**rows[0].facts, "advice": "Do this."})
        assert (" ".join(kept_verdict(rows)).endswith(" Do this.")) == told

    @pytest.mark.parametrize(("tested", "told"), [(7, True), (29, True), (30, False)])
    def test_few_test_samples_are_named(self, tested: int, told: bool) -> None:
        text = retrieval_verdict(searched(0.6, 0.1, 0.1, 0.1, n=tested))
        assert (f"Only {tested} samples of the test split: the intervals are wide." in text) == told
        assert ("`multiview split STORE NEW_STORE --split 60/10/30`" in text) == told

    def test_the_warning_speaks_of_the_kind_of_data(self) -> None:
        for fact, word, other in (("level", "noise of one recording", "pictures"), ("thumbnail", "pictures", "noise")):
            kept = kept_of(fact)
            (text,) = kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *kept])
            assert word in text
            assert other not in text

    def test_own_crops_are_not_blamed_nor_advised(self) -> None:
        kept = kept_of("thumbnail")
        own = [replace(row, facts={**row.facts, ONE_PLACE: False}) for row in kept]
        (text,) = kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *own])
        assert "crop" not in text
        assert text.endswith("by something that tells nothing about your samples.")

    def test_without_a_control_nothing_is_good_or_bad(self) -> None:
        bare = [replace(row, facts={"chance": 0.002}) for row in searched(0.4, 0.1, 0.1, 0.1)]
        assert standing(bare) == "unknown"

    def test_the_notes_say_how_it_was_cut_and_fitted(self) -> None:
        text = " ".join(retrieval_notes(searched(0.41, 0.09, 0.12, 0.6)))
        assert "Queries and gallery are cut at different places" in text
        assert "of 900 training samples" in text

    def test_retrieval_alone_is_not_believed(self) -> None:
        kept = kept_of("colour")
        (text,) = kept_verdict([*searched(0.9, 0.01, 0.1, 0.1), *kept])
        assert (
            "it says that the encoders of photo, depth learned, but the features keep none of the simple facts better"
            in text
        )
        better = kept_of("colour", learned=True)
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
        assert ("the linear probe finds the features no better" in text) is told
