"""Packages, entry points and public names agree with the files; files keep the house style."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from imports import python_files
from rooms import long_functions, percentile_90, sources, wide_lines

import multiview

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))
BESIDE = ("views", "encoders", "recipes")
ENTRY_POINTS = [
    (group, name, target)
    for group, names in PROJECT["project"]["entry-points"].items()
    for name, target in names.items()
] + [("console", name, target) for name, target in PROJECT["project"]["scripts"].items()]


def package_folders(root: Path) -> set[str]:
    """The packages of all folders with an __init__.py; links are not followed."""
    found = set()
    for top in ("multiview", *BESIDE):
        for at, _, files in os.walk(root / top):
            parts = Path(at).relative_to(root).parts
            if "__init__.py" in files:
                found.add(".".join(parts if top == "multiview" else ("multiview", *parts)))
    return found


def test_the_packages_are_the_folders() -> None:
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(package_folders(ROOT))
    assert {name: PROJECT["tool"]["setuptools"]["package-dir"][f"multiview.{name}"] for name in BESIDE} == {
        name: name for name in BESIDE
    }


def test_the_package_list_can_fail(tmp_path: Path) -> None:
    for folder in ("multiview/data/new", "views", "multiview/no_package"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("multiview", "multiview/data/new", "views"):
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "multiview/views").symlink_to("../views")
    assert package_folders(tmp_path) == {"multiview", "multiview.data.new", "multiview.views"}


@pytest.mark.parametrize("name", BESIDE)
def test_the_links_lead_editors_to_the_folders(name: str) -> None:
    link = ROOT / "multiview" / name
    assert str(link.readlink()) == f"../{name}"
    module = importlib.import_module(f"multiview.{name}")
    assert Path(str(module.__file__)).resolve() == ROOT / name / "__init__.py"


@pytest.mark.parametrize(("group", "name", "target"), ENTRY_POINTS, ids=lambda value: value)
def test_an_entry_point_leads_to_something(group: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
    assert f"{module.replace('.', '/')}.py" in tree_of_modules(), f"{group} {name}"


def tree_of_modules() -> set[str]:
    """Every module of ours as a path below the import root."""
    relative = [path.relative_to(ROOT) for top in ("multiview", *BESIDE) for path in python_files(ROOT / top)]
    return {str(path if path.parts[0] == "multiview" else Path("multiview", path)) for path in relative}


def bare(value: object) -> bool:
    """Whether an object has no docstring; the one that `dataclass` generates does not count."""
    text = (value.__doc__ or "").strip()
    return not text or (inspect.isclass(value) and text.startswith(f"{value.__name__}("))


@pytest.mark.parametrize("name", multiview.__all__)
def test_a_public_name_exists_and_says_what_it_is(name: str) -> None:
    value = getattr(multiview, name)
    if isinstance(value, ModuleType):
        missing = [part for part in value.__all__ if callable(getattr(value, part)) and bare(getattr(value, part))]
        assert not missing, f"{name}: no docstring on {', '.join(missing)}"
    assert not bare(value)


def test_a_missing_docstring_is_found() -> None:
    from dataclasses import dataclass

    @dataclass
    class Wordless:
        x: int

    assert bare(Wordless)
    assert bare(lambda: 0)
    assert not bare(bare)


def complaints(check: Callable[[str], list[str]]) -> list[str]:
    """What `check` finds in the files of the house, with their paths."""
    return [f"{path}:{text}" for path, source in sources(ROOT).items() for text in check(source)]


def test_no_function_is_longer_than_43_lines() -> None:
    assert complaints(partial(long_functions, limit=43)) == []


def test_nine_of_ten_functions_have_at_most_15_lines() -> None:
    files = [source for path, source in sources(ROOT).items() if path.parts[0] != "recipes"]
    assert percentile_90(files) <= 15, "cut some of the functions that `long_functions(source, limit=15)` lists"


def test_the_90th_percentile_is_found() -> None:
    short, long = "def f():\n    return 1\n", "def g():\n    x = 1\n    return x\n"
    assert percentile_90([short * 9, long]) == 3
    assert percentile_90([short * 10, long]) == 2
    nested = "class A:\n    def f(self):\n        def g():\n            return 1\n        return g\n"
    assert percentile_90([nested]) == 4


def test_code_is_at_most_120_columns_wide_and_prose_100() -> None:
    assert complaints(partial(wide_lines, code=120, prose=100)) == []


def test_a_long_function_and_a_wide_line_are_found() -> None:
    source = 'def f():\n    """Wide."""\n    return 1\n'
    assert long_functions(source, 2) == ["1: f has 3 lines"]
    assert long_functions(source, 3) == []
    assert wide_lines(source, code=12, prose=14) == ["2: 15 columns"]
    assert wide_lines("x = 1  # y\n# comment\n", code=9, prose=8) == ["1: 10 columns", "2: 9 columns"]


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf8"))
    assert citation["version"] == version
    assert citation["license"] == PROJECT["project"]["license"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf8"), flags=re.MULTILINE)
    assert headings[0] in ("Unreleased", version)


def built(kind: str, source: Path, out: Path) -> Path:
    """The wheel or sdist of a source tree, built with this environment's setuptools."""
    code = f"from setuptools.build_meta import build_{kind} as build; print('BUILT', build({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.rsplit("BUILT ", 1)[1].strip()


def test_wheel_and_sdist_hold_every_module_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tree)
    for name in ("multiview", *BESIDE):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    archive = built("sdist", tree, tmp_path)
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "sdist", filter="data")
    unpacked = tmp_path / "sdist" / archive.name.removesuffix(".tar.gz")
    for source in (tree, unpacked):
        with zipfile.ZipFile(built("wheel", source, tmp_path)) as wheel:
            names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert len(names) == len(set(names))
        assert {name for name in names if name.endswith(".py")} == tree_of_modules()
        page = {f"multiview/report/page/{path.name}" for path in (ROOT / "multiview/report/page").iterdir()}
        papers = {f"multiview/recipes/paper/{path.name}" for path in (ROOT / "recipes/paper").iterdir()}
        assert {name for name in names if not name.endswith(".py")} == {"multiview/py.typed", *papers, *page}
