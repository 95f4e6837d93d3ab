"""A model folder gives the features of its run, to the bit, without data and recipe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import many_kinds
import numpy as np
import pytest
import torch
from many_kinds import of_names, trained_of, view
from PIL import Image
from small_runs import run
from torch import nn

import multiview as mv
from multiview import cli
from multiview.data.load.open_data import open_data
from multiview.data.store.reading import Store
from multiview.encoder import Encoder
from multiview.files import sha256
from multiview.portable.layout import folder_names
from multiview.portable.networks import merged
from multiview.portable.read import read_model
from multiview.portable.write import write_model

KINDS = tuple(many_kinds.ENCODERS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return many_kinds.make(tmp_path_factory.mktemp("many") / "store")


@pytest.fixture(scope="module")
def all_kinds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[mv.Trained, Path]:
    trained = of_names(store, *KINDS)
    folder, notes = write_model(trained, tmp_path_factory.mktemp("models") / "all")
    assert notes == []
    return trained, folder


@pytest.fixture
def copied(all_kinds: tuple[mv.Trained, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(all_kinds[1], tmp_path / "a copy"))


IN_ANOTHER_PROCESS = """
import sys, numpy as np, multiview as mv
from multiview.data.store.reading import Store
model = mv.load(sys.argv[1])
values = np.load(sys.argv[2])
found = {name: model[name](values[model.parts[name].modality.name]).numpy() for name in model.views}
np.savez(sys.argv[3], **found)
"""


def test_a_copy_without_the_data_gives_the_same_bits_in_another_process(warm: list[str], tmp_path: Path) -> None:
    from multiview.data.sources.scenes import Scenes
    from multiview.data.write.preprocess import preprocess

    data, out = tmp_path / "scenes", tmp_path / "run"
    preprocess(Scenes(count=80, size=32), None, data)
    assert run("cmc_rgbd", data, out) == 0
    trained = mv.load(out)
    expected = trained.embed("test").features
    rows = trained.store.rows("test")
    values = {name: trained.store.read(rows, name) for name in ("image", "depth", "normal")}
    np.savez(tmp_path / "values.npz", **values)
    away = Path(shutil.copytree(out / "model", tmp_path / "away" / "any name"))
    shutil.rmtree(out)
    shutil.rmtree(data)
    words = [str(away), str(tmp_path / "values.npz"), str(tmp_path / "found.npz")]
    done = subprocess.run(
        [*warm, "-c", IN_ANOTHER_PROCESS, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == set(expected)
        for name, features in expected.items():
            np.testing.assert_array_equal(found[name], features)


def test_every_kind_of_view_gives_the_bits_of_the_run(all_kinds: tuple[mv.Trained, Path], store: Store) -> None:
    trained, folder = all_kinds
    model = mv.load(folder)
    assert isinstance(model, mv.PortableModel)
    expected, found = trained.embed("test"), model.embed(store.path, split="test")
    assert found.ids == [store.ids[row] for row in store.rows("test")]
    assert found.labels == [store.manifest.classes[label] for label in expected.labels]
    for name in KINDS:
        there = expected.present[name]
        np.testing.assert_array_equal(found.present[name], there)
        np.testing.assert_array_equal(found[name][there], expected.features[name][there])
        assert not found[name][~there].any()
    assert not found.present["depth"].all()
    assert not found.present["text"].all()


def test_embeddings_are_those_of_the_projectors(all_kinds: tuple[mv.Trained, Path], store: Store) -> None:
    trained, folder = all_kinds
    model = mv.load(folder)
    found = model.embed(store.path, split="test", what="z", views=["rgb", "table"])
    features = trained.embed("test").features
    for name in ("rgb", "table"):
        head = trained.model.projectors[f"{name}/linear_128"]
        with torch.no_grad():
            np.testing.assert_array_equal(found[name], head(torch.from_numpy(features[name])).numpy())
    values = store.read(store.rows("test"), "image")
    np.testing.assert_array_equal(model.z["rgb"](values).numpy(), found["rgb"])
    np.testing.assert_array_equal(model.z["rgb", "rgb-table"](values).numpy(), found["rgb"])


@pytest.mark.parametrize("workers", [0, 2])
def test_all_rows_come_split_by_split(all_kinds: tuple[mv.Trained, Path], store: Store, workers: int) -> None:
    found = mv.load(all_kinds[1]).embed(store.path, views=["table"], workers=workers)
    assert found.splits == ["train"] * 20 + ["test"] * 10
    assert found.ids == store.ids
    np.testing.assert_array_equal(found.factors["size"], store.factor("size"))


def test_one_view_alone(store: Store, tmp_path: Path) -> None:
    """Two crops of one view share an encoder, as in SimCLR."""
    views = {name: view("rgb", mv.Crop(size=10, name=name)) for name in ("query", "key")}
    trained = trained_of(store, views, {"query": mv.make_encoder("convnet", 3, width=0.25), "key": "query"})
    folder, _ = write_model(trained, tmp_path / "model")
    assert not (folder / "key" / "model.safetensors").exists()
    model = mv.load(folder)
    assert model.encoder("key") is model.encoder("query")
    expected, found = trained.embed("test").features, model.embed(store.path, split="test")
    for name in views:
        np.testing.assert_array_equal(found[name], expected[name])


def test_views_with_several_projectors_have_a_z_for_each_edge(store: Store, tmp_path: Path) -> None:
    views = {name: view(name) for name in ("rgb", "table")}
    encoders = {name: many_kinds.encoder(name, value) for name, value in views.items()}
    edges = (mv.Edge("rgb", "table", mv.CMC(dim=8)), mv.Edge("rgb", "table", mv.SimCLR(dim=16, hidden=8)))
    trained = trained_of(store, views, encoders, mv.ContrastGraph(tuple(views), edges))
    model = mv.load(write_model(trained, tmp_path / "model")[0])
    names = list(trained.setup.graph.named_edges())
    photos = store.read([0, 1], "image")
    assert [model.z["rgb", name](photos).shape[1] for name in names] == [8, 16]
    assert torch.equal(model.z["rgb"](photos), model.z["rgb", names[0]](photos))
    assert [column.width for column in model.columns("z", ["rgb"])] == [8, 16]
    with pytest.raises(mv.MultiviewError, match="'rgb-tabel' is not an edge of view 'rgb'"):
        model.z["rgb", "rgb-tabel"]


def test_values_are_checked(all_kinds: tuple[mv.Trained, Path], store: Store) -> None:
    model = mv.load(all_kinds[1])
    photo = store.read([0], "image")[0]
    for wrong in (photo, photo[None] / 255, photo[None, :, :, :1], "photos/", photo[None, :0]):
        with pytest.raises(mv.MultiviewError, match="this view reads n stored samples of 'image', not"):
            model["rgb"](wrong)
    assert torch.equal(model["rgb"]([photo]), model["rgb"](photo[None]))
    assert torch.equal(model["rgb"](torch.from_numpy(photo[None])), model["rgb"](photo[None]))
    larger = np.kron(photo, np.ones((3, 2, 1), "uint8"))
    assert model["rgb"]([photo, larger]).shape == (2, 64)
    texts = model["text"](["text 1", "text 2"])
    np.testing.assert_array_equal(texts.numpy(), model["text"](store.read([1, 2], "text")).numpy())
    with pytest.raises(mv.MultiviewError, match="'rgbb' is not a view of this model"):
        model["rgbb"]


def test_a_timm_encoder_is_read_by_timm(store: Store, tmp_path: Path) -> None:
    import timm

    crop = mv.Crop(size=32)
    views = {"L": mv.make_view("L", crop), "ab": mv.make_view("ab", crop)}
    encoders = {
        "L": mv.make_encoder("timm:resnet18", 1, seed=0),
        "ab": mv.make_encoder("timm:vit_tiny_patch16_224", 2, img_size=32, depth=2, seed=0),
    }
    trained = trained_of(store, views, encoders)
    folder, _ = write_model(trained, tmp_path / "model")
    model = mv.load(folder)
    found, expected = model.embed(store.path, split="test"), trained.embed("test").features
    for name, channels in (("L", 1), ("ab", 2)):
        np.testing.assert_array_equal(found[name], expected[name])
        network = timm.create_model(f"local-dir:{folder / name}", pretrained=True).eval()
        x = torch.randn(3, channels, 32, 32)
        with torch.no_grad():
            assert torch.equal(network(x), trained.encoder(name).eval()(x))


def test_a_language_model_is_read_by_transformers(store: Store, tmp_path: Path) -> None:
    from test_encoders_signals import language_model as made
    from transformers import AutoModel

    class Factory:
        def mktemp(self, name: str) -> Path:
            (tmp_path / name).mkdir()
            return tmp_path / name

    source = made.__wrapped__(Factory())  # type: ignore[attr-defined]
    views = {"text": view("text"), "table": view("table")}
    encoders = {
        "text": mv.make_encoder(f"transformers:{source}", 1),
        "table": many_kinds.encoder("table", view("table")),
    }
    trained = trained_of(store, views, encoders)
    folder, notes = write_model(trained, tmp_path / "model")
    assert notes == []
    shutil.rmtree(source)
    expected = trained.embed("test")
    there = expected.present["text"]
    found = mv.load(folder).embed(store.path, split="test")
    np.testing.assert_array_equal(found["text"][there], expected.features["text"][there])
    theirs = AutoModel.from_pretrained(folder / "text").state_dict()
    for name, weight in trained.encoder("text").network.state_dict().items():
        assert torch.equal(theirs[name], weight)


def test_lora_is_merged_into_the_weights(store: Store, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    trained = of_names(store, "table", "rgb")
    encoder = trained.encoder("table")
    names = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    keys = set(encoder.state_dict())
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=names), encoder)
    for name, weight in encoder.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    encoder.eval()
    expected = trained.embed("test").features["table"]
    plain = merged(encoder)
    assert set(plain.state_dict()) == keys
    assert any("lora" in name for name in encoder.state_dict())
    folder, _ = write_model(trained, tmp_path / "model")
    found = mv.load(folder).embed(store.path, split="test")["table"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class OfTheUser(Encoder):
    """An encoder that no package registers."""

    axes = ("columns",)

    def __init__(self) -> None:
        super().__init__(4, 6, ("h",))
        self.h = nn.Linear(4, 6)


def test_a_view_with_code_of_the_user_is_named_and_the_others_load(store: Store, tmp_path: Path) -> None:
    views = {"table": view("table"), "rgb": view("rgb")}
    encoders = {"table": OfTheUser(), "rgb": many_kinds.encoder("rgb", view("rgb"))}
    folder, notes = write_model(trained_of(store, views, encoders), tmp_path / "model")
    assert len(notes) == 1
    assert "the view 'table' cannot be loaded from model without your code" in notes[0]
    model = mv.load(folder)
    assert model.views == ("rgb",)
    with pytest.raises(mv.MultiviewError, match=r"the view 'table' .* cannot be built: .*OfTheUser"):
        model["table"]


def changed(folder: Path, view: str, part: str, **values: object) -> None:
    """Changes the record of a view, and the hashes of the model as its writer would."""
    file = folder / view / "view.json"
    record = json.loads(file.read_text())
    record[part] |= values
    file.write_text(json.dumps(record))
    index = json.loads((folder / "model.json").read_text())
    index["files"][f"{view}/view.json"] = sha256(file)
    from multiview.portable.layout import _digest

    index["digest"] = _digest({"views": index["views"], "edges": index["edges"]}, index["files"])
    (folder / "model.json").write_text(json.dumps(index))


def test_a_missing_plugin_is_named_with_its_package(
    copied: Path, all_kinds: tuple[mv.Trained, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(copied, "rgb", "encoder", name="starnet")
    changed(copied, "rgb", "packages", encoder="star-encoders")
    model = mv.load(copied)
    with pytest.raises(mv.MultiviewError, match=r"'starnet' is not an encoder.* pip install star-encoders"):
        model["rgb"]
    words = ["embed", str(copied), str(all_kinds[0].store.path), str(tmp_path / "some.npz")]
    assert cli.run(words) == 0
    assert re.search("left out the view rgb: .*pip install star-encoders", capsys.readouterr().out, re.DOTALL)
    assert cli.run([*words[:3], str(tmp_path / "one.npz"), "--views", "table"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_a_newer_model_says_so(copied: Path) -> None:
    index = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(json.dumps(index | {"schema": 2}))
    with pytest.raises(mv.MultiviewError, match="has schema 2, this version reads up to 1"):
        mv.load(copied)


HARMS = {
    "flipped bit": lambda f: (f / "rgb/model.safetensors").write_bytes(
        (f / "rgb/model.safetensors").read_bytes()[:-1] + b"x"
    ),
    "missing file": lambda f: (f / "rgb/heads.safetensors").unlink(),
    "another record": lambda f: (f / "rgb/view.json").write_text("{}"),
    "cut index": lambda f: (f / "model.json").write_text((f / "model.json").read_text()[:-40]),
    "list": lambda f: (f / "model.json").write_text("[1]"),
    "folder outside": lambda f: (f / "model.json").write_text(
        (f / "model.json").read_text().replace('"rgb": "rgb"', '"rgb": "../rgb"')
    ),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_damage_is_one_sentence(harm, copied: Path) -> None:
    harm(copied)
    with pytest.raises(mv.MultiviewError, match=r"is not whole|cannot be read"):
        mv.load(copied)


def test_the_card_may_be_edited(copied: Path) -> None:
    (copied / "README.md").write_text("mine")
    (copied / "extra.txt").write_text("mine")
    assert mv.load(copied).card == "mine"


def test_options_of_a_run_are_refused(copied: Path) -> None:
    with pytest.raises(mv.MultiviewError, match="is a model, which has no data of its own: leave out data"):
        mv.load(copied, data="photos")


def test_another_model_replaces_the_model_as_a_whole(store: Store, tmp_path: Path) -> None:
    first, second = of_names(store, "rgb", "table"), of_names(store, "table", "series")
    folder, _ = write_model(first, tmp_path / "model")
    write_model(second, tmp_path / "model")
    assert read_model(folder).views == ("table", "series")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(mv.MultiviewError, match="is not empty and holds no model"):
        write_model(first, tmp_path / "mine")


def test_equal_models_have_equal_digests(store: Store, tmp_path: Path) -> None:
    one, two = (mv.load(write_model(of_names(store, "rgb", "table"), tmp_path / name)[0]) for name in ("a", "b"))
    assert one.digest == two.digest
    trained = of_names(store, "rgb", "table")
    nn.init.zeros_(next(trained.model.parameters()))
    assert mv.load(write_model(trained, tmp_path / "c")[0]).digest != one.digest


def test_hostile_names_of_views(store: Store, tmp_path: Path) -> None:
    names = ["CON", "A_b", "a_b"]
    views = {name: view("table") for name in names}
    encoders = {name: many_kinds.encoder("table", view("table")) for name in names}
    trained = trained_of(store, views, encoders)
    folder, _ = write_model(trained, tmp_path / "model")
    model = mv.load(folder)
    assert model.views == tuple(names)
    assert {path.parent for path in folder.iterdir()} == {folder}
    found, expected = model.embed(store.path, split="test"), trained.embed("test").features
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name])


def test_folder_names_are_names_and_differ() -> None:
    views = ["a/b", "..", ".", "", "nul", "Ab", "ab", "x" * 300, "é", "\ud800"]
    names = folder_names(views)
    assert len({name.casefold() for name in names.values()}) == len(views)
    assert all(Path(name).name == name and name not in (".", "..") and len(name) < 80 for name in names.values())
    assert folder_names(["depth"]) == {"depth": "depth"}


def test_values_with_another_meaning_are_refused(all_kinds: tuple[mv.Trained, Path], tmp_path: Path) -> None:
    model = mv.load(all_kinds[1])
    changes = {
        "table": {"names": ("b", "a", "c", "d")},
        "audio": {"rate": 16000.0},
        "depth": {"unit": "mm"},
    }
    for number, (name, change) in enumerate(changes.items()):
        old = many_kinds.MODALITIES
        many_kinds.MODALITIES = tuple(replace(each, **change) if each.name == name else each for each in old)
        try:
            store = many_kinds.make(tmp_path / f"store{number}")
        finally:
            many_kinds.MODALITIES = old
        with pytest.raises(mv.MultiviewError, match=f"was trained on '{name}' with {next(iter(change))}"):
            model.embed(store.path)


def test_data_without_a_modality_of_the_model(all_kinds: tuple[mv.Trained, Path], tmp_path: Path) -> None:
    store = many_kinds.make(tmp_path / "store", many_kinds.Many(names=("table", "text")))
    model = mv.load(all_kinds[1])
    assert set(model.embed(store.path).present) == {"table", "text"}
    with pytest.raises(mv.MultiviewError, match=r"reads 'image', which .* does not hold"):
        model.embed(store.path, views=["rgb"])
    with pytest.raises(mv.MultiviewError, match="does not exist"):
        model.embed(tmp_path / "nothing")
    spoken = many_kinds.make(tmp_path / "spoken", many_kinds.Many(names=("audio",)))
    with pytest.raises(
        mv.MultiviewError, match=r"holds audio \(audio\), which no view of the model reads: rgb \(image\)"
    ):
        model.embed(spoken.path, views=["rgb", "table"])


def test_new_files_are_read_like_those_of_the_training(tmp_path: Path) -> None:
    """Files of one size, as a store of raw pixels holds them, and then files of another size."""
    rng = np.random.default_rng(0)
    for folder, count, side in (("photos", 30, 24), ("new", 5, 50)):
        (tmp_path / folder / "cats").mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (side, side + 6, 3), dtype="uint8")
            Image.fromarray(pixels).save(tmp_path / folder / "cats" / f"{number}.png")
    store = open_data(str(tmp_path / "photos"), tmp_path / "cache", say=lambda _: None)
    views = {name: mv.make_view(name, mv.Crop(size=16)) for name in ("L", "ab")}
    encoders = {n: mv.make_encoder("convnet", v.channels.count, width=0.25) for n, v in views.items()}
    trained = trained_of(store, views, encoders)
    model = mv.load(write_model(trained, tmp_path / "model")[0])
    for split in store.split_names:
        found, expected = model.embed(tmp_path / "photos", split=split), trained.embed(split).features
        for name in views:
            np.testing.assert_array_equal(found[name], expected[name])
    assert found.paths[0].startswith(str(tmp_path / "photos" / "cats"))
    (tmp_path / "new" / "cats" / "broken.png").write_bytes(b"no picture")
    new = model.embed(tmp_path / "new")
    assert len(new) == 5
    assert [(each.id, each.modality) for each in new.rejected] == [("cats/broken", "image")]
    assert all(new.present["L"])
