"""Long work says where it stands, also in a pipe; a new run saves early."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from multiview.config import Train
from multiview.data.write import progress as lines
from multiview.data.write.progress import progress_bar
from multiview.train import saving
from multiview.train.saving import Saved, Saver
from multiview.train.telemetry import Metrics


@pytest.mark.parametrize(("label", "rejected"), [("preparing photos", 0), ("evaluating", 3), ("merging", 1)])
def test_outside_a_terminal_a_line_is_printed_now_and_then(
    label: str, rejected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(lines, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    with progress_bar(label) as progress:
        for done in range(1, 9):
            progress(100 * done, 2000, rejected)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 2, "one line every ten seconds of the 32"
    bad = f", {rejected} rejected" if rejected else ""
    assert printed[0] == f"{label}: 300 of 2,000{bad}, 25/s, 68 s left"


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("preparing") as progress:
        progress(1, 2, 0)
    assert capsys.readouterr().err == ""


def saver(**options: Any) -> Saver:
    made = object.__new__(Saver)
    made.train, made.batches = Train(**options), range(1000)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("options", "saved", "minutes", "due"),
    [
        ({}, 0, 2.9, False),
        ({}, 0, 3.1, True),
        ({}, 5, 3.1, False),
        ({}, 5, 15.1, True),
        ({"save_minutes": 0}, 0, 60.0, False),
        ({"save_minutes": 1}, 0, 1.1, True),
    ],
)
def test_the_first_checkpoint_comes_after_minutes(
    options: dict[str, float], saved: int, minutes: float, due: bool
) -> None:
    waiting = saver(**options)
    waiting.saved = Saved(saved, time.monotonic() - 60 * minutes)
    assert waiting.is_due(10) is due
    assert saving.FIRST_MINUTES < 10


def test_tensorboard_finds_every_number_at_its_step(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    metrics = Metrics(tmp_path)
    metrics.write(10, {"loss/L-ab": 2.5, "epoch": 1, "samples_per_second": 3e6})
    metrics.write(20, {"loss/L-ab": float("nan"), "knn/L": 0.25})
    metrics.close()
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    found = {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    assert str(found.pop("loss/L-ab")) == "[(10, 2.5), (20, nan)]"
    assert found == {"epoch": [(10, 1.0)], "samples_per_second": [(10, 3e6)], "knn/L": [(20, 0.25)]}
