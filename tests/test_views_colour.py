"""Colour views against scikit-image over the sRGB cube: values, ranges, gradients, precision."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import torch
from skimage.color import rgb2gray, rgb2lab
from torch import Tensor

from multiview import plugins
from multiview.batch import Batch
from multiview.view import Crop, View
from multiview.viewlayer import ViewLayer
from multiview.views import Lab, grey, rgb_to_grey
from multiview.views.lab import BLOCK, rgb_to_lab
from multiview.views.light import GAMMA_KNEE, linear
from multiview.views.spaces import rgb_to_hsv

CORNERS = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
GREYS = (torch.arange(256, dtype=torch.float64) / 255)[:, None].expand(-1, 3)
RANDOM = torch.rand(4000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) ** 2
AT_KNEES = torch.tensor([0.0, 1 / 255, 10 / 255, GAMMA_KNEE, 11 / 255, 1.0], dtype=torch.float64)


def colours(table: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Rows of colours (k, 3) as one image (1, 3, k, 1)."""
    return table.T.reshape(1, 3, -1, 1).to(dtype)


def skimage_lab(x: Tensor) -> np.ndarray:
    return rgb2lab(x.double().movedim(1, -1).numpy())


@pytest.mark.parametrize("table", [CORNERS, GREYS, RANDOM, torch.cartesian_prod(AT_KNEES, AT_KNEES, AT_KNEES)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-8)])
def test_lab_equals_skimage(table: Tensor, dtype: torch.dtype, tolerance: float) -> None:
    x = colours(table, dtype)
    lab = rgb_to_lab(x)
    assert lab.dtype == dtype
    np.testing.assert_allclose(lab.double().movedim(1, -1).numpy(), skimage_lab(x), rtol=0, atol=tolerance)


def test_chroma_of_greys_is_zero() -> None:
    lab = rgb_to_lab(colours(GREYS))[0, :, :, 0]
    # The white of the matrix and the white point differ in the fifth digit.
    assert lab[1:].abs().max() < 0.02
    assert (lab[0].diff() > 0).all()
    assert lab[0, 0].abs() < 1e-8
    assert (lab[0, -1] - 100).abs() < 1e-8


def test_lab_stays_in_the_range_of_its_docstring() -> None:
    steps = torch.linspace(0, 1, 18, dtype=torch.float64)
    lab = rgb_to_lab(colours(torch.cartesian_prod(steps, steps, steps)))[0, :, :, 0]
    low, high = lab.amin(1).tolist(), lab.amax(1).tolist()
    assert low == pytest.approx([0, -86.2, -107.9], abs=0.05)
    assert high == pytest.approx([100, 98.2, 94.5], abs=0.05)


def test_half_precision_is_computed_in_single() -> None:
    x = colours(RANDOM, torch.bfloat16)
    lab = rgb_to_lab(x)
    assert lab.dtype == torch.bfloat16
    np.testing.assert_allclose(lab.double().movedim(1, -1).numpy(), skimage_lab(x), rtol=2**-8, atol=2**-8)


def test_lab_passes_gradcheck() -> None:
    inside = torch.tensor([[0.02, 0.3, 0.9], [0.5, 0.01, 0.2], [0.003, 0.002, 0.001]], dtype=torch.float64)
    assert torch.autograd.gradcheck(rgb_to_lab, (colours(inside).requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lab_has_finite_gradients_at_black_white_and_the_knees(dtype: torch.dtype) -> None:
    # The grey whose linear value is just the knee of the cube root.
    lab_knee = 1.055 * 0.008856 ** (1 / 2.4) - 0.055
    levels = torch.cat([AT_KNEES, torch.tensor([lab_knee], dtype=torch.float64)])
    x = colours(levels[:, None].expand(-1, 3), dtype).requires_grad_()
    rgb_to_lab(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[0].sum(0) > 0).all(), "lightness grows with every grey"


def test_grey_equals_skimage() -> None:
    x = colours(RANDOM)
    np.testing.assert_allclose(rgb_to_grey(x)[:, 0].numpy(), rgb2gray(x.movedim(1, -1).numpy()), rtol=0, atol=1e-12)


def test_lab_is_normalised_as_in_the_original_cmc() -> None:
    crop = Crop()
    assert (Lab.lightness(crop).mean, Lab.lightness(crop).std) == ((50.0,), (50.0,))
    assert (Lab.chroma(crop).mean, Lab.chroma(crop).std) == ((6.025, -6.690), (92.208, 101.168))


SPACES = {
    "ycbcr": ("y", "cbcr"),
    "ydbdr": ("y", "dbdr"),
    "ypbpr": ("y", "pbpr"),
    "yiq": ("y", "iq"),
    "yuv": ("y", "uv"),
    "xyz": ("y", "xz"),
    "luv": ("l", "uv"),
    "hsv": ("v", "hs"),
    "hed": ("h", "ed"),
}
STEPS = torch.linspace(0, 1, 18, dtype=torch.float64)
CUBE = torch.cat([torch.cartesian_prod(STEPS, STEPS, STEPS), GREYS, RANDOM, torch.cartesian_prod(*[AT_KNEES] * 3)])


def view_of(name: str) -> View:
    return plugins.load("views", name)(Crop())


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_space_equals_skimage(name: str, dtype: torch.dtype) -> None:
    x = colours(CUBE, dtype)
    expected = getattr(skimage.color, f"rgb2{name}")(x.double()[0, :, :, 0].T.numpy())
    convert = view_of(name).convert
    assert convert is not None
    out = convert(x)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.double()[0, :, :, 0].T.numpy(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SPACES)
def test_luminance_and_chroma_are_parts_of_the_whole_within_the_declared_range(name: str) -> None:
    views = {part: view_of(part) for part in (name, *(f"{name}_{suffix}" for suffix in SPACES[name]))}
    image = (colours(CUBE) * 255).round().to(torch.uint8)
    out = ViewLayer(views)(Batch({"crop": {"image": image}}, torch.arange(1), {}))
    whole, light, colour = out.values()
    taken = [channel for view in list(views.values())[1:] for channel in view.take or ()]
    assert sorted(taken) == [0, 1, 2]
    assert torch.equal(torch.cat([light, colour], 1), whole[:, taken])
    for part, view in views.items():
        assert view.channels.name == part
        natural = out[part] * torch.tensor(view.std).view(1, -1, 1, 1) + torch.tensor(view.mean).view(1, -1, 1, 1)
        width = view.channels.half_range * 1e-5
        assert natural.amin() >= view.channels.low - width
        assert natural.amax() <= view.channels.high + width
    if name != "ydbdr":  # whose normalisation is PyContrast's
        assert whole.amin() == pytest.approx(-1, abs=2e-3)
        assert whole.amax() == pytest.approx(1, abs=2e-3)


def test_ydbdr_is_normalised_as_in_pycontrast() -> None:
    assert (view_of("ydbdr_y").mean, view_of("ydbdr_y").std) == ((0.457,), (0.500,))
    assert (view_of("ydbdr_dbdr").mean, view_of("ydbdr_dbdr").std) == ((-0.082, -0.052), (1.331, 1.333))


@pytest.mark.parametrize("name", SPACES)
def test_gradients_of_a_space_are_finite_everywhere(name: str) -> None:
    convert = view_of(name).convert
    assert convert is not None
    inside = torch.tensor([[0.021, 0.3, 0.9], [0.5, 0.011, 0.2], [0.7, 0.6, 0.1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(convert, (colours(inside).requires_grad_(),))
    x = colours(
        torch.cat([CUBE, torch.tensor([[1e-45, 0, 0], [1e-38, 2e-38, 0], [0.5, 0.5, 0.5 + 1e-7]])]), torch.float32
    )
    x.requires_grad_()
    convert(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ["lab", *SPACES])
def test_half_precision_and_bytes_give_the_same_space_as_floats(name: str) -> None:
    view = view_of(name)
    convert, image = view.convert, (colours(RANDOM) * 255).round().to(torch.uint8)
    assert convert is not None
    floats = convert(image / 255)
    half = convert((image / 255).bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, convert((image / 255).bfloat16().float()).bfloat16())
    if view.reads_bytes:
        torch.testing.assert_close(convert(image), floats, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_lab_in_blocks_equals_lab_with_a_gradient(dtype: torch.dtype) -> None:
    side = int(BLOCK**0.5) // 2
    x = torch.rand(9, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) ** 2
    x = (x * 255).round().to(dtype) if dtype == torch.uint8 else x.to(dtype)
    plain = (x.double() / 255 if dtype == torch.uint8 else x.clone()).requires_grad_()
    slow = rgb_to_lab(plain)
    assert slow.requires_grad
    fast = rgb_to_lab(x)
    assert fast.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(fast, slow.detach().to(fast.dtype), rtol=0, atol=1e-4)
    torch.testing.assert_close(rgb_to_lab(x[0]), fast[0], rtol=0, atol=1e-4)
    assert rgb_to_lab(x[:0]).shape == (0, 3, side, side)


def test_hue_of_the_six_corners_of_the_cube() -> None:
    corners = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]])
    hue = rgb_to_hsv(colours(corners, torch.float32))[0, 0, :, 0]
    torch.testing.assert_close(hue, torch.arange(6) / 6)


def test_lightness_chroma_and_grey_are_normalised_to_minus_one_to_one() -> None:
    crop = Crop()
    views = {"L": Lab.lightness(crop), "ab": Lab.chroma(crop), "grey": grey(crop)}
    cube = torch.cartesian_prod(*[torch.arange(0, 256, 5)] * 3).to(torch.uint8)
    image = cube.T.reshape(1, 3, 52, -1)
    out = ViewLayer(views)(Batch({"crop": {"image": image}}, torch.arange(1), {}))
    for name, x in out.items():
        assert x.amin() == pytest.approx(-1, abs=2e-3), name
        assert x.amax() == pytest.approx(1, abs=2e-3), name


def test_bytes_at_an_odd_offset_are_looked_up_one_by_one() -> None:
    rgb = torch.randint(0, 256, (35, 3, 63, 63), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rgb_to_lab(rgb)[33:], rgb_to_lab(rgb[33:].clone()))
    assert torch.equal(linear(rgb[1:3]), linear(rgb[1:3].clone()))
