"""SimCLR (arXiv:2002.05709): two augmented crops of an image; the negatives are the batch.

accelerate launch -m multiview.recipes.simclr --data scenes
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class SimClrRecipe(mv.ImageRecipe):
    """SimCLR: two augmented crops of an image, one encoder and projector.

    The loss is NT-Xent over the batch of all processes.

    Args:
        min_scale: smallest share of the image area that a crop covers; the paper has 0.08.
        augment: colour augmentation of each crop, mild: colour may be what matters. The paper has
            --brightness 0.8 --contrast 0.8 --saturation 0.8 --hue 0.2 --grey 0.2 --blur 0.5
            (`multiview.views.SIMCLR`). Where colour does not matter and pictures are small,
            --hue 0.5 --grey 0.3 with these strengths (`multiview.views.SMALL`) keeps the shape.
        objective: temperature (the paper has 0.5, and 0.1 for long runs) and projector.
    """

    min_scale: float = 0.6
    augment: mv.Augment = mv.views.MILD
    objective: mv.Objective = mv.SimCLR(temperature=0.2)
    train: mv.Train = mv.Train(epochs="auto", batch=256, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

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
    mv.main(SimClrRecipe)
