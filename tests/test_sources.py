"""Reading folders of pictures: every kind of image, every kind of damage, tables that do not fit."""

import io
import os
import pickle
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multiview.data import images
from multiview.data.preprocess import preprocess
from multiview.data.resize import Fit
from multiview.data.resolve import guess_source, open_data
from multiview.data.source import BadSample, Plan
from multiview.data.sources.aligned import Aligned
from multiview.data.sources.folder import Folder
from multiview.data.sources.splits import hashed, shares_of
from multiview.data.sources.tree import ids_of, tree
from multiview.data.store import Store
from multiview.errors import MultiviewError


def noise(seed: int, height: int = 6, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)  # type: ignore[arg-type]
    return path


def rows(plan: Plan) -> dict[str, tuple[str | None, str | None]]:
    return {row.id: (row.label, row.split) for row in plan.rows}


# Decoding


def test_palette_grey_alpha_cmyk_and_16_bits_become_rgb(tmp_path: Path) -> None:
    colour = np.zeros((4, 4, 3), "uint8")
    colour[:2] = (200, 30, 10)
    picture = Image.fromarray(colour)
    half = Image.fromarray(np.dstack([colour, np.full((4, 4), 51, "uint8")]))  # 20 % opaque
    cases = {
        "rgb.png": (picture, colour),
        "palette.png": (picture.convert("P", palette=Image.Palette.ADAPTIVE), colour),
        "grey.png": (Image.fromarray(colour[..., 0]), np.repeat(colour[..., :1], 3, axis=-1)),
        "bits.png": (Image.fromarray(colour[..., 0] > 0), np.where(colour[..., :1] > 0, 255, 0).repeat(3, axis=-1)),
        "deep.png": (Image.fromarray(colour[..., 0].astype("uint16") * 257), np.repeat(colour[..., :1], 3, axis=-1)),
        "alpha.png": (half, np.round(255 - 0.2 * (255 - colour.astype(float))).astype("uint8")),
        "grey alpha.png": (half.convert("LA"), None),
        "cmyk.tif": (picture.convert("CMYK"), colour),
        "cmyk.jpg": (picture.convert("CMYK"), None),
        "picture.bmp": (picture, colour),
        "picture.webp": (picture, None),
        "picture.gif": (picture, colour),
        "picture.ppm": (picture, colour),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name)
        got = images.rgb(tmp_path / name, name)
        assert (got.dtype, got.shape) == (np.uint8, (4, 4, 3)), name
        if expected is not None:
            assert np.abs(got.astype(int) - expected).max() <= 1, name


def test_transparent_palette_lies_on_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], "uint8"), mode=None).convert("P")
    image.putpalette([9, 9, 9, 50, 60, 70])
    image.save(tmp_path / "p.png", transparency=0)
    assert images.rgb(tmp_path / "p.png", "p.png").tolist() == [[[255, 255, 255], [50, 60, 70]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), "uint8")
    upright[:8, :8] = 255  # a white corner, top left
    undo = {2: (0, 2), 3: (0, 3), 4: (0, 4), 5: (1, 5), 6: (1, 6), 7: (1, 7), 8: (1, 8)}
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / "x.jpg", exif=exif, quality=95)
    assert images.header(tmp_path / "x.jpg", "x.jpg")[:2] == (16, 32)
    got = images.rgb(tmp_path / "x.jpg", "x.jpg")
    assert np.abs(got.astype(int) - upright).mean() < 3
    assert bool(undo.get(orientation, (0,))[0]) == (turned.shape[:2] == (32, 16))


def test_a_damaged_exif_block_costs_nothing(tmp_path: Path) -> None:
    save(tmp_path / "x.jpg", noise(0, 16, 16), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff")
    assert images.rgb(tmp_path / "x.jpg", "x.jpg").shape == (16, 16, 3)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp", "webp", "tif", "ppm"])
def test_truncated_files_are_named(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"x.{ending}", noise(1, 64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadSample, match=rf"^cats/x\.{ending}: .+"):
        images.rgb(path, f"cats/x.{ending}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "no image"), (b"GIF89a", ""), (b"hello, world", "no image"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "")],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BadSample, match=f"^x.png: .*{reason}"):
        images.rgb(tmp_path / "x.png", "x.png")
    with pytest.raises(BadSample, match=r"^y.png: missing file$"):
        images.rgb(tmp_path / "y.png", "y.png")


def test_a_flipped_byte_in_a_png_is_found(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", noise(1, 64, 64))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BadSample, match=r"^x\.png: "):
        images.rgb(path, "x.png")


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow only warns of the first
def test_bombs_are_refused(tmp_path: Path, side: int) -> None:
    file = io.BytesIO()
    Image.new("1", (8, 8)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(BadSample, match=r"x\.png: refused as a decompression bomb"):
        images.rgb(tmp_path / "x.png", "x.png")


def test_depth_in_metres(tmp_path: Path) -> None:
    save(tmp_path / "d.png", np.array([[0, 1, 2500], [65535, 7, 1000]], "uint16"))
    got = images.depth(tmp_path / "d.png", "d.png", 0.001, 65535)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[0, 0.001, 2.5], [0, 0.007, 1]], rtol=1e-6)
    save(tmp_path / "d.tif", np.array([[np.nan, -1, 2.5, np.inf, 0]], "float32"))
    assert images.depth(tmp_path / "d.tif", "d.tif", 0.001, 0).tolist() == [[0, 0, 2.5, 0, 0]]
    save(tmp_path / "c.png", noise(0))
    with pytest.raises(BadSample, match=r"c\.png: depth has one channel of numbers, this is RGB"):
        images.depth(tmp_path / "c.png", "c.png", 1, 0)


def test_normals_are_unit_vectors(tmp_path: Path) -> None:
    stored = np.array([[[0, 0, 0], [128, 128, 255], [255, 127, 127], [127, 255, 128], [128, 128, 128], [40, 40, 200]]])
    save(tmp_path / "n.png", stored.astype("uint8"))
    got = images.normal(tmp_path / "n.png", "n.png")
    assert got.dtype == np.float16
    length = np.linalg.norm(got.astype("float64"), axis=-1)[0]
    np.testing.assert_allclose(length, [0, 1, 1, 1, 0, 1], atol=2e-3)
    np.testing.assert_allclose(got[0, 1:4], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=5e-3)
    by_hand = np.array([40, 40, 200]) / 127.5 - 1
    np.testing.assert_allclose(got[0, 5], by_hand / np.linalg.norm(by_hand), atol=1e-3)


def test_masks_keep_their_numbers(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], "uint8")).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "p.png")
    assert images.mask(tmp_path / "p.png", "p.png", "uint8").tolist() == [[0, 1, 2]]
    save(tmp_path / "m.png", np.array([[0, 300]], "uint16"))
    assert images.mask(tmp_path / "m.png", "m.png", "uint16").tolist() == [[0, 300]]
    with pytest.raises(BadSample, match=r"m\.png: identities go from 0 to 300, which uint8 does not hold"):
        images.mask(tmp_path / "m.png", "m.png", "uint8")


# Sizes


@pytest.mark.parametrize("policy", ["crop", "pad", "squash"])
@pytest.mark.parametrize("shape", [(20, 10), (10, 20), (3, 3), (8, 8), (1, 40)])
def test_any_size_becomes_the_wanted_one(policy: str, shape: tuple[int, int]) -> None:
    fit = Fit(8, 8, policy)
    assert fit.image(noise(0, *shape)).shape == (8, 8, 3)
    depth = np.random.default_rng(0).random(shape, dtype="float32") + 1
    got = fit.nearest(depth)
    assert (got.shape, got.dtype) == ((8, 8), np.float32)
    assert set(got.flat) <= {*depth.flat, np.float32(0)}  # no value that was not measured
    assert (0 in got) == (policy == "pad" and shape[0] != shape[1])


def test_image_and_depth_stay_aligned() -> None:
    """A step edge falls on the same column in both, for every policy."""
    edge = np.zeros((12, 24), "uint8")
    edge[:, 12:] = 200
    for policy in ("crop", "pad", "squash"):
        fit = Fit(6, 6, policy)
        image = fit.image(np.repeat(edge[..., None], 3, axis=-1))[3, :, 0]
        mask = fit.nearest(edge)[3]
        assert (np.abs(image.astype(int) - mask) < 30).all(), policy


def test_crop_takes_the_centre_and_pad_keeps_all() -> None:
    wide = np.zeros((4, 8), "uint8")
    wide[:, 2:6] = 1
    assert (Fit(4, 4, "crop").nearest(wide) == 1).all()
    assert Fit(8, 8, "pad").nearest(wide)[2:6].tolist() == wide.tolist()
    assert (Fit(8, 8, "pad").image(np.zeros((4, 8, 3), "uint8"))[0] == 255).all()


# Folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "my pets ✓"
    for number in range(12):
        save(root / ("cats" if number % 2 else "Hunde, groß") / "2024 é" / f"n {number}.PNG", noise(number))
    return root


def test_classes_are_the_first_folders(pets: Path) -> None:
    (pets / "cats" / "notes.txt").write_text("stray")
    (pets / "cats" / ".hidden.png").write_text("stray")
    (pets / ".thumbs").mkdir()
    save(pets / ".thumbs" / "x.png", noise(99))
    save(pets / "stray.png", noise(98))
    plan = Folder().plan(pets)
    found = rows(plan)
    assert len(found) == 13
    assert found["cats/2024 é/n 1"][0] == "cats"
    assert found["Hunde, groß/2024 é/n 0"][0] == "Hunde, groß"
    assert found["stray"][0] is None
    assert plan.modalities[0].shape == (6, 6, 3)
    assert any("1 .txt" in note for note in plan.notes)
    assert any("1 of 13 images lie in no class folder" in note for note in plan.notes)
    assert [row.id for row in plan.rows] == sorted(found)
    reader = pickle.loads(pickle.dumps(plan.read))
    assert np.array_equal(reader([row.id for row in plan.rows].index("cats/2024 é/n 1"))["image"], noise(1))


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.jpg", noise(number))
    assert {label for label, _ in rows(Folder().plan(tmp_path)).values()} == {None}


@pytest.mark.parametrize(("name", "split"), [("val", "val"), ("valid", "val"), ("Validation", "val"), ("test", "test")])
def test_folders_named_as_splits(tmp_path: Path, name: str, split: str) -> None:
    save(tmp_path / "train" / "a" / "1.png", noise(1))
    save(tmp_path / name / "b" / "deep" / "2.png", noise(2))
    save(tmp_path / name / "3.png", noise(3))
    found = rows(Folder().plan(tmp_path))
    assert found == {"train/a/1": ("a", "train"), f"{name}/b/deep/2": ("b", split), f"{name}/3": (None, split)}


def test_a_class_called_train_beside_others_is_a_class(tmp_path: Path) -> None:
    save(tmp_path / "train" / "1.png", noise(1))
    save(tmp_path / "plane" / "2.png", noise(2))
    assert {label for label, _ in rows(Folder().plan(tmp_path)).values()} == {"train", "plane"}


def test_splits_are_stable(pets: Path) -> None:
    before = rows(Folder().plan(pets))
    save(pets / "birds" / "new.png", noise(50))
    after = rows(Folder().plan(pets))
    assert {name: after[name] for name in before} == before
    # What these ids got when this was written: a store made then and one made now agree.
    assert "".join(hashed(f"sample {number}", (70, 10, 20))[1] for number in range(16)) == "errrrreerrrerrrr"


def test_shares() -> None:
    counts = Counter(hashed(str(number), shares_of("70/10/20")) for number in range(10_000))
    assert abs(counts["train"] - 7000) < 150
    assert abs(counts["val"] - 1000) < 100
    assert {hashed(str(number), shares_of("50/50")) for number in range(50)} == {"train", "test"}
    assert {hashed(str(number), shares_of("100")) for number in range(50)} == {"train"}
    for wrong in ("70/10", "a/b", "", "120/-20", "25/25/25/25", "nan"):
        with pytest.raises(MultiviewError, match="give percentages that make 100"):
            Folder(split=wrong)


def test_the_same_stem_twice(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        save(tmp_path / name, noise(1))
    assert sorted(rows(Folder().plan(tmp_path))) == ["a.jpg", "a.png", "b"]
    assert ids_of(["a.jpg", "a.jpg.png", "a.png", "b.png"]) == ["a.jpg", "a.jpg.png", "a.png", "b"]


def test_sizes_that_differ(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0, 40, 30))
    save(tmp_path / "b.png", noise(1, 20, 50))
    save(tmp_path / "c.png", noise(2, 300, 400))
    plan = Folder().plan(tmp_path)
    assert plan.modalities[0].shape == (30, 30, 3)  # the median shorter side
    assert any("image sizes differ (50x20 to 400x300): all become 30x30 by 'crop'" in note for note in plan.notes)
    assert all(plan.read(number)["image"].shape == (30, 30, 3) for number in range(3))
    assert Folder(size=9, resize="pad").plan(tmp_path).modalities[0].shape == (9, 9, 3)
    large = Folder().plan(save(tmp_path / "large" / "x.png", noise(0, 300, 500)).parent)
    assert large.modalities[0].shape == (300, 500, 3)  # one size is kept
    with pytest.raises(MultiviewError, match=r"'crp' is not a resize policy.*Did you mean 'crop'"):
        Folder(resize="crp")  # type: ignore[arg-type]
    with pytest.raises(MultiviewError, match="size is 0"):
        Folder(size=0)


def test_a_size_that_changes_after_planning_is_a_bad_sample(pets: Path) -> None:
    plan = Folder().plan(pets)
    save(pets / "cats" / "2024 é" / "n 1.PNG", noise(1, 7, 5))
    number = [row.id for row in plan.rows].index("cats/2024 é/n 1")
    with pytest.raises(BadSample, match=r"n 1\.PNG: is 5x7, the others are 6x6"):
        plan.read(number)


def test_no_image(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"no image below .*looked for \.bmp, .*found no file at all"):
        Folder().plan(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.csv").touch()
    (tmp_path / "c.csv").touch()
    with pytest.raises(MultiviewError, match=r"found 3 other files \(2 \.csv, 1 \.txt\)"):
        Folder().plan(tmp_path)
    with pytest.raises(MultiviewError, match="is a file"):
        Folder().plan(tmp_path / "a.txt")
    (tmp_path / "x.png").write_text("no")
    with pytest.raises(MultiviewError, match=r"none of the 1 images .* can be read; the first: x\.png: no image"):
        Folder().plan(tmp_path)


def test_damaged_images_are_skipped_and_listed(pets: Path, tmp_path: Path) -> None:
    victim = pets / "cats" / "2024 é" / "n 3.PNG"
    victim.write_bytes(victim.read_bytes()[:60])
    report = preprocess(Folder(), pets, tmp_path / "out", max_bad=1)
    assert (report.written, report.rejected) == (11, 1)
    listed = (tmp_path / "out" / "rejects.jsonl").read_text(encoding="utf-8")
    assert "cats/2024 é/n 3.PNG: " in listed
    with pytest.raises(MultiviewError, match=r"1 of 12 samples cannot be read.*\n  cats/2024 é/n 3\.PNG: "):
        preprocess(Folder(), pets, tmp_path / "strict", max_bad=0)


def test_links_that_go_round(pets: Path) -> None:
    (pets / "cats" / "again").symlink_to(pets)
    (pets / "linked").symlink_to(pets / "cats" / "2024 é")
    found = tree(pets).images
    assert len(found) == 18
    assert sum(path.startswith("linked/") for path in found) == 6


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0))
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png"))
    report = preprocess(Folder(), tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    assert Store.open(report.out).ids == ["b\\xff"]


# Tables


@pytest.fixture
def listed(pets: Path) -> Path:
    lines = ["id,kind,split", *(f"cats/2024 é/n {n},k{n % 3},{'valid' if n > 6 else 'train'}" for n in (1, 3, 5, 7, 9))]
    (pets / "labels.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return pets


def test_a_table_says_which_samples_there_are(listed: Path) -> None:
    plan = Folder(csv="labels.csv", label_column="kind").plan(listed)
    assert rows(plan)["cats/2024 é/n 7"] == ("k1", "val")
    assert len(plan.rows) == 5
    assert any("7 images that it does not list are left out" in note for note in plan.notes)
    by_folder = Folder(csv=str(listed / "labels.csv"), split_column=None).plan(listed)
    assert {label for label, _ in rows(by_folder).values()} == {"cats"}


def test_a_listed_file_that_is_missing_is_rejected(listed: Path, tmp_path: Path) -> None:
    with (listed / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("\n../../../etc/passwd,k,train\ncats/gone,k,train\n")
    report = preprocess(Folder(csv="labels.csv"), listed, tmp_path / "out", max_bad=2)
    assert report.rejected == 2
    assert "cats/gone: missing file" in (tmp_path / "out" / "rejects.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "id,splt\na,train",
            {},
            r"has no column 'split'; it has: id, splt. Did you mean 'splt'\? Name yours with --spl",
        ),
        ("name,split\na,train", {}, "has no column 'id'; it has: name, split. Name yours with --id_column"),
        ("id,split\na,train", {"label_column": "class"}, "has no column 'class'; it has: id, split"),
        ("id,split\na,train\na,test", {}, "line 3: the id 'a' was there before"),
        ("id,split\n,train", {}, "line 2: the column 'id' is empty"),
        ("id,split\na,train,x", {}, "line 2: 3 cells under 2 columns"),
        ("id,split", {}, "a header but no rows"),
        ("", {}, "has no column 'id'; it has: none"),
        ("id,split\nzzz,train", {}, "not one id of .* is an image below"),
        (b"id,split\n\xff\xfe,train", {}, "is not UTF-8"),
        ('id,split\n"a,train', {}, "line 2"),
    ],
)
def test_tables_that_do_not_fit(pets: Path, text: str | bytes, options: dict[str, str], message: str) -> None:
    (pets / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MultiviewError, match=message):
        Folder(csv="t.csv", **options).plan(pets)  # type: ignore[arg-type]


def test_a_table_that_is_not_there(listed: Path) -> None:
    with pytest.raises(MultiviewError, match=r"no CSV file label\.csv.*holds labels\.csv\. Did you mean 'labels\.csv'"):
        Folder(csv="label.csv").plan(listed)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(listed: Path, delimiter: str) -> None:
    text = (listed / "labels.csv").read_text(encoding="utf-8-sig")
    (listed / "labels.csv").write_text(text.replace(",", delimiter))
    assert len(Folder(csv="labels.csv").plan(listed).rows) == 5


# Aligned


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    root = tmp_path / "rgbd"
    for number in range(6):
        depth = np.random.default_rng(number).integers(0, 5000, (6, 6)).astype("uint16")
        save(root / "rgb" / f"s{number}.png", noise(number))
        save(root / "depth" / f"s{number}.png", depth)
        save(root / "normals" / f"s{number}.png", noise(number + 100))
        save(root / "mask" / f"s{number}.png", (depth > 2000).astype("uint8"))
    lines = ["id,class,split", *(f"s{number},{('chair', 'other')[number % 2]},train" for number in range(6))]
    (root / "labels.csv").write_text("\n".join(lines))
    (root / "notes").mkdir()
    return root


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
    assert any("1 stems that it does not list are left out" in note for note in report.notes)
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


# From a word to a store


def test_the_source_is_guessed(aligned: Path, listed: Path, tmp_path: Path) -> None:
    assert guess_source(aligned) == Aligned()
    assert guess_source(aligned / "rgb") == Folder()
    assert guess_source(listed) == Folder(csv=str(listed / "labels.csv"))
    (listed / "labels.csv").write_text("id,split\nsomething/else,train\n")
    assert guess_source(listed) == Folder()


def test_open_data(pets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    store = open_data(str(pets), cache, said.append)
    assert len(store) == 12
    assert store.path.parent == cache
    assert len(said) == 1
    assert "12 samples" in said[0]
    assert open_data(str(pets), cache, said.append).manifest.hash == store.manifest.hash
    assert len(said) == 1
    assert open_data(str(store.path), cache, said.append).manifest.hash == store.manifest.hash
    save(pets / "cats" / "new.png", noise(77))
    assert len(open_data(str(pets), cache, said.append)) == 13
    assert any("has changed" in line for line in said)
    assert len(list(cache.iterdir())) == 1


def test_open_data_mistakes(tmp_path: Path) -> None:
    for spec, message in [
        (str(tmp_path / "gone"), "does not exist"),
        (__file__, "is a file"),
        ("scenes:many", "does not say how many scenes"),
        ("scenes:0", "does not say how many scenes"),
    ]:
        with pytest.raises(MultiviewError, match=message):
            open_data(spec, tmp_path / "cache")
