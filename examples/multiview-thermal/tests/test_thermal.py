"""Everything that the package registers passes the checks of multiview-cmc, and trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from multiview_thermal.made_up import write
from multiview_thermal.source import Thermal
from multiview_thermal.view import celsius

from multiview.check import encoders, sources, views
from multiview.check.laws import judged
from multiview.cli import run


def test_the_checks_pass(tmp_path: Path) -> None:
    write(tmp_path / "pairs", per_class=10)
    findings = judged(views.LAWS, views.trial("heat", "bands", planes=1))
    findings += judged(encoders.LAWS, encoders.trial("spots", channels=1))
    findings += judged(sources.LAWS, sources.Trial(Thermal(size=32), tmp_path / "pairs"))
    assert [finding for finding in findings if finding.trouble] == []


def test_kelvin_is_converted_to_celsius() -> None:
    assert celsius(torch.tensor([0.0, 273.15, 293.15])).tolist() == pytest.approx([-40, 0, 20], abs=1e-4)


def test_the_recipe_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "pairs")
    store, out = str(tmp_path / "store"), str(tmp_path / "run")
    assert run(["preprocess", "thermal", str(tmp_path / "pairs"), store, "--size", "32"]) == 0
    assert "18 samples lack one of the two pictures." in capsys.readouterr().out
    assert run(["train", "visible_thermal", "--data", store, "--out", out, "--epochs", "2", "--batch", "32"]) == 0
    text = capsys.readouterr().out
    assert "L+heat: linear" in text
