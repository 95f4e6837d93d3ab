"""Four objectives in one contrast graph, over L, ab, depth and normals of the same crop.

accelerate launch -m multiview.recipes.mixed --data scenes
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class Mixed(mv.ImageRecipe):
    """Four views, and a different objective on each of four edges.

    Args:
        cmc: objective between L and ab.
        moco: objective between L and depth.
        simclr: objective between L and normal.
        simsiam: objective between depth and normal.
    """

    cmc: mv.CMC = mv.CMC(variant="softmax", temperature=0.1, draw="auto", start="encoded")
    moco: mv.MoCo = mv.MoCo(temperature=0.2, momentum=0.99)
    simclr: mv.SimCLR = mv.SimCLR(temperature=0.2, negatives="cross")
    simsiam: mv.SimSiam = mv.SimSiam(dim=512, predictor=128)
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """All views show the same crop; each edge of the graph has its own objective."""
        view = mv.GraphView(encoder=self.encoder, encoder_options={"width": self.width})
        edges = (
            mv.GraphEdge(("L", "ab"), self.cmc),
            mv.GraphEdge(("L", "depth"), self.moco),
            mv.GraphEdge(("L", "normal"), self.simclr),
            mv.GraphEdge(("depth", "normal"), self.simsiam),
        )
        views = dict.fromkeys(("L", "ab", "depth", "normal"), view)
        return mv.Graph(views=views, edges=edges, crop=self.crop).setup()


if __name__ == "__main__":
    mv.main(Mixed)
