"""SimSiam (arXiv:2011.10566): predicts the embedding of one crop from the other, without negatives.

accelerate launch -m multiview.recipes.simsiam --data scenes
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class SimSiamRecipe(mv.ImageRecipe):
    """SimSiam: two augmented crops of an image, one encoder, a projector and a predictor.

    The gradient stops at the predicted embedding. There are no negatives and no momentum encoder.
    The optimiser is SGD, as in the paper: with AdamW the features keep less.

    Args:
        min_scale: smallest share of the image area that a crop covers; the paper has 0.2.
        augment: colour augmentation of each crop, mild: colour may be what matters
            (`multiview.views.SMALL` is for small pictures whose colour does not matter). The paper
            has --brightness 0.4 --contrast 0.4 --saturation 0.4 --hue 0.1 --grey 0.2 --blur 0.5
            (`multiview.views.SIMSIAM`).
        objective: widths of projector and predictor; the paper has 2048 and 512 with resnet50.
    """

    min_scale: float = 0.6
    augment: mv.Augment = mv.views.MILD
    objective: mv.Objective = mv.SimSiam(dim=512, predictor=128)
    train: mv.Train = mv.Train(
        epochs="auto", batch=256, optimizer=mv.Optimizer(name="sgd", lr=0.2, per=256, weight_decay=5e-4, warmup=1)
    )

    def build(self) -> mv.Setup:
        """Two independent crops with independent colours; both views share one encoder."""
        views = {
            "one": mv.GraphView(
                view="rgb",
                crop="one",
                augment=self.augment,
                encoder=self.encoder,
                encoder_options={"width": self.width},
            ),
            "two": mv.GraphView(view="rgb", crop="two", augment=self.augment, share="one"),
        }
        return mv.Graph(views=views, crop=self.crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(SimSiamRecipe)
