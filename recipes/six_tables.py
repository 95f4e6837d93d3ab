"""Six feature tables of the same handwritten digits (UCI Multiple Features), every pair contrasted.

multiview preprocess arrays mfeat6.npz stores/mfeat6
accelerate launch -m multiview.recipes.six_tables --data stores/mfeat6
"""

from dataclasses import dataclass, field, replace

import multiview as mv

MFEAT = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
"""Columns: profile correlations, Fourier, Karhunen-Loeve, morphology, pixel means, Zernike."""


@dataclass(frozen=True, kw_only=True)
class SixTables(mv.Recipe):
    """Tables against tables: each table is a view with its own encoder.

    Args:
        tables: names of the stored tables and their numbers of columns.
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

    def build(self) -> mv.Setup:
        """One view per table, without crops or augmentation."""
        table = mv.GraphView(view="table", encoder=self.encoder, encoder_options={"width": self.width})
        views = {
            name: replace(table, modality=name, options={"columns": columns}) for name, columns in self.tables.items()
        }
        return mv.Graph.of(views, self.topology, self.objective).setup()


if __name__ == "__main__":
    mv.main(SixTables)
