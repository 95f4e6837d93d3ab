"""Aligned files of several modalities."""

import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pictures import noise, rows, save, write_aligned
from PIL import Image

from multiview.data.source import BadSample
from multiview.data.sources.aligned import Aligned
from multiview.data.sources.folder import Folder
from multiview.data.sources.manifest import Manifest
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
    assert any("1 sample left out: its file name is not in " in note for note in report.notes)
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
    save(aligned / "depth" / "s1.png", np.ones((12, 10), "uint16"))
    plan = Aligned().plan(aligned)
    with pytest.raises(BadSample, match=r"^s1: its modalities differ in size: image 6x6, depth 10x12"):
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


@pytest.mark.parametrize("whole", [False, True], ids=["two folders", "one of four folders"])
def test_folders_without_a_common_name_are_refused_and_the_patterns_are_named(aligned: Path, whole: bool) -> None:
    (aligned / "labels.csv").unlink()
    if not whole:
        shutil.rmtree(aligned / "mask")
        shutil.rmtree(aligned / "normals")
    for file in sorted((aligned / "depth").iterdir()):
        file.rename(file.with_name(f"d_{file.name}"))
    said = r"of 6 files of (image|depth) in .*, none has the name of a .*here are rgb/s0\.png and depth/d_s0\.png"
    with pytest.raises(MultiviewError, match=said) as error:
        Aligned().plan(aligned)
    assert "--modalities \"{image: 'rgb/*.png', depth: 'depth/d_*.png'" in str(error.value)
    plan = Aligned(modalities={"image": "rgb/*.png", "depth": "depth/d_*.png"}).plan(aligned)
    assert sorted(rows(plan)) == [f"s{number}" for number in range(6)]
    (aligned / "depth" / "d_s1.png").rename(aligned / "depth" / "s1.png")
    assert any(
        "of 6 files of depth in" in note and ", 1 has the name" in note for note in Aligned().plan(aligned).notes
    )


def test_a_folder_without_files_of_the_samples_is_skipped(aligned: Path) -> None:
    (aligned / "points").mkdir()
    np.save(aligned / "points" / "model 7.npy", np.zeros((4, 3)))
    plan = Aligned().plan(aligned)
    assert "points" not in {each.name for each in plan.modalities}
    assert "skipped the folder points: no file in it has the name of a sample." in plan.notes
    with pytest.raises(MultiviewError, match=r"none has the name .* here are rgb/s0\.png and points/model 7\.npy"):
        Aligned(modalities=("image", "points")).plan(aligned)


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


def turn(path: Path, orientation: int) -> None:
    """Saves a picture again with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("store", ["raw", "encoded"])
def test_pictures_of_a_sample_have_one_orientation(aligned: Path, orientation: int, store: str) -> None:
    turn(aligned / "rgb" / "s1.png", orientation)
    plan = Aligned(store=store, resize="keep").plan(aligned)  # type: ignore[arg-type]
    with pytest.raises(BadSample, match=rf"^s1: .*different EXIF orientations: image {orientation}, depth 1"):
        plan.read(1)
    for name in ("depth", "normals", "mask"):
        turn(aligned / name / "s1.png", orientation)
    assert plan.read(1)["image"] is not None
    lines = "id,photo,depth\n1,rgb/s1.png,depth/s2.png\n2,rgb/s2.png,depth/s2.png\n"
    (aligned / "manifest.csv").write_text(lines)
    manifest = Manifest().plan(aligned / "manifest.csv")
    with pytest.raises(BadSample, match=r"manifest\.csv, row 1: .*different EXIF orientations"):
        manifest.read(0)
    assert manifest.read(1)["depth"].shape == (6, 6)


def test_a_turned_photo_with_upright_depth_is_aligned(tmp_path: Path) -> None:
    save(tmp_path / "rgb" / "a.jpg", noise(0, 8, 12))
    turn(tmp_path / "rgb" / "a.jpg", 6)
    save(tmp_path / "depth" / "a.png", np.full((12, 8), 900, "uint16"))
    assert Aligned().plan(tmp_path).read(0)["image"].shape == (12, 8, 3)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("resize", ["crop", "keep", "squash", "pad"])
def test_depth_of_another_size_is_resized_to_the_nearest(tmp_path: Path, factor: int, resize: str) -> None:
    small = np.random.default_rng(0).integers(1, 5000, (8, 12)).astype("uint16")
    for name in "ab":
        save(tmp_path / "rgb" / f"{name}.png", noise(0, 8, 12))
        save(tmp_path / "depth" / f"{name}.png", small.repeat(factor, 0).repeat(factor, 1))
    sample = Aligned(resize=resize).plan(tmp_path).read(0)  # type: ignore[arg-type]
    np.testing.assert_allclose(sample["depth"], small * 0.001, rtol=1e-6)
    save(tmp_path / "depth" / "b.png", np.ones((9, 12), "uint16"))
    with pytest.raises(BadSample, match="b: its modalities differ in size: image 12x8, depth 12x9"):
        Aligned(resize=resize).plan(tmp_path).read(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("size", [None, 4, 8])
def test_bands_go_through_the_geometry_of_pictures(tmp_path: Path, first: bool, size: int | None) -> None:
    for name in "abc":
        picture = noise(0, 12, 20)
        save(tmp_path / "rgb" / f"{name}.png", picture)
        bands = np.dstack([picture[..., 0], picture[..., 1]]).astype("float32")
        (tmp_path / "bands").mkdir(exist_ok=True)
        np.save(tmp_path / "bands" / f"{name}.npy", np.moveaxis(bands, -1, 0) if first else bands)
    plan = Aligned(size=size, resize="crop").plan(tmp_path)
    sample = plan.read(1)
    side = (size, size) if size else (12, 20)
    assert {name: array.shape for name, array in sample.items()} == {"image": (*side, 3), "bands": (*side, 2)}
    assert np.abs(sample["bands"] - sample["image"][..., :2]).max() <= 1
    assert any("channels first" in note for note in plan.notes) == first


@pytest.mark.parametrize(("ending", "array"), [("tif", noise(0)), ("png", noise(0)[..., 0])])
def test_pictures_under_bands_are_bands(tmp_path: Path, ending: str, array: np.ndarray) -> None:
    save(tmp_path / "bands" / f"a.{ending}", array)
    found = Aligned().plan(tmp_path).read(0)["bands"]
    assert np.array_equal(found, np.atleast_3d(array))


@pytest.mark.parametrize(
    ("folder", "file", "message"),
    [
        ("points", "a.png", r"'points' is points, which \.npy files \(points, numbers\) hold, and 'points/a\.png' is"),
        ("bands", "a.wav", r"'bands' is bands, which images or \.npy files .* hold, and 'bands/a\.wav' is none"),
        ("depth", "a.exr", r"no file below .* fits 'depth'; .* \.exr is OpenEXR, which is not read; save PNG"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, folder: str, file: str, message: str) -> None:
    (tmp_path / folder).mkdir()
    if file.endswith("png"):
        save(tmp_path / folder / file, noise(0))
    else:
        (tmp_path / folder / file).write_bytes(b"x")
    with pytest.raises(MultiviewError, match=message):
        Aligned().plan(tmp_path)


@pytest.mark.parametrize("names", [("noto", "twemoji"), ("twemoji", "noto"), ("noto",)])
def test_folders_of_any_name_can_be_listed(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in ("noto", "twemoji"):
        save(tmp_path / name / "a.png", noise(0))
    listed = Aligned(modalities=names).plan(tmp_path)
    assert tuple(each.name for each in listed.modalities) == names
    given = Aligned(modalities={name: name for name in names}).plan(tmp_path)
    assert listed.modalities == given.modalities
    with pytest.raises(MultiviewError, match=r"'nota'"):
        Aligned(modalities=("nota",)).plan(tmp_path)


@pytest.mark.parametrize("stem", ["-a", "?a", "- and"])
def test_any_file_name_is_a_file(tmp_path: Path, stem: str) -> None:
    save(tmp_path / f"{stem}_l.png", noise(1))
    save(tmp_path / f"{stem}_r.png", noise(2))
    plan = Aligned(modalities={"left": "*_l.png", "right": "*_r.png"}).plan(tmp_path)
    assert np.array_equal(plan.read(0)["left"], noise(1))


@pytest.mark.parametrize("ending", ["npy", "csv", "tsv"])
@pytest.mark.parametrize("header", [True, False])
def test_series_are_read_from_files(tmp_path: Path, ending: str, header: bool) -> None:
    walk = np.random.default_rng(0).random((5, 30, 3))
    folder = tmp_path / "series"
    folder.mkdir()
    for number, window in enumerate(walk):
        path = folder / f"w{number}.{ending}"
        comma = "\t" if ending == "tsv" else ","
        if ending == "npy":
            np.save(path, window.T if header else window)
        else:
            timed = np.column_stack([np.arange(30), window]) if header else window
            names = comma.join(["time", "x", "y", "z"])
            np.savetxt(path, timed, delimiter=comma, header=names if header else "", comments="")
    plan = Aligned(series_rate=50).plan(tmp_path)
    assert (plan.modalities[0].kind, plan.modalities[0].shape, plan.modalities[0].rate) == ("series", (30, 3), 50)
    np.testing.assert_allclose(plan.read(3)["series"], walk[3], rtol=1e-6)
    (tmp_path / "manifest.csv").write_text("\n".join(["id,walk", *(f"{n},series/w{n}.{ending}" for n in range(5))]))
    modalities = {"walk:series": "walk"}
    again = Manifest(modalities=modalities, rate=50).plan(tmp_path / "manifest.csv")
    np.testing.assert_allclose(again.read(3)["walk"], walk[3], rtol=1e-6)
    with pytest.raises(MultiviewError, match="'series' is a series of an unknown rate; give --series_rate"):
        Aligned().plan(tmp_path)


def test_the_axis_that_differs_is_the_time(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for number, length in enumerate((20, 40, 12)):
        np.save(tmp_path / "series" / f"{number}.npy", np.ones((64, length)))
    plan = Aligned(series_rate=50).plan(tmp_path)
    assert plan.modalities[0].shape == (-1, 64)
    assert plan.read(1)["series"].shape == (40, 64)


def test_notes_tell_what_is_read_in_part(tmp_path: Path) -> None:
    dark = np.random.default_rng(0).integers(0, 4096, (6, 6)).astype("uint16")
    save(tmp_path / "rgb" / "a.png", dark)
    save(tmp_path / "depth" / "a.png", dark.astype("uint8"))
    frames = [Image.fromarray(noise(number)) for number in range(3)]
    (tmp_path / "photos").mkdir()
    frames[0].save(tmp_path / "photos" / "a.tif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "photos" / "b.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "photos" / "c.png", save_all=True, append_images=frames[1:])
    notes = " ".join(Aligned().plan(tmp_path).notes)
    assert "16-bit greys that end at" in notes
    assert "hold 8 bits: their depth ends at 0.255 m with --depth_scale 0.001" in notes
    assert "3 of 3 files of 'image' (a.tif) hold several pages or frames" in " ".join(
        Folder().plan(tmp_path / "photos").notes
    )
    scaled = " ".join(Aligned(depth_scale=0.05).plan(tmp_path).notes)
    assert "hold 8 bits" not in scaled
