"""The graph files of papers say what the papers' own code says, which is restated here by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from goldens import command
from torch import nn
from torchvision.models import resnet50

from multiview.errors import MultiviewError
from multiview.jointnorm import JointBatchNorm
from multiview.launch import parse_recipe
from multiview.model import MultiviewModel
from multiview.papers import about, paper_files, path_of
from multiview.photometric import Augment
from multiview.recipe import Recipe
from multiview.recipes.graph import GraphRecipe
from multiview.train.optimiser import make_optimiser
from multiview.train.prepare import prepare
from multiview.train.schedule import rate_factor

IMAGENET = 1_281_167
"""Training images."""
PAPERS = sorted(paper_files())


def recipe_of(name: str, *words: str) -> Recipe:
    return parse_recipe(GraphRecipe, [f"paper:{name}", *words])


@cache
def model_of(name: str) -> MultiviewModel:
    setup = recipe_of(name).build()
    return MultiviewModel(setup.encoders, setup.graph)


def steps(start: float, milestones: tuple[int, ...]) -> Callable[[int], float]:
    """The learning rate of an epoch, counted from 0: a tenth after every milestone."""
    return lambda epoch: start * 0.1 ** len([m for m in milestones if epoch >= m])


def cosine(start: float, epochs: int) -> Callable[[int], float]:
    """The learning rate of an epoch: half a cosine."""
    return lambda epoch: start * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def warmed(start: float, warmup: int, epochs: int) -> Callable[[int], float]:
    """Rises linearly from 0, then falls along half a cosine."""
    return lambda epoch: (
        start
        * (epoch / warmup if epoch < warmup else 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup))))
    )


CMC_RATE = steps(0.03, (120, 160, 200))
RATES = {
    "cmc_imagenet": (240, 128, CMC_RATE),
    "cmc_imagenet_alexnet": (240, 256, CMC_RATE),
    "cmc_stl10": (240, 128, CMC_RATE),
    "cmc_nyu": (200, 128, warmed(0.001, 5, 200)),
    "moco_v1_imagenet": (200, 256, steps(0.03, (120, 160))),
    "moco_v2_imagenet": (200, 256, cosine(0.03, 200)),
    "simclr_imagenet": (1000, 4096, warmed(4.8, 10, 1000)),
    "simsiam_imagenet": (100, 512, cosine(0.1, 100)),
}
"""Epochs, batch, and the learning rate at the start of every epoch."""


@pytest.mark.parametrize("name", PAPERS)
def test_the_learning_rate_of_every_epoch_is_the_papers(name: str) -> None:
    train = recipe_of(name).train
    epochs, batch, rate = RATES[name]
    assert (train.epochs, train.batch, train.steps, train.accumulate) == (epochs, batch, None, 1)
    found = [train.optimizer.rate(batch) * rate_factor(train.optimizer, e, epochs) for e in range(epochs)]
    assert found == pytest.approx([rate(e) for e in range(epochs)], rel=1e-12, abs=1e-15)


def test_the_warm_up_of_simclr_rises_within_the_epochs_too() -> None:
    optimizer = recipe_of("simclr_imagenet").train.optimizer
    per_epoch = IMAGENET // 4096
    found = [4.8 * rate_factor(optimizer, step / per_epoch, 1000) for step in range(10 * per_epoch)]
    assert found == pytest.approx([4.8 * step / (10 * per_epoch) for step in range(10 * per_epoch)])


@pytest.mark.parametrize("name", sorted({*PAPERS} - {"simclr_imagenet", "cmc_nyu"}))
def test_sgd_has_momentum_and_decays_all_weights(name: str) -> None:
    train = recipe_of(name).train
    optimiser = make_optimiser(train.optimizer, model_of(name), train.batch)
    assert isinstance(optimiser, torch.optim.SGD)
    assert {(group["momentum"], group["weight_decay"]) for group in optimiser.param_groups} == {(0.9, 1e-4)}


def test_lars_leaves_out_biases_and_norms() -> None:
    train, model = recipe_of("simclr_imagenet").train, model_of("simclr_imagenet")
    optimiser = make_optimiser(train.optimizer, model, train.batch)
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert type(optimiser).__name__ == "Lars"
    assert {group["trust_coeff"] for group in optimiser.param_groups} == {0.001}
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    alone = {id(p) for norm in norms for p in norm.parameters()}
    assert {key: value for key, value in decays.items() if key in alone} == dict.fromkeys(alone, 0.0)
    assert {value for key, value in decays.items() if key not in alone} == {1e-6}
    assert len(alone) == 2 * 53 + 3


def test_the_predictor_of_simsiam_keeps_its_learning_rate() -> None:
    train, model = recipe_of("simsiam_imagenet").train, model_of("simsiam_imagenet")
    optimiser = make_optimiser(train.optimizer, model, train.batch)
    held = [p for group in optimiser.param_groups if group["constant_rate"] for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.predictors.parameters()}


def counts(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["moco_v1_imagenet", "moco_v2_imagenet", "simclr_imagenet", "simsiam_imagenet"])
def test_the_encoder_is_torchvisions_resnet50(name: str) -> None:
    (encoder,) = model_of(name).encoders.values()
    theirs = {key: x.shape for key, x in resnet50().state_dict().items() if not key.startswith("fc.")}
    assert {key: x.shape for key, x in encoder.state_dict().items()} == theirs
    assert counts(encoder) == 25_557_032 - 1000 * 2049


@pytest.mark.parametrize("name", PAPERS)
def test_the_last_norm_of_a_block_starts_at_zero_where_the_papers_does(name: str) -> None:
    zero = {float(p.detach().abs().max()) for n, p in model_of(name).encoders.named_parameters() if ".bn3.weight" in n}
    expected = {0.0} if name in ("simclr_imagenet", "simsiam_imagenet") else {1.0}
    assert zero == (expected if name.endswith("imagenet") else set())


def test_the_networks_of_cmc_are_half_as_wide_behind_a_stem_of_64_planes() -> None:
    encoders = dict(model_of("cmc_imagenet").encoders.items())
    for view, channels in (("L", 1), ("ab", 2)):
        shapes = {key: tuple(x.shape) for key, x in encoders[view].state_dict().items()}
        assert shapes.keys() == {key for key in resnet50().state_dict() if not key.startswith("fc.")}
        assert shapes["conv1.weight"] == (64, channels, 7, 7)
        assert shapes["layer1.0.conv1.weight"] == (32, 64, 1, 1)
        assert shapes["layer4.2.conv3.weight"] == (1024, 256, 1, 1)
        assert shapes["layer1.0.downsample.0.weight"] == (128, 64, 1, 1)


@pytest.mark.parametrize("name", ["cmc_imagenet_alexnet", "cmc_stl10"])
def test_each_half_of_alexnet_has_the_layers_of_the_original(name: str) -> None:
    encoders = dict(model_of(name).encoders.items())
    for view, channels in (("L", 1), ("ab", 2)):
        weights = [tuple(p.shape) for p in encoders[view].parameters() if p.dim() > 1]
        planes = (channels, 48, 128, 192, 192, 128)
        kernels = (11, 5, 3, 3, 3)
        convolutions = [(planes[i + 1], planes[i], k, k) for i, k in enumerate(kernels)]
        assert weights == [*convolutions, (2048, 128 * 6 * 6), (2048, 2048)]


def linears(module: nn.Module) -> list[tuple[str, int, int, bool]]:
    """Kind, input, output and bias (of a norm: scale and shift) of the layers with sizes."""
    found = []
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            found.append(("linear", layer.in_features, layer.out_features, layer.bias is not None))
        if isinstance(layer, nn.BatchNorm1d):
            found.append(("norm", layer.num_features, int(layer.weight is not None), layer.bias is not None))
        if isinstance(layer, nn.ReLU):
            found.append(("relu", 0, 0, False))
    return found


RELU = ("relu", 0, 0, False)
HEADS = {
    "cmc_imagenet": [("linear", 1024, 128, True)],
    "cmc_imagenet_alexnet": [("linear", 2048, 128, True)],
    "cmc_stl10": [("linear", 2048, 128, True)],
    "cmc_nyu": [("linear", 256, 128, True)],
    "moco_v1_imagenet": [("linear", 2048, 128, True)],
    "moco_v2_imagenet": [("linear", 2048, 2048, True), RELU, ("linear", 2048, 128, True)],
    "simclr_imagenet": [
        ("linear", 2048, 2048, False),
        ("norm", 2048, 1, True),
        RELU,
        ("linear", 2048, 128, False),
        ("norm", 128, 1, False),
    ],
    "simsiam_imagenet": [
        *[("linear", 2048, 2048, False), ("norm", 2048, 1, True), RELU] * 2,
        ("linear", 2048, 2048, False),
        ("norm", 2048, 0, False),
    ],
}
"""The layers of the projector: names, sizes, and which have a bias."""


@pytest.mark.parametrize("name", PAPERS)
def test_the_projector_is_the_papers(name: str) -> None:
    for projector in model_of(name).projectors.values():
        assert linears(projector) == HEADS[name]


def test_the_predictor_of_simsiam_is_the_papers() -> None:
    (predictor,) = model_of("simsiam_imagenet").predictors.values()
    assert linears(predictor) == [
        ("linear", 2048, 512, False),
        ("norm", 512, 1, True),
        RELU,
        ("linear", 512, 2048, True),
    ]


def jitter(*strengths: float, chance: float, grey_first: bool = False, blur: float = 0.5) -> Augment:
    brightness, contrast, saturation, hue = strengths
    return Augment(
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        jitter=chance,
        grey=0.2,
        blur=blur,
        sigma=(0.1, 2.0),
        grey_first=grey_first,
    )


V2 = jitter(0.4, 0.4, 0.4, 0.1, chance=0.8)
AUGMENTATIONS = {
    "cmc_imagenet": (224, 0.08, None),
    "cmc_imagenet_alexnet": (224, 0.2, None),
    "cmc_stl10": (64, 0.2, None),
    "moco_v1_imagenet": (224, 0.2, jitter(0.4, 0.4, 0.4, 0.4, chance=1.0, grey_first=True, blur=0.0)),
    "moco_v2_imagenet": (224, 0.2, V2),
    "simclr_imagenet": (224, 0.08, jitter(0.8, 0.8, 0.8, 0.2, chance=0.8)),
    "simsiam_imagenet": (224, 0.2, V2),
}
"""Side of a crop, its smallest share of the area, and the change of colours."""


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_augmentation_is_the_papers(name: str) -> None:
    size, low, colours = AUGMENTATIONS[name]
    views = recipe_of(name).build().views
    for view in views.values():
        crop = view.crop
        assert (crop.size, crop.scale, crop.ratio, crop.flip) == (size, (low, 1.0), (3 / 4, 4 / 3), 0.5)
        assert view.augment == colours
    names = {view.crop.name for view in views.values()}
    assert len(names) == (1 if name.startswith("cmc") else 2)


NORMALISED = {
    "L": ([(0 + 100) / 2], [(100 - 0) / 2]),
    "ab": (
        [(-86.183 + 98.233) / 2, (-107.857 + 94.478) / 2],
        [(86.183 + 98.233) / 2, (107.857 + 94.478) / 2],
    ),
    "rgb": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_are_normalised_as_the_papers_are(name: str) -> None:
    for key, view in recipe_of(name).build().views.items():
        mean, std = NORMALISED[key if name.startswith("cmc") else "rgb"]
        assert (list(view.mean or ()), list(view.std or ())) == (
            pytest.approx(mean, abs=6e-4),
            pytest.approx(std, abs=6e-4),
        )


OPTIONS = {
    "cmc_imagenet": {"negatives": 16384, "temperature": 0.07, "momentum": 0.5, "dim": 128, "variant": "nce"},
    "cmc_imagenet_alexnet": {"negatives": 16384, "temperature": 0.07, "momentum": 0.5, "dim": 128, "variant": "nce"},
    "cmc_stl10": {"negatives": 16384, "temperature": 0.1, "momentum": 0.5, "dim": 128, "variant": "nce"},
    "cmc_nyu": {"temperature": 0.07, "momentum": 0.5, "dim": 128, "variant": "softmax"},
    "moco_v1_imagenet": {"queue": 65536, "momentum": 0.999, "temperature": 0.07, "dim": 128, "mlp": False},
    "moco_v2_imagenet": {"queue": 65536, "momentum": 0.999, "temperature": 0.2, "dim": 128, "mlp": True},
    "simclr_imagenet": {"temperature": 0.1, "negatives": "both", "dim": 128, "norm": True},
    "simsiam_imagenet": {"dim": 2048, "predictor": 512},
}
CODE = {
    "cmc": {"z": "first-batch", "exclude": False, "shared": False},
    "moco": {"exclude": False, "symmetric": False, "shuffle_bn": True},
}
"""What the original code does beyond the papers' tables."""


@pytest.mark.parametrize("name", PAPERS)
def test_the_objective_has_the_papers_numbers(name: str) -> None:
    code = {} if name == "cmc_nyu" else CODE.get(name.split("_")[0], {})
    for edge in recipe_of(name).build().graph.edges:
        for option, value in (OPTIONS[name] | code).items():
            assert getattr(edge.objective, option) == value, option


def test_nyu_contrasts_lightness_with_every_other_view() -> None:
    assert list(recipe_of("cmc_nyu").build().graph.named_edges()) == ["L-ab", "L-depth", "L-normal"]


@pytest.mark.parametrize("name", ["simclr_imagenet", "simsiam_imagenet"])
def test_batch_norm_sees_the_batch_of_all_devices(name: str) -> None:
    assert recipe_of(name).train.sync_bn


SMALL = ("--crop.size", "64", "--train.batch", "8", "--train.threads", "1")
FITTING = {
    "cmc_imagenet": ("--edges.L-ab.negatives", "20"),
    "cmc_imagenet_alexnet": ("--edges.L-ab.negatives", "20"),
    "cmc_stl10": ("--edges.L-ab.negatives", "20"),
}
"""Options for data with fewer samples than the papers' negatives."""


def quick_first(names: list[str]) -> list[object]:
    """The papers with large encoders are slow, but for one."""
    large = {name for name in names if name.endswith("_imagenet")} - {"moco_v2_imagenet"}
    return [pytest.param(name, marks=(pytest.mark.slow,) if name in large else ()) for name in names]


@pytest.mark.parametrize("name", quick_first(PAPERS))
def test_the_plan_and_the_drawing_of_a_paper_run(
    name: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = [f"paper:{name}", "--data", str(scenes), "--cache", str(tmp_path), *SMALL, *FITTING.get(name, ())]
    assert command("train", *words, "--plan") == 0
    assert "Contrast graph" in capsys.readouterr().out
    assert command("graph", *words, "--svg", str(tmp_path / "graph.svg")) == 0
    assert "Edges" in capsys.readouterr().out
    assert (tmp_path / "graph.svg").read_text().startswith("<svg")


def test_the_list_names_every_paper_with_its_number(capsys: pytest.CaptureFixture) -> None:
    assert command("list", "recipes") == 0
    lines = capsys.readouterr().out.splitlines()
    for name in PAPERS:
        (line,) = [each for each in lines if each.startswith(f"  paper:{name} ")]
        assert "arXiv:" in line
        assert about(path_of(f"paper:{name}")) in line


def test_sync_bn_joins_the_batch_norms_of_encoders_heads_and_key_encoders(scenes: Path) -> None:
    words = ["--views", "L,ab", "--data", str(scenes), "--train.batch", "8", "--train.sync_bn", "true"]
    prepared = prepare(parse_recipe(GraphRecipe, [*words, "--objective", "byol", "--objective.dim", "8"]))
    for part in (prepared.model.encoders, prepared.model.projectors, prepared.memories.key_encoders):
        norms = [m for m in part.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert {type(m) for m in norms} == {JointBatchNorm}


def test_an_unknown_paper_is_named_with_the_nearest() -> None:
    with pytest.raises(MultiviewError, match=r"'moco_v3_imagenet' is not .* Did you mean 'moco_v\d_imagenet'\?"):
        path_of("paper:moco_v3_imagenet")


def test_a_file_with_a_plain_name_stays_a_path() -> None:
    assert path_of("graph.yaml") == Path("graph.yaml")
