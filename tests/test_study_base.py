"""Studies that cannot be judged: a base that learned nothing, numbers that do not change."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from test_study import ALL, DEPTH, FOUND, PAIR

from multiview.study.base import base_lines
from multiview.study.outcome import Outcome
from multiview.study.page import cards_of
from multiview.study.table import show
from multiview.study.verdict import Judged


def at(seed: int, found: float, probe: float | None = None, *, queries: int = 50, probed: int = 100) -> Outcome:
    """A run beside random weights that find 4 % and whose probe reaches 40 %; chance finds 2 %."""
    values, controls = {"R@1/L -> ab": found}, {"random/R@1/L -> ab": 0.04}
    if probe is not None:
        values, controls = values | {"probe": probe}, controls | {"random/probe": 0.4}
    common = {"seconds": 60, "cpu_seconds": 50, "queries": queries, "chance": 0.02, "probed": probed}
    return Outcome(seed=seed, values=values, controls=controls, **common)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([at(0, 0.04), at(1, 0.06)], "(R@1 5.0 %, with random weights 4.0 %, by chance 2.0 %), so differences from it"),
        ([at(0, 0.05)], "The base learned nothing beyond chance"),
        ([at(seed, 0.04, 0.42 - seed / 50) for seed in range(3)], "(probe 40.0 %, with random weights 40.0 %; R@1"),
        ([at(0, 0.04), replace(at(1, 0.06), controls={})], "(R@1 5.0 %, with random weights 4.0 %, by chance 2.0 %)"),
        ([at(0, 0.2, queries=15), *(replace(at(n, 0.2 + n / 50), controls={}) for n in (1, 2))], ""),
        ([at(0, 0.04, 0.4), replace(at(1, 0.06, 0.4), controls={})], "(probe 40.0 %, with random weights 40.0 %; R@1"),
        ([at(0, 0.4), at(1, 0.5)], ""),
        ([at(0, 0.4)], ""),
        ([at(0, 0.04, 0.7), at(1, 0.04, 0.72)], ""),
        ([at(seed, 0.04, 0.45 + seed / 500, probed=40) for seed in range(5)], ""),
        (FOUND[ALL], ""),
        ([], ""),
    ],
)
def test_a_base_that_learned_nothing_is_said_first(runs: list[Outcome], said: str) -> None:
    assert (said in "".join(base_lines(runs))) if said else base_lines(runs) == []
    judged = Judged.of({ALL: runs, PAIR: runs})
    if said:
        assert said in judged.summary[0]
        assert cards_of(judged)[0].state == "bad"
        console = Console(width=300, record=True, file=io.StringIO())
        show(judged, console)
        assert console.export_text().startswith("The base learned nothing beyond chance")


def test_no_change_is_written_without_a_sign_of_its_own() -> None:
    (found,) = Judged.of({ALL: FOUND[ALL], DEPTH: FOUND[ALL]}).verdicts
    assert "changes by +0.0 [0.0, 0.0] points" in found.sentence
