"""The installation is the one of this checkout, the versions agree, and a wheel works elsewhere."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import site
import subprocess
import sys
import time
import tomllib
import venv
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

from multiview.catalogue import OURS
from multiview.doctor.software import stale_entry_points

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]


def test_the_installation_knows_the_plugins_of_this_checkout() -> None:
    stale = stale_entry_points(ROOT / "pyproject.toml")
    assert not stale, f"{stale} differ: type `pip install -e .` and remove {OURS.replace('-', '_')}.egg-info"


def test_no_build_has_left_a_second_installation_here() -> None:
    left = [each for each in ROOT.glob("*.egg-info") if _plugins(each) != _plugins(None)]
    assert not left, f"remove {left[0].name}: a build has left it, and its list of plugins is old"


def _plugins(folder: Path | None) -> set[tuple[str, str, str]]:
    """The plugins of an installation: of a folder with metadata, or of this environment."""
    where = {} if folder is None else {"path": [str(folder.parent)]}
    own = next(each for each in distributions(**where) if each.metadata["Name"] == OURS)
    return {(each.group, each.name, each.value) for each in own.entry_points}


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.search(r"^## \[(\d[\d.]*)\]", (ROOT / "CHANGELOG.md").read_text("utf8"), flags=re.MULTILINE)
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text("utf8"), flags=re.MULTILINE)
    assert newest and cited
    assert newest[1] == cited[1] == PROJECT["version"]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_demo_ends_with_the_page_the_model_and_what_to_try() -> None:
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    for part in ("runs/demo/seed-0/report.html", "runs/demo/seed-0/model", "multiview train auto --data", "SEEDS="):
        assert part in done.stdout
    assert done.stdout.count("for seed in 0;") == 1


@pytest.fixture(scope="module")
def wall_time() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wall_time", ROOT / "benchmarks/wall_time.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_wall_time_books_each_second_once(wall_time: ModuleType) -> None:
    clock = wall_time.Clock()
    inner = clock.timed("kNN", lambda: time.sleep(0.2))
    outer = clock.timed("steps", lambda: (time.sleep(0.1), inner()))
    outer()
    clock.switch()
    assert 0.2 <= clock.spent["kNN"][0] < 0.29
    assert 0.1 <= clock.spent["steps"][0] < 0.19
    assert abs(sum(wall for wall, _ in clock.spent.values()) - (time.time() - clock.begin)) < 0.2
    text = wall_time.table(clock)
    assert text.splitlines()[0].split() == ["part", "wall", "s", "share", "CPU", "s"]
    assert "whole run" in text


def test_wall_time_finds_every_part_of_a_run(wall_time: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiview import finish

    before = finish.evaluate
    monkeypatch.setattr(finish, "STEPS", finish.STEPS)
    monkeypatch.setattr(finish, "evaluate", before)
    assert wall_time.replace("multiview.finish:evaluate", lambda function: functools.partial(function))
    assert finish.STEPS[0] is finish.evaluate is not before
    for _, target in (*wall_time.PARTS, ("", wall_time.FIRST_STEP)):
        module, _, path = target.partition(":")
        owner = importlib.import_module(module)
        assert functools.reduce(getattr, path.split("."), owner), target


@pytest.mark.slow
def test_a_wheel_works_in_a_fresh_environment_outside_the_checkout(tmp_path: Path) -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "copy" / name, follow_symlinks=False)
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(tmp_path / "copy")]
    subprocess.run(build, check=True)
    shutil.rmtree(tmp_path / "copy")
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env")
    packages = next((tmp_path / "env").glob("lib/python*/site-packages"))
    for each in Path(site.getsitepackages()[0]).iterdir():
        if "multiview" not in each.name and each.name != "__pycache__":
            (packages / each.name).symlink_to(each)
    subprocess.run(
        [*pip, "--python", str(tmp_path / "env/bin/python"), "install", "-q", "--no-deps", str(wheel)], check=True
    )
    assert not list(ROOT.glob("build/lib")), "the build went into the checkout"

    def said(*words: str) -> str:
        done = subprocess.run([tmp_path / "env/bin/multiview", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert said("--version").startswith(PROJECT["version"])
    assert "BROKEN" not in said("list")
    said("doctor")  # parts of it give no answer on a busy machine
    python = [tmp_path / "env/bin/python", "-P", "-c", "import multiview; print(multiview.__file__)"]
    where = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "/site-packages/multiview/" in where
    tiny = ("--data", "scenes:60", "--steps", "2", "--batch", "16", "--out", "run")
    said("train", "cmc_lab", *tiny)
    said("report", "run")
    said("embed", "run/model", "data/scenes-60", "v.parquet")
    said("train", "auto", "--data", "scenes:60", "--steps", "1", "--batch", "16", "--out", "run2")
    assert (tmp_path / "run/report.html").stat().st_size > 10_000
