"""SimCLR (arXiv:2002.05709): two augmented crops must find each other within the batch.

accelerate launch recipes/simclr.py --data STORE_OR_FOLDER
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class SimClrRecipe(mv.Recipe):
    """SimCLR: two augmented crops of a picture, one encoder and projector, NT-Xent over the batch of all processes.

    Args:
        encoder: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoder's channels.
        size: side of the crops, pixels.
        min_scale: smallest share of the picture that a crop keeps.
        objective: temperature and projector.
    """

    encoder: str = "convnet"
    width: float = 1.0
    size: int = 32
    min_scale: float = 0.3
    objective: mv.SimCLR = mv.SimCLR(temperature=0.5)
    train: mv.Train = mv.Train(
        epochs=44, batch=256, optimizer=mv.Optimizer(name="lars", lr=0.3, per=256, weight_decay=1e-4, warmup=2)
    )

    def build(self) -> mv.Setup:
        """Two independent crops, each with a colour draw of its own; they share one encoder by name."""
        crop = mv.Crop(size=self.size, scale=(self.min_scale, 1.0))
        views = {name: mv.views.rgb(crop.named(name), mv.views.SIMCLR) for name in ("one", "two")}
        encoder = mv.make_encoder(self.encoder, 3, width=self.width, img_size=self.size)
        return mv.Setup(views, {"one": encoder, "two": "one"}, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(SimClrRecipe)
