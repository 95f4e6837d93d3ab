"""CoMM (arXiv:2410.07838): all views of a sample fused, under two crops, and each view alone.

accelerate launch -m multiview.recipes.comm --data scenes
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class CommRecipe(mv.ImageRecipe):
    """CoMM: all views of a sample fused, under two crops, and each view alone.

    Features keep what the views share, what one view has alone, and what only several show
    together. A sample may lack a view.

    Args:
        views: two or more of rgb, L, ab, depth and normal, or other installed views;
            options may follow the name, as in depth:modality=distance or left=rgb:left_camera.
        min_scale: smallest share of the image area that a crop covers. Crops and flips are the only
            augmentation.
        objective: temperature, how features are fused (mlp, mlp+linear, mlp+features or
            attention), and the weight of the views alone.
    """

    views: tuple[str, ...] = ("rgb", "depth", "normal")
    min_scale: float = 0.6
    objective: mv.Objective = mv.CoMM(temperature=0.2)
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """One edge of all views; its objective draws each of them twice."""
        views = mv.GraphView.named(self.views, encoder=self.encoder, encoder_options={"width": self.width})
        return mv.Graph.of(views, "joint", self.objective, self.crop).setup()


if __name__ == "__main__":
    mv.main(CommRecipe)
