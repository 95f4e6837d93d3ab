"""Six feature tables of the same handwritten digits (UCI Multiple Features), every pair contrasted.

multiview preprocess arrays mfeat6.npz stores/mfeat6
accelerate launch -m multiview.recipes.six_tables --data stores/mfeat6
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import multiview as mv

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

MFEAT = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
"""Columns: profile correlations, Fourier, Karhunen-Loeve, morphology, pixel means, Zernike."""


@dataclass(frozen=True, kw_only=True)
class SixTables(mv.Recipe):
    """Tables against tables: each table is a view with its own encoder.

    Args:
        tables: names of the stored tables and their numbers of columns. Data without these six are
            read by all tables that they hold.
        topology: full (every pair of tables), core (the first table against all others), chain
            (every table against the next), or joint (all at once, with --objective symile).
        encoder: encoder of each table.
        width: factor on the encoder's units.
        objective: how each pair of tables is contrasted.
    """

    tables: dict[str, int] = field(default_factory=lambda: dict(MFEAT))
    topology: str = "full"
    encoder: str = "mlp"
    width: float = 1.0
    objective: mv.Objective = mv.CMC(variant="softmax", temperature=0.1, draw="auto", start="encoded")
    train: mv.Train = mv.Train(epochs=60, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def for_data(self, store: "Store") -> tuple[mv.Recipe, Sequence[str]]:
        """The recipe with the tables of the data, where the usual six are not there."""
        held = {each.name: each.shape[0] for each in store.manifest.modalities if each.kind == "table"}
        if self.tables != MFEAT or len(held) < 2 or not held.keys().isdisjoint(MFEAT):
            return self, ()
        return replace(self, tables=held), (f"tables: {', '.join(held)}.",)

    def build(self) -> mv.Setup:
        """One view per table, without crops or augmentation."""
        table = mv.GraphView(view="table", encoder=self.encoder, encoder_options={"width": self.width})
        views = {
            name: replace(table, modality=name, options={"columns": columns}) for name, columns in self.tables.items()
        }
        return mv.Graph.of(views, self.topology, self.objective).setup()


if __name__ == "__main__":
    mv.main(SixTables)
