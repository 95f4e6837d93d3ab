"""The built-in default: small scenes that are computed, not downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.counter_rng import uniform
from multiview.data.modality import Modality
from multiview.data.scenes.random_scenes import arrangement, draw_scenes
from multiview.data.scenes.raycast import picture
from multiview.data.scenes.scene import KINDS, Scene
from multiview.data.scenes.sound import RATE, SAMPLES, impact
from multiview.data.source import Plan, Row
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Ray-cast solids of eight kinds in random pose, colour, texture and light, each with a sound.

    Args:
        count: number of scenes; a smaller number gives the first scenes of a larger one.
        size: side of the images in pixels.
        seed: number that decides all random draws.
    """

    needs_input: ClassVar[bool] = False
    shorthand: ClassVar[str] = "count"

    count: int = 4000
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise MultiviewError(f"scenes: count is {self.count}; give 1 or more, such as --count 4000.")
        if not 8 <= self.size <= 1024:
            raise MultiviewError(f"scenes: size is {self.size}; give 8 to 1024 pixels, such as --size 64.")

    def plan(self, root: Path | None = None) -> Plan:
        """Plans all scenes; a scene depends on the seed and its number alone."""
        del root
        kinds, splits = arrangement(self.seed, self.count)
        scenes = draw_scenes(self.seed, kinds)
        rows = [
            Row(id=f"{number:06d}", label=scene.kind, split=split, factors=scene.factors())
            for number, (scene, split) in enumerate(zip(scenes, splits, strict=True))
        ]
        return Plan(
            rows=rows,
            modalities=self._modalities(),
            read=_Reader(tuple(scenes), self.size, self.seed),
            classes=KINDS,
        )

    def _modalities(self) -> tuple[Modality, ...]:
        side = (self.size, self.size)
        return (
            Modality(name="image", kind="image", dtype="uint8", shape=(*side, 3), unit="sRGB"),
            Modality(name="depth", kind="depth", dtype="float32", shape=side, unit="m"),
            Modality(name="normal", kind="normal", dtype="float16", shape=(*side, 3), unit="unit vector"),
            Modality(name="mask", kind="mask", dtype="uint8", shape=side, unit="identity"),
            Modality(name="audio", kind="audio", dtype="int16", shape=(SAMPLES,), unit="full scale 32767", rate=RATE),
        )


@dataclass(frozen=True)
class _Reader:
    scenes: tuple[Scene, ...]
    size: int
    seed: int

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        scene = self.scenes[number]
        seen = picture(scene, self.size)
        noise = uniform(self.seed, 0, "scenes/noise", np.array([number]), SAMPLES)[0]
        return {
            "image": seen.image,
            "depth": seen.depth,
            "normal": seen.normal,
            "mask": seen.mask,
            "audio": impact(scene, noise),
        }
