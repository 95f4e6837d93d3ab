"""The command that draws a graph: views, encoders, edges and memories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError
from multiview.exits import DONE
from multiview.files import replace_text
from multiview.launch import parse_named
from multiview.recipe import Recipe, Setup
from multiview.recipe_origin import recipe_of
from multiview.runs import environment
from multiview.train.runfolder import CONFIG

if TYPE_CHECKING:
    from multiview.graphs.facts import Facts


def draw(name: str, words: Sequence[str]) -> int:
    """multiview graph GRAPH [--svg OUT.svg] [options]: draws what a run would contrast.

    name: a graph file, a run folder, or a recipe.
    """
    svg, rest = _without_svg(words)
    recipe, exact = recipe_named(name, rest)
    setup = _setup_of_run(Path(name))
    facts = facts_with_data(recipe, setup) if exact else facts_without_data(recipe, setup)
    _show(facts)
    if not exact:
        print("\nAxes with a name, and bytes per sample, depend on the data; --data DATA gives the numbers.")
    if svg is not None:
        _write(svg, facts)
    return DONE


def _write(svg: str, facts: Facts) -> None:
    from multiview.graphs.picture import svg_of

    try:
        replace_text(Path(svg), svg_of(facts))
    except OSError as cause:
        raise MultiviewError(f"{svg} cannot be written: {cause}; give another --svg.") from cause
    print(f"\nwritten: {svg}")


def _without_svg(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of --svg, and the other words."""
    rest, svg, left = [], None, list(words)
    while left:
        word = left.pop(0)
        if word.startswith("--svg="):
            svg = word.partition("=")[2]
        elif word == "--svg" and left and not left[0].startswith("--"):
            svg = left.pop(0)
        elif word == "--svg":
            raise MultiviewError("--svg needs a value; give the file to write, as in --svg graph.svg.")
        else:
            rest.append(word)
    return svg, rest


def recipe_named(name: str, words: Sequence[str]) -> tuple[Recipe, bool]:
    """The recipe that a file, a run folder or a name gives, and whether its data is to be read."""
    exact = any(word == "--data" or word.startswith("--data=") for word in words)
    prog = f"multiview graph {name}"
    if (Path(name) / CONFIG).is_file():
        if words:
            raise MultiviewError(f"{name} is a run, whose graph has no further options; leave out {words[0]}.")
        from multiview.data.load.memory import SPEC as MEMORY

        recipe = recipe_of(Path(name))
        return recipe, recipe.data != MEMORY
    return parse_named(name, words, prog), exact


def _setup_of_run(folder: Path) -> Setup | None:
    """The setup that `mv.fit` recorded in a run folder; None where a recipe builds it."""
    from multiview.setup_record import setup_from, with_initial

    if not (folder / CONFIG).is_file() or environment(folder)["recipe"] is not None:
        return None
    return with_initial(setup_from(folder), folder)


def facts_without_data(recipe: Recipe, setup: Setup | None = None) -> Facts:
    """The facts of a recipe, or of the setup of a run; what depends on the data says so."""
    from multiview.graphs.facts import facts_of
    from multiview.model import MultiviewModel

    setup = setup or recipe.build()
    return facts_of(setup, MultiviewModel(setup.encoders, setup.graph))


def facts_with_data(recipe: Recipe, setup: Setup | None = None) -> Facts:
    """The facts of a recipe, or of the setup of a run, on its data, prepared when it is not yet."""
    from multiview.graphs.facts import facts_of
    from multiview.setup import example_tensors
    from multiview.train.prepare import prepare

    prepared = prepare(recipe, setup)
    shapes = {name: tuple(x.shape[1:]) for name, x in example_tensors(prepared.samples, prepared.setup).items()}
    return facts_of(prepared.setup, prepared.model, shapes, prepared.memories)


def _tables(facts: Facts) -> dict[str, tuple[str, list[tuple[str, ...]]]]:
    """Columns and rows of the three tables, by title."""
    views = [(v.name, v.reads, v.channels, v.shape, v.crop) for v in facts.views]
    encoders = [
        (e.kind, ", ".join(e.views), str(e.features), f"{e.parameters:,}", e.learns or "full") for e in facts.encoders
    ]
    edges = [(e.name, e.objective, e.options, e.weight, "\n".join(e.memories)) for e in facts.edges]
    return {
        "Views": ("view reads channels tensor draw", list(views)),
        "Encoders": ("encoder views h parameters learns", list(encoders)),
        "Edges": ("edge objective options weight memories", list(edges)),
    }


def _show(facts: Facts) -> None:
    from rich.table import Column, Table

    from multiview.terminal import SafeConsole
    from multiview.train.prepare import PLAIN_WIDTH

    console = SafeConsole()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    for title, (columns, rows) in _tables(facts).items():
        heads = (Column(column, overflow="fold") for column in columns.split())
        table = Table(*heads, box=None, padding=(0, 2), header_style="dim")
        for row in rows:
            table.add_row(*row)
        console.print(f"\n{title}", style="bold")
        console.print(table)
