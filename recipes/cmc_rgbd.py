"""CMC on RGB-D (arXiv:1906.05849, Sec. 4.3): L, ab, depth and surface normals of the same crop.

accelerate launch -m multiview.recipes.cmc_rgbd --data scenes --topology full
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class CmcRgbd(mv.ImageRecipe):
    """CMC on RGB-D (arXiv:1906.05849, Sec. 4.3): two to four views of the same crop.

    Each view has its own encoder and its own memory bank.

    Args:
        views: two or more of L, ab, depth and normal, or other installed views;
            options may follow the name, as in depth:modality=distance or left=rgb:left_camera.
        topology: full (every pair of views), core (the first view against all others), chain
            (every view against the next), or joint (all views at once, with --objective symile).
        objective: how each pair of views is contrasted.
    """

    views: tuple[str, ...] = ("L", "ab", "depth", "normal")
    topology: str = "full"
    objective: mv.Objective = mv.CMC(variant="softmax", temperature=0.1, draw="auto", start="encoded")
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """All views show the same crop. Crops and flips are the only augmentation."""
        views = mv.GraphView.named(self.views, encoder=self.encoder, encoder_options={"width": self.width})
        return mv.Graph.of(views, self.topology, self.objective, self.crop).setup()


if __name__ == "__main__":
    mv.main(CmcRgbd)
