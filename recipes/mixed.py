"""One contrast graph whose edges run four different objectives, over L, ab, depth and normals of the same crop.

accelerate launch recipes/mixed.py --data STORE_OR_FOLDER
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class Mixed(mv.ImageRecipe):
    """A graph of four views: L-ab by CMC, L-depth by MoCo, L-normal by SimCLR (cross-view), depth-normal by SimSiam.

    Args:
        cmc: objective of L-ab.
        moco: objective of L-depth.
        simclr: objective of L-normal.
        simsiam: objective of depth-normal.
    """

    cmc: mv.CMC = mv.CMC(variant="softmax", temperature=0.1)
    moco: mv.MoCo = mv.MoCo(temperature=0.2, momentum=0.99)
    simclr: mv.SimCLR = mv.SimCLR(temperature=0.2, negatives="cross")
    simsiam: mv.SimSiam = mv.SimSiam(dim=512, predictor=128)
    train: mv.Train = mv.Train(epochs=44, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Four aligned views; each edge of the graph has an objective of its own."""
        views = {name: mv.make_view(name, self.crop) for name in ("L", "ab", "depth", "normal")}
        encoders = {name: self.encoder_of(view) for name, view in views.items()}
        edges = (
            mv.Edge("L", "ab", self.cmc),
            mv.Edge("L", "depth", self.moco),
            mv.Edge("L", "normal", self.simclr),
            mv.Edge("depth", "normal", self.simsiam),
        )
        return mv.Setup(views, encoders, mv.ContrastGraph(tuple(views), edges))


if __name__ == "__main__":
    mv.main(Mixed)
