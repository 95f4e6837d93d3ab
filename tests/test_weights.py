"""Published weights: each format against the network that was saved; hostile and broken files."""

from __future__ import annotations

import argparse
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from reference_networks import Vit, shaken
from safetensors.torch import save_file
from torch import nn
from weight_cases import CASES, NARROW, VIT, difference, loaded, net, row, under

import multiview as mv
from multiview.commands.weights import Weights, weights
from multiview.encoder import make_encoder
from multiview.errors import MultiviewError
from multiview.train.tuned import tuned, with_weights
from multiview.weights import read_file
from multiview.weights.channels import adapted
from multiview.weights.formats import FORMATS, format_of
from multiview.weights.reading import in_child

PAGE = Path(__file__).parents[1] / "docs" / "weights.md"


@pytest.mark.parametrize("title", CASES)
def test_features_equal_those_of_the_network_that_was_saved(title: str, tmp_path: Path) -> None:
    case = CASES[title]()
    encoder, report = loaded(case, tmp_path)
    assert format_of(read_file(tmp_path / "weights.pth")).name == case.format
    assert report.whole
    assert len(report.adapted) == case.adapted
    assert set(report.mapped) >= {n for n in encoder.network_with_weights().state_dict() if "num_batches" not in n}
    worst = difference(case, encoder)
    assert worst <= 1e-5
    kept = row(title, case, report, worst).rpartition(" | ")[0]
    assert kept in PAGE.read_text("utf8"), "type: python tests/weight_cases.py, and put its rows into docs/weights.md"


def test_every_format_of_the_table_has_a_file() -> None:
    assert {make().format for make in CASES.values()} == {form.name for form in FORMATS} | {"plain"}


def saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "file.pth"
    torch.save(content, path, **options)
    return path


def moco(folder: Path) -> Path:
    return saved(CASES["MoCo v1"]().content, folder)


def narrow(channels: int = 3, **options: Any) -> mv.Encoder:
    return make_encoder("resnet18", channels, seed=9, **{**NARROW, **options})


# Which parts are loaded


def test_a_file_that_fits_in_half_is_refused_with_lists_and_loaded_when_asked(tmp_path: Path) -> None:
    state = {n: x for n, x in net(1).state_dict().items() if not n.startswith("layer4.1.")}
    state |= {"layer3.0.conv1.weight": torch.zeros(5, 5), "extra.weight": torch.zeros(2)}
    path, encoder = saved(state, tmp_path), narrow()
    before = {n: x.clone() for n, x in encoder.state_dict().items()}
    expected = (
        r"10 names are missing: layer4.1.*1 are unknown: extra.weight; 1 have another shape: layer3.0.conv1.weight "
    )
    with pytest.raises(MultiviewError, match=expected):
        encoder.load_weights(str(path))
    assert all(torch.equal(x, before[n]) for n, x in encoder.state_dict().items())
    report = encoder.load_weights(str(path), partial=True)
    assert torch.equal(encoder.conv1.weight, state["conv1.weight"])
    assert torch.equal(encoder.layer4[1].conv1.weight, before["layer4.1.conv1.weight"])
    assert "new weights in 11 (layer4.1.conv1.weight" in report.sentence()
    assert "1 unknown left out (extra.weight)" in report.sentence()


def test_a_file_of_quite_another_network_is_refused_even_in_part(tmp_path: Path) -> None:
    path = saved({"a": torch.zeros(1)}, tmp_path)
    with pytest.raises(MultiviewError, match="another network: 100 names are missing"):
        narrow().load_weights(str(path), partial=True)


def test_an_unknown_layout_is_found_below_its_prefix_and_two_copies_need_a_name(tmp_path: Path) -> None:
    one, two = net(1, head=nn.Identity()), net(2, head=nn.Identity())
    report = narrow().load_weights(str(saved({"weird": under("deep.", one)}, tmp_path)))
    assert report.tower == "weird.deep"
    both = saved({"weird": under("a.", one) | under("b.", two)}, tmp_path)
    with pytest.raises(
        MultiviewError, match=r"several networks that fit: weird.a, weird.b. Name one, as in .*:weird.a"
    ):
        narrow().load_weights(str(both))
    encoder = narrow()
    encoder.load_weights(str(both), network="weird.b")
    assert torch.equal(encoder.conv1.weight, two.conv1.weight)


def test_an_unknown_network_of_a_file_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"'kye' is not a network in .*available: key, query. Did you mean 'key'"):
        narrow().load_weights(str(moco(tmp_path)), network="kye")


def test_the_same_weights_load_from_safetensors_and_without_counters(tmp_path: Path) -> None:
    state = {n: x for n, x in net(1).state_dict().items() if "num_batches" not in n}
    save_file(state, tmp_path / "file.safetensors")
    encoder = narrow()
    assert encoder.load_weights(str(tmp_path / "file.safetensors")).whole
    assert torch.equal(encoder.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])


def test_half_precision_is_loaded_as_single(tmp_path: Path) -> None:
    path = saved({n: x.half() for n, x in net(1).state_dict().items()}, tmp_path)
    encoder = narrow()
    encoder.load_weights(str(path))
    assert encoder.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(encoder.conv1.weight, net(1).conv1.weight, rtol=1e-3, atol=1e-3)


# Input channels and sizes


@pytest.mark.parametrize("how", ["repeat", "mean"])
@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_equal_channels_give_what_they_gave_before(how: str, channels: int, tmp_path: Path) -> None:
    source = net(1)
    encoder = narrow(channels)
    report = encoder.eval().load_weights(str(saved(source.state_dict(), tmp_path)), in_channels=how)
    assert report.adapted == {"conv1.weight": f"3 to {channels} input channels by {how}"}
    grey = torch.rand(2, 1, 32, 32)
    weight = adapted(source.conv1.weight, channels, how)
    assert torch.equal(encoder.conv1.weight, weight)
    if how == "mean" or channels % 3 == 0:
        torch.testing.assert_close(
            encoder(grey.expand(-1, channels, -1, -1)), source(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
        )


def test_repeat_takes_the_channels_in_turn() -> None:
    weight = torch.arange(6.0).view(2, 3, 1, 1)
    assert adapted(weight, 4, "repeat")[:, :, 0, 0].tolist() == [[0, 0.75, 1.5, 0], [2.25, 3, 3.75, 2.25]]
    assert adapted(weight, 1, "timm")[:, :, 0, 0].tolist() == [[3], [12]]


def test_fresh_leaves_the_first_convolution_as_it_was(tmp_path: Path) -> None:
    encoder, source = narrow(2), net(1)
    first = encoder.conv1.weight.clone()
    encoder.load_weights(str(saved(source.state_dict(), tmp_path)), in_channels="fresh")
    assert torch.equal(encoder.conv1.weight, first)
    assert torch.equal(encoder.bn1.weight, source.bn1.weight)


def test_other_channels_are_refused_unless_somebody_says_how(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"conv1.weight \(8x3x7x7 in the file, 8x2x7x7.*in_channels: repeat, mean"):
        narrow(2).load_weights(str(saved(net(1).state_dict(), tmp_path)))
    with pytest.raises(
        MultiviewError, match=r"in_channels is 'maen'; give one of repeat, mean, fresh. Did you mean 'mean'"
    ):
        mv.Tuning(weights="a.pth", in_channels="maen")


def test_positions_are_interpolated_to_another_size_as_timm_does(tmp_path: Path) -> None:
    source = shaken(Vit(), 1)
    path = saved({"teacher": under("backbone.", source)}, tmp_path)
    encoder = make_encoder("timm:vit_small_patch16_224", 3, **{**VIT, "img_size": 64}).eval()
    report = encoder.load_weights(str(path))
    assert report.adapted == {"pos_embed": "recomputed by timm, 1x5x64 to 1x17x64"}
    network = timm.create_model("vit_small_patch16_224", num_classes=0, **{**VIT, "img_size": 64}).eval()
    convert = timm.models.vision_transformer.checkpoint_filter_fn
    timm.models.load_checkpoint(network, str(saved(source.state_dict(), tmp_path)), filter_fn=convert)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(encoder(x), network(x))


def test_patches_of_another_size_are_another_network(tmp_path: Path) -> None:
    path = saved(shaken(Vit(32, 8), 1).state_dict(), tmp_path)
    with pytest.raises(MultiviewError, match=r"have another shape: patch_embed.proj.weight \(64x3x8x8 in the file"):
        make_encoder("timm:vit_small_patch16_224", 3, **VIT).load_weights(str(path))


# Weights that fit by shape and mean something else


def test_moco_v3s_small_transformer_needs_twelve_heads(tmp_path: Path) -> None:
    source = shaken(Vit(dim=384, heads=12, depth=1), 1)
    path = saved({"state_dict": under("module.base_encoder.", source)}, tmp_path)
    options = {"img_size": 32, "depth": 1}
    with pytest.raises(MultiviewError, match=r"has 12 attention heads .* Give the encoder num_heads: 12"):
        make_encoder("timm:vit_small_patch16_224", 3, **options).load_weights(str(path))
    encoder = make_encoder("timm:vit_small_patch16_224", 3, num_heads=12, **options).eval()
    encoder.load_weights(str(path))
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(encoder(x), source(x), rtol=0, atol=1e-5)


def test_solo_learns_small_stem_has_another_padding(tmp_path: Path) -> None:
    path = saved(CASES["solo-learn, small pictures"]().content, tmp_path)
    with pytest.raises(MultiviewError, match=r"a padding of 2.* Give the encoder stem: solo_learn"):
        narrow(stem="cifar").load_weights(str(path))


# Files that are not what they seem


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['MARK']}",)


@pytest.mark.in_child_process
def test_a_hostile_file_is_refused_in_a_sentence_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "ran"))
    path = saved({"state_dict": net(1).state_dict(), "x": Bomb()}, tmp_path)
    with pytest.raises(
        MultiviewError, match=r"cannot be read as weights: it would run or build (posix|nt).system, which"
    ):
        read_file(path)
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "ran"))
    (tmp_path / "file.pth").write_bytes(pickle.dumps({"a": Bomb()}, protocol=2))
    with pytest.raises(MultiviewError, match="cannot be read as weights"):
        read_file(tmp_path / "file.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.in_child_process
def test_the_process_reads_whole_files_and_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = read_file(saved(CASES["CMC, ResNet (stream ab)"]().content, tmp_path))
    assert stored.facts["opt.view"] == "Lab"
    assert stored.entries == ("opt", "model", "contrast", "optimizer", "epoch")
    huge = torch.zeros(1).expand(40_000, 100_000)  # 16 GB as safetensors, a few bytes as a pickle
    with pytest.raises(MultiviewError, match="more memory than a file of its size may"):
        read_file(saved({"a": huge}, tmp_path))
    monkeypatch.setattr("multiview.weights.reading.SECONDS", 0.2)
    assert in_child(moco(tmp_path), tmp_path / "out") == {"refused": "reading it takes more than 0 s"}


@pytest.mark.parametrize("length", [0, 10, 1000, 20_000])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_truncated_file_is_refused(length: int, ending: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole.{ending}"
    save_file(net(1).state_dict(), whole) if ending == "safetensors" else torch.save(net(1).state_dict(), whole)
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(MultiviewError, match=rf"cut.{ending} cannot be read as weights: .*Give a .safetensors file"):
        read_file(cut)


@pytest.mark.parametrize("new", [True, False])
def test_harmless_classes_beside_the_weights_are_not_in_the_way(new: bool, tmp_path: Path) -> None:
    about = argparse.Namespace(arch="resnet18", best=np.float64(1.5), out=Path("a"), lr=0.1)
    content = {"args": about, "state_dict": net(1).state_dict(), "epoch": 3, "best": np.float32(2)}
    stored = read_file(saved(content, tmp_path, _use_new_zipfile_serialization=new))
    assert stored.facts["args.arch"] == "resnet18"
    assert stored.facts["epoch"] == 3
    assert narrow().load_weights(str(tmp_path / "file.pth")).whole


def test_a_whole_pickled_module_is_read_without_its_code_where_its_library_is_known(tmp_path: Path) -> None:
    network = torchvision.models.resnet18(weights=None)
    path = saved(network, tmp_path)
    encoder = make_encoder("resnet18", 3)
    assert encoder.load_weights(str(path)).whole
    assert torch.equal(encoder.layer1[0].bn1.weight, network.layer1[0].bn1.weight)
    with pytest.raises(MultiviewError, match=r"it would run or build reference_networks\.Net, which is no tensor"):
        read_file(saved(net(1), tmp_path))


def test_torchscript_and_tensorflow_get_a_sentence(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(MultiviewError, match="it is a TorchScript archive, which holds a program"):
        read_file(tmp_path / "script.pt")
    (tmp_path / "model.ckpt-1.index").write_bytes(b"")
    with pytest.raises(MultiviewError, match=r"it is a checkpoint of TensorFlow\. Convert it to PyTorch first"):
        read_file(tmp_path / "model.ckpt-1")


# Into a run


def graph(**tuning: Any) -> mv.Setup:
    rgb = mv.GraphView(view="rgb", encoder="resnet18", encoder_options=NARROW, tuning=mv.Tuning(**tuning))
    depth = mv.GraphView(view="depth", encoder="convnet", encoder_options={"width": 0.25})
    return mv.Graph(
        views={"photo": rgb, "depth": depth}, edges=[mv.GraphEdge(("photo", "photo")), mv.GraphEdge(("photo", "depth"))]
    ).setup()


def test_the_normalisation_comes_along_into_every_view_of_the_encoder(tmp_path: Path) -> None:
    path, said = str(saved(CASES["SimCLR (sthalles)"]().content, tmp_path)), []
    setup = tuned(graph(weights=path), say=said.append)
    assert {setup.views[name].mean for name in ("photo", "photo_2")} == {(0.0, 0.0, 0.0)}
    assert said[0].startswith(f"weights of photo: {path} (SimCLR")
    assert said[0].endswith(
        "120 of 120 tensors loaded; dropped head fc (4); normalised as they were: mean 0 0 0, std 1 1 1"
    )
    setup = tuned(graph(weights=path, normalise="view"), say=said.append)
    assert setup.views["photo"].mean == (0.485, 0.456, 0.406)
    assert said[1].endswith("normalised by the view, as was asked")


def test_a_view_of_other_numbers_keeps_its_own_scale(tmp_path: Path) -> None:
    view = mv.GraphView(
        view="grey",
        encoder="resnet18",
        encoder_options=NARROW,
        tuning=mv.Tuning(weights=str(moco(tmp_path)), in_channels="mean"),
    )
    said: list[str] = []
    setup = tuned(mv.Graph(views={"grey": view}).setup(), say=said.append)
    assert setup.views["grey"].mean == (0.5,)
    assert "adapted conv1.weight: 3 to 1 input channels by mean" in said[0]
    assert said[0].endswith("the weights were made for rgb: the view keeps its own mean and std")


def test_one_option_loads_both_streams_of_cmc(tmp_path: Path) -> None:
    path = str(saved(CASES["CMC, ResNet (stream ab)"]().content, tmp_path))
    named = {"encoder": "resnet18", "encoder_options": {**NARROW, "stem_planes": 16}}
    setup = mv.Graph(views={"L": mv.GraphView(**named), "ab": mv.GraphView(**named)}).setup()
    said: list[str] = []
    done = tuned(with_weights(setup, path), say=said.append)
    light, colour = net(1, channels=1, stem=16), net(2, channels=2, stem=16)
    assert torch.equal(done.encoders["L"].conv1.weight, light.conv1.weight)
    assert torch.equal(done.encoders["ab"].conv1.weight, colour.conv1.weight)
    assert [text.split("; ")[-1] for text in said] == [
        "normalised as they were: mean 50, std 50",
        "normalised as they were: mean 6.025 -6.69, std 92.208 101.168",
    ]


def test_weights_are_named_for_all_or_for_some_views(tmp_path: Path) -> None:
    setup = graph(weights="own.pth")
    assert {view: each.weights for view, each in with_weights(setup, "a.pth").tuning.items()} == {
        "photo": "own.pth",
        "depth": "a.pth",
    }
    assert set(with_weights(graph(), "photo=b.pth").tuning) == {"photo"}
    with pytest.raises(MultiviewError, match=r"'phot' is not a view with an encoder of its own.*Did you mean 'photo'"):
        with_weights(setup, "phot=b.pth")
    with pytest.raises(MultiviewError, match="give FILE, or VIEW=FILE,VIEW=FILE"):
        with_weights(setup, "photo=,depth=a")


def test_a_network_of_a_file_is_named_after_a_colon(tmp_path: Path) -> None:
    setup = tuned(graph(weights=f"{moco(tmp_path)}:key"))
    assert torch.equal(setup.encoders["photo"].conv1.weight, net(2).conv1.weight)


# The command


def test_the_command_says_what_a_file_is_and_where_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights(Weights(file=str(moco(tmp_path)))) == 0
    said = capsys.readouterr().out
    for text in (
        "MoCo v1 or v2 (github.com/facebookresearch/moco)",
        "entries      epoch, arch, state_dict, optimizer; epoch 200, arch resnet18",
        "networks     query (122 tensors), key (122 tensors)",
        "trained on   rgb: mean 0.485 0.456 0.406, std 0.229 0.224 0.225",
        "fits         resnet18 with width 0.125 (3 channels)",
        "mapped         120",
        "dropped        122  key encoder",
    ):
        assert text in said
    weights(Weights(file=f"{tmp_path / 'file.pth'}:key", all=True))
    assert "mapped   conv1.weight <- state_dict.module.encoder_k.conv1.weight" in capsys.readouterr().out
    with pytest.raises(MultiviewError, match="another network"):
        weights(Weights(file=str(tmp_path / "file.pth"), encoder="convnet"))
    assert "missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("title", "fits"),
    [
        ("CMC, AlexNet (stream L)", "alexnet with width 0.125"),
        ("SimCLR v2, converted from TensorFlow", "resnet50 with width 0.125"),
        ("solo-learn, small pictures", "resnet18 with width 0.125, stem solo_learn"),
        ("torchvision, ResNet", "resnet18 (3 channels); timm:resnet18 (3 channels)"),
    ],
)
def test_the_command_names_an_encoder_that_fits(title: str, fits: str, tmp_path: Path, capsys) -> None:
    weights(Weights(file=str(saved(CASES[title]().content, tmp_path))))
    assert fits in capsys.readouterr().out


def test_a_transformer_is_found_among_timms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = shaken(Vit(dim=192, heads=3, depth=12))
    weights(Weights(file=str(saved({"teacher": under("backbone.", network)}, tmp_path))))
    said = capsys.readouterr().out
    assert "DINO or iBOT" in said
    assert "fits         timm:vit_tiny_patch16_224 with img_size 32 (3 channels)" in said
