"""Any data: chooses views, encoders, edges and budget from what the data hold, and trains them.

multiview train auto --data FOLDER
accelerate launch -m multiview.recipes.auto --data FOLDER
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import multiview as mv
from multiview.graphs.auto_words import chosen_for, options_of_auto
from multiview.graphs.writing import plain_parts
from multiview.recipe_origin import recipe_of
from multiview.recipes.graph import GraphRecipe

if TYPE_CHECKING:
    from multiview.data.store.reading import Store


@dataclass(frozen=True, kw_only=True)
class Auto(GraphRecipe):
    """Any data: chooses views, encoders, edges and budget from what the data hold, and says why.

    --plan prints the chosen graph as a graph file (`docs/auto.md`). The options of the recipe
    `graph`, such as --views, --edges, --topology, --objective, --crop.size and --train.epochs,
    replace what would be chosen. The run is one of the recipe `graph`: its config.yaml holds the
    graph, so that later versions of these rules do not change it.

    Args:
        given: options that stay as they are, also where they have their usual values, such as
            [train.batch]; the words of the command line are added.
    """

    given: tuple[str, ...] = ()

    @classmethod
    def as_options(cls, words: Sequence[str]) -> list[str]:
        """The words about the graph as the option `given`."""
        return options_of_auto(cls, words)

    def for_data(self, store: "Store") -> tuple[mv.Recipe, tuple[str, ...]]:
        """The recipe `graph` with all that is chosen for a store, and the lines that say why."""
        shared = {each.name: getattr(self, each.name) for each in fields(GraphRecipe)}
        if self.resume and self.out and not self.views:
            run = recipe_of(Path(self.out))
            return replace(run, out=self.out, resume=True, plan=self.plan, evaluate=self.evaluate), ()
        if self.views and self.edges:
            return GraphRecipe(**shared), ()
        graph, train, text, lines = chosen_for(self, store)
        views, edges = plain_parts(graph.views, graph.edges)
        chosen = {"crop": graph.crop, "views": views, "edges": edges, "topology": None, "train": train}
        said = (*lines, *(("", "The graph file:", "", *text.splitlines()) if self.plan else ()))
        return GraphRecipe(**shared | chosen), said

    def build(self) -> mv.Setup:
        """Raises MultiviewError: the views depend on the data. A run calls `for_data` first."""
        if self.views:
            return super().build()
        raise mv.MultiviewError(
            "the recipe auto chooses its views when it has read the data; give --data, and --plan to see the graph."
        )


if __name__ == "__main__":
    mv.main(Auto)
