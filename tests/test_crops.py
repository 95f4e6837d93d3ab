"""Crops: the geometry of torchvision, aligned modalities, draws that depend on the sample alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as v2
import torchvision.transforms.v2.functional as reference
from numpy.typing import NDArray
from torch import Tensor

from multiview.counter_rng import uniform
from multiview.data.load.crops import CropTransform
from multiview.data.load.windows import TRIES, Windows, draw_windows
from multiview.data.modality import Modality
from multiview.errors import MultiviewError
from multiview.view import Crop


def modality(kind: str, *shape: int, name: str = "", dtype: str = "") -> Modality:
    dtypes = {"image": "uint8", "depth": "float32", "normal": "float16", "mask": "uint16", "audio": "int16"}
    rate = 8000 if kind == "audio" else None
    return Modality(name=name or kind, kind=kind, dtype=dtype or dtypes[kind], shape=shape, unit="", rate=rate)


def stored(kind: Modality, n: int = 12, seed: int = 0) -> NDArray:
    rng = np.random.default_rng(seed)
    if kind.kind == "normal":
        vectors = rng.normal(size=(n, *kind.shape))
        return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(kind.dtype)
    if kind.dtype.startswith("float"):
        return rng.random((n, *kind.shape)).astype(kind.dtype)
    return rng.integers(0, np.iinfo(kind.dtype).max, (n, *kind.shape), dtype=kind.dtype)


def window_by_hand(crop: Crop, drawn: list[float], height: int, width: int) -> tuple[int, int, int, int]:
    """RandomResizedCrop as torchvision documents it, from given uniform numbers."""
    for attempt in range(TRIES):
        area = height * width * (crop.scale[0] + (crop.scale[1] - crop.scale[0]) * drawn[attempt])
        low, high = math.log(crop.ratio[0]), math.log(crop.ratio[1])
        ratio = math.exp(low + (high - low) * drawn[TRIES + attempt])
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(drawn[-3] * (height - h + 1)), int(drawn[-2] * (width - w + 1)), h, w
    if width / height < crop.ratio[0]:
        w, h = width, round(width / crop.ratio[0])
    elif width / height > crop.ratio[1]:
        w, h = round(height * crop.ratio[1]), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def rows_of(windows: Windows) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.stack([windows.top, windows.left, windows.height, windows.width], 1).tolist()]


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (20, 100), (100, 20), (1, 7)])
@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.9, 1.0)])
def test_windows_are_those_written_by_hand(size: tuple[int, int], scale: tuple[float, float]) -> None:
    crop = Crop(scale=scale)
    drawn = uniform(3, 0, "crop", np.arange(300), 2 * TRIES + 3)
    expected = [window_by_hand(crop, row, *size) for row in drawn.tolist()]
    assert rows_of(draw_windows(crop, drawn, *size)) == expected


def test_windows_are_distributed_as_those_of_torchvision() -> None:
    crop = Crop(scale=(0.08, 1.0))
    ours = np.array(rows_of(draw_windows(crop, uniform(0, 0, "crop", np.arange(4000), 2 * TRIES + 3), 64, 96)))
    peer = v2.RandomResizedCrop(64, scale=crop.scale, ratio=crop.ratio)
    image = torch.zeros(3, 64, 96)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [peer.make_params([image]) for _ in range(4000)]
    theirs = np.array([[each[name] for name in ("top", "left", "height", "width")] for each in drawn])
    # Deciles of each side within a few pixels, five standard errors of the means.
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=1.6)
    tenths = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(np.quantile(ours, tenths, 0), np.quantile(theirs, tenths, 0), atol=3)


@pytest.mark.parametrize(("size", "source"), [(32, (40, 56)), (64, (48, 48)), (24, (24, 24)), (9, (200, 150))])
def test_cuts_are_those_of_torchvision(size: int, source: tuple[int, int]) -> None:
    kinds = [
        modality(kind, *source, *[3] * (kind in ("image", "normal"))) for kind in ("image", "depth", "mask", "normal")
    ]
    arrays = {kind.name: stored(kind) for kind in kinds}
    crop, index = Crop(size=size), np.arange(12)
    out = CropTransform({crop: kinds}, train=True, seed=4)(arrays, index, epoch=2)["crop"]
    windows = draw_windows(crop, uniform(4, 2, "crop crop", index, 2 * TRIES + 3), *source)
    assert 0 < windows.flip.sum() < 12
    for row, (window, flip) in enumerate(zip(rows_of(windows), windows.flip, strict=True)):
        image = torch.from_numpy(arrays["image"][row]).permute(2, 0, 1)
        expected = reference.resized_crop(image, *window, [size, size], antialias=True)
        assert torch.equal(out["image"][row], expected.flip(-1) if flip else expected)
        for name in ("depth", "mask"):
            plane = torch.from_numpy(arrays[name][row].astype(np.float32))[None]
            near = reference.resized_crop(plane, *window, [size, size], v2.InterpolationMode.NEAREST_EXACT)
            assert torch.equal(out[name][row].float(), near.flip(-1) if flip else near), name
        vectors = torch.from_numpy(arrays["normal"][row].astype(np.float32)).permute(2, 0, 1)
        near = reference.resized_crop(vectors, *window, [size, size], v2.InterpolationMode.NEAREST_EXACT)
        sign = torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1)
        assert torch.equal(out["normal"][row], near.flip(-1) * sign if flip else near)


@pytest.mark.parametrize("size", [1, 7, 32, 64, 100, 224])
def test_nearest_samples_lie_under_the_centres_of_the_new_pixels(size: int) -> None:
    for extent in (1, 2, 3, 31, 48, 64, 65, 100, 199, 256):
        kind = modality("mask", 1, extent)
        crop = Crop(size=size, scale=(1.0, 1.0), ratio=(float(extent), float(extent)), flip=0.0)
        line = np.arange(extent, dtype=np.uint16) + (2**16 - extent)
        out = CropTransform({crop: [kind]}, train=True)({"mask": line.reshape(1, 1, -1)}, np.arange(1))["crop"]["mask"]
        picked = (out[0, 0, 0] - (2**16 - extent)).tolist()
        # A centre on the border of two samples may take either, because float32 rounds.
        centres = [divmod((2 * place + 1) * extent, 2 * size) for place in range(size)]
        assert all(got in (low, low - (rest == 0)) for got, (low, rest) in zip(picked, centres, strict=True)), extent


@pytest.mark.parametrize("size", [16, 32, 50])
@pytest.mark.parametrize("source", [(32, 32), (40, 56), (57, 33)])
def test_evaluation_is_torchvisions_resize_and_centre_crop(size: int, source: tuple[int, int]) -> None:
    kinds = [
        modality(kind, *source, *[3] * (kind in ("image", "normal"))) for kind in ("image", "depth", "mask", "normal")
    ]
    arrays = {kind.name: stored(kind, 3) for kind in kinds}
    transform = CropTransform({Crop(size=size): kinds}, train=False)
    out = transform(arrays, np.arange(3))["crop"]
    alone = transform({name: array[1:2] for name, array in arrays.items()}, np.arange(1))["crop"]
    assert all(torch.equal(alone[name], out[name][1:2]) for name in out)
    image = torch.from_numpy(arrays["image"]).permute(0, 3, 1, 2)
    expected = reference.center_crop(reference.resize(image, [size], antialias=True), [size, size])
    assert torch.equal(out["image"], expected)
    planes = {name: torch.from_numpy(arrays[name].astype(np.float32))[:, None] for name in ("depth", "mask")}
    planes["normal"] = torch.from_numpy(arrays["normal"]).permute(0, 3, 1, 2).float()
    for name, plane in planes.items():
        near = reference.resize(plane, [size], v2.InterpolationMode.NEAREST_EXACT)
        assert torch.equal(out[name].float(), reference.center_crop(near, [size, size])), name


def test_evaluation_cuts_once_for_all_names_and_never_flips() -> None:
    kind = modality("image", 20, 20, 3)
    one = Crop(size=20, flip=1.0)
    transform = CropTransform({one: [kind], one.named("two"): [kind], Crop(size=10, name="small"): [kind]}, train=False)
    arrays = {"image": stored(kind)}
    out = transform(arrays, np.arange(12))
    assert out["crop"]["image"] is out["two"]["image"]
    assert torch.equal(out["crop"]["image"], torch.from_numpy(arrays["image"]).permute(0, 3, 1, 2))
    assert out["small"]["image"].shape == (12, 3, 10, 10)


def coordinates(height: int, width: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Row and column of the centre of every pixel, as a share of the side."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + 0.5
    return np.tile(rows / height, (n, 1, 1)), np.tile(columns / width, (n, 1, 1))


@pytest.mark.parametrize("depth_size", [(96, 96), (48, 60)])
def test_modalities_of_a_crop_are_aligned(depth_size: tuple[int, int]) -> None:
    n, index = 40, np.arange(40)
    rows, columns = coordinates(96, 96, n)
    image = np.rint(np.stack([rows, columns, rows], -1) * 255).astype(np.uint8)
    row_depth, column_depth = coordinates(*depth_size, n)
    kinds = [
        modality("image", 96, 96, 3),
        modality("depth", *depth_size, name="row"),
        modality("depth", *depth_size, name="column"),
    ]
    arrays = {"image": image, "row": row_depth, "column": column_depth}
    out = CropTransform({Crop(size=32): kinds}, train=True)(arrays, index)["crop"]
    there = out["image"].float() / 255
    # Errors: nearest half a stored pixel, antialiasing half a pixel, 8 bits 1/510, and half a pixel
    # for the window where the sizes differ.
    slack = 0.5 / 96 + 1 / 510 + (1.0 if depth_size != (96, 96) else 0.5) / min(depth_size) + 0.5 / 96
    inner = slice(1, -1)
    for channel, name in ((0, "row"), (1, "column")):
        gap = (there[:, channel] - out[name][:, 0])[:, inner, inner].abs().max()
        assert gap < slack, name


def heights_to_normals(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normals (H, W, 3) of a surface z(x right, y up), z towards the viewer."""
    down, right = np.gradient(z)
    vectors = np.stack([-right, down, np.ones_like(z)], -1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_mirrored_normals_are_the_normals_of_the_mirrored_surface() -> None:
    y, x = np.mgrid[:24, :24] / 24.0
    surface = 6 * np.sin(5 * x + y) + 4 * x * y
    kind = modality("normal", 24, 24, 3, dtype="float32")
    crop = Crop(size=24, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=1.0)
    arrays = {"normal": heights_to_normals(surface)[None].astype(np.float32)}
    out = CropTransform({crop: [kind]}, train=True)(arrays, np.arange(1))["crop"]["normal"]
    expected = heights_to_normals(surface[:, ::-1]).transpose(2, 0, 1)
    np.testing.assert_allclose(out[0].numpy(), expected, atol=1e-6)
    assert np.abs(expected[0]).max() > 0.5, "the surface must lean to the side for the sign to show"


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [30, 64])
def test_crops_hold_what_their_kind_promises_whatever_is_stored(size: int, train: bool) -> None:
    kinds = [modality("image", 30, 40, 3), modality("depth", 30, 40), modality("normal", 30, 40, 3)]
    kinds += [modality("mask", 30, 40), modality("mask", 30, 40, name="few", dtype="uint8")]
    kinds += [modality("normal", 30, 40, 3, name="fine", dtype="float32")]
    arrays = {kind.name: stored(kind) for kind in kinds}
    out = CropTransform({Crop(size=size): kinds}, train)(arrays, np.arange(12))["crop"]
    promised = {
        "image": (torch.uint8, 3),
        "depth": (torch.float32, 1),
        "normal": (torch.float32, 3),
        "mask": (torch.int64, 1),
    }
    for kind in kinds:
        crops, (dtype, channels) = out[kind.name], promised[kind.kind]
        assert (type(crops), crops.dtype) == (Tensor, dtype), kind.name
        assert crops.shape == (12, channels, size, size)
        assert crops.is_contiguous()
    for name in ("depth", "mask", "few"):
        assert np.isin(out[name].numpy(), arrays[name]).all(), name
    assert out["mask"].max() > 2**15
    for name, slack in (("normal", 2e-3), ("fine", 1e-6)):
        assert (out[name].norm(dim=1) - 1).abs().max() < slack


def transform(train: bool = True, seed: int = 0, **fields: float) -> CropTransform:
    kind = modality("image", 32, 32, 3)
    crop = Crop(size=16, **fields)
    return CropTransform({crop: [kind], crop.named("other"): [kind]}, train, seed)


def cut(index: NDArray[np.int64], epoch: int = 0, seed: int = 0) -> dict[str, Tensor]:
    kind = modality("image", 32, 32, 3)
    arrays = {"image": stored(kind, 20)[index]}
    return {name: crops["image"] for name, crops in transform(seed=seed)(arrays, index, epoch).items()}


def test_the_crop_of_a_sample_does_not_depend_on_the_batch() -> None:
    whole = cut(np.arange(20))
    for index in (np.array([7]), np.array([19, 7, 3]), np.arange(20)[::-1].copy()):
        for name, crops in cut(index).items():
            assert torch.equal(crops, whole[name][torch.from_numpy(index)]), name


def test_names_samples_epochs_and_seeds_have_different_draws() -> None:
    first = cut(np.arange(20))
    for other in (first["other"], cut(np.arange(20), epoch=1)["crop"], cut(np.arange(20), seed=1)["crop"]):
        assert (other != first["crop"]).flatten(1).any(1).sum() >= 19
    kind = modality("image", 32, 32, 3)
    same = np.repeat(stored(kind, 1), 20, axis=0)
    out = transform()({"image": same}, np.arange(20))["crop"]["image"]
    assert out.flatten(1).unique(dim=0).shape[0] >= 19


def test_global_random_numbers_are_left_alone() -> None:
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    cut(np.arange(20))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


@pytest.mark.parametrize("flip", [0.0, 0.3, 1.0])
def test_flip_is_a_probability(flip: float) -> None:
    drawn = uniform(0, 0, "crop", np.arange(5000), 2 * TRIES + 3)
    assert draw_windows(Crop(flip=flip), drawn, 64, 64).flip.mean() == pytest.approx(flip, abs=0.02)


def test_modalities_without_geometry_stay_whole() -> None:
    kinds = [modality("image", 16, 16, 3), modality("audio", 50)]
    arrays = {kind.name: stored(kind) for kind in kinds}
    for train in (True, False):
        out = CropTransform({Crop(size=8): kinds}, train)(arrays, np.arange(12))["crop"]
        assert torch.equal(out["audio"], torch.from_numpy(arrays["audio"])[:, None])
    alone = CropTransform({Crop(size=8): kinds[1:]}, True)(arrays, np.arange(12))["crop"]
    assert list(alone) == ["audio"]


def test_no_samples_make_empty_crops() -> None:
    kinds = [modality("image", 16, 16, 3), modality("depth", 16, 16), modality("normal", 16, 16, 3)]
    arrays = {kind.name: stored(kind)[:0] for kind in kinds}
    for train in (True, False):
        out = CropTransform({Crop(size=8): kinds}, train)(arrays, np.arange(0))["crop"]
        assert {name: tuple(x.shape) for name, x in out.items()} == {
            "image": (0, 3, 8, 8),
            "depth": (0, 1, 8, 8),
            "normal": (0, 3, 8, 8),
        }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, "size is 0; give a number of pixels"),
        ({"scale": (0.5, 0.2)}, "scale is .* 0 < low <= high <= 1"),
        ({"ratio": (0.0, 1.0)}, "ratio is .* 0 < low <= high"),
        ({"flip": 1.5}, "flip is 1.5; give a probability"),
    ],
)
def test_bad_crops_are_errors(fields: dict, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        Crop(**fields)
