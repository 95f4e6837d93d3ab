"""Contrasts the pictures of a colour camera and of a thermal camera.

accelerate launch -m multiview_thermal.recipe --data STORE
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class VisibleThermal(mv.Recipe):
    """Visible against thermal: lightness and heat of the same crop, with one encoder each.

    Args:
        encoder: name of the encoder of both views: spots, convnet, or any other.
        width: factor on the number of channels of the encoder.
        size: side of the crops in pixels.
        objective: how the two views are contrasted.
    """

    encoder: str = "spots"
    width: float = 1.0
    size: int = 32
    objective: mv.SimCLR = mv.SimCLR(temperature=0.2, negatives="cross")
    train: mv.Train = mv.Train(epochs=20, batch=64, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Makes the built-in view `L` and our view `heat` of one crop."""
        crop = mv.Crop(size=self.size, scale=(0.6, 1.0))
        views = {name: mv.make_view(name, crop) for name in ("L", "heat")}
        encoders = {name: mv.make_encoder(self.encoder, 1, width=self.width) for name in views}
        return mv.Setup(views, encoders, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(VisibleThermal)
