"""The notebooks of `examples/notebooks` run, and keep light outputs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "examples/notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
LARGEST = 400_000
"""Bytes of a notebook with its outputs."""


def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_light_and_was_run_from_top_to_bottom(name: str) -> None:
    path = FOLDER / name
    content = json.loads(path.read_text("utf8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert path.stat().st_size < LARGEST
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert "error" not in kinds and kinds
    assert "/work/" not in path.read_text("utf8") and "/tmp/" not in path.read_text("utf8")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name: str, tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = runner().executed(FOLDER / name, tmp_path)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert "error: " not in output.get("text", ""), output["text"]
