"""A model is pushed to a stand-in of the hub and pulled from it; mistakes are sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import many_kinds
import numpy as np
import pytest
from hub_stand_in import TOKEN, Hub, hub

import multiview as mv
from multiview.cli import run
from multiview.portable.hub import is_on_hub
from multiview.portable.write import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    store = many_kinds.make(root / "store")
    return write_model(many_kinds.of_names(store, "rgb", "table"), root / "model")[0]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as server:
        here(monkeypatch, tmp_path, server.url)
        yield server


def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    """The hub is at `url`, with an empty cache and no token of the user."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


def photos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype="uint8")


def pushed(model: Path, *more: str) -> None:
    assert run(["push", str(model), "me/photos", "--token", TOKEN, *more]) == 0


def test_a_model_comes_back_from_the_hub_with_its_bits(
    model: Path, server: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "notes.txt").write_text("private")
    pushed(model)
    said = capsys.readouterr().out
    assert f"pushed {model} to {server.url}/me/photos" in said
    assert "names no licence" in said
    held = server.repos["me/photos"][-1]
    assert {"model.json", "README.md", "rgb/model.safetensors", "rgb/README.md"} <= set(held)
    assert "notes.txt" not in held
    assert run(["pull", "me/photos", str(tmp_path / "copy")]) == 0
    expected = mv.load(model)["rgb"](photos())
    for copy in (mv.load(tmp_path / "copy"), mv.load("hf:me/photos"), mv.load("hf://me/photos")):
        np.testing.assert_array_equal(copy["rgb"](photos()), expected)
    assert sorted(x.name for x in (tmp_path / "copy").iterdir()) == ["README.md", "model.json", "rgb", "table"]
    assert [x.name for x in tmp_path.iterdir() if "partial" in x.name] == []


def test_a_second_push_is_a_new_version_and_the_old_one_stays(model: Path, server: Hub, tmp_path: Path) -> None:
    from hub_stand_in import commit_of

    pushed(model)
    card = (model / "README.md").read_text()
    try:
        (model / "README.md").write_text(card.replace("license: other\nlicense_name: not-chosen", "license: mit"))
        pushed(model)
    finally:
        (model / "README.md").write_text(card)
    first, second = (commit_of("me/photos", number) for number in (1, 2))
    assert run(["pull", f"me/photos@{first}", str(tmp_path / "first")]) == 0
    assert "not-chosen" in (tmp_path / "first" / "README.md").read_text()
    assert "license: mit" in mv.load(f"hf:me/photos@{second}").card


def test_a_model_in_the_cache_needs_no_hub(
    model: Path, server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(model)
    mv.load("hf:me/photos")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert mv.load("hf:me/photos").views == ("rgb", "table")


def test_private_models_need_the_token(model: Path, server: Hub, tmp_path: Path) -> None:
    pushed(model, "--private")
    assert server.private == {"me/photos"}
    with pytest.raises(mv.MultiviewError, match="the hub shows no model me/photos"):
        run(["pull", "me/photos", str(tmp_path / "copy")])
    assert run(["pull", "me/photos", str(tmp_path / "copy"), "--token", TOKEN]) == 0


def test_mistakes_of_push(model: Path, server: Hub, tmp_path: Path) -> None:
    with pytest.raises(mv.MultiviewError, match="the hub does not know who you are"):
        run(["push", str(model), "me/photos"])
    with pytest.raises(mv.MultiviewError, match="the hub does not know who you are") as wrong:
        run(["push", str(model), "me/photos", "--token", "hf_wrong"])
    assert "hf_wrong" not in str(wrong.value)
    with pytest.raises(mv.MultiviewError, match="your token may not have you/photos written"):
        run(["push", str(model), "you/photos", "--token", TOKEN])
    with pytest.raises(mv.MultiviewError, match="is no name for a model on the hub"):
        run(["push", str(model), "me/a photo!", "--token", TOKEN])
    with pytest.raises(mv.MultiviewError, match="is no model folder and no run with one"):
        run(["push", str(tmp_path), "me/photos", "--token", TOKEN])
    server.repos["me/other"] = [{"pytorch_model.bin": b""}]
    with pytest.raises(mv.MultiviewError, match="the hub has me/other already, and it holds no model of multiview"):
        run(["push", str(model), "me/other", "--token", TOKEN])


def test_mistakes_of_pull(model: Path, server: Hub, tmp_path: Path) -> None:
    pushed(model)
    server.repos["me/other"] = [{"pytorch_model.bin": b""}]
    cases = {
        "me/nothing": "the hub shows no model me/nothing",
        "me/photos@v9": "has no revision 'v9'",
        "me/other": "me/other on the hub is no model of multiview",
        "a/b/c": "is no name for a model on the hub",
    }
    for name, message in cases.items():
        with pytest.raises(mv.MultiviewError, match=message):
            run(["pull", name, str(tmp_path / "copy")])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(mv.MultiviewError, match="exists already"):
        run(["pull", "me/photos", str(tmp_path / "full")])
    server.repos["me/photos"][-1]["rgb/model.safetensors"] = b"other"
    with pytest.raises(mv.MultiviewError, match=r"rgb/model.safetensors is damaged"):
        run(["pull", "me/photos", str(tmp_path / "copy")])
    assert not (tmp_path / "copy").exists()


def test_no_network_is_one_sentence(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, tmp_path, "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the hub's client waits before it asks again
    for words in (["push", str(model), "me/photos", "--token", "hf_x"], ["pull", "me/photos", str(tmp_path / "copy")]):
        with pytest.raises(mv.MultiviewError, match=r"the hub at http://127.0.0.1:9 does not answer"):
            run(words)
    with pytest.raises(mv.MultiviewError, match="is a model, which has no data of its own"):
        mv.load("hf:me/photos", data="photos")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(mv.MultiviewError, match="HF_HUB_OFFLINE forbids asking the hub"):
        mv.load("hf:me/photos")


def test_names_of_the_hub() -> None:
    assert is_on_hub("hf:me/photos")
    assert is_on_hub("hf://me/photos@v1")
    assert not is_on_hub("runs/photos")
