"""How an encoder learns: frozen, by its heads, by its last blocks, by LoRA; rates and weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import multiview as mv
from multiview.config import Optimizer
from multiview.encoded_once import SUFFIX
from multiview.model import MultiviewModel
from multiview.portable.write import write_model
from multiview.train.duration import encoder_seconds
from multiview.train.frozen_features import views_encoded_once
from multiview.train.optimiser import make_optimiser
from multiview.train.prepare import prepare
from multiview.train.schedule import set_rate
from multiview.train.tuned import tuned

TRAIN = mv.Train(steps=4, batch=16, knn_every=0, save_every=1, log_every=1, threads=1)


def setup(tuning: dict[str, mv.Tuning], objective: mv.Objective | None = None, seed: int = 0) -> mv.Setup:
    torch.manual_seed(seed)
    crop = mv.Crop(size=16)
    views = {"photo": mv.views.rgb(crop), "depth": mv.make_view("depth", crop)}
    encoders = {"photo": mv.make_encoder("resnet18", 3, width=0.125, stem="cifar"), "depth": convnet(1)}
    graph = mv.ContrastGraph.full(views, objective or mv.SimCLR())
    return mv.Setup(views, encoders, graph, tuning)


def convnet(channels: int) -> mv.Encoder:
    return mv.make_encoder("convnet", channels, width=0.25)


def fit(built: mv.Setup, data: Path, out: Path, **options: object) -> mv.Trained:
    return mv.fit(built, data=str(data), out=str(out), train=TRAIN, evaluate=False, **options)  # type: ignore[arg-type]


def state(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: x.clone() for name, x in encoder.state_dict().items()}


def changed(before: dict[str, torch.Tensor], encoder: torch.nn.Module) -> set[str]:
    return {name for name, x in encoder.state_dict().items() if not torch.equal(x, before[name])}


@pytest.fixture
def data(scenes: Path, tmp_path: Path) -> Path:
    """A store of its own, so that features beside it belong to this test."""
    import shutil

    return Path(shutil.copytree(scenes, tmp_path / "store"))


@pytest.mark.parametrize("train", ["frozen", "heads"])
def test_a_frozen_encoder_keeps_weights_and_statistics_to_the_bit(train: str, data: Path, tmp_path: Path) -> None:
    built = setup({"photo": mv.Tuning(train=train)})
    before, other = state(built.encoders["photo"]), state(built.encoders["depth"])
    trained = fit(built, data, tmp_path / "run")
    assert changed(before, trained.encoder("photo")) == set()
    assert changed(other, trained.encoder("depth"))
    heads = trained.model.projectors["photo/" + next(iter(trained.model.projectors)).split("/", 1)[1]]
    assert all(p.requires_grad for p in heads.parameters())


def test_features_that_were_kept_equal_those_computed_anew(data: Path, tmp_path: Path) -> None:
    trained = fit(setup({"photo": mv.Tuning(train="frozen")}), data, tmp_path / "run")
    (file,) = Path(f"{data}{SUFFIX}").iterdir()
    kept, anew = np.load(str(file)), trained.embed("train")
    assert np.array_equal(kept[:, :-1], anew.features["photo"])
    assert np.array_equal(kept[:, -1] > 0, anew.present["photo"])


def test_a_second_run_reads_the_kept_features_and_equals_the_first(data: Path, tmp_path: Path, capsys) -> None:
    runs = [fit(setup({"photo": mv.Tuning(train="frozen")}), data, tmp_path / name) for name in ("one", "two")]
    assert "features kept in" in (said := capsys.readouterr().out)
    assert "features read from" in said
    for name, x in runs[0].model.state_dict().items():
        assert torch.equal(x, runs[1].model.state_dict()[name]), name
    fit(setup({"photo": mv.Tuning(train="frozen")}, seed=1), data, tmp_path / "three")
    assert len(list(Path(f"{data}{SUFFIX}").iterdir())) == 2


@pytest.mark.parametrize("objective", [mv.SimCLR(), mv.CMC(negatives=8), mv.SimSiam(dim=32, predictor=8)])
def test_a_frozen_run_goes_on_to_the_same_bits(objective: mv.Objective, data: Path, tmp_path: Path) -> None:
    tuning = {"photo": mv.Tuning(train="frozen"), "depth": mv.Tuning(lr_scale=0.5)}
    whole = fit(setup(tuning, objective), data, tmp_path / "whole")
    options = {"data": str(data), "out": str(tmp_path / "halves"), "evaluate": False}
    mv.fit(setup(tuning, objective), train=replace(TRAIN, steps=2, optimizer=Optimizer(schedule="constant")), **options)
    half = mv.fit(
        setup(tuning, objective), train=replace(TRAIN, optimizer=Optimizer(schedule="constant")), resume=True, **options
    )
    again = mv.fit(
        setup(tuning, objective),
        train=replace(TRAIN, optimizer=Optimizer(schedule="constant")),
        data=str(data),
        out=str(tmp_path / "again"),
        evaluate=False,
    )
    assert whole.steps == half.steps == 4
    for name, x in again.model.state_dict().items():
        assert torch.equal(x, half.model.state_dict()[name]), name


def test_a_view_with_a_key_encoder_is_encoded_at_each_step() -> None:
    frozen = {"photo": mv.Tuning(train="frozen")}
    assert views_encoded_once(setup(frozen)) == ("photo",)
    assert views_encoded_once(setup(frozen, mv.MoCo())) == ()
    assert views_encoded_once(setup({"photo": mv.Tuning(train="heads")})) == ()


def test_a_frozen_view_is_timed_once_a_sample(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of 1 s for each view: 4 epochs of one view cost less than two passes of both."""
    seconds: list[tuple[set[str], bool]] = []

    def one_second(_: object, views: dict[str, torch.Tensor], learns: bool = True) -> float:
        seconds.append((set(views), learns))
        return float(len(views))

    monkeypatch.setattr("multiview.train.duration._pass", one_second)
    recipe = mv.Recipe(data=str(data), out=str(tmp_path / "run"), train=replace(TRAIN, steps=100))
    each = {}
    for name, tuning in {"learning": {}, "frozen": {"photo": mv.Tuning(train="frozen")}}.items():
        prepared = prepare(recipe, setup(tuning))
        each[name] = (encoder_seconds(prepared), prepared.situation)
    (both, situation), (one, _) = each["learning"], each["frozen"]
    assert both == 2 * 100 * 16 / 16
    assert one == 100 + situation.samples / 16
    assert ({"photo"}, False) in seconds and ({"depth"}, True) in seconds


def test_a_frozen_view_is_not_measured_while_the_other_learns(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = replace(TRAIN, knn_every=1)
    built = setup({"photo": mv.Tuning(train="frozen")})
    mv.fit(built, data=str(data), out=str(tmp_path / "run"), train=train, evaluate=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if "kNN" in line]
    assert lines and all("depth" in line and "photo" not in line for line in lines)


def test_all_views_frozen_trains_the_heads_alone(data: Path, tmp_path: Path) -> None:
    built = setup({name: mv.Tuning(train="frozen") for name in ("photo", "depth")})
    before = {name: state(encoder) for name, encoder in built.encoders.items()}
    trained = fit(built, data, tmp_path / "run")
    assert all(not changed(before[name], trained.encoder(name)) for name in before)


@pytest.mark.parametrize(
    ("train", "learns"),
    [
        ("last 1 block", ("layer4.",)),
        ("last 2 blocks", ("layer3.", "layer4.")),
        ("last 5", ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")),
    ],
)
def test_the_last_blocks_learn(train: str, learns: tuple[str, ...]) -> None:
    encoder = tuned(setup({"photo": mv.Tuning(train=train)})).encoders["photo"]
    assert {name for name, p in encoder.named_parameters() if p.requires_grad} == {
        name for name, _ in encoder.named_parameters() if name.startswith(learns)
    }


def test_frozen_blocks_keep_their_statistics(data: Path, tmp_path: Path) -> None:
    built = setup({"photo": mv.Tuning(train="last 2 blocks")})
    before = state(built.encoders["photo"])
    trained = fit(built, data, tmp_path / "run")
    assert {name.split(".")[0] for name in changed(before, trained.encoder("photo"))} == {"layer3", "layer4"}


@pytest.mark.parametrize("name", ["resnet18", "convnet", "alexnet", "timm:vit_tiny_patch16_224", "timm:resnet18"])
def test_every_parameter_has_a_block_without_gaps(name: str) -> None:
    encoder = mv.make_encoder(name, 3, img_size=32) if name.startswith("timm:vit") else mv.make_encoder(name, 3)
    blocks = encoder.blocks()
    assert set(blocks) == {parameter for parameter, _ in encoder.named_parameters()}
    assert set(blocks.values()) == set(range(max(blocks.values()) + 1))


def test_too_many_blocks_are_refused_with_the_name_of_the_view() -> None:
    with pytest.raises(mv.MultiviewError, match=r"view 'depth'.*has 4 blocks, not 9"):
        tuned(setup({"depth": mv.Tuning(train="last 9 blocks")}))


def test_rates_and_decay_follow_the_tuning() -> None:
    built = setup({"photo": mv.Tuning(lr_scale=0.5, layer_decay=0.1, weight_decay=0.3)})
    model = MultiviewModel(built.encoders, built.graph)
    optimiser = make_optimiser(Optimizer(name="sgd", lr=1.0, weight_decay=0.01), model, 16, built.tuning)
    set_rate(optimiser, 1.0, 0.5)
    groups = {p: group for group in optimiser.param_groups for p in group["params"]}
    photo, depth = built.encoders["photo"], built.encoders["depth"]
    assert groups[photo.layer4[0].conv1.weight]["lr"] == pytest.approx(0.25)
    assert groups[photo.conv1.weight]["lr"] == pytest.approx(0.25e-4)
    assert groups[photo.conv1.weight]["weight_decay"] == 0.3
    assert groups[depth.stage1[0].weight]["lr"] == 0.5
    assert groups[depth.stage1[0].weight]["weight_decay"] == 0.01


def test_without_tuning_the_groups_are_those_of_before() -> None:
    built = setup({})
    model = MultiviewModel(built.encoders, built.graph)
    optimiser = make_optimiser(Optimizer(name="adamw"), model, 16, {})
    assert [(g["weight_decay"], g["lr_factor"]) for g in optimiser.param_groups] == [(1e-4, 1.0), (0.0, 1.0)]


def test_weights_come_from_a_file_and_from_a_run(data: Path, tmp_path: Path) -> None:
    source = convnet(1)
    save_file(source.state_dict(), tmp_path / "depth.safetensors")
    built = tuned(setup({"depth": mv.Tuning(weights=str(tmp_path / "depth.safetensors"))}, seed=3))
    assert not changed(state(source), built.encoders["depth"])
    run = fit(setup({}), data, tmp_path / "run")
    for words in (str(tmp_path / "run"), f"{tmp_path / 'run'}:depth"):
        built = tuned(setup({"depth": mv.Tuning(weights=words)}, seed=4))
        assert not changed(state(run.encoder("depth")), built.encoders["depth"])
    with pytest.raises(mv.MultiviewError, match=r"view 'depth'.*depht.*depth"):
        tuned(setup({"depth": mv.Tuning(weights=f"{tmp_path / 'run'}:depht")}))
    with pytest.raises(mv.MultiviewError, match="another network"):
        tuned(setup({"depth": mv.Tuning(weights=f"{tmp_path / 'run'}:photo")}))


def test_weights_come_from_a_model_folder_with_the_scale_of_its_view(data: Path, tmp_path: Path) -> None:
    run, model = fit(setup({}), data, tmp_path / "run"), tmp_path / "run" / "model"
    if not model.is_dir():
        write_model(run)
    said: list[str] = []
    built = tuned(setup({"depth": mv.Tuning(weights=f"{model}:depth")}, seed=4), say=said.append)
    assert not changed(state(run.encoder("depth")), built.encoders["depth"])
    assert built.views["depth"].mean == run.setup.views["depth"].mean
    assert "a model folder of this package" in said[0]
    with pytest.raises(mv.MultiviewError, match=r"'depht' is not an encoder of the run .*Write .*model:VIEW"):
        tuned(setup({"depth": mv.Tuning(weights=f"{model}:depht")}))
    (model / "depth" / "model.safetensors").write_bytes(b"")
    with pytest.raises(mv.MultiviewError, match=r"is not whole: depth/model.safetensors is missing or damaged"):
        tuned(setup({"depth": mv.Tuning(weights=f"{model}:depth")}))


def test_lora_trains_small_matrices_and_is_loaded_again(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    built = setup({"photo": mv.Tuning(train="lora 4")})
    trained = fit(built, data, tmp_path / "run")
    encoder = trained.encoder("photo")
    learned = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert learned
    assert all("lora_" in name for name in learned)
    again = tuned(setup({"photo": mv.Tuning(train="lora 4")}), weights=False).encoders["photo"]
    again.load_state_dict(encoder.state_dict())
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.eval()(x), encoder.eval()(x))
    merged = tuned(setup({"photo": mv.Tuning(weights=str(tmp_path / "run"))}, seed=1)).encoders["photo"]
    assert torch.allclose(merged.eval()(x), encoder(x), rtol=1e-4, atol=1e-5)


def test_an_edge_between_equal_frozen_features_is_noted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = mv.GraphView(view="rgb", encoder_options={"width": 0.25}, tuning=mv.Tuning(train="frozen"))
    edges = (mv.GraphEdge(("photo", "photo")), mv.GraphEdge(("photo", "depth")))
    views = {"photo": view, "depth": mv.GraphView(encoder_options={"width": 0.25})}
    fit(mv.Graph(views=views, edges=edges, crop=mv.Crop(size=16)).setup(), data, tmp_path / "run")
    said = capsys.readouterr().out
    assert "Note: edge photo-photo_2: its frozen views have equal features" in said
    assert "edge photo-depth: its frozen" not in said
