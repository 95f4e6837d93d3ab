"""The numbers of a line of metrics: what counts as training, and edges that have no loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import losses, run
from trials import trial

import multiview as mv
from multiview.counter_rng import Draws
from multiview.distributed import barrier
from multiview.objectives.base import Objective
from multiview.objectives.edge import EdgeOutput
from multiview.train import loop, window
from multiview.train.diagnosis import Doctor
from multiview.train.loop import Loop
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.saving import Saver
from multiview.train.step import StepOutput, contrast_step
from multiview.train.telemetry import Metrics, describe
from multiview.train.window import Rows, Window

CPU = torch.device("cpu")


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def passes(self, seconds: float, function: Callable | None = None) -> Callable:
        """A function that takes `seconds` more than `function`."""

        def slow(*args: object, **named: object) -> object:
            self.now += seconds
            return function(*args, **named) if function is not None else None

        return slow


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(window, "time", made)
    monkeypatch.setattr(loop, "time", made)
    monkeypatch.setattr(loop, "contrast_step", made.passes(1.0, contrast_step))
    return made


def test_without_interruption_a_step_of_one_second_has_its_speed(clock: Clock, scenes: Path, tmp_path: Path) -> None:
    assert run("simclr", scenes, tmp_path / "run") == 0
    assert [line["samples_per_second"] for line in losses(tmp_path / "run")] == [16.0] * 6


@pytest.mark.parametrize("work", ["kNN", "saving", "logging", "waiting for other processes"])
@pytest.mark.parametrize("log_every", [1, 2, 3])
def test_only_training_counts_for_the_speed(
    work: str, log_every: int, clock: Clock, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps per epoch: kNN and saving come between the steps that one line sums up."""
    places = {
        "kNN": ("multiview.measure.online.hits_by_knn", lambda *_: {"knn/one": np.array([True, False])}),
        "saving": (Saver, Saver.save),
        "logging": (Metrics, Metrics.write),
        "waiting for other processes": (window, barrier),
    }
    name = {"saving": "save", "logging": "write", "waiting for other processes": "barrier"}.get(work)
    place, function = places[work]
    slow = clock.passes(100.0, function)
    monkeypatch.setattr(place, slow) if name is None else monkeypatch.setattr(place, name, slow)
    words = ["--knn_every", "1", "--save_every", "1", "--log_every", str(log_every)]
    assert run("simclr", scenes, tmp_path / "run", *words) == 0
    lines = [line for line in losses(tmp_path / "run") if "lr" in line]
    assert clock.now > 100
    assert [line["samples_per_second"] for line in lines] == [16.0] * len(lines)


def test_waiting_for_data_counts(clock: Clock, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loop._errors_of_data

    def slow(self, batches):
        for batch in loaded(self, batches):
            clock.now += 3.0
            yield batch

    monkeypatch.setattr(Loop, "_errors_of_data", slow)
    assert run("simclr", scenes, tmp_path / "run") == 0
    assert [(line["samples_per_second"], line["data_share"]) for line in losses(tmp_path / "run")] == [(4.0, 0.75)] * 6


def stepped(losses_of: list[tuple[float, bool]]) -> Window:
    """A window of steps of one edge, with losses and whether they count."""
    made = Window()
    for loss, counts in losses_of:
        value = torch.tensor(loss)
        out = EdgeOutput(value, {"found": value})
        made.add(StepOutput(value, {"a-b": out}, {}, {"a-b": torch.tensor(counts)}), rows=4)
    return made


@pytest.mark.parametrize(
    ("steps", "mean"),
    [([(0.0, False), (2.0, True), (4.0, True)], 3.0), ([(0.0, True), (4.0, True)], 2.0), ([(0.0, False)], None)],
)
def test_a_step_without_a_loss_does_not_count(steps: list[tuple[float, bool]], mean: float | None) -> None:
    values = stepped(steps).summary()
    assert [values.get(name) for name in ("loss", "loss/a-b", "found/a-b")] == [mean] * 3
    assert "samples_per_second" in values
    assert ("loss none" in describe(values)) == (mean is None)


def has_loss(objective: Objective, batches: int, **options: bool) -> list[dict[str, bool]]:
    made = trial(objective, **options)
    parts = assemble(
        start(made.train, "x"), made.views, made.model.train(), made.memories, made.train, lambda i: [str(i)]
    )
    outputs = [
        contrast_step(parts, batch, number + 1, Draws(0, number, batch.index.numpy()))
        for number, batch in enumerate(made.batches[:batches])
    ]
    assert all(out.loss == 0 for step in outputs for n, out in step.edges.items() if not step.has_loss[n])
    return [{name: bool(flag) for name, flag in step.has_loss.items()} for step in outputs]


OBJECTIVES = {
    "moco": mv.MoCo(queue=11, dim=5),
    "simclr": mv.SimCLR(dim=5),
    "siglip": mv.SigLIP(dim=5),
    "cmc": mv.CMC(negatives=7, dim=5),
    "vicreg": mv.VICReg(dim=5, hidden=6),
    "barlow twins": mv.BarlowTwins(dim=5, hidden=6),
    "simsiam": mv.SimSiam(dim=5, predictor=4),
    "byol": mv.BYOL(dim=5, hidden=6),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_edge_without_present_rows_has_no_loss(name: str) -> None:
    """In step 3 no sample has the view `a`."""
    first, _, third = has_loss(OBJECTIVES[name], 3, missing=True)
    assert first == dict.fromkeys(("a-b", "b-c"), name != "moco")
    assert third == {"a-b": False, "b-c": True}


@pytest.mark.parametrize(("name", "needed"), [("simclr", 2), ("barlow twins", 2), ("siglip", 1), ("simsiam", 1)])
def test_one_present_row_is_no_loss_where_rows_are_compared(name: str, needed: int) -> None:
    from multiview.objectives.edge import EdgeInput, Side

    z = torch.nn.functional.normalize(torch.randn(4, 5), dim=1)
    for count in range(3):
        present = torch.arange(4) < count
        edge = EdgeInput((Side(z=z, p=z, key=z),) * 2, torch.arange(4), present)
        assert bool(OBJECTIVES[name].has_loss(edge)) == (count >= needed)


def test_symile_needs_two_rows() -> None:
    first, _, third = has_loss(mv.Symile(dim=5), 3, missing=True, joint=True)
    assert first == {"a-b-c": True}
    assert third == {"a-b-c": False}


@pytest.mark.parametrize("recipe", ["moco", "mixed"])
def test_an_empty_queue_is_said_and_no_loss_of_zero_is_logged(
    recipe: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, scenes, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert said.count("step 1 has no negatives, because the queue is empty") == 1
    lines = losses(tmp_path / "run")
    edge = next(name for name in lines[1] if name.startswith("loss/") and name not in lines[0])
    assert all(line[edge] > 0 for line in lines[1:])
    assert ("loss" in lines[0]) == (recipe == "mixed")
    assert min(line.get("loss", 1) for line in lines) != 0
    assert "no loss, because" not in said
    assert run(recipe, scenes, tmp_path / "run", "--resume", "--steps", "8") == 0
    assert "queue is empty" not in capsys.readouterr().out


@pytest.mark.parametrize(("step", "said"), [(1, 0), (2, 1), (50, 1)])
def test_an_edge_that_never_has_a_loss_is_named_once(step: int, said: int, tmp_path: Path) -> None:
    doctor = Doctor(tmp_path / "health.jsonl", objectives={"a-b": mv.SimCLR(), "b-c": mv.SimCLR()})
    values = {"loss": 2.0, "loss/b-c": 2.0, "samples_per_second": 9.0}
    texts = doctor.look(step, values) + doctor.look(step + 1, values if said else {**values, "loss/a-b": 2.0})
    assert len(texts) == said
    assert all("edge a-b: no loss" in text and "at least 2 samples" in text for text in texts)


def test_the_steps_of_a_checkpoint_are_kept_exactly() -> None:
    values = torch.tensor([[0.1, 1e-30, 3.0], [torch.pi, 0.0, -7.5]])
    rows = Rows(["loss", "loss/a-b", "found/a-b"], values, values != 0)
    again = Rows.from_json(json.loads(json.dumps(rows.to_json())))
    assert again.names == rows.names
    assert torch.equal(again.values, rows.values)
    assert torch.equal(again.counted, rows.counted)
    both = rows.after(again)
    assert both.values.shape == (4, 3)
    assert rows.after(Rows(["loss"], values[:, :1], values[:, :1] != 0)) is rows, "other columns are left out"


@pytest.mark.parametrize(
    "table",
    [
        {"names": ["loss"], "values": [[1.0, 2.0]], "counted": [[True, True]]},
        {"names": ["loss"], "values": [[1.0], [2.0]], "counted": [[True]]},
        {"names": ["loss"], "values": [["a"]], "counted": [[True]]},
        {"names": ["loss"], "values": [1.0], "counted": [True]},
        {"names": 3, "values": [[1.0]], "counted": [[True]]},
        {"names": ["loss"]},
    ],
)
def test_a_malformed_table_of_steps_is_an_error_that_resume_explains(table: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        Rows.from_json(table)


@pytest.mark.parametrize("stop", [50, 130, 240])
def test_a_resumed_run_remembers_how_long_an_edge_is_at_chance(stop: int, tmp_path: Path) -> None:
    def told(steps: range, resumed_at: int | None) -> list[int]:
        metrics = Metrics(tmp_path / "run", resumed_at, {"a-b": mv.SimCLR()}, patience=200)
        found = []
        for step in steps:
            values = {"bound/a-b": 0.0, "ceiling/a-b": 2.0, "loss/a-b": 2.0, "lr": 0.1, "samples_per_second": 1.0}
            metrics.write(step, values)
            found += [step] if metrics.diagnosed(step, values) else []
        metrics.close()
        return found

    (tmp_path / "run").mkdir()
    before, after = told(range(10, stop + 1, 10), None), told(range(stop + 10, 400, 10), stop)
    assert before + after == [210]
