"""Views and recipes that run through torch.compile give the same results as without it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import RECIPES, assert_same_end, losses, run, signal_in_step
from test_views_laws import NAMES, sample_batch, seen, view_of

from multiview.train import processes
from multiview.viewlayer import ViewLayer
from multiview.views import rgb_to_lab
from multiview.views.fast_roots import cube_root, fifth_root

COMPILER = pytest.mark.skipif(not processes.has_compiler(), reason="no C++ compiler")


@pytest.mark.parametrize(("root", "power", "low"), [(cube_root, 3, 0.008856), (fifth_root, 5, 0.0905)])
def test_fast_roots_equal_exact_roots(root, power: int, low: float) -> None:
    x = torch.linspace(low, 1, 100_001)
    assert torch.allclose(root(x).double(), x.double() ** (1 / power), rtol=1.2e-7, atol=0)


def test_without_a_compiler_a_run_says_so_and_trains(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "has_compiler", lambda: False)
    assert run("cmc_lab", scenes, tmp_path / "compiled", "--compile", "true") == 0
    assert "torch.compile needs a C++ compiler on a CPU" in capfd.readouterr().out
    assert run("cmc_lab", scenes, tmp_path / "plain") == 0
    assert_same_end(tmp_path / "compiled", tmp_path / "plain")


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=[pytest.mark.slow, COMPILER])])
def test_compiled_lab_equals_lab(backend: str) -> None:
    """Every level of grey and of blue, and random colours, in two image sizes."""
    compiled, levels = torch.compile(rgb_to_lab, backend=backend), torch.arange(256, dtype=torch.uint8)
    for shape in ((3, 3, 16, 256), (2, 3, 17, 19)):
        rgb = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        if shape[-1] == 256:
            rgb[0, :, 0], rgb[0, :, 1] = levels, 0
            rgb[0, 2, 1] = levels
        with torch.no_grad():
            lab = compiled(rgb)
        assert (lab.double() - rgb_to_lab(rgb.double() / 255)).abs().max() < 1e-4


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", [name for name in NAMES if view_of(name).pointwise])
def test_every_view_of_single_pixels_is_the_same_when_compiled(name: str) -> None:
    view, batch = view_of(name), sample_batch()
    plain = seen(view, batch)
    torch.testing.assert_close(ViewLayer({"it": view}, compiled=True)(batch)["it"], plain, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_resumes_when_compiled(recipe: str, scenes: Path, tmp_path: Path) -> None:
    compiled, whole, parts = "--compile=true", tmp_path / "whole", tmp_path / "parts"
    assert run(recipe, scenes, tmp_path / "plain") == 0
    assert run(recipe, scenes, whole, compiled) == 0
    for ours, plain in zip(losses(whole), losses(tmp_path / "plain"), strict=True):
        assert ours["loss"] == pytest.approx(plain["loss"], rel=1e-2)
    with signal_in_step(2):
        assert run(recipe, scenes, parts, compiled) == 130
    assert run(recipe, scenes, parts, compiled, "--resume") == 0
    assert_same_end(parts, whole)
