"""CMC on STL-10 with the settings of the paper (arXiv:1906.05849, Sec. 4.2): L against ab.

multiview preprocess stl10 stl10_binary stores/stl10
accelerate launch -m multiview.recipes.stl10_lab --data stores/stl10
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import multiview as mv

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

NEGATIVES = 16384
"""The paper's."""


@dataclass(frozen=True, kw_only=True)
class Stl10Lab(mv.ImageRecipe):
    """CMC on STL-10 (arXiv:1906.05849, Sec. 4.2): lightness against chroma.

    Trains on the labelled and unlabelled images; the probe uses the labelled ones.

    Args:
        encoder: alexnet, resnet50, or another encoder for images.
        min_scale: smallest share of the image area that a crop covers; the original code has 0.2
            for AlexNet and 0.08 for ResNets.
        objective: the paper has NCE with 16384 negatives from the memory bank, temperature 0.1;
            all other samples where the data has fewer.
    """

    encoder: str = "alexnet"
    size: int = 64
    min_scale: float = 0.2
    objective: mv.Objective = mv.CMC(variant="nce", negatives=NEGATIVES, temperature=0.1, momentum=0.5)
    train: mv.Train = mv.Train(
        epochs=240,
        batch=128,
        optimizer=mv.Optimizer(
            name="sgd", lr=0.03, momentum=0.9, weight_decay=1e-4, schedule="steps", milestones=(120, 160, 200)
        ),
    )

    def for_data(self, store: "Store") -> tuple[mv.Recipe, Sequence[str]]:
        """The recipe with all other samples as negatives, where the paper has more."""
        others, objective = store.count("train") - 1, self.objective
        if not isinstance(objective, mv.CMC) or objective.negatives != NEGATIVES or objective.bank == "split":
            return self, ()
        if others >= NEGATIVES:
            return self, ()
        said = f"negatives: all {others:,} other training samples, which are fewer than the paper's {NEGATIVES:,}."
        return replace(self, objective=replace(objective, negatives=None, draw="all")), (said,)

    def build(self) -> mv.Setup:
        """Both views show the same crop. Crops and flips are the only augmentation."""
        view = mv.GraphView(encoder=self.encoder, encoder_options={"width": self.width})
        return mv.Graph(views={"L": view, "ab": view}, crop=self.crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(Stl10Lab)
