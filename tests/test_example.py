"""The example package can be installed into a fresh environment, checked and trained."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from test_house import built

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples/multiview-thermal"


def called(program: Path, *words: str, cwd: Path) -> str:
    """Runs a program that must succeed, and returns what it prints."""
    done = subprocess.run([str(program), *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program.name} {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fresh(folder: Path, *packages: Path) -> Path:
    """Installs packages into a new environment; their dependencies come from the current one."""
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    words = ["-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", "--no-index"]
    called(Path(sys.executable), *words, "--no-deps", "--no-build-isolation", *map(str, packages), cwd=folder)
    return folder / "bin"


@pytest.mark.slow
def test_it_installs_and_trains_in_a_fresh_environment(tmp_path: Path) -> None:
    for kind in ("example", "ours"):
        (tmp_path / kind).mkdir()
    wheels = built("wheel", ROOT, tmp_path / "ours"), built("wheel", EXAMPLE, tmp_path / "example")
    programs = fresh(tmp_path / "venv", *wheels)
    where = called(programs / "python", "-c", "import multiview; print(multiview.__file__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path)), "the test must import the wheel, not this checkout"
    multiview = programs / "multiview"
    listed = [line.split(maxsplit=2) for line in called(multiview, "list", cwd=tmp_path).splitlines()]
    assert [
        "heat",
        "multiview-thermal",
        "The view `heat`: one channel in degrees Celsius, centred at 20 degrees.",
    ] in listed
    assert sum(line[1:2] == ["multiview-thermal"] for line in listed) == 4
    called(programs / "python", "-m", "multiview_thermal.made_up", "pairs", cwd=tmp_path)
    for words in ("view heat --kind bands --planes 1", "encoder spots --channels 1", "source thermal pairs"):
        assert "laws hold." in called(multiview, "check", *words.split(), cwd=tmp_path)
    assert "18 samples lack one" in called(multiview, "preprocess", "thermal", "pairs", "store", cwd=tmp_path)
    output = called(
        multiview, "train", "visible_thermal", *["--data", "store", "--out", "run", "--epochs", "2"], cwd=tmp_path
    )
    assert "L+heat: linear" in output
    assert (tmp_path / "run/evaluation.json").is_file()
