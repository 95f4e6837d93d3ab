"""The documentation names files that exist, and the floors of docs/design.md hold in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from imports import imported, module_of, python_files

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
TOPS = "multiview|views|encoders|recipes|tests|docs|benchmarks|examples"
PATH = re.compile(rf"`((?:{TOPS})/[\w./-]*|[\w-]+\.(?:toml|md))`")
LONGEST = 120


def paths_in(text: str) -> set[str]:
    """Paths in backquotes that start at the top of the checkout."""
    return set(PATH.findall(text))


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    missing = {name for name in paths_in((ROOT / "docs" / page).read_text("utf8")) if not (ROOT / name).exists()}
    assert not missing, f"docs/{page} names {', '.join(sorted(missing))}"


def test_the_design_is_one_page_full_of_paths() -> None:
    text = (ROOT / "docs/design.md").read_text("utf8")
    assert text.count("\n") <= LONGEST
    assert len(paths_in(text)) > 30
    assert text.count("![") == 1


def test_a_missing_path_is_found() -> None:
    assert paths_in("`views/none.py` and `multiview/data/`, not `--data`, `a/b` or multiview/x.py") == {
        "views/none.py",
        "multiview/data/",
    }


def floors(design: str) -> dict[str, int]:
    """The floor of each module or package that the table of floors names."""
    rows = re.findall(r"^\| (\d) \| (.*?) \|", design, flags=re.MULTILINE)
    return {module_of(Path(path)): int(floor) for floor, cell in rows for path in re.findall(r"`([^`]+)`", cell)}


def floor_of(module: str, table: dict[str, int]) -> int | None:
    """The floor of the module or of the nearest package around it that has one."""
    while module and module not in table:
        module = module.rpartition(".")[0]
    return table.get(module)


def run_time_imports(file: Path) -> set[str]:
    """Dotted names that a file imports when it runs, so not for types alone."""
    return {name for _, name in imported(file.read_text("utf8"), file.relative_to(ROOT), types=False)}


def test_no_file_imports_from_a_higher_floor() -> None:
    table = floors((ROOT / "docs/design.md").read_text("utf8"))
    assert len(table) > 20
    wrong = []
    for file in (file for top in ("multiview", "views", "encoders") for file in python_files(ROOT / top)):
        floor = floor_of(module_of(file.relative_to(ROOT)), table)
        if floor is not None:
            higher = {name for name in run_time_imports(file) if (floor_of(name, table) or 0) > floor}
            wrong += [f"{file.relative_to(ROOT)}, on floor {floor}, imports {name}" for name in sorted(higher)]
    assert not wrong, "\n".join(wrong)


def test_a_module_has_the_floor_of_its_nearest_package() -> None:
    table = floors("| 2 | `multiview/data/write/`, `views/` | x |\n| 0 | `multiview/errors.py` | y |\n")
    names = ("multiview.data.write.lock", "multiview.views.lab", "multiview.errors.MultiviewError", "multiview.data")
    assert [floor_of(name, table) for name in names] == [2, 2, 0, None]
