"""Aligned files of several modalities."""

import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pictures import noise, rows, save, write_aligned

from multiview.data.source import BadSample
from multiview.data.sources.aligned import Aligned
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    return write_aligned(tmp_path)


def test_aligned_folders(aligned: Path, tmp_path: Path) -> None:
    preprocess(Aligned(ignore_label="other", depth_scale=0.01), aligned, tmp_path / "out")
    store = Store.open(tmp_path / "out")
    assert [each.name for each in store.manifest.modalities] == ["image", "depth", "normal", "mask"]
    assert [each.dtype for each in store.manifest.modalities] == ["uint8", "float32", "float16", "uint8"]
    assert store.manifest.classes == ("chair",)
    assert store.labels.tolist() == [0, -1, 0, -1, 0, -1]
    depth = np.random.default_rng(4).integers(0, 5000, (6, 6))
    np.testing.assert_allclose(store.read([4], "depth")[0], depth * 0.01, rtol=1e-5)
    assert np.array_equal(store.read([4], "mask")[0], depth > 2000)
    assert np.array_equal(store.read([4], "image")[0], noise(4))


def test_a_file_missing_in_one_modality_is_rejected(aligned: Path, tmp_path: Path) -> None:
    (aligned / "depth" / "s2.png").unlink()
    save(aligned / "rgb" / "s3.jpg", noise(0))
    save(aligned / "rgb" / "extra.png", noise(0))
    report = preprocess(Aligned(), aligned, tmp_path / "out", max_bad=0.5)
    assert report.rejected == 2
    assert any("1 sample left out: " in note for note in report.notes)
    listed = (tmp_path / "out" / "rejects.jsonl").read_text()
    assert '"missing file depth/s2.png"' in listed
    assert "rgb/s3.jpg and rgb/s3.png are two files of one sample" in listed


def test_without_a_table_every_stem_is_a_sample(aligned: Path) -> None:
    (aligned / "labels.csv").unlink()
    (aligned / "mask" / "s0.png").unlink()
    plan = Aligned().plan(aligned)
    assert sorted(rows(plan)) == [f"s{number}" for number in range(6)]
    assert {label for label, _ in rows(plan).values()} == {None}
    with pytest.raises(BadSample, match=r"missing file mask/s0\.png"):
        plan.read(0)


def test_modalities_can_be_chosen(aligned: Path) -> None:
    plan = Aligned(modalities=("depth", "rgb")).plan(aligned)
    assert [each.name for each in plan.modalities] == ["image", "depth"]
    assert set(plan.read(0)) == {"image", "depth"}
    with pytest.raises(MultiviewError, match=r"'dept' is not a modality of .*; available: depth, image.*Did you mean"):
        Aligned(modalities=("dept",)).plan(aligned)


def test_sizes_must_agree_within_a_sample(aligned: Path) -> None:
    save(aligned / "depth" / "s1.png", np.ones((12, 12), "uint16"))
    plan = Aligned().plan(aligned)
    with pytest.raises(BadSample, match=r"^s1: its modalities differ in size: image 6x6, depth 12x12"):
        plan.read(1)
    assert plan.read(0)["normal"].shape == (6, 6, 3)
    small = Aligned(size=3).plan(aligned).read(0)
    assert {name: array.shape[:2] for name, array in small.items()} == dict.fromkeys(small, (3, 3))


def test_sixteen_bit_masks(aligned: Path) -> None:
    for number in range(6):
        save(aligned / "mask" / f"s{number}.png", np.full((6, 6), 1000, "uint16"))
    plan = Aligned().plan(aligned)
    assert plan.modalities[-1].dtype == "uint16"
    assert (plan.read(0)["mask"] == 1000).all()


def test_mistakes_with_aligned(aligned: Path, tmp_path: Path) -> None:
    with pytest.raises(
        MultiviewError, match=r"--ignore_label 'othr' is no class .*there are chair, other. Did you mean 'o"
    ):
        Aligned(ignore_label="othr").plan(aligned)
    with pytest.raises(MultiviewError, match=r"has no column 'fold'; it has: id, class, split"):
        Aligned(split_column="fold").plan(aligned)
    with pytest.raises(MultiviewError, match="has no folder of a modality; looked for rgb"):
        Aligned().plan(aligned / "notes")
    with pytest.raises(MultiviewError, match="depth_scale is 0"):
        Aligned(depth_scale=0)
    (aligned / "image").mkdir()
    with pytest.raises(MultiviewError, match="has image and rgb, which both mean image"):
        Aligned().plan(aligned)


def test_patterns_name_the_files_of_a_modality(tmp_path: Path) -> None:
    for name in ("aloe", "new cycle"):
        save(tmp_path / "scenes" / f"{name}_left.png", noise(1))
        save(tmp_path / "scenes" / f"{name}_right.png", noise(2))
        save(
            tmp_path / "scenes" / f"{name}_disp.png",
            np.array([[0, 64], [6400, 65535]], "uint16").repeat(3, 0).repeat(3, 1),
        )
    modalities = {"left": "scenes/*_left.png", "right": "scenes/*_right", "far:depth": "scenes/*_disp.png"}
    source = Aligned(modalities=modalities, disparity=64 * 0.2 * 1000, invalid=65535)
    plan = source.plan(tmp_path)
    assert [row.id for row in plan.rows] == ["aloe", "new cycle"]
    assert [(each.name, each.kind) for each in plan.modalities] == [
        ("left", "image"),
        ("right", "image"),
        ("far", "depth"),
    ]
    # 0.2 m apart, 1000 px of focal length: a disparity of 1 px is 200 m away, 100 px are 2 m.
    np.testing.assert_allclose(plan.read(0)["far"][::3, ::3], [[0, 200], [2, 0]])
    shifted = replace(source, disparity_offset=64.0).plan(tmp_path)
    np.testing.assert_allclose(shifted.read(0)["far"][0, 3:], 100)
    with pytest.raises(MultiviewError, match=r"'scenes/aloe_left.png' is one file; .* such as 'scenes/\*_left.png'"):
        Aligned(modalities={"left": "scenes/aloe_left.png"}).plan(tmp_path)
    with pytest.raises(
        MultiviewError, match=r"no file below .* fits 'scenes/\*_l.png'; there is scenes/aloe_disp\.png"
    ):
        Aligned(modalities={"left": "scenes/*_l.png"}).plan(tmp_path)
    with pytest.raises(MultiviewError, match=r"the pattern '\*/\*.png' has two \*; give one, for the part of the name"):
        Aligned(modalities={"left": "*/*.png"}).plan(tmp_path)
    with pytest.raises(MultiviewError, match="disparity is -1; give baseline x focal length"):
        Aligned(disparity=-1)


def test_a_folder_without_files_of_the_samples_is_skipped(aligned: Path) -> None:
    (aligned / "points").mkdir()
    np.save(aligned / "points" / "model 7.npy", np.zeros((4, 3)))
    plan = Aligned().plan(aligned)
    assert "points" not in {each.name for each in plan.modalities}
    assert "skipped the folder points: no file in it has the name of a sample." in plan.notes
    with pytest.raises(BadSample, match=r"missing file points/s0\.npy"):
        Aligned(modalities=("image", "points")).plan(aligned).read(0)


def test_incomplete_samples_can_be_kept(aligned: Path, tmp_path: Path) -> None:
    (aligned / "depth" / "s2.png").unlink()
    (aligned / "rgb" / "s4.png").unlink()
    store = Store.open(preprocess(Aligned(missing="keep"), aligned, tmp_path / "out").out)
    assert store.present("depth").tolist() == [True, True, False, True, True, True]
    assert store.present("image").tolist() == [True, True, True, True, False, True]
    with pytest.raises(MultiviewError, match="'drop' is not a way to take incomplete samples; available: keep, reject"):
        Aligned(missing="drop")  # type: ignore[arg-type]


def test_numbers_sound_and_points_beside_pictures(aligned: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        depth = rng.random((6, 6)) + 0.5
        depth[0, 0] = np.nan
        (aligned / "depth" / f"s{number}.png").unlink()
        np.save(aligned / "depth" / f"s{number}.npy", depth)
        (aligned / "normals" / f"s{number}.png").unlink()
        np.save(aligned / "normals" / f"s{number}.npy", np.full((6, 6, 3), [0, 0, 2.0]))
        (aligned / "points").mkdir(exist_ok=True)
        np.save(aligned / "points" / f"s{number}.npy", rng.random((10 + number, 3)))
        (aligned / "audio").mkdir(exist_ok=True)
        soundfile.write(aligned / "audio" / f"s{number}.wav", rng.uniform(-1, 1, 50 + number), 8000)
    plan = Aligned().plan(aligned)
    shapes = {each.name: each.shape for each in plan.modalities}
    assert shapes == {
        "image": (6, 6, 3),
        "depth": (6, 6),
        "normal": (6, 6, 3),
        "mask": (6, 6),
        "audio": (-1,),
        "points": (-1, 3),
    }
    sample = pickle.loads(pickle.dumps(plan.read))(5)
    assert sample["depth"][0, 0] == 0
    assert sample["depth"].min(initial=9, where=sample["depth"] > 0) > 0.49
    assert sample["normal"][3, 3].tolist() == [0, 0, 1]
    assert sample["points"].shape == (15, 3)
    assert sample["audio"].shape == (55,)


def test_encoded_images_stay_aligned_with_depth(aligned: Path, tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="would not be aligned with them; add --resize keep"):
        Aligned(store="encoded")
    report = preprocess(Aligned(store="encoded", resize="keep"), aligned, tmp_path / "out")
    store = Store.open(report.out)
    assert np.array_equal(store.read([3], "image")[0], noise(3))
    assert store.modality("image").encoding == "png"
    assert store.modality("depth").shape == (6, 6)


def test_options_tell_what_stored_numbers_mean(aligned: Path) -> None:
    plan = Aligned(normal_y="down", mask_names=("ground", "thing")).plan(aligned)
    up, down = Aligned().plan(aligned).read(2)["normal"], plan.read(2)["normal"]
    assert np.array_equal(down, up * np.array([1, -1, 1]))
    assert {each.name: each.names for each in plan.modalities}["mask"] == ("ground", "thing")
    with pytest.raises(MultiviewError, match="normal_y is 'left'; give up or down"):
        Aligned(normal_y="left")  # type: ignore[arg-type]


def test_a_measured_stereo_scene(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "stereo_real.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    names = {"left": "left", "right": "right", "depth:depth": "disp"}
    patterns = {name: f"scenes/motor*_{end}.png" for name, end in names.items()}
    source = Aligned(modalities=patterns, disparity=64 * 0.193 * 995, disparity_offset=64 * 31.1, resize="keep")
    plan = source.plan(tmp_path / "stereo_real")
    sample = plan.read(0)
    assert {name: array.shape[:2] for name, array in sample.items()} == dict.fromkeys(sample, (500, 741))
    measured = sample["depth"][sample["depth"] > 0]
    assert 2 < measured.min() < measured.max() < 5.1
    assert 0.05 < (sample["depth"] == 0).mean() < 0.1
