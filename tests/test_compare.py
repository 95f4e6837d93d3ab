"""`multiview compare`: which runs are replicates, and the paired test between settings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from multiview.commands.compare import compare_runs
from multiview.errors import MultiviewError
from multiview.measure import Score, to_json
from multiview.settings import differing, evaluated, settings, t_interval

SCORE = {"width": 8, "dim": 8, "knn": 0.5, "balanced": 0.6, "c": 1.0, "converged": True, "train": 400, "val": 80}
SCORE |= {"test": 200, "classes": 4, "majority": 0.3}
OPTIONS: dict[str, Any] = {"data": "photos", "out": None, "seed": 0, "views": {"ab": {"space": "lab"}}}
OPTIONS |= {"train": {"epochs": 2, "workers": 0}}


def run_folder(folder: Path, linear: float, manifest: str = "m", recipe: str = "cmc_lab", **options: Any) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(OPTIONS | options))
    facts = {"recipe": {"name": recipe}, "data": {"manifest": manifest}}
    (folder / "environment.json").write_text(json.dumps(facts))
    evaluation(folder, linear)
    return folder


def evaluation(folder: Path, linear: float) -> None:
    rows = [Score(features=name, view="L", linear=x, **SCORE) for name, x in (("trained", linear), ("raw", 0.4))]
    (folder / "evaluation.json").write_text(to_json(rows))


def compared(capsys: pytest.CaptureFixture[str], *folders: Path) -> str:
    compare_runs(folders)
    return capsys.readouterr().out


def test_runs_from_python_with_other_setups_are_other_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"views": {"L": {"name": "L"}}, "encoders": {"L": {"width": 1.0}}, "tuning": {}}
    edges = [{"views": ["L", "ab"], "objective": {"name": "cmc"}, "weight": 1.0}]
    for name, seed, weight in (("a", 0, 1.0), ("b", 1, 1.0), ("c", 0, 2.0)):
        folder = run_folder(tmp_path / name, 0.9, seed=seed)
        setup = {**record, "edges": [edges[0] | {"weight": weight}]}
        (folder / "setup.json").write_text(json.dumps(setup))
    assert "mean of 2 runs" in compared(capsys, tmp_path / "a", tmp_path / "b")
    text = compared(capsys, *(tmp_path / name for name in "abc"))
    assert "A: a, b (setup.edges.L-ab.weight 1.0)" in text
    assert "B: c (setup.edges.L-ab.weight 2.0)" in text
    (tmp_path / "b" / "setup.json").write_text("{")
    assert "Between settings" in compared(capsys, tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"seed": 1, "out": "elsewhere"},
        {"seed": 1, "data": "stores/photos", "cache": "/tmp"},
        {"seed": 1, "train": {"epochs": 2, "workers": 4}},
    ],
)
def test_runs_that_differ_in_the_seed_are_replicates(
    changed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run_folder(tmp_path / "a", 0.9), run_folder(tmp_path / "b", 0.7, **changed)
    text = compared(capsys, first, second)
    assert "L, mean of 2 runs: linear 80.0 % (70.0 to 90.0)" in text
    assert "Between settings" not in text


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({"train": {"epochs": 4, "workers": 0}}, "train.epochs 4"),
        ({"manifest": "other"}, "(other))"),
        ({"views": {"ab": {"space": "luv"}}}, "views.ab.space luv"),
        ({"recipe": "moco"}, "'moco'"),
        ({"temperature": 0.2}, "temperature 0.2"),
    ],
)
def test_other_settings_are_not_pooled(
    changed: dict[str, Any], title: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run_folder(tmp_path / "a", 0.9), run_folder(tmp_path / "b", 0.7, **changed)
    text = compared(capsys, first, second)
    assert "mean of 2 runs" not in text
    assert title in text
    assert "A minus B: +20.0 points of linear accuracy of L (seed 0; one seed each: no test)" in text
    second = run_folder(tmp_path / "c", 0.7, **{**changed, "seed": 1})
    assert "A minus B: no common seed, so no test." in compared(capsys, first, second)


def test_a_view_or_an_edge_that_a_run_lacks_is_one_line(tmp_path: Path) -> None:
    views = {name: {"view": name, "encoder": {"name": "convnet", "stride": 4}} for name in ("L", "ab", "depth")}
    edges = [
        {"L - ab": {"objective": "cmc"}},
        {"L - depth": {"objective": "cmc"}},
        {"ab - depth": {"objective": "moco"}},
    ]
    fewer = {"views": {name: views[name] for name in ("L", "ab")}, "edges": edges[:1]}
    wider = {"views": views | {"L": {**views["L"], "encoder": {"name": "convnet", "stride": 8}}}, "edges": edges}
    folders = [
        run_folder(tmp_path / name, 0.9, **options)
        for name, options in (("a", {"views": views, "edges": edges}), ("b", fewer), ("c", wider))
    ]
    found = settings([evaluated(folder, folder.name) for folder in folders])
    there, out = "in the graph", "left out"
    assert differing([setting.runs[0] for setting in found]) == {
        "views.L.encoder.stride": ["4", "4", "8"],
        "views.depth": [there, out, there],
        "edges.L - depth": [there, out, there],
        "edges.ab - depth": [there, out, there],
    }
    assert found[1].title == (
        "B: b (edges.L - depth left out, edges.ab - depth left out, views.L.encoder.stride 4, views.depth left out)"
    )


def test_two_edges_between_the_same_views_stay_two(tmp_path: Path) -> None:
    edges = [{"L - ab": {"objective": "cmc"}}, {"L - ab": {"objective": "moco"}}]
    other = [{"L - ab": {"objective": "simclr"}}, edges[1]]
    folders = [run_folder(tmp_path / name, 0.9, edges=own) for name, own in (("a", edges), ("b", other))]
    found = settings([evaluated(folder, folder.name) for folder in folders])
    assert len(found) == 2
    assert list(differing([setting.runs[0] for setting in found])) == ["edges"]


def test_runs_on_other_data_are_named_by_their_data_and_not_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_folder(tmp_path / "a", 0.9, manifest="0123456789abcdef", data="photos")
    second = run_folder(tmp_path / "b", 0.7, manifest="fedcba9876543210", data="scans")
    text = compared(capsys, first, second)
    assert "A: a (data photos (01234567))" in text
    assert "one seed each: no test). Their data differ: this says nothing unless both" in text


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ((0.70, 0.72, 0.71), (0.60, 0.62, 0.62), "+9.7 ± 1.4 points of linear accuracy of L, paired over 3 seeds"),
        ((0.70, 0.72, 0.71), (0.60, 0.62, 0.62), "(0, 1, 2): beyond noise"),
        ((0.70, 0.60, 0.71), (0.60, 0.62, 0.62), "(0, 1, 2): within noise"),
    ],
)
def test_settings_are_tested_in_pairs_of_seeds(
    ours: tuple[float, ...], theirs: tuple[float, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = [run_folder(tmp_path / f"a{seed}", x, seed=seed) for seed, x in enumerate(ours)]
    b = [run_folder(tmp_path / f"b{seed}", x, seed=seed, temperature=0.2) for seed, x in enumerate(theirs)]
    text = compared(capsys, *a, *b)
    assert words in text
    assert text.count("mean of 3 runs") == 2


def test_the_interval_is_students() -> None:
    """For 3 differences, 4.303 standard errors on either side."""
    m = t_interval([0.1, 0.2, 0.3])
    assert (m.points, m.half) == pytest.approx((0.2, 4.3027 * 0.1 / math.sqrt(3)), rel=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_with_nothing_but_an_evaluation_is_accepted(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(count):
        (tmp_path / f"x{number}").mkdir()
        evaluation(tmp_path / f"x{number}", 0.9)
    text = compared(capsys, *(tmp_path / f"x{number}" for number in range(count)))
    assert text.count("mean of 1 run: linear 90.0 %") == count
    assert ("its options are unknown" in text) == (count > 1)


def test_a_damaged_log_does_not_hide_an_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "a", 0.9)
    (folder / "metrics.jsonl").write_text("{]\n")
    assert "linear 90.0 %" in compared(capsys, folder)


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"has no evaluation\.json; run `multiview evaluate"):
        compare_runs([tmp_path])
