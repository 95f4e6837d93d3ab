"""What is in a scene: every number about it, drawn from (seed, index) alone.

A `Scene` is plain floats; its picture (`multiview.data.raycast`) and its sound (`multiview.data.sound`) are functions of
it. Colours are drawn apart for the solid, the ground and the sky, without regard to the kind, so that colour says
nothing about the label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from multiview.data.draws import permutation, uniform
from multiview.data.solids import SOLIDS

KINDS = tuple(SOLIDS)
SPLITS = ("train",) * 7 + ("val",) + ("test",) * 2
BLOCK = len(KINDS) * len(SPLITS)
"""Scenes after which every kind has been in every split as often as its share says."""
TEXTURES = ("plain", "stripes", "checks", "rings", "marble", "spots")
DRAWS = 256
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
    """Two colours and how they alternate: texture (a number of `TEXTURES`), cycles a unit, phase and direction, radians."""

    first: Colour
    second: Colour
    texture: float
    cycles: float
    phase: float
    angle: float


@dataclass(frozen=True, kw_only=True)
class Body:
    """A solid in the scene.

    kind: a number of `KINDS`. size: half its extent, metres. wide, tall, deep: its stretch along its own axes. yaw, tilt,
    lean: turned about the vertical, then tilted by `tilt` towards `lean`, radians. x, z: where on the ground, metres, z
    towards the viewer. lift: height of its lowest point over the ground, metres. gloss: strength of its highlight, 0 to 1.
    damping: of its sound, 0 (metal) to 1 (wood).
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
    """Where it comes from (radians, azimuth 0 = from behind the viewer), its strength, what the sky adds, its warmth."""

    azimuth: float
    elevation: float
    power: float
    ambient: float
    warmth: float


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Looks at the point `aim` metres over the origin from `distance` metres, `pitch` radians down, `view` radians high."""

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
    ground: Paint
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

    def choice(self, weights: Mapping[int, float]) -> float:
        """A number, as often as its weight says."""
        left = next(self._numbers) * sum(weights.values())
        for number, weight in weights.items():
            left -= weight
            if left < 0:
                return float(number)
        return float(max(weights))


def arrangement(seed: int, count: int) -> tuple[list[int], list[str]]:
    """Kind and split of scenes 0 to count - 1: balanced in every block of `BLOCK`, in an order that the seed shuffles."""
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
    ground = _paint(draws, [], {0: 5, 1: 1, 2: 1, 4: 1}, (0.3, 1.0), contrast=25)
    around = [ground.first, ground.second]
    sky = _colour(draws, around, contrast=15)
    body = _body(draws, kind, [*around, sky])
    return Scene(
        body=body,
        other=None,
        ground=ground,
        sky=sky,
        horizon=_colour(draws, [sky], contrast=0),
        light=Light(
            azimuth=draws.between(-2.2, 2.2),
            elevation=draws.between(0.5, 1.25),
            power=draws.between(0.6, 1.0),
            ambient=draws.between(0.25, 0.5),
            warmth=draws.between(-0.15, 0.15),
        ),
        camera=Camera(
            distance=draws.between(4.0, 5.0), pitch=draws.between(0.2, 0.65), aim=draws.between(0.3, 0.7), view=0.7
        ),
        sound=Sound(strike=draws.between(0.05, 0.45), loudness=draws.log(0.05, 0.2), noise=draws.log(0.002, 0.02)),
    )


def _body(draws: Draws, kind: int, around: list[Colour]) -> Body:
    return Body(
        kind=float(kind),
        size=draws.log(0.6, 1.0),
        wide=draws.log(0.85, 1.18),
        tall=draws.log(0.85, 1.18),
        deep=draws.log(0.85, 1.18),
        yaw=draws.between(-math.pi, math.pi),
        tilt=draws.between(0.0, 0.9),
        lean=draws.between(-math.pi, math.pi),
        x=draws.between(-0.5, 0.5),
        z=draws.between(-0.4, 0.4),
        lift=max(0.0, draws.between(-0.3, 0.3)),
        gloss=draws.between(0.0, 0.5),
        damping=draws.between(0.0, 1.0),
        paint=_paint(draws, around, {0: 4, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}, (1.0, 3.0), contrast=30),
    )


def _paint(
    draws: Draws, around: list[Colour], textures: Mapping[int, float], cycles: tuple[float, float], contrast: float
) -> Paint:
    first = _colour(draws, around, contrast)
    return Paint(
        first=first,
        second=_colour(draws, [first], contrast / 2),
        texture=draws.choice(textures),
        cycles=draws.log(*cycles),
        phase=draws.between(0, 2 * math.pi),
        angle=draws.between(0, math.pi),
    )


def _colour(draws: Draws, around: list[Colour], contrast: float) -> Colour:
    """Any colour; of a few, the first that differs from those around it by `contrast` in lightness and in chroma, or the one
    that comes nearest to it.
    """
    best, most = None, -1.0
    for _ in range(COLOURS if around else 1):
        tried = Colour(
            lightness=draws.between(25, 85), chroma=draws.between(15, 60), hue=draws.between(-math.pi, math.pi)
        )
        apart = min((min(_apart(tried, other, contrast)) for other in around), default=1.0)
        if apart > most:
            best, most = tried, apart
        if most >= 1:
            break
    assert best
    return best


def _apart(one: Colour, other: Colour, contrast: float) -> tuple[float, float]:
    (la, aa, ba), (lb, ab, bb) = one.lab(), other.lab()
    wanted = max(contrast, 1e-6)
    return abs(la - lb) / wanted, math.hypot(aa - ab, ba - bb) / wanted
