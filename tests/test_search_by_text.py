"""`multiview search GALLERY "a red circle" --model MODEL --in photo`."""

from __future__ import annotations

from pathlib import Path

import many_kinds
import numpy as np
import pytest
from many_kinds import of_names

import multiview as mv
from multiview.cli import run
from multiview.embed.gallery import read_gallery
from multiview.embed.search import nearest
from multiview.portable.write import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of pictures and texts, and galleries of z, of h and without texts."""
    folder = tmp_path_factory.mktemp("text")
    store = many_kinds.make(folder / "store")
    write_model(of_names(store, "rgb", "text"), folder / "model")
    for name, more in (("z", ["--what", "z"]), ("h", []), ("rgb", ["--what", "z", "--views", "[rgb]"])):
        out = folder / f"{name}.npz"
        assert run(["embed", str(folder / "model"), str(store.path), str(out), *more]) == 0
    return folder / "model"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", ["z", "rgb"])
def test_a_text_finds_pictures(model: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = model.parent / f"{name}.npz"
    words = ["search", str(file), "a red circle", "--model", str(model)]
    assert run([*words, "--in", "rgb", "--k", "3"]) == 0
    first, *found = lines(capsys)
    assert first == '"a red circle" (text in rgb)'
    loaded, gallery = mv.load(model), read_gallery(file)
    query = loaded.z["text"](["a red circle"]).numpy()
    best, rows = nearest(query, gallery.values["z_rgb"], 3, gallery.present["rgb"])
    assert [line.split() for line in found] == [
        [f"{similarity:.4f}", gallery.ids[row]] for similarity, row in zip(best[0], rows[0], strict=True)
    ]
    assert run([*words, "--k", "3"]) == 0  # pictures are searched by default
    assert lines(capsys) == [first, *found]


def test_a_text_of_the_gallery_finds_itself(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery, store = read_gallery(model.parent / "h.npz"), mv.Store.open(model.parent / "store")
    row = int(np.flatnonzero(gallery.present["text"])[0])
    stored = store.read([store.ids.index(gallery.ids[row])], "text")[0].tobytes().rstrip(b"\0").decode()
    assert run(["search", str(model.parent / "h.npz"), stored, "--model", str(model), "--in", "text", "--k", "1"]) == 0
    assert float(lines(capsys)[1].split()[0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("gallery", "words", "message"),
    [
        ("z", ["a red circle"], "A text needs the model, --model MODEL."),
        ("h", ["a red circle", "--in", "rgb", "--model", "MODEL"], "embed the gallery with --what z"),
        (
            "rgb",
            ["a red circle", "--in", "text", "--model", "MODEL"],
            "'text' is not a view of this gallery; available: rgb",
        ),
        (
            "z",
            ["a red circle", "--view", "rgb", "--model", "MODEL"],
            "the view 'rgb' reads no texts; views that do: text",
        ),
        ("z", ["red.jpg", "--model", "MODEL"], "'red.jpg' is not a file, and no id of the gallery"),
        ("z", ["photos/red", "--model", "MODEL"], "'photos/red' is not a file, and no id of the gallery"),
    ],
)
def test_mistakes_are_told_in_one_sentence(model: Path, gallery: str, words: list[str], message: str) -> None:
    given = [word.replace("MODEL", str(model)) if word == "MODEL" else word for word in words]
    with pytest.raises(mv.MultiviewError) as caught:
        run(["search", str(model.parent / f"{gallery}.npz"), *given])
    assert message in str(caught.value)


def test_a_model_without_texts_says_so(tmp_path: Path) -> None:
    store = many_kinds.make(tmp_path / "store")
    write_model(of_names(store, "rgb", "depth"), tmp_path / "model")
    assert run(["embed", str(tmp_path / "model"), str(store.path), str(tmp_path / "z.npz"), "--what", "z"]) == 0
    with pytest.raises(mv.MultiviewError, match="The model has no view that reads texts; its views: rgb, depth"):
        run(["search", str(tmp_path / "z.npz"), "a red circle", "--model", str(tmp_path / "model")])
