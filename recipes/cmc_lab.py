"""CMC on Lab (arXiv:1906.05849): lightness against chroma of the same crop.

accelerate launch recipes/cmc_lab.py --data STORE_OR_FOLDER --epochs 240
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class CmcLab(mv.Recipe):
    """CMC on Lab (arXiv:1906.05849): the lightness and the chroma of the same crop, an encoder each, a memory bank each.

    Args:
        encoder: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoder's channels; the paper's resnets have 0.5, 1 and 2.
        size: side of the crops, pixels.
        min_scale: smallest share of the picture that a crop keeps.
        objective: how L and ab are contrasted.
    """

    encoder: str = "convnet"
    width: float = 1.0
    size: int = 32
    min_scale: float = 0.7
    objective: mv.CMC = mv.CMC(variant="softmax", temperature=0.1)
    train: mv.Train = mv.Train(epochs=44, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Views of one crop, so that they are aligned; flips and crops are the only augmentation."""
        crop = mv.Crop(size=self.size, scale=(self.min_scale, 1.0))
        views = {"L": mv.views.Lab.lightness(crop), "ab": mv.views.Lab.chroma(crop)}
        encoders = {
            name: mv.make_encoder(self.encoder, view.channels.count, width=self.width, img_size=self.size)
            for name, view in views.items()
        }
        return mv.Setup(views, encoders, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(CmcLab)
