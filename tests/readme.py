"""Runs a section's code blocks in the working folder: `python tests/readme.py PAGE SECTION`.

The first word after the fence is the language; further words say how the block is run:

    bash, sh, python    run in order in one folder; the python blocks of a section share their names
    bash ci             not run here; every line must be a make target or a line of .ci/run
    bash slow           run with --runslow only; other languages can be slow too
    python file=NAME    written to NAME, which a later block must use; any language
    text, yaml, toml, json, mermaid, bibtex    never run
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "sh", "python")
SHOWN = ("text", "yaml", "toml", "json", "mermaid", "bibtex")
FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([^`]*)$")
HEADING = re.compile(r"^##? +(.*?) *#*$")
LIMIT = 300


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the number of its first line on the page."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int
    section: str

    @property
    def file(self) -> str | None:
        """The file that the block is written to."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    def due(self, slow: bool) -> bool:
        """Whether a run, with or without the slow blocks, runs or writes this block."""
        return (
            (self.language in RUN or bool(self.file)) and "ci" not in self.words and (slow or "slow" not in self.words)
        )


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, also in HTML comments. Sections start at # and ##."""
    found, section, opened = [], "", None
    for number, line in enumerate(page.splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened = (number, fence, [])
            elif heading := HEADING.match(line):
                section = heading[1]
        elif fence and fence[2].startswith(opened[1][2]) and not fence[3].strip():
            first, start, lines = opened
            language, *words = start[3].split() or [""]
            found.append(Block(language, tuple(words), "\n".join(lines) + "\n", first + 1, section))
            opened = None
        else:
            opened[2].append(line.removeprefix(opened[1][1]))
    if opened:
        raise ValueError(f"line {opened[0]}: the block is never closed")
    return found


def complaints(page: Sequence[Block], makefile: str, ci: str) -> Iterator[str]:
    """Says why a block of the page would never run, one sentence per reason."""
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.MULTILINE))
    for position, block in enumerate(page):
        if block.language not in RUN + SHOWN:
            tags = f"{', '.join(RUN)} (run), {', '.join(SHOWN)} (shown)"
            yield f"line {block.line}: '{block.language}' is not a known language; there are {tags}"
        for word in block.words:
            if word not in ("ci", "slow") and not word.startswith("file="):
                yield f"line {block.line}: unknown word '{word}'; there are ci, slow and file=NAME"
        if block.file and not any(_uses(later, block) for later in page[position + 1 :]):
            yield f"line {block.line}: {block.file} is written, but no later block of the section uses it"
        if "ci" in block.words:
            yield from _not_in_ci(block, targets, ci)


def _uses(later: Block, written: Block) -> bool:
    name = str(written.file)
    return (
        later.section == written.section
        and later.due(slow=True)
        and (name in later.text or Path(name).stem in later.text)
    )


def _not_in_ci(block: Block, targets: set[str], ci: str) -> Iterator[str]:
    for offset, line in enumerate(block.text.splitlines()):
        command = line.split(" #")[0].strip()
        made = [word for word in command.split()[1:] if "=" not in word] if command.startswith("make ") else []
        if (
            command
            and not (made and set(made) <= targets)
            and command not in (text.strip() for text in ci.splitlines())
        ):
            yield f"line {block.line + offset}: neither a make target nor a line of .ci/run: {command}"


def run(page: Path, section: str, slow: bool, limit: float) -> None:
    """Runs the blocks of a section; exits with the line of the first block that fails."""
    sys.path.insert(0, "")
    main = types.ModuleType("__main__")
    main.__file__ = str(page)
    sys.modules["__main__"] = main
    for block in blocks(page.read_text("utf8")):
        if block.section != section or not block.due(slow):
            continue
        if block.file:
            Path(block.file).write_text(block.text, "utf8")
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), vars(main))
        else:
            _run_bash(page, block, limit)


def _run_bash(page: Path, block: Block, limit: float) -> None:
    trap = f"""trap 'echo "{page}:$LINENO: exit code $?: $BASH_COMMAND" >&2' ERR"""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", encoding="utf8") as file:
        # The script starts at the line of the block, so that $LINENO is the line of the page.
        file.write(trap + "\n" * (block.line - 1) + block.text)
        file.flush()
        # In its own session, so that its child processes can be ended with it.
        shell = ["bash", "-euo", "pipefail", file.name]
        started = subprocess.Popen(shell, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            code = started.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            sys.exit(f"{page}:{block.line}: took more than {limit:g} s; shorten it, or mark the block slow")
    if code:
        sys.exit(f"{page}:{block.line}: the block failed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("section")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds per bash block")
    given = parser.parse_args()
    run(given.page.resolve(), given.section, given.slow, given.limit)
