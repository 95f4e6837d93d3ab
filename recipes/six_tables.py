"""Six descriptions of the same handwritten digits (UCI Multiple Features), every pair contrasted.

multiview preprocess arrays mfeat6.npz stores/mfeat6
accelerate launch recipes/six_tables.py --data stores/mfeat6
"""

from dataclasses import dataclass, field

import multiview as mv

MFEAT = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
"""Profile correlations, Fourier coefficients, Karhunen-Loeve coefficients, morphology, pixel means, Zernike moments."""


@dataclass(frozen=True, kw_only=True)
class SixTables(mv.Recipe):
    """Tables against tables: each is a view with an encoder of its own; by default the six of UCI Multiple Features.

    Args:
        tables: the stored tables and how many columns each has.
        topology: full (every pair), core (the first against all others), chain, or joint (one hyperedge, with
            --objective symile).
        encoder: of every table.
        width: factor on the encoder's units.
        objective: how every edge is contrasted.
    """

    tables: dict[str, int] = field(default_factory=lambda: dict(MFEAT))
    topology: str = "full"
    encoder: str = "mlp"
    width: float = 1.0
    objective: mv.Objective = mv.CMC(variant="softmax", temperature=0.1)
    train: mv.Train = mv.Train(epochs=60, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """A view a table; nothing is cropped or augmented: the views are all there is to contrast."""
        views = {
            name: mv.make_view("table", mv.Crop(), modality=name, columns=columns)
            for name, columns in self.tables.items()
        }
        encoders = {
            name: mv.make_encoder(self.encoder, view.channels.count, width=self.width) for name, view in views.items()
        }
        return mv.Setup(views, encoders, mv.ContrastGraph.of(self.topology, views, self.objective))


if __name__ == "__main__":
    mv.main(SixTables)
