"""A study whose linear probes know one class only is judged by the other measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_scores import score

from multiview.measure.files import to_json
from multiview.study.base import probe_lines
from multiview.study.outcome import outcome_of
from multiview.study.plan import BASE, Job, Variant
from multiview.study.verdict import Judged

ALL = Variant(name=BASE, kind=BASE, subject="all", recipe="graph", words=("base.yaml",))


def test_a_probe_that_knows_one_class_decides_nothing(tmp_path: Path) -> None:
    """45 % of the test samples are of one class, and every probe of both views names it."""
    names = ("trained", "random weights", "raw pixels")
    blind = [score(name, view, 0.45, majority=0.45) for name in names for view in ("L", "concat")]
    seeing = [replace(row, linear=0.6) if row.features == "trained" else row for row in blind]
    found = {}
    for name, rows in {"blind": blind, "seeing": seeing}.items():
        job = Job(variant=ALL, seed=0, folder=tmp_path / name, log=tmp_path / f"{name}.log")
        job.folder.mkdir()
        (job.folder / "evaluation.json").write_text(to_json(rows))
        (job.folder / "study.json").write_text('{"seconds": 1, "cpu_seconds": 1}')
        found[name] = outcome_of(job)
    assert found["blind"].one_class and not found["seeing"].one_class
    assert not any(each.startswith("probe") for each in found["blind"].values)
    assert found["seeing"].values["probe"] == 0.6
    (line,) = probe_lines([[found["blind"], found["seeing"]], [found["blind"]]])
    assert line.startswith("In 2 of 3 runs the linear probe names the commonest class")
    assert probe_lines([[found["seeing"]]]) == []
    assert line in Judged({ALL: []}, [], [], blind=[line]).summary
