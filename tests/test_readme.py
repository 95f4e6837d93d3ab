"""Every code block of the documentation is executed, here or by make."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from readme import LIMIT, RUN, Block, blocks, complaints
from samples import write_for_every_source, write_photos, write_scans

import multiview as mv

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable]
DATA = "docs/data.md"
GUIDES = tuple(f"docs/guides/{path.name}" for path in sorted((ROOT / "docs/guides").glob("*.md")))
SITE = ("docs/index.md", "docs/start.md", "docs/python.md", "docs/objectives.md", *GUIDES)
PAGES = ("README.md", "CONTRIBUTING.md", DATA, "docs/views.md", "docs/plugins.md", "docs/training.md", *SITE)

FROM_PYTHON = ("README.md", "From Python")
LONG = {
    FROM_PYTHON,
    ("docs/python.md", "From Python"),
    ("docs/training.md", "Runs from Python"),
    ("docs/plugins.md", "Check"),
}
"""Sections of half a minute and more; quicker sections, or a test below, run the same calls."""


def page_blocks(name: str) -> list[Block]:
    path = ROOT / name
    return blocks(path.read_text("utf8")) if path.exists() else []


def sections() -> list[object]:
    """The sections with blocks to run; slow are `LONG` and those with slow blocks alone."""
    found = []
    for page in PAGES:
        for section in dict.fromkeys(block.section for block in page_blocks(page)):
            due = [block for block in page_blocks(page) if block.section == section and block.due(slow=True)]
            quick = (page, section) not in LONG and any(block.due(slow=False) for block in due)
            marks = () if quick else (pytest.mark.slow,)
            if due:
                found.append(pytest.param(page, section, marks=marks, id=f"{page}:{section}"))
    return found


@pytest.fixture(scope="module")
def commands(warm: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command `multiview`, which starts quickly."""
    folder = tmp_path_factory.mktemp("commands")
    code = "import sys; sys.argv[0] = 'multiview'; from multiview.cli import main; sys.exit(main())"
    (folder / "multiview").write_text(f'#!/bin/sh\nexec {shlex.join([*warm, "-c", code])} "$@"\n')
    (folder / "multiview").chmod(0o755)
    return folder


def execute(
    python: list[str], page: Path, section: str, folder: Path, *options: str, limit: float = LIMIT, first: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a section in `folder`; finds commands in `first`, then in this environment."""
    words = [*python, str(ROOT / "tests/readme.py"), str(page), section, "--limit", str(limit), *options]
    paths = [first or os.devnull, str(Path(sys.executable).parent), os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(paths)}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The folder of a reader: the recipes, a folder of pictures, a folder of aligned pictures."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    write_photos(tmp_path / "photos")
    write_scans(tmp_path / "scans")
    return tmp_path


@pytest.mark.parametrize("name", PAGES)
def test_a_page_leaves_no_block_unrun(name: str) -> None:
    found = page_blocks(name)
    assert any(block.due(slow=True) for block in found), f"{name} has no block that is run"
    assert list(complaints(found, (ROOT / "Makefile").read_text(), (ROOT / ".ci/run").read_text())) == []


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf8")
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)+)`", text)) | set(re.findall(r"\]\(([^):]+)\)", text))
    made_up = {"views/opponent.py"}
    missing = {name for name in named - made_up if not (ROOT / name).exists() and not name.startswith(".venv/")}
    assert len(named) > 10
    assert not missing


@pytest.mark.parametrize(("page", "section"), sections())
def test_a_section_runs(
    page: str, section: str, workplace: Path, warm: list[str], commands: Path, request: pytest.FixtureRequest
) -> None:
    options = ["--slow"] if request.config.getoption("--runslow") else []
    if page == DATA or page in GUIDES:
        write_for_every_source(workplace)
    done = execute(warm, ROOT / page, section, workplace, *options, first=str(commands))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_readme_trains_from_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section as it stands, but with one step and without the scores at the end."""
    (block,) = (block for block in page_blocks("README.md") if block.section == FROM_PYTHON[1])
    fit = mv.fit

    def short(*words: Any, train: mv.Train, **named: Any) -> Any:
        return fit(*words, train=replace(train, steps=1, knn_every=0, workers=0), evaluate=False, **named)

    monkeypatch.setattr(mv, "fit", short)
    monkeypatch.chdir(workplace)
    names: dict[str, Any] = {}
    exec(compile(block.text, "README.md", "exec"), names)
    assert len(names["features"]) > 0
    assert (workplace / "runs/mine/checkpoints").is_dir()


PAGE = """# Title

## Good

```python
x = 1
```

<!--
```bash
echo unseen > prepared.txt
```
-->

```python
assert x == 1 and open("prepared.txt").read() == "unseen\\n"
y = x + 1
```

```python file=program.py
import sys
print(sys.argv[1], file=open("said.txt", "w"))
```

```bash
set -- hello
cd . && python program.py \\
  $1
```

```text
not run
```

```python
assert open("said.txt").read() == "hello\\n" and __name__ == "__main__"
```

## Bad bash

```bash
true
false | cat
true
```

## Bad python

```python
z = 1
```

```python

assert z == 2
```

## Slow

```bash
sleep 20
```

```bash slow
false
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "PAGE.md"
    path.write_text(PAGE)
    return path


def test_blocks_share_names_and_files_within_a_section(page: Path, tmp_path: Path) -> None:
    done = execute(PYTHON, page, "Good", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("section", "text"), [("Bad bash", "false | cat"), ("Bad python", "assert z == 2")])
def test_a_block_that_fails_is_reported_with_its_line(page: Path, tmp_path: Path, section: str, text: str) -> None:
    line = PAGE.splitlines().index(text) + 1
    done = execute(PYTHON, page, section, tmp_path)
    assert done.returncode == 1
    assert f"{page}:{line}: exit code 1: " in done.stderr or f'File "{page}", line {line}' in done.stderr


def test_a_slow_block_is_left_out_and_a_long_one_stopped(page: Path, tmp_path: Path) -> None:
    line = PAGE.splitlines().index("sleep 20") + 1
    done = execute(PYTHON, page, "Slow", tmp_path, limit=0.3)
    assert done.returncode == 1
    assert f"{page}:{line}: took more than 0.3 s" in done.stderr
    page.write_text(PAGE.replace("sleep 20", "true"))
    assert execute(PYTHON, page, "Slow", tmp_path).returncode == 0
    assert execute(PYTHON, page, "Slow", tmp_path, "--slow").returncode == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```\nls\n```", "line 2: '' is not a known language"),
        ("```console\nls\n```", "line 2: 'console' is not a known language"),
        ("```bash slwo\nls\n```", "line 2: unknown word 'slwo'"),
        ("```bash ci\nmake demo\nmake dmeo\n```", "line 3: neither a make target nor a line of .ci/run: make dmeo"),
        (
            "```bash ci\npip install nothing # x\n```",
            "neither a make target nor a line of .ci/run: pip install nothing",
        ),
        (
            "```python file=a.py\nx\n```\n# Next\n```bash\npython a.py\n```",
            "line 2: a.py is written, but no later block",
        ),
    ],
)
def test_a_block_that_never_runs_is_reported(text: str, complaint: str) -> None:
    found = list(complaints(blocks(text), "demo: x ## y\n\t@echo\n", "make lint\n"))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_block_run_by_make_or_ci_is_accepted() -> None:
    text = "```bash ci\nmake demo SEEDS=0  # six minutes\nexport VENV=x\n\n```\n```text\nls\n```"
    assert list(complaints(blocks(text), "demo: x ## y\n", "  export VENV=x\n")) == []
    assert all(not block.due(slow=True) for block in blocks(text))


def test_an_open_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 3: the block is never closed"):
        blocks("a\n\n```bash\nls\n")


def test_fences_nest_and_keep_their_indent() -> None:
    inner = blocks("- item\n  ````text\n  ```bash\n    ls\n  ```\n  ````\n")
    assert [(block.language, block.text, block.line) for block in inner] == [("text", "```bash\n  ls\n```\n", 3)]
    assert inner[0].language not in RUN
