"""The model: what is shared, what is refused, and which rows reach an encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from multiview.encoder import Encoder
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph, Edge, HyperEdge
from multiview.model import MultiviewModel
from multiview.objectives import CMC, MoCo, SigLIP, SimCLR, SimSiam, Symile


class Tiny(Encoder):
    """(n, 3) -> (n, 4), with batch norm; counts its passes."""

    axes = ("channels",)

    def __init__(self) -> None:
        super().__init__(3, 4, ("h",))
        self.h = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor, layer: str | None = None) -> torch.Tensor:
        self.seen.append(len(x))
        return super().forward(x, layer)


def model_of(*edges: Edge | HyperEdge, **shared: str) -> MultiviewModel:
    views = tuple(dict.fromkeys(view for edge in edges for view in edge.views))
    return MultiviewModel({v: shared.get(v) or Tiny() for v in views}, ContrastGraph(views, edges))


def batch(rows: int, *views: str) -> dict[str, torch.Tensor]:
    return {view: torch.randn(rows, 3, generator=torch.Generator().manual_seed(7)) for view in views}


def test_each_view_is_encoded_once_whatever_its_edges_and_only_its_rows() -> None:
    model = model_of(
        Edge("x", "y", CMC(dim=8)), Edge("x", "y", SimSiam(dim=8)), HyperEdge(("x", "y", "z"), Symile(dim=8))
    )
    present = {"x": torch.arange(6) > 1, "y": torch.ones(6, dtype=torch.bool), "z": torch.zeros(6, dtype=torch.bool)}
    found = model(batch(6, *"xyz"), present)
    assert [model.encoder(view).seen for view in "xyz"] == [[4], [6], [1]]
    assert {view: sum(v == view for v, _ in found.z) for view in "xyz"} == {"x": 3, "y": 3, "z": 1}
    for (view, *_), value in (*found.z.items(), *found.p.items()):
        assert (value[~present[view]] == 0).all()
        assert value[present[view]].abs().sum() > 0 or view == "z"


def test_every_parameter_has_a_gradient_whatever_is_missing() -> None:
    model = model_of(Edge("x", "y", SigLIP(dim=8)), Edge("y", "z", SimSiam(dim=8)))
    missing = torch.zeros(4, dtype=torch.bool)
    found = model(batch(4, *"xyz"), {"x": ~missing, "y": missing, "z": torch.arange(4) == 1})
    everything = [*found.z.values(), *found.p.values(), *found.scalars["x-y"].values()]
    torch.stack([value.sum() for value in everything]).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all((p.grad == 0).all() for p in model.encoder("y").parameters())


def test_scalars_belong_to_their_edge() -> None:
    model = model_of(
        Edge("x", "y", SigLIP(dim=8)), Edge("y", "z", SigLIP(dim=8, bias=-3.0)), Edge("x", "z", SimCLR(dim=8))
    )
    scalars = model(batch(4, *"xyz")).scalars
    assert {name: of["bias"].item() for name, of in scalars.items()} == {"x-y": -10, "y-z": -3}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: model_of(Edge("x", "y", MoCo(symmetric=False))),
            "no edge trains the encoder or projector of view 'y'",
        ),
        (
            lambda: model_of(Edge("x", "y", MoCo(symmetric=False, mlp=True)), Edge("x", "y", CMC())),
            "no edge trains the encoder or projector of view 'y'",
        ),
        (lambda: model_of(Edge("x", "y", CMC()), y="z"), "'z' is not a view with an encoder of its own"),
        (lambda: MultiviewModel({"x": Tiny()}, ContrastGraph.full(("x", "y"), CMC())), "view 'y' has no encoder"),
    ],
)
def test_what_could_not_learn_is_refused(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()


MEMBERS = ["values", "keys", "items", "pop", "update", "clear", "type", "train", "training", "forward", "_modules"]


@pytest.mark.parametrize("name", MEMBERS)
def test_a_view_may_have_the_name_of_a_member_of_modules(name: str) -> None:
    model = model_of(Edge(name, "b", MoCo(queue=8)), Edge(name, "c", CMC(negatives=4)))
    model.train().eval().double().float()
    z = model(batch(4, name, "b", "c")).z
    assert {view for view, _ in z} == {name, "b", "c"}
    again = model_of(Edge(name, "b", MoCo(queue=8)), Edge(name, "c", CMC(negatives=4)))
    again.load_state_dict(model.state_dict())
    assert list(again.own_encoders()) == [name, "b", "c"]


def test_other_names_are_the_keys_of_the_weights() -> None:
    keys = model_of(Edge("L", "ab", SimCLR())).state_dict()
    assert {key.split(".")[1] for key in keys if key.startswith("encoders.")} == {"L", "ab"}


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a/b", "L-ab"])
def test_other_signs_in_a_name_are_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(MultiviewError, match=rf"^'{name}' is not a name for a view; use letters, digits and"):
        model_of(Edge(name, "b", SimCLR()))
