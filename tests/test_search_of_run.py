"""`multiview search RUN QUERY`: the data of the run are embedded once, and searched."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import small_runs
import torch
from PIL import Image

import multiview as mv
from multiview.cli import run
from multiview.data.load.dataset import Samples
from multiview.embed.gallery import read_gallery
from multiview.embed.late_fusion import LateFusion
from multiview.embed.own_data import gallery_of_run, store_of_run
from multiview.embed.parts import parts_folder
from multiview.measure.plain_models import cca, components, ridge
from multiview.measure.plain_values import statistics, values
from multiview.measure.retrieval import unit_rows
from multiview.runs import environment
from multiview.viewlayer import ViewLayer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of 24 pictures."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), "uint8")).save(folder / "photos" / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert small_runs.run("cmc_lab", folder / "photos", folder / "run", "--batch", "8", "--steps", "1") == 0
    return folder / "run"


def searched(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    capsys.readouterr()
    assert run(["search", *map(str, words), "--k", "3"]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_run_is_searched_without_another_command(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = trained.parent / "photos/7.png"
    copy = trained.parent / "copy.png"
    copy.write_bytes(picture.read_bytes())
    found = searched(capsys, trained, copy)
    assert found[1].split() == ["1.0000", "7", str(picture)]
    assert searched(capsys, trained, picture) == searched(capsys, trained, "7")
    assert str(picture) not in searched(capsys, trained, picture)[1:]
    out = trained.parent / "v.npz"
    assert run(["embed", str(trained / "model"), str(picture.parent), str(out)]) == 0
    assert searched(capsys, out, copy, "--model", trained / "model") == found
    assert searched(capsys, trained / "model", "7")[1:] == searched(capsys, out, "7")[1:]
    assert searched(capsys, trained, "7", "--in", "ab")[0] == "7 (L in ab)"
    assert read_gallery(trained / "vectors-z.npz").about["what"] == "z"


def test_vectors_are_kept_until_the_data_change(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(capsys, trained, "7")
    kept = (trained / "vectors-h.npz").stat().st_mtime_ns
    searched(capsys, trained, "8")
    assert (trained / "vectors-h.npz").stat().st_mtime_ns == kept
    new = trained.parent / "photos/new.png"
    Image.new("RGB", (20, 20), "red").save(new)
    (trained / "vectors-h.npz.parts").mkdir()
    (trained / "vectors-h.npz.parts/job.json").write_text(json.dumps({"model": "another"}))
    try:
        assert searched(capsys, trained, new)[0] == "new (L in L)"
    finally:
        new.unlink()


def test_late_fusion_sums_the_standardised_similarities_of_model_and_linear_model(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (trained, "7", "--view", "L", "--in", "ab", "--late_fusion")
    assert run(["search", *map(str, words), "--k", "30"]) == 0
    said = capsys.readouterr()
    head, *lines = said.out.splitlines()
    assert head == "7 (L in ab)" and len(lines) == 24
    assert "on values of L and ab" in said.err or "on statistics of L and ab" in said.err
    found = {line.split()[1]: float(line.split()[0]) for line in lines}
    z = read_gallery(trained / "vectors-z.npz")
    ours, theirs = (z.values[each["name"]] for each in z.pair("L", "ab"))
    late = LateFusion(mv.load(trained / "model"), store_of_run(environment(trained)["data"]), "L", "ab", z.ids)
    fit = {"ridge": ridge, "cca": cca}[late.name]
    store = mv.load(trained).store
    known = {view: by_hand(store, late, view) for view in ("L", "ab")}
    train = store.rows("train")
    relation = fit(known["L"][train], known["ab"][train], late.chosen.penalty)
    x, y = relation(known["L"][[store.ids.index("7")]], known["ab"])
    total = np.zeros(24)
    for query, gallery, ids in ((ours[z.row("7")], theirs, z.ids), (x[0], y, store.ids)):
        cosines = unit_rows(gallery) @ unit_rows(query[None])[0]
        total += np.array([dict(zip(ids, (cosines - cosines.mean()) / cosines.std(), strict=True))[i] for i in z.ids])
    assert found == pytest.approx(dict(zip(z.ids, total, strict=True)), abs=1e-3)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def by_hand(store: mv.Store, late: LateFusion, view: str) -> np.ndarray:
    """The components of every row, made from the training rows."""
    plain = {"values": values, "statistics": statistics}[late.chosen.plain]
    samples = Samples(store, None, {view: late.views[view]}, train=False)
    batch = samples[0, torch.arange(24)]
    x = plain(late.views[view], ViewLayer({view: late.views[view]})(batch)[view]).double().numpy()
    return components(x[store.rows("train")], late.chosen.plain == "statistics")(x)


def test_late_fusion_of_a_file_is_that_of_its_sample(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = trained.parent / "copy.png"
    copy.write_bytes((trained.parent / "photos/7.png").read_bytes())
    words = ("--view", "L", "--in", "ab", "--late_fusion")
    assert searched(capsys, trained, copy, *words)[1:] == searched(capsys, trained, "7", *words)[1:]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("7", "--late_fusion"), "queries and gallery are both L; give another view with --in"),
        (("7", "--in", "ab", "--view", "depth", "--late_fusion"), "'depth' is not a view"),
        (("a red circle", "--in", "ab", "--late_fusion"), "late fusion takes ids and files as queries"),
        (("7", "--in", "ab", "--view", "depth"), "'depth' is not a view of this gallery; available: L, ab."),
    ],
)
def test_late_fusion_that_cannot_be_is_refused(trained: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(mv.MultiviewError, match=re.escape(said)):
        run(["search", str(trained), *words])


def test_late_fusion_relates_views_and_no_fused_embedding(trained: Path) -> None:
    model = mv.load(trained / "model")
    model.fusions["fused"] = None
    with pytest.raises(mv.MultiviewError, match="fused is an embedding of several; give views of the model: L, ab"):
        LateFusion(model, "photos", "L", "fused", [])


def test_late_fusion_needs_a_run_whose_data_are_there(trained: Path) -> None:
    out = trained.parent / "z.npz"
    words = ["--view", "L", "--in", "ab", "--late_fusion"]
    assert run(["embed", str(trained / "model"), str(trained.parent / "photos"), str(out), "--what", "z"]) == 0
    with pytest.raises(mv.MultiviewError, match="is a file of vectors; give the run as GALLERY"):
        run(["search", str(out), "7", *words])
    new = trained.parent / "photos/new.png"
    Image.new("RGB", (20, 20), "red").save(new)
    try:
        with pytest.raises(mv.MultiviewError, match=r"does not hold 'new': the data have changed since the run began"):
            run(["search", str(trained), "7", *words])
    finally:
        new.unlink()


def test_mistakes_are_told_in_one_sentence(trained: Path) -> None:
    with pytest.raises(mv.MultiviewError, match="is a folder, and no run"):
        run(["search", str(trained.parent / "photos"), "7"])
    broken = trained.parent / "broken"
    broken.mkdir()
    (broken / "x.png").write_bytes((trained.parent / "photos/7.png").read_bytes()[:200])
    with pytest.raises(mv.MultiviewError, match=r"nothing could be read: 1 sample rejected, the first because"):
        run(["embed", str(trained / "model"), str(broken), str(trained.parent / "broken.npz"), "--overwrite"])
    assert not (trained.parent / "broken.npz").exists()
    parts = parts_folder(trained.parent / "late.npz")
    parts.mkdir()
    (parts / "job.json").write_text("{}")  # of a command that failed before its first part
    assert run(["embed", str(trained / "model"), str(trained.parent / "photos"), str(trained.parent / "late.npz")]) == 0
    with pytest.raises(mv.MultiviewError, match="trained on data in memory"):
        gallery_of_run(trained, {"spec": "memory:"}, mv.load(trained / "model"), ["7"], None)
    (trained / "vectors-h.npz").write_bytes(b"no array")
    with pytest.raises(mv.MultiviewError, match=r"vectors-h\.npz cannot be read"):
        run(["search", str(trained), "7"])
