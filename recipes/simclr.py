"""SimCLR (arXiv:2002.05709): two augmented crops must find each other within the batch.

accelerate launch recipes/simclr.py --data STORE_OR_FOLDER
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class SimClrRecipe(mv.ImageRecipe):
    """SimCLR: two augmented crops of a picture, one encoder and projector, NT-Xent over the batch of all processes.

    Args:
        min_scale: smallest share of the picture that a crop keeps; the paper has 0.08.
        augment: colour changes of each crop; the paper's is `multiview.views.SIMCLR`: --hue 0.2 --grey 0.2 --blur 0.5.
        objective: temperature (the paper: 0.5, or 0.1 for long runs) and projector.
    """

    min_scale: float = 0.6
    augment: mv.Augment = mv.views.SMALL
    objective: mv.Objective = mv.SimCLR(temperature=0.2)
    train: mv.Train = mv.Train(epochs=44, batch=256, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Two independent crops, each with a colour draw of its own; they share one encoder by name."""
        views = {name: mv.views.rgb(self.crop.named(name), self.augment) for name in ("one", "two")}
        encoder = self.encoder_of(views["one"])
        return mv.Setup(views, {"one": encoder, "two": "one"}, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(SimClrRecipe)
