"""`multiview search RUN QUERY`: the data of the run are embedded once, and searched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_runs
from PIL import Image

import multiview as mv
from multiview.cli import run
from multiview.embed.gallery import read_gallery
from multiview.embed.own_data import gallery_of_run
from multiview.embed.parts import parts_folder


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
