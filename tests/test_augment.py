"""Photometric augmentation: changes equal torchvision's, and each sample has its own draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from multiview.augment import augmented, brightened, contrasted, grey, hue_turned, saturated, solarised
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError
from multiview.view import Augment
from multiview.views import MOCO_V1, MOCO_V2, SIMCLR, SIMSIAM

PRESETS = {"simclr": SIMCLR, "moco_v1": MOCO_V1, "moco_v2": MOCO_V2, "simsiam": SIMSIAM}


def images(n: int = 8, size: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.rand(n, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(5))
    if n > 2:
        x[1] = x[1, :1]
        x[2, :, :4] = 0
    return x


def seeded(seed: int = 0, n: int = 8) -> Draws:
    return Draws(seed, 0, np.arange(n))


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (brightened, reference.adjust_brightness, (0.0, 0.3, 1.0, 1.8)),
        (contrasted, reference.adjust_contrast, (0.0, 0.3, 1.0, 1.8)),
        (saturated, reference.adjust_saturation, (0.0, 0.3, 1.0, 1.8)),
        (hue_turned, reference.adjust_hue, (-0.5, -0.1, 0.0, 0.37)),
    ],
)
def test_each_change_equals_torchvision(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], factors: tuple[float, ...]
) -> None:
    x = images(4, dtype=torch.float32)
    out = ours(x, torch.tensor(factors).view(-1, 1, 1, 1))
    for sample, factor, each in zip(x, factors, out, strict=True):
        torch.testing.assert_close(each, theirs(sample, factor), rtol=0, atol=2e-5)


def test_grey_and_solarise_equal_torchvision() -> None:
    x = images()
    torch.testing.assert_close(grey(x), reference.rgb_to_grayscale(x))
    torch.testing.assert_close(solarised(x), reference.solarize(x, 0.5))


def test_blur_equals_torchvision() -> None:
    x = images()
    out = augmented(Augment(blur=1.0, sigma=(1.2, 1.2)), x, seeded())
    torch.testing.assert_close(out, reference.gaussian_blur(x, [9, 9], [1.2, 1.2]), rtol=0, atol=1e-6)


def test_blur_is_drawn_per_sample() -> None:
    same = images(1).expand(5, -1, -1, -1)
    out = augmented(Augment(blur=1.0), same, seeded(n=5))
    rough = out.diff(dim=-1).abs().mean((1, 2, 3))
    assert rough.unique().numel() == 5


def test_blur_fits_images_smaller_than_its_kernel() -> None:
    out = augmented(Augment(blur=1.0, sigma=(2.0, 2.0)), images(size=5), seeded())
    assert out.isfinite().all()


@pytest.mark.parametrize("name", PRESETS)
def test_preset_stays_in_range_and_differs_between_samples(name: str) -> None:
    same = images(1, dtype=torch.float32).expand(16, -1, -1, -1)
    before = same.clone()
    out = augmented(PRESETS[name], same, seeded(n=16))
    assert torch.equal(same, before), "the input is left alone"
    assert out.amin() >= -1e-6
    assert out.amax() <= 1 + 1e-6
    assert (out[1:] - out[0]).abs().amax((1, 2, 3)).gt(1e-3).sum() >= 14


@pytest.mark.parametrize("name", PRESETS)
def test_the_draw_of_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    x = images()
    whole = augmented(PRESETS[name], x, seeded())
    rows = np.array([6, 1, 3])
    torch.testing.assert_close(augmented(PRESETS[name], x[rows], seeded().at(rows)), whole[rows])


@pytest.mark.parametrize("name", PRESETS)
def test_draws_leave_the_global_generator_alone(name: str) -> None:
    x = images()
    state = torch.random.get_rng_state()
    first, again, other = (augmented(PRESETS[name], x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("field", ["jitter", "grey", "blur", "solarise"])
def test_probabilities_are_kept(field: str) -> None:
    x = torch.rand(2000, 3, 4, 4, generator=torch.Generator().manual_seed(9))
    strength = {"brightness": 0.5} if field == "jitter" else {"jitter": 0.0}
    out = augmented(Augment(**{field: 0.3}, **strength), x, seeded(n=2000))
    changed = (out - x).abs().amax((1, 2, 3)).gt(1e-6).float().mean().item()
    assert changed == pytest.approx(0.3, abs=0.04)


def test_jitter_factors_fill_their_range() -> None:
    x = torch.full((4000, 3, 2, 2), 0.4)
    factors = augmented(Augment(brightness=0.5), x, seeded(n=4000))[:, 0, 0, 0] / 0.4
    assert factors.min().item() == pytest.approx(0.5, abs=0.01)
    assert factors.max().item() == pytest.approx(1.5, abs=0.01)
    assert factors.mean().item() == pytest.approx(1.0, abs=0.02)


def test_strength_zero_changes_nothing() -> None:
    x = images()
    assert torch.equal(augmented(Augment(), x, seeded()), x)


def test_grey_first_greys_before_the_jitter() -> None:
    # Saturation cannot bring colour back into a grey picture.
    x = images()
    out = augmented(Augment(saturation=0.9, hue=0.5, grey=1.0, grey_first=True), x, seeded())
    torch.testing.assert_close(out, grey(x).expand_as(x), rtol=0, atol=1e-3)


def test_only_pictures_can_be_augmented() -> None:
    with pytest.raises(MultiviewError, match=r"RGB images \(n, 3, h, w\); this view reads \(4, 1, 8, 8\)"):
        augmented(SIMCLR, torch.rand(4, 1, 8, 8), seeded())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grey": 1.2}, "grey is 1.2; give a probability"),
        ({"contrast": -0.1}, "contrast is -0.1; give a strength"),
        ({"hue": 0.7}, "hue is 0.7; give a share"),
        ({"sigma": (0.0, 2.0)}, "sigma is .* 0 < low"),
    ],
)
def test_bad_numbers_are_errors(fields: dict, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        Augment(**fields)
