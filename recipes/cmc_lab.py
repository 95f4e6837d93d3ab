"""CMC on Lab (arXiv:1906.05849): lightness against chroma of the same crop.

accelerate launch -m multiview.recipes.cmc_lab --data scenes
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class CmcLab(mv.ImageRecipe):
    """CMC on Lab (arXiv:1906.05849): lightness against chroma of the same crop.

    Each of the two views has its own encoder and its own memory bank.

    Args:
        width: factor on the encoder's channels; the paper has 0.5, 1 and 2.
        objective: how L and ab are contrasted.
    """

    objective: mv.Objective = mv.CMC(variant="softmax", temperature=0.1, draw="auto", start="encoded")
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Both views show the same crop. Crops and flips are the only augmentation."""
        view = mv.GraphView(encoder=self.encoder, encoder_options={"width": self.width})
        return mv.Graph(views={"L": view, "ab": view}, crop=self.crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(CmcLab)
