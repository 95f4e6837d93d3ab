"""The embedded scenes: sounds agree with the factors."""

import math
from dataclasses import replace

import numpy as np
import pytest

from multiview.data.scenes import sound
from multiview.data.scenes.random_scenes import BLOCK, arrangement, draw_scenes
from multiview.data.scenes.scene import KINDS, Scene
from multiview.data.sources.scenes import Scenes

NUMBERS = range(len(KINDS))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(0, arrangement(0, 2 * BLOCK)[0])


def strike(scene: Scene) -> np.ndarray:
    return sound.impact(scene, np.full(sound.SAMPLES, 0.5)).astype(np.float64) / 32767


def loudest(wave: np.ndarray) -> float:
    """The frequency of the strongest partial, Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave)))
    return float(np.fft.rfftfreq(8 * len(wave), 1 / sound.RATE)[spectrum.argmax()])


def test_sounds_are_heard_and_not_clipped() -> None:
    plan = Scenes(count=BLOCK).plan()
    for number, row in enumerate(plan.rows):
        wave = plan.read(number)["audio"].astype(np.float64) / 32767
        assert abs(math.sqrt(np.mean(wave**2)) / row.factors["sound_loudness"] - 1) < 1e-2
        assert np.abs(wave).max() < 1


def test_loudness_does_not_depend_on_the_kind(scenes: list[Scene]) -> None:
    quiet = replace(scenes[0].sound, loudness=0.05)
    levels = [
        math.sqrt(np.mean(strike(replace(s, body=replace(s.body, kind=float(k)), sound=quiet)) ** 2))
        for k in NUMBERS
        for s in scenes[:3]
    ]
    np.testing.assert_allclose(levels, 0.05, rtol=1e-2)


def test_a_larger_solid_sounds_lower(scenes: list[Scene]) -> None:
    for kind in NUMBERS:
        body = replace(scenes[0].body, kind=float(kind), damping=0.0)
        blow = replace(scenes[0].sound, strike=0.1)
        high, low = (loudest(strike(replace(scenes[0], body=replace(body, size=s), sound=blow))) for s in (0.4, 0.8))
        assert abs(high / low - 2) < 0.1, KINDS[kind]


def test_damping_shortens_the_sound(scenes: list[Scene]) -> None:
    metal, wood = (strike(replace(scenes[0], body=replace(scenes[0].body, damping=d))) for d in (0.0, 1.0))
    half = sound.SAMPLES // 2

    def rest(wave: np.ndarray) -> float:
        return float((wave[half:] ** 2).sum() / (wave**2).sum())

    assert rest(metal) > 4 * rest(wood)


def test_every_kind_has_partials_of_its_own() -> None:
    assert set(sound.PARTIALS) == set(KINDS)
    ratios = {kind: tuple(np.round(partials[:4], 3)) for kind, partials in sound.PARTIALS.items()}
    assert len(set(ratios.values())) == len(KINDS)
    for partials in sound.PARTIALS.values():
        assert partials[0] == pytest.approx(1)
        assert list(partials) == sorted(partials)
