"""MoCo (arXiv:1911.05722; v2: arXiv:2003.04297): a query crop against a queue of momentum keys.

accelerate launch recipes/moco.py --data STORE_OR_FOLDER
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class MoCoRecipe(mv.ImageRecipe):
    """MoCo: two augmented crops of a picture, one encoder, a momentum copy of it for the keys, a queue of keys.

    Args:
        min_scale: smallest share of the picture that a crop keeps; the papers have 0.2.
        augment: colour changes of each crop; v2's is `multiview.views.MOCO_V2`: --brightness 0.4 --contrast 0.4 --saturation 0.4
            --hue 0.1 --grey 0.2 --blur 0.5; v1's is `MOCO_V1`.
        objective: queue, temperature, momentum of the keys (papers: 65536, 0.07 or v2's 0.2, 0.999).
    """

    min_scale: float = 0.6
    augment: mv.Augment = mv.views.SMALL
    objective: mv.Objective = mv.MoCo(temperature=0.2, momentum=0.99, mlp=True, symmetric=False)
    train: mv.Train = mv.Train(epochs=44, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Two independent crops; the key view shares the query's encoder by name."""
        views = {name: mv.views.rgb(self.crop.named(name), self.augment) for name in ("query", "key")}
        encoder = self.encoder_of(views["query"])
        return mv.Setup(views, {"query": encoder, "key": "query"}, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(MoCoRecipe)
