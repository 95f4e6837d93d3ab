"""What is in a scene: every number about it, drawn from (seed, index) alone.

A `Scene` is plain floats; its picture (`multiview.data.scenes.raycast`) and its sound (`multiview.data.scenes.sound`) are functions
of it. The colours of the solid, the ground and the sky are drawn without regard to the kind, and the solid may be
darker or lighter than the ground: colour says nothing about the label, and neither does the value of any one pixel. But
the solid stands out both in lightness and in chroma, so that its shape can be seen in either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from multiview.counter_rng import permutation, uniform
from multiview.data.scenes.solids import SOLIDS

KINDS = tuple(SOLIDS)
SPLITS = ("train",) * 7 + ("val",) + ("test",) * 2
BLOCK = len(KINDS) * len(SPLITS)
"""Scenes after which every kind has been in every split as often as its share says."""
TEXTURES = ("plain", "stripes", "checks", "rings", "marble", "spots")
PLAIN_SHARE = 0.7
"""Of the paints."""
COMPANY = 0.05
"""Share of the scenes that have a second solid."""
DRAWS = 512
COLOURS = 12
"""Tries for a colour that stands out."""


@dataclass(frozen=True, kw_only=True)
class Colour:
    """CIE LCh: lightness 0 to 100, chroma, hue in radians."""

    lightness: float
    chroma: float
    hue: float

    def lab(self) -> tuple[float, float, float]:
        """CIE L*a*b*."""
        return self.lightness, self.chroma * math.cos(self.hue), self.chroma * math.sin(self.hue)


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Two colours and how they alternate.

    texture: a number of `TEXTURES`. cycles: in a unit of the solid's own coordinates. phase, angle (of the direction in
    which it runs): radians.
    """

    first: Colour
    second: Colour
    texture: float
    cycles: float
    phase: float
    angle: float


@dataclass(frozen=True, kw_only=True)
class Body:
    """A solid in the scene.

    kind: a number of `KINDS`. size: half its extent, metres. wide, tall, deep: its stretch along its own axes. yaw,
    tilt, lean: turned about the vertical, then tilted by `tilt` about the level axis at `lean`, radians. x, z: where on
    the ground, metres, z towards the viewer. lift: height of its lowest point over the ground, metres. gloss: strength
    of its highlight, 0 to 1. damping: of its sound, 0 (metal) to 1 (wood).
    """

    kind: float
    size: float
    wide: float
    tall: float
    deep: float
    yaw: float
    tilt: float
    lean: float
    x: float
    z: float
    lift: float
    gloss: float
    damping: float
    paint: Paint


@dataclass(frozen=True, kw_only=True)
class Light:
    """The sun: where it stands (radians, azimuth 0 = behind the viewer), its strength, and how much redder than white.

    ambient: the light from everywhere.
    """

    azimuth: float
    elevation: float
    power: float
    ambient: float
    warmth: float


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Looks at the point `aim` metres over the origin, from `distance` metres, `pitch` radians down.

    view: height of the picture, radians.
    """

    distance: float
    pitch: float
    aim: float
    view: float


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How the solid is struck: where (0 to 1 along its axis), how loud (root mean square, 0 to 1), with what noise."""

    strike: float
    loudness: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything about one sample. other: a second, smaller solid of another kind, or None."""

    body: Body
    other: Body | None
    ground: Colour
    sky: Colour
    horizon: Colour
    light: Light
    camera: Camera
    sound: Sound

    @property
    def kind(self) -> str:
        """The label."""
        return KINDS[int(self.body.kind)]

    def factors(self) -> dict[str, float]:
        """All of it by name, such as `body_size`; a missing second solid is NaN throughout."""
        flat = _flat(self, "")
        if self.other is None:
            flat |= dict.fromkeys(_flat(self.body, "other_"), math.nan)
        return flat


def _flat(part: object, prefix: str) -> dict[str, float]:
    out: dict[str, float] = {}
    for each in fields(part):  # type: ignore[arg-type]
        value = getattr(part, each.name)
        if isinstance(value, float):
            out[prefix + each.name] = value
        elif value is not None:
            out |= _flat(value, f"{prefix}{each.name}_")
    return out


class Draws:
    """A run of uniform numbers, taken one after the other."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self._numbers = iter(numbers.tolist())

    def between(self, low: float, high: float) -> float:
        """Uniform from low to high."""
        return low + (high - low) * next(self._numbers)

    def log(self, low: float, high: float) -> float:
        """Log-uniform from low to high."""
        return math.exp(self.between(math.log(low), math.log(high)))

    def number(self, count: int) -> int:
        """One of 0 to count - 1."""
        return int(next(self._numbers) * count)

    def chance(self, share: float) -> bool:
        """True as often as `share` says."""
        return next(self._numbers) < share


def arrangement(seed: int, count: int) -> tuple[list[int], list[str]]:
    """Kind and split of scenes 0 to count - 1: balanced in every block of `BLOCK`, each in an order of its own."""
    kinds, splits = [], []
    for block in range(math.ceil(count / BLOCK)):
        order = permutation(seed, block, "scenes/arrangement", BLOCK)
        kinds += [int(place) % len(KINDS) for place in order]
        splits += [SPLITS[int(place) // len(KINDS)] for place in order]
    return kinds[:count], splits[:count]


def draw_scenes(seed: int, kinds: list[int]) -> list[Scene]:
    """Scene i of kind kinds[i], a function of (seed, i, kinds[i]) alone."""
    numbers = uniform(seed, 0, "scenes", np.arange(len(kinds)), DRAWS)
    return [_scene(Draws(row), kind) for row, kind in zip(numbers, kinds, strict=True)]


def _scene(draws: Draws, kind: int) -> Scene:
    ground, sky, horizon = (_colour(draws) for _ in range(3))
    body = _body(draws, kind, [ground, sky])
    return Scene(
        body=body,
        other=_companion(draws, body, ground) if draws.chance(COMPANY) else None,
        ground=ground,
        sky=sky,
        horizon=horizon,
        light=Light(
            azimuth=draws.between(-2.2, 2.2),
            elevation=draws.between(0.5, 1.25),
            power=draws.between(0.6, 1.0),
            ambient=draws.between(0.25, 0.5),
            warmth=draws.between(-0.15, 0.15),
        ),
        camera=Camera(
            distance=draws.between(3.8, 4.4), pitch=draws.between(0.3, 0.5), aim=draws.between(0.5, 0.6), view=0.7
        ),
        sound=Sound(strike=draws.between(0.05, 0.45), loudness=draws.log(0.02, 0.06), noise=draws.log(0.002, 0.02)),
    )


def _body(draws: Draws, kind: int, around: list[Colour]) -> Body:
    return Body(
        kind=float(kind),
        size=draws.log(0.75, 0.95),
        wide=draws.log(0.92, 1.08),
        tall=draws.log(0.92, 1.08),
        deep=draws.log(0.92, 1.08),
        yaw=draws.between(-math.pi, math.pi),
        tilt=draws.between(0.0, 0.25),
        lean=draws.between(-math.pi, math.pi),
        x=draws.between(-0.2, 0.2),
        z=draws.between(-0.2, 0.2),
        lift=max(0.0, draws.between(-0.6, 0.05)),
        gloss=draws.between(0.0, 0.5),
        damping=draws.between(0.0, 1.0),
        paint=_paint(draws, around),
    )


def _companion(draws: Draws, body: Body, ground: Colour) -> Body:
    """A second solid of another kind, a third of the size, beside the first."""
    kind = (int(body.kind) + 1 + draws.number(len(KINDS) - 1)) % len(KINDS)
    small = _body(draws, kind, [ground])
    size = small.size / 3
    side = 1 if draws.chance(0.5) else -1
    apart = 1.15 * (body.size + size) + draws.between(0, 0.2)
    return replace(small, size=size, x=body.x + side * apart, z=body.z + draws.between(0, 0.6), lift=0.0)


def _paint(draws: Draws, around: list[Colour]) -> Paint:
    first = _colour(draws, around, contrast=40)
    return Paint(
        first=first,
        second=_colour(draws, [first], contrast=20),
        texture=0.0 if draws.chance(PLAIN_SHARE) else 1.0 + draws.number(len(TEXTURES) - 1),
        cycles=draws.log(1.0, 2.0),
        phase=draws.between(0, 2 * math.pi),
        angle=draws.between(0, math.pi),
    )


def _colour(draws: Draws, around: list[Colour] | None = None, contrast: float = 0) -> Colour:
    """Any colour; of `COLOURS` tries, the first that differs from those around it by `contrast` in lightness and in
    chroma, or the one that comes nearest to it.
    """
    best, most = None, -1.0
    for _ in range(COLOURS):
        tried = Colour(
            lightness=draws.between(25, 85), chroma=draws.between(15, 60), hue=draws.between(-math.pi, math.pi)
        )
        apart = min((_apart(tried, other) for other in around or ()), default=math.inf)
        if apart > most:
            best, most = tried, apart
        if most >= contrast:
            break
    assert best
    return best


def _apart(one: Colour, other: Colour) -> float:
    """How far two colours differ, in lightness or in chroma, whichever is less."""
    (la, aa, ba), (lb, ab, bb) = one.lab(), other.lab()
    return min(abs(la - lb), math.hypot(aa - ab, ba - bb))
