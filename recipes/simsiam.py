"""SimSiam (arXiv:2011.10566): predict one crop's embedding from the other's; no negatives, no momentum.

accelerate launch recipes/simsiam.py --data STORE_OR_FOLDER
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class SimSiamRecipe(mv.ImageRecipe):
    """SimSiam: two augmented crops of a picture, one encoder, a projector with batch norm, a predictor, a stop-gradient.

    Args:
        min_scale: smallest share of the picture that a crop keeps; the paper has 0.2.
        augment: colour changes of each crop; the paper's is `multiview.views.SIMSIAM`: --brightness 0.4 --contrast 0.4
            --saturation 0.4 --hue 0.1 --grey 0.2 --blur 0.5.
        objective: widths of projector and predictor (the paper: 2048 and 512 on resnet50).
    """

    min_scale: float = 0.6
    augment: mv.Augment = mv.views.SMALL
    objective: mv.Objective = mv.SimSiam(dim=512, predictor=128)
    train: mv.Train = mv.Train(epochs=44, batch=256, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Two independent crops, each with a colour draw of its own; they share one encoder by name."""
        views = {name: mv.views.rgb(self.crop.named(name), self.augment) for name in ("one", "two")}
        encoder = self.encoder_of(views["one"])
        return mv.Setup(views, {"one": encoder, "two": "one"}, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(SimSiamRecipe)
