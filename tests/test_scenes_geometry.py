"""The embedded scenes: pictures, depths and normals agree with hand-written geometry."""

import math
from dataclasses import replace

import numpy as np
import pytest

from multiview.data.scenes import raycast
from multiview.data.scenes.random_scenes import BLOCK, COMPANION_SHARE, arrangement, draw_scenes
from multiview.data.scenes.raycast import Placed, picture
from multiview.data.scenes.scene import KINDS, Scene
from multiview.data.scenes.solids import SOLIDS

SIZE = 64


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(0, arrangement(0, 2 * BLOCK)[0])


def of_kind(scenes: list[Scene], kind: str) -> list[Scene]:
    return [scene for scene in scenes if scene.kind == kind]


def rays(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera position (3,), axes (3, 3) with columns right, up and back, and rays (h, w, 3)."""
    camera = scene.camera
    back = np.array([0, math.sin(camera.pitch), math.cos(camera.pitch)])
    axes = np.stack([np.array([1.0, 0, 0]), np.cross(back, [1, 0, 0]), back], axis=1)
    position = np.array([0, camera.aim, 0]) + camera.distance * back
    middle = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = np.meshgrid(middle, -middle)
    tangent = math.tan(camera.view / 2)
    return position, axes, np.stack([x * tangent, y * tangent, -np.ones_like(x)], axis=2) @ axes.T


def solid_points(scene: Scene, depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """World points (n, 3) of the first solid, from the depth."""
    position, _, directions = rays(scene)
    return (position + depth[..., None] * directions)[mask == 1]


def test_a_ball_is_where_the_closed_form_says(scenes: list[Scene]) -> None:
    scene = of_kind(scenes, "ellipsoid")[0]
    scene = replace(scene, body=replace(scene.body, wide=1.0, tall=1.0, deep=1.0, lift=0.0), other=None)
    seen = picture(scene, SIZE)
    position, axes, directions = rays(scene)
    radius = scene.body.size * 0.85
    centre = np.array([scene.body.x, radius, scene.body.z])
    square, half = (directions**2).sum(2), directions @ (position - centre)
    under = half**2 - square * (((position - centre) ** 2).sum() - radius**2)
    t = (-half - np.sqrt(np.maximum(under, 0))) / square
    sure = np.abs(under) > 1e-3
    np.testing.assert_array_equal((seen.mask == 1)[sure], (under > 0)[sure])
    there = (seen.mask == 1) & sure
    np.testing.assert_allclose(seen.depth[there], t[there], atol=2e-3)
    outward = (position + t[..., None] * directions - centre) / radius
    np.testing.assert_allclose(seen.normal[there], (outward @ axes)[there], atol=1e-2)


def test_the_ground_is_a_level_plane_and_the_sky_is_not_measured(scenes: list[Scene]) -> None:
    for scene in scenes[:20]:
        seen = picture(scene, SIZE)
        position, axes, directions = rays(scene)
        ground = (seen.mask == 0) & (seen.depth > 0)
        heights = position[1] + seen.depth * directions[..., 1]
        assert np.abs(heights[ground]).max() < 1e-3
        np.testing.assert_allclose(seen.normal[ground], np.broadcast_to(axes[1], (ground.sum(), 3)), atol=1e-3)
        sky = seen.depth == 0
        assert not seen.mask[sky].any()
        assert not seen.normal[sky].any()
        assert (directions[sky][:, 1] > -position[1] / float(raycast.FAR) - 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_solid_is_met_on_its_surface(kind: str, scenes: list[Scene]) -> None:
    """The points of the depth map fulfil the equation of the surface in float64."""
    for scene in of_kind(scenes, kind)[:4]:
        seen = picture(scene, SIZE)
        placed = Placed.of(scene.body)
        points = solid_points(scene, seen.depth.astype(np.float64), seen.mask)
        local = (points - placed.centre[:, 0]) @ placed.inverse.T.astype(np.float64)
        assert len(points) > 100
        assert np.abs(outside(kind, local)).max() < 5e-3


def outside(kind: str, points: np.ndarray) -> np.ndarray:
    """By hand: how far outside the solid (n, 3) points are, roughly; 0 on its surface."""
    x, y, z = points.T
    across = np.hypot(x, z)
    cone = (across - 0.5 * (1.0 - y)) / math.hypot(1, 0.5)
    return {
        "box": np.abs(points).max(1) - 0.66,
        "cone": np.maximum(cone, -0.7 - y),
        "cylinder": np.maximum(across - 0.62, np.abs(y) - 0.78),
        "ellipsoid": np.hypot(across, y) - 0.85,
        "octahedron": (np.abs(points).sum(1) - 1.05) / math.sqrt(3),
        "prism": np.maximum.reduce([np.abs(z) - 0.75, -0.46 - y, np.abs(x) * math.sqrt(0.75) + y / 2 - 0.46]),
        "pyramid": np.maximum((np.maximum(np.abs(x), np.abs(z)) - 0.8 / 1.7 * (1.0 - y)) / 1.1, -0.7 - y),
        "torus": np.hypot(across - 0.72, y) - 0.3,
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_normals_are_those_of_the_surface(kind: str, scenes: list[Scene]) -> None:
    """Compared with the gradient of the equation of the stretched and turned solid."""
    scene = of_kind(scenes, kind)[0]
    seen = picture(scene, SIZE)
    placed = Placed.of(scene.body)
    inverse = placed.inverse.astype(np.float64)
    points = solid_points(scene, seen.depth.astype(np.float64), seen.mask)
    local = (points - placed.centre[:, 0]) @ inverse.T
    step = 1e-4
    gradient = np.stack(
        [(outside(kind, local + step * axis) - outside(kind, local - step * axis)) / step for axis in np.eye(3)], axis=1
    )
    world = gradient @ inverse
    world /= np.linalg.norm(world, axis=1, keepdims=True)
    cosine = (seen.normal[seen.mask == 1].astype(np.float64) * (world @ rays(scene)[1])).sum(1)
    # At an edge two faces are as near, and the gradient is a mixture.
    assert np.mean(cosine > 0.995) > 0.9


def test_normals_are_of_unit_length_and_face_the_viewer(scenes: list[Scene]) -> None:
    for scene in scenes[:40]:
        seen = picture(scene, SIZE)
        normal = seen.normal.astype(np.float64)
        lengths = np.linalg.norm(normal, axis=2)
        met = seen.depth > 0
        np.testing.assert_allclose(lengths[met], 1, atol=2e-3)
        assert not lengths[~met].any()
        _, axes, directions = rays(scene)
        assert ((normal * (directions @ axes)).sum(2)[met] < 0.02).all()


def test_depth_is_finite_and_jumps_at_the_outline(scenes: list[Scene]) -> None:
    for scene in scenes[:40]:
        seen = picture(scene, SIZE)
        assert np.isfinite(seen.depth).all()
        assert seen.depth.min() >= 0
        # Along the upper edge of the solid, what lies above it is sky or farther away.
        ground_above = (seen.mask[1:] == 1) & (seen.mask[:-1] == 0) & (seen.depth[:-1] > 0)
        assert (seen.depth[:-1][ground_above] > seen.depth[1:][ground_above]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_solid_stands_on_the_ground(kind: str) -> None:
    """The lowest of many surface points lies on the ground, because of the support function."""
    body = draw_scenes(3, [KINDS.index(kind)])[0].body
    placed = Placed.of(replace(body, lift=0.0, tilt=0.6))
    directions = np.random.default_rng(0).standard_normal((3, 20000)).astype(np.float32)
    far = (10 * directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    jitter = np.random.default_rng(1).uniform(-1.1, 1.1, far.shape).astype(np.float32)
    which, when, _ = SOLIDS[kind].hit(far, jitter - far)
    local = far[:, which] + when * (jitter - far)[:, which]
    lowest = (np.linalg.inv(placed.inverse.astype(np.float64)) @ local + placed.centre)[1].min()
    assert -1e-3 < lowest < 0.03


def test_rays_that_start_on_a_solid_and_leave_it_miss_it() -> None:
    for kind in set(KINDS) - {"torus"}:
        solid = SOLIDS[kind]
        origin = np.array([[0.1], [0.2], [3.0]], np.float32)
        which, when, normals = solid.hit(origin, np.array([[0], [0], [-1]], np.float32))
        assert list(which) == [0]
        start = origin + when * np.array([[0], [0], [-1]], np.float32)
        assert not len(solid.hit(start, normals)[0]), kind


def test_rays_that_pass_by_or_look_away_miss() -> None:
    origin = np.array([[0], [0], [4]], np.float32)
    away = np.array([[0, 0, 2], [0, 2, 0], [1, -1, -1]], np.float32)
    for kind, solid in SOLIDS.items():
        assert not len(solid.hit(origin, away)[0]), kind


def test_rays_pass_through_the_hole_of_a_torus() -> None:
    above = np.array([[0], [4], [0]], np.float32)
    down = np.array([[0, 0.72], [-1, -4], [0, 0]], np.float32)
    which, when, _ = SOLIDS["torus"].hit(above, down)
    assert list(which) == [1]
    # 0.72 / 4 is not vertical; the entry is near the top of the tube.
    assert abs(above[1, 0] + when[0] * down[1, 1] - 0.3) < 0.02


def test_the_nearer_solid_hides_the_farther(scenes: list[Scene]) -> None:
    scene = next(scene for scene in scenes if scene.other)
    assert scene.other
    front = replace(scene.other, size=0.4, x=scene.body.x, z=scene.body.z + 0.9, lift=0.2)
    seen = picture(replace(scene, other=front), SIZE)
    alone = picture(replace(scene, other=None), SIZE)
    both = (seen.mask == 2) & (alone.mask == 1)
    assert both.any()
    assert (seen.depth[both] < alone.depth[both]).all()
    behind = picture(replace(scene, other=replace(front, z=scene.body.z - 1.5)), SIZE)
    np.testing.assert_array_equal(behind.mask == 1, alone.mask == 1)
    np.testing.assert_array_equal(behind.depth[alone.mask == 1], alone.depth[alone.mask == 1])


@pytest.mark.parametrize(("start", "height"), [(4.0, 0.6), (-4.0, -0.7)])
def test_rays_along_the_axis_of_a_cone_meet_its_side_from_above_and_its_base_from_below(
    start: float, height: float
) -> None:
    """0.2 from the axis of a cone with its tip at 1 and a slope of one half, the side is at 0.6."""
    origin, along = np.array([[0.2], [start], [0]], np.float32), np.array([[0], [-start / 4], [0]], np.float32)
    which, when, normals = SOLIDS["cone"].hit(origin, along)
    assert list(which) == [0]
    assert origin[1, 0] + when[0] * along[1, 0] == pytest.approx(height, abs=1e-4)
    assert normals[1, 0] * start > 0


def test_a_companion_is_small_and_of_another_kind() -> None:
    many = draw_scenes(0, arrangement(0, 1000)[0])
    pairs = [(scene.body, scene.other) for scene in many if scene.other]
    spread = math.sqrt(COMPANION_SHARE * (1 - COMPANION_SHARE) / len(many))
    assert abs(len(pairs) / len(many) - COMPANION_SHARE) < 5 * spread
    assert all(other.kind != body.kind and other.size < 0.6 * body.size for body, other in pairs)


def test_a_solid_throws_a_shadow(scenes: list[Scene]) -> None:
    """The ground has two brightnesses: lit nearly everywhere, and ambient alone in the shadow."""
    body = replace(scenes[0].body, kind=0.0, x=0.0, z=0.0, lift=0.0)
    light = replace(scenes[0].light, azimuth=1.2, elevation=0.8, power=1.0)
    scene = replace(scenes[0], body=body, light=light, other=None)
    dark = replace(scene, light=replace(scene.light, power=0.0))
    lit, unlit = picture(scene, SIZE), picture(dark, SIZE)
    ground = (lit.mask == 0) & (lit.depth > 0)
    same = (lit.image == unlit.image).all(2) & ground
    assert 10 < same.sum() < ground.sum() / 2


def test_edges_are_smoothed_and_geometry_is_not(scenes: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = picture(scenes[0], SIZE)
    monkeypatch.setattr(raycast, "EDGE", 9.0)
    rough = picture(scenes[0], SIZE)
    assert smooth.depth.tobytes() == rough.depth.tobytes()
    assert smooth.mask.tobytes() == rough.mask.tobytes()
    changed = (smooth.image != rough.image).any(2)
    assert 0 < changed.mean() < 0.5


def test_every_picture_shows_its_solid(scenes: list[Scene]) -> None:
    shares = [float((picture(scene, 32).mask == 1).mean()) for scene in scenes]
    assert min(shares) > 0.03
    assert max(shares) < 0.5
