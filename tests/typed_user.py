"""A user's script, which is checked by mypy --strict and never run: every public name, typed.

`assert_type` says what a type checker knows, and fails for an expression of the type `Any`.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import multiview as mv

# Views and encoders.
crop = mv.Crop(size=32, scale=(0.2, 1.0))
augment = mv.Augment()
lightness = assert_type(mv.make_view("L", crop, augment=augment), mv.View)
chroma = assert_type(mv.views.Lab.chroma(crop), mv.View)
assert_type(lightness.channels, mv.Channels)
assert_type(mv.views.rgb(crop), mv.View)
encoder = assert_type(mv.make_encoder("convnet", 1, width=0.25), mv.Encoder)
assert_type(encoder(torch.zeros(2, 1, 32, 32)), Tensor)
assert_type(encoder.features, int)
convnet: mv.Encoder = mv.encoders.ConvNet(2)

# Objectives and graphs.
objectives: list[mv.Objective] = [
    mv.BYOL(),
    mv.BarlowTwins(),
    mv.CMC(temperature=0.1),
    mv.CoMM(),
    mv.GRAM(),
    mv.MoCo(momentum=0.99),
    mv.NNCLR(),
    mv.SigLIP(),
    mv.SimCLR(),
    mv.SimSiam(),
    mv.SupCon(),
    mv.Symile(),
    mv.VICReg(),
]
edge = mv.Edge("L", "ab", mv.CMC(), weight=0.5, schedule=mv.Schedule(weight=(0.0, 1.0), until=0.5))
joint = mv.HyperEdge(("L", "ab"), mv.GRAM())
contrast = mv.ContrastGraph(("L", "ab"), (edge, joint))
assert_type(mv.ContrastGraph.full(("L", "ab"), mv.SimCLR()), mv.ContrastGraph)
words = mv.Graph(
    views={"L": mv.GraphView(view="L", modality="image"), "ab": mv.GraphView(view="ab", modality="image")},
    edges=(mv.GraphEdge(views=("L", "ab"), objective=mv.SimCLR()),),
)
setup = mv.Setup({"L": lightness, "ab": chroma}, {"L": encoder, "ab": convnet}, contrast, {"L": mv.Tuning()})

# Training from Python, and as a recipe.
train = mv.Train(epochs=2, batch=64, optimizer=mv.Optimizer(name="adamw", lr=1e-3))
try:
    trained = assert_type(mv.fit(setup, data="stores/photos", out=Path("runs/mine"), train=train), mv.Trained)
except mv.Stopped as stop:
    half: mv.Trained | None = stop.trained
except mv.MultiviewError as mistake:
    print(str(mistake))
assert_type(mv.fit(setup, data={"image": np.zeros((4, 8, 8, 3), np.uint8)}), mv.Trained)
recipe = mv.Recipe(data="scenes", train=train)
assert_type(recipe.data, str)


class Mine(mv.ImageRecipe):
    """A recipe."""

    def build(self, store: mv.Store | None = None) -> mv.Setup:
        """The setup."""
        return setup


if Path("never").exists():
    mv.main(Mine, ["--epochs", "1"])

# Results.
store = assert_type(mv.Store.open("stores/photos"), mv.Store)
assert_type(len(store), int)
assert_type(store.ids, list[str])
again: mv.Trained = mv.load("runs/mine")
model: mv.PortableModel = mv.load("runs/mine/model")
assert_type(mv.load("runs/mine").steps, int)
assert_type(again.steps, int)
assert_type(again.encoder("L"), mv.Encoder)
assert_type(again.embed("test").features, dict[str, NDArray[np.float32]])
assert_type(model["L"](np.zeros((2, 32, 32, 3), np.uint8)), Tensor)
assert_type(model.z["L"](["a", "b"]), Tensor)
assert_type(model.embed("photos")["L"], NDArray[np.float32])
assert_type(model.views, tuple[str, ...])
exported = mv.export_view(model, "L", to="onnx", out="L.onnx")
assert_type(exported.path, Path)

# Losses in a loop of one's own.
a, b = torch.zeros(4, 8), torch.zeros(4, 8)
assert_type(mv.losses.nt_xent(a, b, temperature=0.1), Tensor)
assert_type(mv.losses.vicreg(a, b), Tensor)
loss = mv.PairLoss(mv.MoCo(), samples=100, dim=8)
assert_type(loss.objective, mv.Objective)
key = mv.KeyEncoder(encoder, momentum=0.99)
assert_type(key.update(), None)
