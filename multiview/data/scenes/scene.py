"""The description of a scene in plain numbers, from which its picture and its sound are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from multiview.data.scenes.solids import SOLIDS

KINDS = tuple(SOLIDS)
TEXTURES = ("plain", "stripes", "checks", "rings", "marble", "spots")


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
    """Two colours and the texture in which they alternate.

    texture: an index of `TEXTURES`. cycles: per unit of the solid's own coordinates. phase,
    angle (of the direction of the texture): radians.
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

    Attributes:
        kind: an index of `KINDS`.
        size: half the extent, metres.
        wide, tall, deep: stretch along the solid's own axes.
        yaw: rotation about the vertical, radians.
        tilt, lean: then a rotation by `tilt` about the level axis at angle `lean`, radians.
        x, z: place on the ground, metres, z towards the viewer.
        lift: height of the lowest point over the ground, metres.
        gloss: strength of the highlight, 0 to 1.
        damping: of the sound, 0 (metal) to 1 (wood).
        paint: colours and texture.
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
    """The sun. azimuth, elevation: radians, azimuth 0 = behind the viewer. power: its strength.

    ambient: strength of the light from all sides. warmth: how much redder than white the sun is.
    """

    azimuth: float
    elevation: float
    power: float
    ambient: float
    warmth: float


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Looks at a point `aim` metres above the origin, from `distance` metres, `pitch` radians down.

    view: the vertical angle of view, radians.
    """

    distance: float
    pitch: float
    aim: float
    view: float


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How the solid is struck. strike: place along its axis, 0 to 1.

    loudness: root mean square of the sound, 0 to 1. noise: root mean square of the added noise.
    """

    strike: float
    loudness: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A whole scene. other: a second, smaller solid of another kind, or None."""

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
        """The name of the kind of the solid: the label of the sample."""
        return KINDS[int(self.body.kind)]

    def factors(self) -> dict[str, float]:
        """All numbers by name, such as `body_size`; NaN for a second solid that is absent."""
        flat = _flatten(self, "")
        if self.other is None:
            flat |= dict.fromkeys(_flatten(self.body, "other_"), math.nan)
        return flat


def _flatten(part: object, prefix: str) -> dict[str, float]:
    out: dict[str, float] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, float):
            out[prefix + field.name] = value
        elif value is not None:
            out |= _flatten(value, f"{prefix}{field.name}_")
    return out
