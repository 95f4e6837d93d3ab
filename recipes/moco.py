"""MoCo (arXiv:1911.05722; v2: arXiv:2003.04297): a query crop is contrasted with a queue of keys.

accelerate launch -m multiview.recipes.moco --data scenes
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class MoCoRecipe(mv.ImageRecipe):
    """MoCo: two augmented crops of an image, the query and the key.

    The encoder computes the query, the key encoder (a momentum copy) the key. The negatives are a
    queue of earlier keys.

    Args:
        min_scale: smallest share of the image area that a crop covers; the papers have 0.2.
        augment: colour augmentation of each crop, mild: colour may be what matters
            (`multiview.views.SMALL` is for small pictures whose colour does not matter). MoCo v2
            has --brightness 0.4 --contrast 0.4 --saturation 0.4 --hue 0.1 --grey 0.2 --blur 0.5
            (`multiview.views.MOCO_V2`); MoCo v1 is `multiview.views.MOCO_V1`.
        objective: queue, temperature, key momentum; the papers have 65536, 0.07 (v2: 0.2), 0.999.
    """

    min_scale: float = 0.6
    augment: mv.Augment = mv.views.MILD
    objective: mv.Objective = mv.MoCo(temperature=0.2, momentum=0.99, mlp=True, symmetric=False)
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Two independent crops; both views share one encoder."""
        views = {
            "query": mv.GraphView(
                view="rgb",
                crop="query",
                augment=self.augment,
                encoder=self.encoder,
                encoder_options={"width": self.width},
            ),
            "key": mv.GraphView(view="rgb", crop="key", augment=self.augment, share="query"),
        }
        return mv.Graph(views=views, crop=self.crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(MoCoRecipe)
