"""Writes the sources of the documentation site into `build/docs`; `make docs` then builds the site.

They are the pages of `docs/`, and a reference that is made from the code: a page of every command,
and pages of every public name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatch
from importlib import import_module
from inspect import ismodule
from pathlib import Path

import multiview as mv
from multiview.cli import COMMANDS
from multiview.commandline import Command

GROUPS = {
    "Start and load": ("fit", "load", "main", "Trained", "PortableModel", "Store", "MultiviewError", "Stopped"),
    "Views and encoders": ("View", "Crop", "Channels", "Augment", "make_view", "Encoder", "make_encoder", "Tuning"),
    "Graphs": ("ContrastGraph", "Edge", "HyperEdge", "Schedule", "Graph", "GraphView", "GraphEdge"),
    "Recipes and training": ("Recipe", "ImageRecipe", "Setup", "Train", "Optimizer"),
    "Losses in your own loop": ("PairLoss", "KeyEncoder"),
}
"""The pages of public names. Objectives and the rest follow on pages of their own."""
BOOSTS = {
    "concepts.md": 4,
    "start.md": 3,
    "guides/*.md": 2,
    "evidence.md": 0.2,
    "results.md": 0.2,
    "reliability.md": 0.5,
    "internals.md": 0.5,
    "design.md": 0.5,
    "faults.md": 0.5,
}
"""Pages that the search of the site ranks before or behind others. A reader who looks for a word
wants its meaning and how to use it before tables of measured numbers, which repeat it often."""

REPOSITORY = "https://github.com/multiview-cmc/multiview-cmc/blob/main/"
"""Where the files of the project are that no page of the site holds."""


def pages() -> dict[str, str]:
    """Every page of the reference by its file name; each public name is on exactly one page."""
    made = {"commands.md": commands_page()}
    listed = {name for names in GROUPS.values() for name in names}
    for title, names in GROUPS.items():
        made[title.lower().replace(" ", "_") + ".md"] = names_page(title, names)
    others = [name for name in mv.__all__ if name not in listed]
    modules = [name for name in others if ismodule(getattr(mv, name))]
    made["objectives.md"] = names_page("Objectives", [name for name in others if name not in modules])
    made["functions.md"] = functions_page("Losses as functions", "multiview.losses")
    return made


def commands_page() -> str:
    """What `--help` prints, for every command."""
    parts = ["# Commands", "", "The examples of each command stand first. `multiview COMMAND --help` prints the same."]
    for command in _with_subcommands(COMMANDS):
        parts += ["", f"## {command.prog}", "", command.summary[:1].upper() + command.summary[1:] + ".", ""]
        parts += ["```text", help_of(command).strip(), "```"]
    return "\n".join(parts) + "\n"


def help_of(command: Command) -> str:
    """The help text of a command at 88 columns, without colours."""
    words = [sys.executable, "-m", "multiview.cli", *command.prog.split()[1:], "--help"]
    plain = os.environ | {"COLUMNS": "88", "NO_COLOR": "1"}
    printed = subprocess.run(words, env=plain, capture_output=True, text=True, check=True).stdout
    return printed.replace(" \b", "")  # argparse's words for `--print_config[=flags]`, which a terminal shows so


def names_page(title: str, names: Iterable[str]) -> str:
    """A page with the documentation of public names."""
    parts = [f"# {title}"]
    for name in names:
        where = f"{getattr(mv, name).__module__}.{name}"
        parts += _entry(f"mv.{name}", where)
    return "\n".join(parts) + "\n"


def functions_page(title: str, module: str) -> str:
    """A page with the functions that a module makes public."""
    parts = [f"# {title}"]
    for name in import_module(module).__all__:
        one = getattr(import_module(module), name)
        if not isinstance(one, type):
            parts += _entry(f"mv.{module.rpartition('.')[2]}.{name}", f"{one.__module__}.{one.__name__}")
    return "\n".join(parts) + "\n"


def _entry(heading: str, where: str) -> list[str]:
    return ["", f"::: {where}", "    options:", f"      heading: {heading}", f"      toc_label: {heading}"]


def _with_subcommands(commands: Iterable[Command]) -> Iterable[Command]:
    for command in commands:
        yield command
        yield from _with_subcommands(command.subcommands)


def with_boost(page: str, name: str) -> str:
    """A page with its weight in the search of the site, where that is not the usual one."""
    boost = next((weight for pattern, weight in BOOSTS.items() if fnmatch(name, pattern)), None)
    return page if boost is None else f"---\nsearch:\n  boost: {boost}\n---\n\n{page}"


def plain_fences(page: str) -> str:
    """A page whose code blocks name only their language: the words behind it are for the tests."""
    return re.sub(r"^( *`{3,}\w+) .*$", r"\1", page, flags=re.MULTILINE)


def with_outer_links(page: str, folder: Path, docs: Path) -> str:
    """A page whose links to files beside the folder `docs` lead to the repository.

    folder: the folder of the page in `docs`.
    """

    def address(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        outside = target.exists() and not target.is_relative_to(docs.resolve())
        return f"]({REPOSITORY}{target.relative_to(docs.resolve().parent)})" if outside else link[0]

    return re.sub(r"\]\((\.\./[^)#\s]+)\)", address, page)


def main(docs: Path, out: Path) -> None:
    """Copies the folder `docs` to `out` and adds the reference."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(docs, out, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in out.rglob("*.md"):
        folder = docs / page.relative_to(out).parent
        text = with_outer_links(plain_fences(page.read_text("utf8")), folder, docs)
        page.write_text(with_boost(text, page.relative_to(out).as_posix()), "utf8")
    (out / "reference").mkdir()
    for name, text in pages().items():
        (out / "reference" / name).write_text(text, "utf8")
    print(f"{len(list(out.rglob('*.md')))} pages in {out}")


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    main(root / "docs", root / "build/docs")
