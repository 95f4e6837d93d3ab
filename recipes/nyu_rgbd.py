"""CMC on NYU Depth v2 (arXiv:1906.05849, Sec. 4.3): L, ab, depth and normals of indoor scenes.

multiview preprocess nyuv2 nyu_depth_v2_labeled.mat stores/nyu
accelerate launch -m multiview.recipes.nyu_rgbd --data stores/nyu --out runs/nyu
multiview evaluate runs/nyu --segment mask --layer layer3
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class NyuRgbd(mv.ImageRecipe):
    """CMC on NYU Depth v2 (arXiv:1906.05849, Sec. 4.3): four views of the same patch.

    Args:
        views: two or more of L, ab, depth and normal, or other installed views;
            options may follow the name, as in depth:modality=distance or left=rgb:left_camera.
        topology: full (every pair of views), core (the first view against all others), chain
            (every view against the next), or joint (all views at once, with --objective symile).
        size: side of the patches in pixels; the paper cuts 128 from 480 x 640.
        min_scale: smallest share of the image area that a patch covers.
        max_scale: largest share of the image area that a patch covers.
        objective: how each pair of views is contrasted.
    """

    views: tuple[str, ...] = ("L", "ab", "depth", "normal")
    topology: str = "full"
    encoder: str = "resnet18"
    width: float = 0.5
    size: int = 128
    min_scale: float = 0.05
    max_scale: float = 0.3
    objective: mv.Objective = mv.CMC(variant="softmax", temperature=0.07)
    train: mv.Train = mv.Train(epochs=200, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=5))

    def build(self) -> mv.Setup:
        """All views show the same patch. Crops and flips are the only augmentation."""
        crop = mv.Crop(size=self.size, scale=(self.min_scale, self.max_scale))
        views = mv.GraphView.named(self.views, encoder=self.encoder, encoder_options={"width": self.width})
        return mv.Graph.of(views, self.topology, self.objective, crop).setup()


if __name__ == "__main__":
    mv.main(NyuRgbd)
