"""The settings of papers: graph files that the package brings, which `paper:NAME` names."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from multiview.errors import unknown_name

PREFIX = "paper:"
"""What the name of a paper's graph file begins with on the command line."""


def paper_files() -> dict[str, Path]:
    """The graph files by name, such as `cmc_imagenet`."""
    folder = Path(str(files("multiview.recipes"))) / "paper"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def path_of(word: str) -> Path:
    """The file of `paper:NAME`; the path itself for every other word.

    Raises MultiviewError, with the nearest name, when there is no such paper.
    """
    if not word.startswith(PREFIX):
        return Path(word)
    known, name = paper_files(), word.removeprefix(PREFIX)
    if name not in known:
        raise unknown_name("paper's graph file", name, known, f"Write it as in {PREFIX}cmc_imagenet.")
    return known[name]


def is_graph_file(word: str) -> bool:
    """Whether a word of the command line is a graph file, such as `graph.yaml` or `paper:NAME`."""
    return word.startswith(PREFIX) or word.endswith((".yaml", ".yml")) or (bool(word) and Path(word).is_file())


def about(path: Path) -> str:
    """The first line of a graph file, which says what it trains."""
    return path.read_text("utf8").partition("\n")[0].removeprefix("#").strip()
