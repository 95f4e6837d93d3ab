"""All objectives in one graph, in a whole run: planned, trained, stopped and resumed."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_runs import FAST, assert_same_end, losses, signal_in_step

import multiview as mv
from multiview.launch import exit_code
from multiview.train.checkpoint import newest

PAIRWISE = (
    mv.BYOL(dim=16, hidden=16),
    mv.CMC(),
    mv.MoCo(mlp=True, split_bn=2),
    mv.SigLIP(),
    mv.SimCLR(learn_temperature=True),
    mv.SimSiam(dim=16, predictor=8),
    mv.VICReg(dim=16),
)


@dataclass(frozen=True, kw_only=True)
class Everything(mv.Recipe):
    """A graph with every objective between L and ab, and depth joined to both.

    Args:
        size: side of the crops, pixels.
        width: factor on the encoder's channels.
        symile: objective of L-ab-depth.
    """

    size: int = 16
    width: float = 0.25
    symile: mv.Symile = mv.Symile()

    def build(self) -> mv.Setup:
        crop = mv.Crop(size=self.size)
        views = {name: mv.make_view(name, crop) for name in ("L", "ab", "depth")}
        encoders = {n: mv.make_encoder("convnet", v.channels.count, width=self.width) for n, v in views.items()}
        edges = (*(mv.Edge("L", "ab", objective) for objective in PAIRWISE), mv.HyperEdge(tuple(views), self.symile))
        return mv.Setup(views, encoders, mv.ContrastGraph(tuple(views), edges))


def words(scenes: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(scenes), "--out", str(out), *FAST, *more]


def test_resumed_equals_unbroken_bit_for_bit(scenes: Path, tmp_path: Path) -> None:
    """Including learned temperatures and the rising momentum of BYOL."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert exit_code(Everything, words(scenes, whole)) == 0
    with signal_in_step(4):
        assert exit_code(Everything, words(scenes, broken)) == 128 + signal.SIGINT
    assert exit_code(Everything, words(scenes, broken, "--resume")) == 0
    assert_same_end(broken, whole)
    _, saved, *_ = newest(whole / "checkpoints")
    learned = {name: value.item() for name, value in saved["model"].items() if name.startswith("scalars.")}
    assert len(learned) == 4
    assert all(value != start for value, start in zip(learned.values(), (0.1, -10.0, 0.5, 0.1), strict=True))
    names = {f"{edge}:{objective.name}" for edge in ("L-ab",) for objective in PAIRWISE} | {"L-ab-depth"}
    assert all(
        {f"loss/{name}" for name in names} <= line.keys() for line in losses(whole)[1:]
    )  # MoCo's queue starts empty
    assert "temperature/L-ab-depth" in losses(whole)[0]


def test_the_plan_shows_the_hyperedge(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(Everything, words(scenes, tmp_path / "run", "--plan", "--symile.temperature", "0.2")) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "L-ab-depth Symile(temperature=0.2" in output
    assert "L-ab:SigLIP SigLIP(" in output
