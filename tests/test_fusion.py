"""The fusion head against formulas by hand in float64, for every subset of the views."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import objective_cases
import pytest
import torch
from small_runs import assert_same_end
from torch import Tensor
from torch.nn.functional import gelu, layer_norm
from trials import SAMPLES, trial

import multiview as mv
from multiview.fusion import FusedHead
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.needs import Fusion, Head

WIDTHS = {"a": 3, "b": 5, "c": 4}
SUBSETS = [views for size in (1, 2, 3) for views in combinations(WIDTHS, size)]
ROWS = 4


def head_of(kind: str) -> FusedHead:
    torch.manual_seed(0)
    head = FusedHead(WIDTHS, Head(dim=6, layers=2, bias=False, fusion=Fusion(kind=kind, width=8, views=tuple(WIDTHS))))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return head.double()


def features() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {view: torch.randn(ROWS, width, dtype=torch.float64, generator=generator) for view, width in WIDTHS.items()}


def normed(head: FusedHead, h: dict[str, Tensor], view: str) -> Tensor:
    norm = head.norms[list(WIDTHS).index(view)]
    x = h[view]
    centred = x - x.mean(1, keepdim=True)
    return centred / torch.sqrt(x.var(1, unbiased=False, keepdim=True) + 1e-5) * norm.weight + norm.bias


def side_by_side(head: FusedHead, h: dict[str, Tensor], subset: tuple[str, ...]) -> Tensor:
    parts = [
        normed(head, h, view) if view in subset else head.mix.missing[i].expand(ROWS, -1)
        for i, view in enumerate(WIDTHS)
    ]
    return torch.cat(parts, 1)


def mlp_by_hand(head: FusedHead, h: dict[str, Tensor], subset: tuple[str, ...]) -> Tensor:
    first, _, last = head.mix.layers
    hidden = (side_by_side(head, h, subset) @ first.weight.T + first.bias).clamp(min=0)
    return hidden @ last.weight.T + last.bias


def mlp_linear_by_hand(head: FusedHead, h: dict[str, Tensor], subset: tuple[str, ...]) -> Tensor:
    mixed = mlp_by_hand(head, h, subset)
    assert mixed.shape == (ROWS, 4)
    return torch.cat([mixed, side_by_side(head, h, subset) @ head.mix.linear.weight.T], 1)


def mlp_features_by_hand(head: FusedHead, h: dict[str, Tensor], subset: tuple[str, ...]) -> Tensor:
    """The features as they are, then the numbers of the MLP."""
    x = side_by_side(head, h, subset)
    assert head.width == x.shape[1] + 8
    return torch.cat([x, mlp_by_hand(head, h, subset)], 1)


def attention_by_hand(head: FusedHead, h: dict[str, Tensor], subset: tuple[str, ...]) -> Tensor:
    """One block of a transformer (arXiv:2002.04745, norm first) that only the query leaves."""
    mix, block, width = head.mix, head.mix.block, 8
    tokens = [mix.query[0].expand(ROWS, -1)]
    tokens += [mix.tokens[list(WIDTHS).index(view)](normed(head, h, view)) for view in subset]
    x = torch.stack(tokens, 1)
    y = layer_norm(x, (width,), block.norm1.weight, block.norm1.bias)
    q, k, v = (y @ block.self_attn.in_proj_weight.T + block.self_attn.in_proj_bias).split(width, 2)
    mixed = []
    for part in range(4):
        own = slice(2 * part, 2 * part + 2)
        scores = torch.einsum("nd,ntd->nt", q[:, 0, own], k[:, :, own]) / 2**0.5
        mixed.append(torch.einsum("nt,ntd->nd", scores.softmax(1), v[:, :, own]))
    out = x[:, 0] + block.self_attn.out_proj(torch.cat(mixed, 1))
    hidden = gelu(block.linear1(layer_norm(out, (width,), block.norm2.weight, block.norm2.bias)))
    return layer_norm(out + block.linear2(hidden), (width,), mix.norm.weight, mix.norm.bias)


BY_HAND = {
    "mlp": mlp_by_hand,
    "mlp+linear": mlp_linear_by_hand,
    "mlp+features": mlp_features_by_hand,
    "attention": attention_by_hand,
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
@pytest.mark.parametrize("kind", BY_HAND)
def test_every_subset_equals_the_formula(kind: str, subset: tuple[str, ...], training: bool) -> None:
    head, h = head_of(kind).train(training), features()
    found = head.features({view: h[view] for view in subset})
    assert torch.allclose(found, BY_HAND[kind](head, h, subset), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_row_without_a_view_is_fused_as_if_the_view_were_not_given(kind: str) -> None:
    head, h = head_of(kind), features()
    present = {view: torch.arange(ROWS) != i for i, view in enumerate(WIDTHS)}
    found = head(h, present)
    for row in range(ROWS):
        alone = head({view: x[row : row + 1] for view, x in h.items() if present[view][row]})
        assert torch.allclose(found[row], alone[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", BY_HAND)
def test_every_parameter_gets_a_gradient_though_a_view_is_in_no_row(kind: str) -> None:
    """Otherwise a process without the view would wait for ever for the others."""
    head, h = head_of(kind), features()
    present = {view: torch.full((ROWS,), view != "b") for view in WIDTHS}
    head(h, present).sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", BY_HAND)
def test_the_loss_of_a_batch_with_absent_views_is_that_by_hand(kind: str) -> None:
    """From view tensors to the loss: each term on the samples that have both of its sides."""
    made = trial(mv.CoMM(fusion=kind, width=8, dim=5, temperature=0.3, alone=0.7), missing=True)
    batch = made.batches[0]
    model = made.model.double()
    memories = Memories(model, model.graph, SAMPLES, 0)
    present = {name: batch.present[view.modality] for name, view in made.views.items()}
    embeddings = model({name: batch.crops["crop"][name].double() for name in made.views}, present)
    (edge,) = memories.edge_inputs(embeddings, {}, batch.index, present, 1)
    assert edge.present.tolist() == (present["a"] | present["b"]).tolist()
    assert not (present["a"] & present["b"]).all()
    found = model.graph.edges[0].objective.scored(edge)
    assert torch.allclose(found.loss, objective_cases.comm(edge, 0.3, 0.7), rtol=1e-12)


def test_two_edges_of_other_views_have_fusions_of_their_own() -> None:
    crops = {"a": mv.make_encoder("mlp", 4), "b": mv.make_encoder("mlp", 4), "c": mv.make_encoder("mlp", 4)}
    twice = {**crops, **{f"{name}_2": name for name in crops}}
    edges = (
        mv.HyperEdge(("a", "b", "a_2", "b_2"), mv.CoMM(dim=8, width=8)),
        mv.HyperEdge(("b", "c", "b_2", "c_2"), mv.CoMM(dim=8, width=8)),
    )
    model = MultiviewModel(twice, mv.ContrastGraph(tuple(twice), edges))
    assert [name.rpartition("_")[2] for name in model.fusions] == ["a+b", "b+c"]
    x = {name: torch.randn(3, 4) for name in twice}
    assert {name for name, _ in model(x).z} == {*twice, "a+b", "a_2+b_2", "b+c", "b_2+c_2"}


WORDS = """
crop: {size: 16}
views: {L: {width: 0.25}, depth: {width: 0.25}, ab: {width: 0.25}}
"""


def test_a_graph_file_draws_every_view_of_the_edge_twice() -> None:
    graph = mv.Graph.from_yaml(f"{WORDS}edges: [{{L - depth - ab: {{objective: comm, fusion: attention}}}}]")
    setup = graph.setup()
    assert setup.graph.edges[0].views == ("L", "depth", "ab", "L_2", "depth_2", "ab_2")
    assert {name: view.crop.name for name, view in setup.views.items()} == {
        name: "crop_2" if name.endswith("_2") else "crop" for name in setup.views
    }
    assert mv.Graph.from_yaml(graph.to_yaml()) == graph
    assert mv.Graph.from_yaml(f"{WORDS}objective: comm").setup().graph.names() == setup.graph.names()


def test_views_with_crops_of_their_own_are_drawn_apart() -> None:
    setup = mv.Graph.from_yaml(f"{WORDS}edges: [{{L - depth: {{objective: comm, crop: own}}}}, L - ab]").setup()
    fused = setup.graph.edges[0].views
    assert len({setup.views[name].crop.name for name in fused}) == 4


MISTAKES = {
    "edge": (lambda: mv.Edge("a", "b", mv.CoMM()), r"needs two draws each; give HyperEdge\(\('a', 'b', 'a_2', 'b_2'\)"),
    "odd": (lambda: mv.HyperEdge(("a", "b", "a_2"), mv.CoMM()), "each of them occurs twice"),
    "kind": (lambda: mv.CoMM(fusion="mpl"), "'mpl' is not a kind of fusion.*Did you mean 'mlp'"),
    "width": (lambda: mv.CoMM(width=6), "width of a fusion is 6; give a multiple of 4"),
    "alone": (lambda: mv.CoMM(alone=-1), "alone is -1; give a finite number, 0 or more"),
    "one view twice": (
        lambda: mv.Graph.from_yaml(f"{WORDS}edges: [L - depth, ab - ab: comm]").setup(),
        "fuses different views",
    ),
    "another encoder": (
        lambda: MultiviewModel(
            {name: mv.make_encoder("mlp", 4) for name in ("a", "b", "a_2", "b_2")},
            mv.ContrastGraph.joint(("a", "b", "a_2", "b_2"), mv.CoMM()),
        ),
        "'a_2' is the second draw of 'a'.*another encoder",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_says_what_to_type(name: str) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(mv.MultiviewError, match=message):
        make()


def fitted(out: Path, **options: Any) -> mv.Trained:
    """A run of two steps on pairs, some of which lack a picture."""
    pictures = torch.randint(0, 255, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    second = [None if i % 4 == 3 else pictures[i].flip(0) for i in range(12)]
    data = {"first": list(pictures), "second": second, "split": ["train"] * 10 + ["test"] * 2}
    small = {"encoder_options": {"width": 0.25}}
    views = {name: mv.GraphView(view="rgb", modality=name, **small) for name in ("first", "second")}
    graph = mv.Graph(views=views, edges=(mv.GraphEdge(tuple(views), mv.CoMM(dim=8, width=16)),), crop=mv.Crop(size=16))
    train = mv.Train(steps=2, batch=6, knn_every=0, workers=0, save_every=1, threads=1)
    torch.manual_seed(0)
    return mv.fit(graph.setup(), data=data, out=str(out), evaluate=False, train=train, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mv.Trained:
    return fitted(tmp_path_factory.mktemp("fusion") / "run")


def test_a_resumed_run_ends_like_an_unbroken_one(run: mv.Trained, tmp_path: Path) -> None:
    assert run.folder is not None
    broken = tmp_path / "broken"
    shutil.copytree(run.folder, broken)
    shutil.rmtree(sorted((broken / "checkpoints").glob("step-*"))[-1])
    assert fitted(broken, resume=True).steps == 2
    assert_same_end(run.folder, broken)


def test_a_trained_run_embeds_whatever_views_a_sample_has(run: mv.Trained) -> None:
    found = run.embed("train")
    assert found.features["fused"].shape == (10, 16)
    assert found.present["fused"].all()
    assert not found.present["second"].all()


def test_the_model_folder_fuses_any_views_without_the_data(run: mv.Trained) -> None:
    assert run.folder is not None
    model = mv.load(run.folder / "model")
    assert isinstance(model, mv.PortableModel)
    assert (model.views, tuple(model.fusions)) == (("first", "second"), ("fused",))
    rows = run.store.rows("train")[:2]
    first, second = (run.store.read(rows, name) for name in ("first", "second"))
    expected = run.embed("train").features["fused"][:2]
    both = model["fused"]({"first": first, "second": second})
    assert torch.allclose(both, torch.from_numpy(expected), atol=1e-5)
    alone = model["fused"]({"second": second})
    assert alone.shape == both.shape
    assert not torch.allclose(alone, both)
    assert model.z["fused"]({"first": first}).norm(dim=1).allclose(torch.ones(2))
    with pytest.raises(mv.MultiviewError, match="give a mapping with one or more of these views"):
        model["fused"](first)
    with pytest.raises(mv.MultiviewError, match=r"'frist' is not a view of 'fused'.*Did you mean 'first'"):
        model["fused"]({"frist": first})


def test_embed_writes_the_fused_vectors(run: mv.Trained) -> None:
    assert run.folder is not None
    model = mv.load(run.folder / "model")
    assert isinstance(model, mv.PortableModel)
    pictures = torch.randint(0, 255, (5, 3, 16, 16), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    found = model.embed({"first": list(pictures)})
    assert [column.view for column in found.columns] == ["first", "fused"]
    assert found["fused"].shape == (5, 16)
    assert [column.view for column in model.embed({"first": list(pictures)}, views=["fused"]).columns] == ["fused"]
