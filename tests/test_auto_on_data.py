"""The benchmark of `auto` on folders of real data: what it starts, what it keeps, its tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/auto_on_data.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import auto_on_data

    return auto_on_data


def write_run(run: Path, first_try: tuple[float, float], probe: float, seconds: float) -> None:
    """What the tables read of a run. first_try: R@1 of trained weights, one way and back."""
    weights = {"trained": first_try, "random": (0.1, 0.1), "ridge": (0.2, 0.4)}
    rows: list[dict[str, Any]] = [
        {"measure": "retrieval_recall_1", "split": split, "group": group, "weights": name, "value": value}
        for split in ("test", "train")
        for name, values in weights.items()
        for group, value in zip(("photo->depth", "depth->photo"), values, strict=True)
    ]
    rows[0]["samples"] = {"train": 200, "test": 50}
    facts = {"target": "label", "probe": "linear", "space": "h", "labels": "all"}
    rows.append(
        {"measure": "linear", "split": "test", "group": "concat", "weights": "trained", "value": probe, "facts": {}}
    )
    for group, value in (("concat", probe), ("photo", 0.0)):
        rows += [
            {"measure": "target_top1", "split": "test", "group": group, "weights": name, "value": each, "facts": facts}
            for name, each in (("trained", value), ("random", 0.2), ("raw", 0.25))
        ]
    run.mkdir(parents=True)
    (run / "evaluation.json").write_text(json.dumps({"rows": rows}))
    (run / "metrics.jsonl").write_text('{"step": 50}\n{"step": 100}\n{"epoch": 1}\n')
    (run / "environment.json").write_text(json.dumps({"git": "0123456789"}))
    command = f"multiview train auto --data /at/home/set.npz --seed 0 --out {run} --overwrite --train.threads 1"
    run.with_suffix(".time.json").write_text(json.dumps({"cpu": seconds, "command": command}))


def test_the_tables_hold_means_and_differences_on_equal_seeds(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, (there, back) in enumerate(((0.3, 0.5), (0.4, 0.42), (0.5, 0.34))):  # means 40, 41, 42 %
        write_run(tmp_path / f"letters/auto-{seed}", (there, back), 0.75, 60.0 + 60 * seed)
    write_run(tmp_path / "mfeat6/six_tables-0", (0.6, 0.6), 0.5, 30.0)
    benchmark.main(["nowhere", "--out", str(tmp_path), "--sets", "letters", "mfeat6", "--table"])
    text = capsys.readouterr().out
    assert "| letters | auto | 50 | 100 | 2.0 | R@1; probe, all labels |" in text
    assert "| mfeat6 | six_tables | 50 | 100 | 0.5 | in none of the measures |" in text  # one seed has no interval
    retrieval, probe = text.partition("**probe, all labels**")[::2]
    # Trained minus random is 30, 31, 32 points: 31 with t(0.975, 2) / sqrt(3) = 2.5 on both sides.
    assert (
        "| letters | auto | **+31.0 [28.5, 33.5]** | **+11.0 [8.5, 13.5]** (ridge) | 41.0 | 10.0 | 30.0 | - | - | 3 |"
        in (retrieval)
    )
    assert "| mfeat6 | six_tables | +50.0 | +30.0 (ridge) | 60.0 | 10.0 | 30.0 | - | - | 1 |" in retrieval
    assert " | 75.0 | 20.0 | 25.0 | - | 3 |" in probe


def test_runs_that_are_evaluated_are_not_made_again_and_failures_are_said(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def refuse(command: list[str], **_: object) -> SimpleNamespace:
        started.append(command)
        return SimpleNamespace(returncode=2, stdout="one\nerror: no such folder\n")

    monkeypatch.setattr(benchmark.subprocess, "run", refuse)
    write_run(tmp_path / "mfeat6/auto-0", (0.6, 0.6), 0.5, 30.0)
    benchmark.main(["data", "--out", str(tmp_path), "--sets", "mfeat6", "--seeds", "0", "--steps", "7"])
    assert [command[:5] for command in started] == [[sys.executable, "-m", "multiview.cli", "train", "six_tables"]]
    assert started[0][-2:] == ["--train.steps", "7"]
    benchmark.main(["data", "--out", str(tmp_path), "--sets", "clipart", "--seeds", "0", "--only", "moco", "auto"])
    assert [command[4] for command in started[1:]] == ["auto", "moco"]
    assert "data/mfeat6/mfeat6/mfeat6.npz" in started[0]
    said = capsys.readouterr().out
    assert "mfeat6 six_tables seed 0" in said and "exit 2\n  error: no such folder\n" in said
    assert (tmp_path / "mfeat6/six_tables-0.log").read_text().endswith("no such folder\n")


def test_records_are_read_again_and_the_page_says_what_each_set_shows(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, (there, back) in enumerate(((0.3, 0.5), (0.4, 0.42), (0.5, 0.34))):
        write_run(tmp_path / f"runs/letters/auto-{seed}", (there, back), 0.22 + 0.01 * seed, 60.0)
    monkeypatch.setattr(benchmark, "RECORDS", tmp_path / "data")
    benchmark.main(["nowhere", "--out", str(tmp_path / "runs"), "--sets", "letters", "--table", "--record"])
    (tmp_path / "data/notes.yaml").write_text(
        "letters: {about: 50 test recordings., found: Tried more.}\nstereo: {about: Two scenes.}\n"
    )
    from _auto_record import read
    from _evidence_data import section_of_data

    (record,) = read(tmp_path / "data")
    assert record.seeds == [0, 1, 2] and record.steps == [100] and record.samples == {"train": 200, "test": 50}
    assert record.commit == "0123456"
    assert record.command == "multiview train auto --data set.npz"
    page = section_of_data(tmp_path / "data")
    # The probe is 22, 23, 24 %: above random weights (20 %), and below raw values (25 %).
    assert "| letters | auto | 50 | 100 | 1.0 | R@1 |" in page
    assert "### Letters\n\n50 test recordings.\n\nTried more.\n\n- `multiview train auto --data set.npz`" in page
    assert page.rstrip().endswith("### Stereo\n\nTwo scenes.")
    assert section_of_data(tmp_path / "empty") == ""
