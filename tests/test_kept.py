"""What features keep of simple facts, as R2 of a ridge regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from unlabelled_rows import related, searched

from multiview.data.modality import Modality
from multiview.measure.kept import Regression, facts_of, kept_rows, opponents
from multiview.measure.kept_sentences import kept_lines, kept_verdict
from multiview.measure.lost import lost_facts
from multiview.measure.retrieval import Bootstrap
from multiview.measure.retrieval_sentences import retrieval_verdict

Rows = NDArray[np.float64]


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
        found = searched(trained=0.3, random=0.1, ridge=0.2, cca=0.3)
        assert "Next: train longer" in retrieval_verdict(found)
        assert "Next: training lost facts that random weights keep (below)." in retrieval_verdict([*found, *rows])
        best = searched(trained=0.9, random=0.1, ridge=0.2, cca=0.3)
        assert "lost" not in retrieval_verdict([*best, *rows])

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
            ("normal", (5, 3, 9, 9), torch.float32, {"channels": 3, "thumbnail": 48}),
            ("depth", (5, 1, 9, 9), torch.float32, {"channels": 1, "thumbnail": 16}),
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

    @pytest.mark.parametrize(
        ("changes", "advice"),
        [
            (["colours"], "use milder augmentation (of colours: hue, saturation and grey) or an edge"),
            (["values"], "use milder augmentation or an edge"),
            ([], "use larger crops or an edge"),
            (None, "use milder augmentation (of colours"),
        ],
    )
    def test_the_advice_names_what_the_run_has(self, changes: list[str] | None, advice: str) -> None:
        x, y = related(300)
        noise = np.random.default_rng(5).normal(size=(300, 4))
        h = {"trained": (noise[:200], noise[200:]), "random": (x[:200], x[200:])}
        rows = kept_rows("L", h, {"colour": (y[:200], y[200:])}, Bootstrap(100), "test")
        if changes is not None:
            rows = [replace(row, facts={**row.facts, "changes": changes}) for row in rows]
        assert advice in kept_verdict(rows)[0]

    @pytest.mark.parametrize(
        ("random", "loss", "said"), [(0.9, 0.04, 1), (0.9, 0.02, 0), (0.05, 0.4, 0), (-0.02, 0.3, 0)]
    )
    def test_only_what_random_weights_keep_can_be_lost(self, random: float, loss: float, said: int) -> None:
        x, y = related(300)
        h = {"trained": (x[:200], x[200:]), "random": (x[:200], x[200:])}
        row, _ = kept_rows("L", h, {"colour": (y[:200], y[200:])}, Bootstrap(100), "test")
        over = {"points": -loss, "low": -loss - 0.01, "high": -loss + 0.01}
        assert len(lost_facts([replace(row, value=random - loss, facts={**row.facts, "over_random": over})])) == said
