"""`multiview embed` writes every sample once, also after kill -9; `multiview search` is exact."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import many_kinds
import numpy as np
import pytest
import small_runs
from many_kinds import of_names, trained_of
from PIL import Image

import multiview as mv
from multiview.cli import run
from multiview.data.load.open_data import open_data
from multiview.data.store.reading import Store
from multiview.embed import tables
from multiview.embed.gallery import read_gallery
from multiview.embed.search import nearest
from multiview.embed.tables import METADATA, cast, write_table
from multiview.portable.layout import read_layout
from multiview.portable.model import Column
from multiview.portable.vectors import Vectors
from multiview.portable.write import write_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, mv.Trained, Path]:
    folder = tmp_path_factory.mktemp("embed")
    store = many_kinds.make(folder / "store")
    trained = of_names(store, "rgb", "depth", "table")
    write_model(trained, folder / "model")
    return store, trained, folder / "model"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of photos with hostile names and a broken file, and a model of its views."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    (folder / "photos" / "cats").mkdir(parents=True)
    for number in range(24):
        name = {0: 'a, "b"\n c', 1: "=1+1", 2: "[red]ä\x1b[31m"}.get(number, f"{number}")
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), "uint8")).save(folder / "photos" / "cats" / f"{name}.png")
    store = open_data(str(folder / "photos"), folder / "cache", say=lambda _: None)
    (folder / "photos" / "cats" / "broken.png").write_bytes(b"no picture")
    views = {name: mv.make_view(name, mv.Crop(size=16)) for name in ("L", "ab")}
    encoders = {n: mv.make_encoder("convnet", v.channels.count, width=0.25) for n, v in views.items()}
    write_model(trained_of(store, views, encoders), folder / "model")
    return folder / "photos", folder / "model"


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_the_file_holds_the_features_of_the_run(made: tuple, ending: str, tmp_path: Path) -> None:
    store, trained, model = made
    out = tmp_path / f"v.{ending}"
    assert run(["embed", str(model), str(store.path), str(out), "--workers", "1"]) == 0
    gallery = read_gallery(out)
    assert gallery.ids == store.ids
    assert gallery.about["model"] == mv.load(model).digest
    for split in ("train", "test"):
        rows, expected = store.rows(split), trained.embed(split)
        for view in ("rgb", "depth", "table"):
            there = expected.present[view]
            np.testing.assert_array_equal(gallery.present[view][rows], there)
            np.testing.assert_array_equal(gallery.values[f"h_{view}"][rows][there], expected.features[view][there])
    assert not out.with_name(f"{out.name}.parts").exists()
    with pytest.raises(mv.MultiviewError, match="exists already; give --overwrite"):
        run(["embed", str(model), str(store.path), str(out)])
    assert run(["embed", str(model), str(store.path), str(out), "--overwrite", "--dtype", "float16"]) == 0


def test_pandas_reads_the_file(made: tuple, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    store, trained, model = made
    assert run(["embed", str(model), str(store.path), str(tmp_path / "v.parquet")]) == 0
    frame = pandas.read_parquet(tmp_path / "v.parquet")
    assert frame["id"].tolist() == store.ids
    assert frame["split"].tolist() == ["train"] * 20 + ["test"] * 10
    assert frame["has_depth"].tolist() == store.present("depth").tolist()
    assert [value is not None for value in frame["h_depth"]] == frame["has_depth"].tolist()
    test = frame[frame["split"] == "test"]
    np.testing.assert_array_equal(np.stack(test["h_table"]), trained.embed("test").features["table"])


def test_polars_reads_the_file(made: tuple, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    store, _, model = made
    assert run(["embed", str(model), str(store.path), str(tmp_path / "v.parquet")]) == 0
    assert polars.read_parquet(tmp_path / "v.parquet")["h_rgb"].dtype.shape == (64,)


def test_csv_has_a_column_for_every_number(made: tuple, tmp_path: Path) -> None:
    store, trained, model = made
    words = ["embed", str(model), str(store.path), str(tmp_path / "v.csv"), "--split", "test", "--views", "[table]"]
    assert run(words) == 0
    with (tmp_path / "v.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [store.ids[row] for row in store.rows("test")]
    found = [[float(row[f"h_table_{place}"]) for place in range(64)] for row in rows]
    np.testing.assert_allclose(found, trained.embed("test").features["table"], rtol=1e-6)


SLOW = """
import sys, time
from multiview.portable.model import PortableModel
original = PortableModel.vectors
def slow(*args):
    time.sleep(0.4)
    return original(*args)
PortableModel.vectors = slow
from multiview.cli import main
main(sys.argv[1:])
"""


def test_a_killed_command_continues(made: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, model = made
    store = many_kinds.make(tmp_path / "large", many_kinds.Many(count=1500, names=("table",)))
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    words = ["embed", str(model), str(store.path)]
    assert run([*words, str(whole), "--save_every", "256"]) == 0
    child = subprocess.Popen([sys.executable, "-c", SLOW, *words, str(broken), "--save_every", "256"])
    parts = tmp_path / "broken.npz.parts"
    limit = time.monotonic() + 120
    while len(list(parts.glob("part-*.npz"))) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*.npz")}
    assert 2 <= len(kept) < 6
    assert not broken.exists()
    with pytest.raises(mv.MultiviewError, match="holds parts of another command"):
        run([*words, str(broken), "--save_every", "256", "--what", "z"])
    monkeypatch.chdir(tmp_path)  # the same data by a relative path
    words = ["embed", str(model), "large"]
    seen: list[int] = []
    original = mv.PortableModel.vectors
    monkeypatch.setattr(mv.PortableModel, "vectors", lambda *a: seen.append(1) or original(*a))
    assert run([*words, str(broken), "--save_every", "256"]) == 0
    assert len(seen) == 7 - len(kept)
    with np.load(whole) as expected, np.load(broken) as found:
        assert set(expected) == set(found)
        for name in set(expected) - {METADATA}:  # which has the path as it was typed
            np.testing.assert_array_equal(expected[name], found[name])
        assert len(set(found["id"].tolist())) == 1500
    assert not parts.exists()


def test_a_broken_file_is_a_row_of_another_file(photos: tuple[Path, Path], tmp_path: Path) -> None:
    folder, model = photos
    out = tmp_path / "v.parquet"
    assert run(["embed", str(model), str(folder), str(out)]) == 0
    gallery = read_gallery(out)
    assert len(gallery.ids) == 24
    assert all(Path(path).is_file() for path in gallery.paths if "\\x" not in path)
    with (tmp_path / "v.parquet.rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["modality"]) for row in rows] == [("cats/broken", "image")]


def test_search_by_file_and_by_id(
    photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = photos
    out = tmp_path / "v.npz"
    assert run(["embed", str(model), str(folder), str(out), "--what", "z"]) == 0
    gallery = read_gallery(out)
    query = folder / "cats" / "7.png"
    capsys.readouterr()
    words = ["search", str(out), str(query), "cats/7", "--model", str(model), "--k", "3"]
    assert run([*words, "--sheet", str(tmp_path / "sheet.png")]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[1].split()[:2] == ["1.0000", "cats/7"]
    assert "\x1b" not in printed
    assert lines[4] == "cats/7 (L in L)"
    assert "cats/7" not in "".join(lines[5:])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 4 * 128
    assert run(["search", str(out), "cats/7", "--within", "ab", "--k", "24"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = gallery.row("cats/7")
    cosine = gallery.values["z_ab"] @ gallery.values["z_L"][row]
    assert lines[1].split()[:2] == [f"{cosine.max():.4f}", gallery.ids[int(cosine.argmax())]]


def test_mistakes_of_a_search(made: tuple, photos: tuple[Path, Path], tmp_path: Path) -> None:
    store, _, model = made
    out = tmp_path / "h.npz"
    assert run(["embed", str(model), str(store.path), str(out)]) == 0
    picture = str(photos[0] / "cats" / "7.png")
    for words, text in (
        (["nobody"], "'nobody' is not a file, and no id of the gallery"),
        (["s1.png"], "Did you mean 's1'?"),
        (["s1", "--within", "table"], "embed the gallery with --what z"),
        (["s1", "--within", "tabel"], "'tabel' is not a view of this gallery"),
        ([picture], "give the model of the gallery"),
        ([picture, "--model", str(photos[1])], "is another model than the one that made the gallery"),
        (["s1", "--k", "0"], "k is 0"),
        (["s0", "--view", "depth"], "has no vector of depth"),
        (["s1", "--sheet", str(tmp_path / "x.png")], "knows no files of pictures"),
    ):
        with pytest.raises(mv.MultiviewError, match=text):
            run(["search", str(out), *words])
    with pytest.raises(mv.MultiviewError, match="there is no file"):
        run(["search", str(tmp_path / "none.parquet"), "s1"])
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(mv.MultiviewError, match="is no Parquet file"):
        run(["search", str(tmp_path / "text.parquet"), "s1"])
    with pytest.raises(mv.MultiviewError, match="has no known ending"):
        run(["embed", str(model), str(store.path), "out.xls"])


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_nearest_is_exact(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiview.embed.search.ROWS", 64)
    rng = np.random.default_rng(rows)
    gallery, queries = rng.normal(size=(rows, 5)), rng.normal(size=(4, 5))
    gallery[0], present = 0, rng.random(rows) < 0.8
    present[-1] = True
    best, places = nearest(queries, gallery, 10, present)
    norm = np.linalg.norm(gallery, axis=1)
    cosine = queries @ gallery.T / np.where(norm > 0, norm, 1) / np.linalg.norm(queries, axis=1)[:, None]
    cosine[:, ~present] = -2
    k = min(10, present.sum())
    np.testing.assert_array_equal(places, np.argsort(-cosine, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(best, np.take_along_axis(cosine, places, 1), atol=1e-6)


def test_float16_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(mv.MultiviewError, match="give --dtype float32"):
        cast(np.full((1, 2), 7e4, "float32"), "float16")
    assert cast(np.ones((1, 2), "float32"), "float16").dtype == np.float16


def test_the_metadata_is_json(made: tuple, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    store, _, model = made
    assert run(["embed", str(model), str(store.path), str(tmp_path / "z.parquet"), "--what", "z"]) == 0
    about = json.loads(parquet.read_schema(tmp_path / "z.parquet").metadata[b"multiview"])
    assert about["what"] == "z"
    assert about["columns"][0]["edges"] == ["rgb-depth", "rgb-table"]


def test_an_unfinished_run_gives_its_newest_checkpoint(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "run", ["--views", "[L]", "--split", "test", "--overwrite"]
    for step, name, more in ((2, out / "model", ()), (4, out, ("--resume",))):
        with small_runs.signal_in_step(step):
            assert small_runs.run("cmc_lab", scenes, out, *more) == 130
        if step == 2:
            with pytest.raises(mv.MultiviewError, match="has no model yet: training writes it at its end"):
                mv.load(out / "model")
        capsys.readouterr()
        assert run(["embed", str(name), str(scenes), str(tmp_path / "v.npz"), *words]) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert f"is at step {step} of 6: its training is not finished. To go on, give the same command with" in said
        assert read_layout(out / "model").run["steps"] == step


def test_a_second_crop_of_a_view_has_no_column_of_its_own(scenes: Path, tmp_path: Path) -> None:
    graph = mv.Graph.from_yaml("""views:
  photo: {view: rgb, encoder: convnet, width: 0.25, size: 16}
  depth: {encoder: convnet, width: 0.25, size: 16}
  grey: {encoder: convnet, width: 0.25, size: 16}
  small: {view: grey, share: grey, size: 8}
edges: [photo - photo, photo - depth, grey - small]
""")
    setup = graph.setup()
    assert "photo_2" in setup.views
    write_model(trained_of(Store.open(scenes), setup.views, setup.encoders, setup.graph), tmp_path / "model")
    assert mv.load(tmp_path / "model").second_crops == {"photo_2"}
    assert columns_of(tmp_path, scenes) == ["h_photo", "h_depth", "h_grey", "h_small"]
    assert columns_of(tmp_path, scenes, "--what", "z") == ["z_photo", "z_depth", "z_grey", "z_small"]
    assert columns_of(tmp_path, scenes, "--views", "photo,photo_2") == ["h_photo", "h_photo_2"]
    with np.load(tmp_path / "v.npz") as arrays:
        np.testing.assert_array_equal(arrays["h_photo"], arrays["h_photo_2"])


def columns_of(folder: Path, store: Path, *words: str) -> list[str]:
    assert run(["embed", str(folder / "model"), str(store), str(folder / "v.npz"), "--overwrite", *words]) == 0
    with np.load(folder / "v.npz") as arrays:
        return [name for name in arrays if name[:2] in ("h_", "z_")]


def test_an_older_pyarrow_is_named_that_cannot_write_absent_vectors() -> None:
    pa = pytest.importorskip("pyarrow")

    class Older:
        def write_table(self, *_: object, **__: object) -> None:
            raise pa.ArrowNotImplementedError("Lists with non-zero length null components are not supported")

    with pytest.raises(mv.MultiviewError, match=r"pyarrow [\d.]+ cannot write .* pip install --upgrade pyarrow"):
        tables._write_rows(pa, Older(), pa.table({"x": [1]}))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_absent_views_are_rows_of_nan_in_an_npz(dtype: str, tmp_path: Path) -> None:
    columns = (Column("a", None, 2), Column("b", None, 2))
    there = {"a": np.array([True, True]), "b": np.array([True, False])}
    values = {each: np.where(there[each.view][:, None], np.ones((2, 2), "float32"), 0) for each in columns}
    part = Vectors(columns, values, there, ["x", "y"], ["", ""], ["", ""], ["", ""])
    write_table(tmp_path / "v.npz", lambda: [part], columns, ("a", "b"), {"dtype": dtype})
    with np.load(tmp_path / "v.npz") as arrays:
        assert np.isfinite(arrays["h_a"]).all()
        np.testing.assert_array_equal(np.isnan(arrays["h_b"]), [[False, False], [True, True]])
