"""The tables of an evaluation and of several runs, from scores that are made up."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import many_kinds
import pytest
from made_scores import printed, three
from rich.console import Console

from multiview.errors import MultiviewError
from multiview.measure.rows import RAW, TRAINED, Measure, short_weights
from multiview.measure.run_facts import with_called
from multiview.measure.sentences import verdict
from multiview.measure.table import compare, render


def test_a_run_as_plain_text():
    text = printed(render, three(0.713, 0.531, 0.434))
    lines = [line.split() for line in text.splitlines()]
    assert ["view", "trained", "weights", "pixels", "weights", "pixels", "trained", "weights", "pixels"] in lines
    assert ["concat", "71.3", "53.1", "43.4", "+18.2", "+27.9", "60.0", "60.0", "60.0"] in lines
    assert [line[0] for line in lines if len(line) == 9][1:] == ["L", "ab", "concat"]
    assert "2000 train, 200 validation, 600 test samples of 8 classes; every feature set was reduced to 32" in text
    assert "chance 12.5, always the commonest class 14.0" in text
    assert text.splitlines()[-1] == verdict(three(0.713, 0.531, 0.434))
    assert text.isascii() or set(text) - set(map(chr, range(128))) == {"±"}


def test_differences_within_noise_stand_in_brackets():
    assert "(+1.0)" in printed(render, three(0.54, 0.53, 0.40))
    assert "In brackets: differences that may be chance on 600 test samples" in printed(render, three(0.54, 0.53, 0.4))
    assert "brackets" not in printed(render, three(0.713, 0.531, 0.434))


def test_unusual_facts_are_noted():
    rows = three(0.7, 0.5, 0.4, majority=0.5, val=0)
    rows[1], rows[4] = replace(rows[1], converged=False), replace(rows[4], test=400)
    text = printed(render, rows)
    assert "no validation (C was chosen on a fifth of train)" in text
    assert "balanced accuracy of the linear probe on L+ab: trained 70.0, random weights 50.0, raw pixels 40.0" in text
    assert "ran out of iterations before it converged: trained ab." in text
    assert "Some samples lack a view" in text


def test_runs_are_listed_with_mean_and_deviation():
    runs = {f"seed{seed}": three(0.70 + seed / 100, 0.53, 0.434) for seed in range(3)}
    lines = [line.split() for line in printed(compare, runs).splitlines()]
    for seed in range(3):
        run = [f"seed{seed}", f"7{seed}.0", "53.0", "43.4", f"+1{7 + seed}.0", f"+2{6 + seed}.6"]
        assert sum(line[-9:-3] == run for line in lines) == 3
    assert lines.count(["mean", "71.0", "53.0", "43.4", "+18.0", "+27.6", "60.0", "60.0", "60.0"]) == 3
    assert lines.count(["std", "1.0", "0.0", "0.0", "1.0", "1.0", "0.0", "0.0", "0.0"]) == 3


def test_a_comparison_ends_with_a_verdict():
    runs = {"a": three(0.70, 0.53, 0.4), "b": three(0.54, 0.53, 0.4)}
    text = printed(compare, runs)
    assert "L+ab, mean of 2 runs: linear 62.0 % (54.0 to 70.0)" in text
    assert "  +9.0 (+1.0 to +17.0) over random weights, beyond noise in 1 of 2" in text
    assert text.splitlines()[-1] == "The encoders learned in 1 of 2 runs."


def test_runs_with_other_views_and_widths_are_compared_with_a_caution():
    first = [row for row in three(0.7, 0.5, 0.4) if row.view != "ab"]
    order = [line.split()[0] for line in printed(compare, {"a": first, "b": three(0.7, 0.5, 0.4)}).splitlines() if line]
    assert order.index("L") < order.index("ab") < order.index("concat")
    short = [replace(row, dim=16) for row in three(0.6, 0.5, 0.4) if row.view == "L" and row.features == "trained"]
    text = printed(compare, {"full": three(0.7, 0.5, 0.4), "[short]": short})
    assert "dim differs between the runs (16, 32), so their results are not comparable." in text
    assert ["[short]", "60.0", "-", "-", "-", "-", "60.0", "-", "-"] in [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("show", [render, compare])
def test_fits_a_terminal_of_100_columns(show):
    rows = three(0.713, 0.531, 0.434)
    what = rows if show is render else {f"scenes-cmc-{seed}": rows for seed in range(3)}
    text = printed(show, what, force_terminal=True, width=100, color_system=None)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "71.3" in text


def test_nothing_to_compare_is_an_error():
    with pytest.raises(MultiviewError, match="no run to compare"):
        compare({}, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("names", "called"),
    [(("rgb", "depth"), "raw pixels"), (("rgb", "table"), "raw values"), (("series",), "raw values")],
)
def test_the_raw_control_is_called_by_what_the_views_hold(names: tuple[str, ...], called: str) -> None:
    trained = SimpleNamespace(setup=SimpleNamespace(views={name: many_kinds.view(name) for name in names}))
    common = {"measure": "linear", "views": names[:1], "group": names[0], "width": 4, "samples": {"test": 10}}
    rows = [Measure(weights=weights, value=0.5, **common) for weights in (TRAINED, RAW)]
    found = with_called(rows, trained)
    assert [row.weights_in_words for row in found] == ["trained", called]
    assert short_weights(called) == RAW
