"""Decoding and resizing: every kind of image, every kind of damage."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import noise, save
from PIL import Image

from multiview.cli import run
from multiview.data.files import images, picture_formats
from multiview.data.files.resize import Resizer
from multiview.data.source import BadSample
from multiview.data.store.reading import Store


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


def test_a_damaged_exif_block_is_ignored(tmp_path: Path) -> None:
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
def test_files_that_are_no_images_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
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
def test_decompression_bombs_are_refused(tmp_path: Path, side: int) -> None:
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
    got = images.depth(tmp_path / "d.png", "d.png", images.DepthUnits(0.001, 65535))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[0, 0.001, 2.5], [0, 0.007, 1]], rtol=1e-6)
    save(tmp_path / "d.tif", np.array([[np.nan, -1, 2.5, np.inf, 0]], "float32"))
    assert images.depth(tmp_path / "d.tif", "d.tif", images.DepthUnits()).tolist() == [[0, 0, 2.5, 0, 0]]
    save(tmp_path / "c.png", noise(0))
    with pytest.raises(BadSample, match=r"c\.png: depth must have one channel of numbers; this file has the mode RGB"):
        images.depth(tmp_path / "c.png", "c.png", images.DepthUnits())


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
    with pytest.raises(BadSample, match=r"m\.png: identities go from 0 to 300; uint8 cannot hold these numbers"):
        images.mask(tmp_path / "m.png", "m.png", "uint8")


@pytest.mark.parametrize("policy", ["crop", "pad", "squash"])
@pytest.mark.parametrize("shape", [(20, 10), (10, 20), (3, 3), (8, 8), (1, 40)])
def test_any_size_becomes_the_wanted_one(policy: str, shape: tuple[int, int]) -> None:
    fit = Resizer(8, 8, policy)
    assert fit.resize_image(noise(0, *shape)).shape == (8, 8, 3)
    depth = np.random.default_rng(0).random(shape, dtype="float32") + 1
    got = fit.resize_nearest(depth)
    assert (got.shape, got.dtype) == ((8, 8), np.float32)
    assert set(got.flat) <= {*depth.flat, np.float32(0)}  # no value that was not measured
    assert (0 in got) == (policy == "pad" and shape[0] != shape[1])


def test_image_and_depth_stay_aligned() -> None:
    """A step edge falls on the same column in both, for every policy."""
    edge = np.zeros((12, 24), "uint8")
    edge[:, 12:] = 200
    for policy in ("crop", "pad", "squash"):
        fit = Resizer(6, 6, policy)
        image = fit.resize_image(np.repeat(edge[..., None], 3, axis=-1))[3, :, 0]
        mask = fit.resize_nearest(edge)[3]
        assert (np.abs(image.astype(int) - mask) < 30).all(), policy


def test_crop_takes_the_centre_and_pad_keeps_all() -> None:
    wide = np.zeros((4, 8), "uint8")
    wide[:, 2:6] = 1
    assert (Resizer(4, 4, "crop").resize_nearest(wide) == 1).all()
    assert Resizer(8, 8, "pad").resize_nearest(wide)[2:6].tolist() == wide.tolist()
    assert (Resizer(8, 8, "pad").resize_image(np.zeros((4, 8, 3), "uint8"))[0] == 255).all()


def test_keep_rejects_another_size() -> None:
    assert Resizer(6, 6, "keep").resize_image(noise(0)).shape == (6, 6, 3)
    with pytest.raises(BadSample, match="is 5x7, the others are 6x6"):
        Resizer(6, 6, "keep").resize_nearest(noise(0, 7, 5))


def test_npy_files_are_read_as_images(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", noise(0, 5, 7))
    assert images.header(tmp_path / "x.npy", "x.npy") == (5, 7, "RGB")
    assert np.array_equal(images.rgb(tmp_path / "x.npy", "x.npy"), noise(0, 5, 7))
    np.save(tmp_path / "m.npy", np.array([[0, 300]]))
    assert images.mask(tmp_path / "m.npy", "m.npy", "uint16").tolist() == [[0, 300]]
    np.save(tmp_path / "n.npy", np.full((2, 2, 3), np.nan))
    with pytest.raises(BadSample, match=r"n\.npy: normals are finite and have three channels"):
        images.normal(tmp_path / "n.npy", "n.npy")


@pytest.mark.parametrize(("ending", "form"), [("jfif", "JPEG"), ("jpe", "JPEG"), ("avif", "AVIF"), ("jp2", "JPEG2000")])
def test_further_endings_are_pictures(tmp_path: Path, ending: str, form: str) -> None:
    assert ending in images.ENDINGS
    Image.init()
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow has no {form}")
    save(tmp_path / f"x.{ending}", noise(0, 16, 16), format=form)
    assert images.rgb(tmp_path / f"x.{ending}", "x").shape == (16, 16, 3)


def heic(path: Path, picture: np.ndarray, **options: object) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra heic: pip install 'multiview-cmc[heic]'")
    pillow_heif.register_heif_opener()
    Image.fromarray(picture).save(path, "HEIF", quality=-1, **options)
    return path


@pytest.mark.parametrize("name", ["x.heic", "x.heif", "called-by-a-phone.jpg"])
@pytest.mark.parametrize("shape", [(16, 24), (33, 64)])
def test_heic_is_read_with_its_extra(name: str, shape: tuple[int, int], tmp_path: Path) -> None:
    picture = np.full((*shape, 3), (200, 90, 30), "uint8")
    path = heic(tmp_path / name, picture)
    assert images.header(path, "x") == (*shape, "RGB")
    assert np.abs(images.rgb(path, "x").astype(int) - picture).max() <= 3
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadSample, match=r"^x: "):
        images.rgb(path, "x")


def test_a_folder_of_heic_becomes_a_store(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "in" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        heic(tmp_path / "in" / "ab"[number % 2] / f"{number}.heic", noise(number, 20, 20))
    assert run(["preprocess", "folder", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert Store.open(tmp_path / "out").read([0], "image").shape == (1, 20, 20, 3)


@pytest.mark.parametrize("start", ["ftypheic", "ftypheix", "ftypmif1", "ftyphevc"])
def test_heic_without_its_extra_names_the_extra(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_formats, "readable_formats", lambda: ("JPEG", "PNG"))
    monkeypatch.setattr(images, "readable_formats", lambda: ("JPEG", "PNG"))
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18" + start.encode() + bytes(100))
    with pytest.raises(BadSample, match=r"pip install 'multiview-cmc\[heic\]'"):
        images.rgb(tmp_path / "x.heic", "x")


@pytest.mark.parametrize("ending", ["jp2", "j2k"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated_jpeg_2000_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = save(tmp_path / f"x.{ending}", noise(0, 64, 64))
    assert images.rgb(path, "x").shape == (64, 64, 3)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BadSample, match=r"^x: "):
        images.rgb(path, "x")


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"is HEIC, which needs `pip install 'multiview-cmc\[heic\]'`"),
        (b"\x76\x2f\x31\x01\x02\0\0\0", "is OpenEXR, which is not read; save PNG"),
        (b"8BPS\0\1", "is Photoshop"),
        (b"\xff\x0a\0\0", "is JPEG XL"),
    ],
)
def test_a_known_format_that_is_not_read_is_named(tmp_path: Path, start: bytes, reason: str) -> None:
    (tmp_path / "x.jpg").write_bytes(start + bytes(100))
    with pytest.raises(BadSample, match=f"^x.jpg: {reason}"):
        images.rgb(tmp_path / "x.jpg", "x.jpg")


@pytest.mark.parametrize("marks", [None, 0])
def test_a_fourth_band_of_a_tiff_is_no_transparency(tmp_path: Path, marks: int | None) -> None:
    colour = noise(3, 8, 9)
    picture = np.dstack([colour, np.zeros((8, 9), "uint8")])
    tifffile = pytest.importorskip("tifffile")
    extra = ["unspecified"] if marks == 0 else None
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, picture, photometric="rgb", extrasamples=extra)
    if marks is None:
        data = bytearray(path.read_bytes())
        place = data.index(struct.pack("<HH", 338, 3))
        data[place : place + 2] = struct.pack("<H", 65000)  # the tag is missing
        path.write_bytes(data)
    assert np.array_equal(images.rgb(path, "x"), colour)
    if marks is None:
        assert np.array_equal(images.bands(path, "x"), picture)
        return
    with pytest.raises(BadSample, match=r"x: has 4 channels, of which Pillow reads 3; save it as \.npy"):
        images.bands(path, "x")


def test_marked_transparency_of_a_tiff_is_laid_over_white(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", np.dstack([noise(3, 8, 9), np.zeros((8, 9), "uint8")]))
    assert (images.rgb(tmp_path / "x.tif", "x") == 255).all()


def test_large_pictures_can_be_allowed(tmp_path: Path) -> None:
    save(tmp_path / "x.png", noise(0, 40, 50))
    with images.allow_pixels(0.0005), pytest.raises(BadSample, match=r"decompression bomb.*--max_megapixels"):
        images.rgb(tmp_path / "x.png", "x")
    with images.allow_pixels(0.0005), images.allow_pixels(0.01):
        assert images.rgb(tmp_path / "x.png", "x").shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("shift", "metres"), [(-1000.0, [0, 500, 0]), (0.0, [1000, 1500, 10]), (5.0, [1005, 1505, 15])]
)
def test_depth_has_an_offset(tmp_path: Path, shift: float, metres: list[float]) -> None:
    save(tmp_path / "d.png", np.array([[1000, 1500, 10]], "uint16"))
    got = images.depth(tmp_path / "d.png", "d", images.DepthUnits(scale=1.0, shift=shift))
    assert got.tolist() == [metres]


@pytest.mark.parametrize("shape", [(6, 5, 1), (1, 6, 5), (6, 5)])
def test_arrays_of_one_channel_are_depth_and_masks(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.full(shape, 2.0, "float32"))
    np.save(tmp_path / "m.npy", np.full(shape, 2, "uint8"))
    assert images.depth(tmp_path / "x.npy", "x", images.DepthUnits()).shape == (6, 5)
    assert images.mask(tmp_path / "m.npy", "m", "uint8").shape == (6, 5)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_bands_are_resized_like_pictures(count: int) -> None:
    picture = noise(0, 40, 30)
    bands = np.repeat(picture[..., :1], count, axis=-1).astype("float32")
    for policy in ("crop", "pad", "squash"):
        resizer = Resizer(16, 16, policy)
        small = resizer.resize("bands", bands)
        assert small.shape == (16, 16, count)
        inside = resizer.resize_image(picture)[..., 0].astype("float32")
        middle = (slice(None), slice(4, 12))
        assert np.abs(small[middle][..., 0] - inside[middle]).max() <= 1
