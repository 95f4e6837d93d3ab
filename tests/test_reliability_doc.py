"""Every test that docs/reliability.md and docs/faults.md name exists, and no row is without one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGES = ("reliability.md", "faults.md")
NAME = re.compile(r"`(tests/\w+\.py)`|`(test_\w+)`|`(make [\w-]+)")


def named(text: str) -> list[tuple[str, str]]:
    """(file, test) of every name in a text; the test is empty where only its file is named."""
    found, file = [], ""
    for path, test, _ in NAME.findall(text):
        file = path or file
        if path or test:
            found.append((file, test))
    return found


def functions_of(file: Path) -> set[str]:
    """The names of the functions and methods of a test file."""
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def missing(text: str, repository: Path) -> list[str]:
    """The names in a text that no file of the repository has."""
    files = {file for file, _ in named(text)}
    there = {file: functions_of(repository / file) if (repository / file).is_file() else None for file in files}
    return [
        f"{file} {test}".strip()
        for file, test in named(text)
        if there[file] is None or (test and test not in there[file])
    ]


def rows_with_tests(text: str) -> list[str]:
    """The rows of all tables whose last column is `test` or `tests`."""
    tables = re.findall(r"^\|.*\| tests? \|\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [row for table in tables for row in table.splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str, repository: Path) -> None:
    text = (repository / "docs" / page).read_text()
    assert named(text)
    assert missing(text, repository) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_a_test_or_says_that_it_is_open(page: str, repository: Path) -> None:
    rows = rows_with_tests((repository / "docs" / page).read_text())
    assert len(rows) > 10
    assert [row for row in rows if not NAME.search(row) and "Open" not in row] == []


def test_a_name_that_does_not_exist_is_found(repository: Path) -> None:
    text = "`tests/test_resume.py`: `test_every_epoch_is_measured_once`, `test_nothing`; `tests/test_no_file.py`"
    assert missing(text, repository) == ["tests/test_resume.py test_nothing", "tests/test_no_file.py"]
