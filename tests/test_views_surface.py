"""Views of depth, surfaces, edges and labels, on planes, steps and squares with known answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from multiview.batch import Batch
from multiview.data.modality import Modality
from multiview.errors import MultiviewError
from multiview.view import Crop, View, make_view
from multiview.viewlayer import ViewLayer
from multiview.views.colour import rgb_to_grey
from multiview.views.edges import Canny
from multiview.views.surface import normals, points

SIDE = 24
FOV = 60.0


def seen(view: View, **modalities: Tensor) -> Tensor:
    n = len(next(iter(modalities.values())))
    return ViewLayer({"it": view})(Batch({"crop": modalities}, torch.arange(n), {}))["it"]


def plane(normal: tuple[float, float, float], distance: float) -> Tensor:
    """Depth (1, 1, SIDE, SIDE) of the plane <normal, x> = -distance; 0 behind the camera."""
    focal = SIDE / 2 / math.tan(math.radians(FOV / 2))
    depth = torch.zeros(1, 1, SIDE, SIDE)
    for row in range(SIDE):
        for column in range(SIDE):
            ray = ((column + 0.5 - SIDE / 2) / focal, (SIDE / 2 - row - 0.5) / focal, -1.0)
            along = sum(a * b for a, b in zip(normal, ray, strict=True))
            depth[0, 0, row, column] = max(0.0, -distance / along) if along else 0.0
    return depth


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, 0.8, 0.6), (-0.36, 0.48, 0.8)])
def test_normals_of_a_plane(normal: tuple[float, float, float]) -> None:
    depth = plane(normal, 2.0)
    assert (depth > 0).all()
    found = normals(depth, FOV)[0, :, 1:-1, 1:-1]
    torch.testing.assert_close(found, torch.tensor(normal).view(3, 1, 1).expand_as(found), rtol=0, atol=1e-4)


def test_points_of_a_wall_span_the_field_of_view() -> None:
    place = points(torch.full((1, 1, SIDE, SIDE), 3.0), FOV)[0]
    pixel = 2 * 3.0 * math.tan(math.radians(FOV / 2)) / SIDE
    assert float(place[0, 0, -1] - place[0, 0, 0]) == pytest.approx(pixel * (SIDE - 1), rel=1e-5)
    assert float(place[1, 0, 0] - place[1, -1, 0]) == pytest.approx(pixel * (SIDE - 1), rel=1e-5)
    assert (place[2] == -3.0).all()


def test_a_pixel_beside_a_hole_has_no_normal_and_a_mirror_turns_x() -> None:
    depth = plane((0.6, 0.0, 0.8), 2.0)
    depth[0, 0, 10, 10] = 0
    found = seen(make_view("depth_normal", Crop(), fov=FOV), depth=depth)[0]
    assert (found[:, 9:12, 9:12] == 0).all()
    assert found[:, 8, 10].norm() == pytest.approx(1.0)
    mirrored = seen(make_view("depth_normal", Crop(), fov=FOV), depth=depth.flip(3))[0].flip(2)
    torch.testing.assert_close(mirrored * torch.tensor([-1.0, 1, 1]).view(3, 1, 1), found, rtol=0, atol=1e-5)


def test_hha_of_floors_walls_and_heights() -> None:
    floor, wall = plane((0.0, 1.0, 0.0), 0.8), torch.full((1, 1, SIDE, SIDE), 2.0)
    scene = torch.where((floor > 0) & (floor < 2), floor, wall)
    scene[0, 0, 3, 3] = 0
    view = make_view("hha", Crop(), fov=FOV, near=0.5, tall=3.0)
    shares = seen(view, depth=scene)[0] / 2 + 0.5
    assert (shares[:, 3, 3] == 0.5).all(), "what was not measured is the mean after normalisation"
    torch.testing.assert_close(shares[0, 5, 5:9], torch.full((4,), 0.25))
    above = points(wall, FOV)[0, 1, 5, 5] + 0.8
    assert float(shares[1, 5, 5]) == pytest.approx(float(above) / 3, abs=1e-4)
    assert float(shares[2, 6, 12]) == pytest.approx(0.5, abs=1e-4)
    on_floor = plane((0.0, 1.0, 0.0), 1.0)
    only = torch.where(on_floor < 6, on_floor, 0.0)
    assert float(seen(view, depth=only)[0, 2, -3, 12] / 2 + 0.5) < 1e-3, "a floor has an angle of 0"


def test_inverse_and_logarithm_of_depth() -> None:
    depth = torch.tensor([0.0, 0.05, 0.5, 2.0, 400.0]).view(1, 1, 1, 5)
    inverse = seen(make_view("inverse_depth", Crop(), near=0.1, mean=1.0, std=2.0), depth=depth).flatten()
    torch.testing.assert_close(inverse, torch.tensor([0.0, 4.5, 0.5, -0.25, (1 / 400 - 1) / 2]))
    log = seen(make_view("log_depth", Crop(), near=0.1, far=100.0, mean=1.0, std=2.0), depth=depth).flatten()
    expected = [0.0, *((math.log(x) - 1) / 2 for x in (0.1, 0.5, 2.0, 100.0))]
    torch.testing.assert_close(log, torch.tensor(expected))
    assert seen(make_view("depth_mask", Crop()), depth=depth).flatten().tolist() == [-1, 1, 1, 1, 1]


def square() -> Tensor:
    image = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    image[..., 6:18, 6:18] = 255
    return image


def test_edges_of_a_step_are_a_half_at_the_step_and_zero_elsewhere() -> None:
    strength = seen(make_view("edges", Crop()), image=square())[0, 0] * 0.1 + 0.05
    assert float(strength[12, 5]) == pytest.approx(0.5, abs=1e-3)
    assert float(strength[12, 12]) == pytest.approx(0.0, abs=2e-3)


def test_canny_draws_the_outline() -> None:
    lines = seen(make_view("canny", Crop()), image=square())[0, 0]
    assert set(lines.unique().tolist()) == {-1.0, 1.0}
    assert (lines[12, 9:15] == -1).all()
    assert (lines[12, 4:8] == 1).any()
    assert (lines[:3] == -1).all()


def test_canny_equals_the_hysteresis_of_kornia() -> None:
    """Long weak lines, which grow pixel by pixel, beside pictures that stop at once."""
    from kornia.filters import canny

    random = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand((6, 3, 5, 5), generator=random), (48, 40), mode="bicubic")
    ramp = (torch.arange(48.0)[:, None] / 90 * (torch.arange(40.0)[None] > 20)).expand(1, 3, 48, 40)
    pictures = torch.cat(
        [smooth.clamp(0, 1), torch.rand((2, 3, 48, 40), generator=random), ramp, torch.zeros_like(ramp)]
    )
    for low, high in ((0.1, 0.2), (0.02, 0.9), (0.3, 0.31)):
        ours = Canny(low, high)(pictures)
        assert torch.equal(ours, canny(rgb_to_grey(pictures), low, high)[1])
        assert ours.dtype == pictures.dtype
        assert ours[-1].sum() == 0 < ours.sum()
        assert torch.equal(ours, torch.cat([Canny(low, high)(each[None]) for each in pictures]))


def test_labels_become_channels() -> None:
    mask = torch.tensor([[0, 3], [1, 7]]).view(1, 1, 2, 2)
    every = seen(make_view("semantic", Crop(), classes=4), mask=mask)[0]
    assert every.flatten(1).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert seen(make_view("semantic", Crop(), classes=(7, 0)), mask=mask)[0].flatten(1).tolist() == [
        [0, 0, 0, 1],
        [1, 0, 0, 0],
    ]
    names = Modality(name="mask", kind="mask", dtype="uint8", shape=(2, 2), unit="class", names=("none", "bed", "sofa"))
    assert names.numbers("sofa", "bed") == (2, 1)
    with pytest.raises(MultiviewError, match=r"'soffa' is not a name in 'mask'; available: bed, none, sofa\. Did you"):
        names.numbers("soffa")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hha", {"fov": 180.0}, "fov is 180.0; give the camera's angle"),
        ("depth_normal", {"fov": 0.0}, "fov is 0.0"),
        ("canny", {"low": 0.3}, "give thresholds with 0 < low < high < 1"),
    ],
)
def test_mistakes_say_what_to_do(name: str, options: dict, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make_view(name, Crop(), **options)
