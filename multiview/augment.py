"""Photometric augmentation of a batch on its device, with one independent draw per sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiview.batch import sent
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError

if TYPE_CHECKING:
    from multiview.photometric import Augment

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey: ITU-R 601, in torchvision's digits."""


def _require_rgb(x: Tensor) -> None:
    if x.dim() != 4 or x.shape[1] != 3:
        raise MultiviewError(
            f"augment works on RGB images (n, 3, h, w); this view reads {tuple(x.shape)}. Remove its augment."
        )


def augmented(augment: Augment, x: Tensor, draws: Draws) -> Tensor:
    """A changed copy of the RGB images `x` (n, 3, h, w) in [0, 1], one draw per sample."""
    _require_rgb(x)

    def greyed(y: Tensor) -> Tensor:
        return _on_random_rows(y, augment.grey, draws.of("grey"), lambda z, _: grey(z).expand_as(z))

    if augment.grey_first:
        x = greyed(x)
    x = _on_random_rows(x, augment.jitter, draws.of("jitter"), lambda y, own: _jittered(augment, y, own))
    if not augment.grey_first:
        x = greyed(x)
    x = _on_random_rows(x, augment.blur, draws.of("blur"), lambda y, own: _blurred(augment, y, own))
    return _on_random_rows(x, augment.solarise, draws.of("solarise"), lambda y, _: solarised(y))


def _on_random_rows(x: Tensor, chance: float, draws: Draws, act: Callable[[Tensor, Draws], Tensor]) -> Tensor:
    """`act` applied to each sample with probability `chance`, by the draws of these samples."""
    if chance == 0:
        return x
    rows = (draws.uniform("chance")[:, 0] < chance).nonzero()[:, 0]
    there = sent(rows, x.device)
    return x.index_copy(0, there, act(x[there], draws.at(rows.numpy()))) if len(rows) else x


def _uniform(like: Tensor, low: float, high: float, draws: Draws, name: str) -> Tensor:
    """One number per sample from [low, high), shaped (n, 1, 1, 1) to multiply `like`."""
    return sent(_on_cpu(like, low, high, draws, name), like.device).view(-1, 1, 1, 1)


def _on_cpu(like: Tensor, low: float, high: float, draws: Draws, name: str) -> Tensor:
    """The same numbers on the CPU, (n, 1), in the precision of `like`."""
    return (low + (high - low) * draws.uniform(name)).to(like.dtype)


def _jittered(augment: Augment, x: Tensor, draws: Draws) -> Tensor:
    """ColorJitter: factors are drawn per sample, the order of the four changes per step."""
    changes = (
        (brightened, augment.brightness),
        (contrasted, augment.contrast),
        (saturated, augment.saturation),
    )
    for position in draws.order("order", 4):
        if position < 3:
            change, strength = changes[position]
            if strength:
                x = change(x, _uniform(x, max(0.0, 1 - strength), 1 + strength, draws, change.__name__))
        elif augment.hue:
            x = hue_turned(x, _uniform(x, -augment.hue, augment.hue, draws, "hue"))
    return x


def _blurred(augment: Augment, x: Tensor, draws: Draws) -> Tensor:
    from kornia.filters import filter2d_separable, gaussian_blur2d, get_gaussian_kernel1d

    low, high = augment.sigma
    # Three sigmas hold 99.7 % of the weight. Reflected padding cannot be wider than the image.
    radius = min(math.ceil(3 * high), min(x.shape[-2:]) - 1)
    sigma = _on_cpu(x, low, high, draws, "sigma")
    if x.is_cpu:
        return gaussian_blur2d(x, (2 * radius + 1, 2 * radius + 1), sigma.expand(-1, 2))
    # gaussian_blur2d would look at sigma, and kornia 0.8 copies a number to the device for a kernel
    # made there: the host waits for both on some devices.
    kernel = sent(get_gaussian_kernel1d(2 * radius + 1, sigma), x.device)
    return filter2d_separable(x, kernel, kernel)


def grey(x: Tensor) -> Tensor:
    """Luma (n, 1, h, w) of RGB (n, 3, h, w)."""
    r, g, b = x.unbind(1)
    return (r * LUMA[0]).add_(g, alpha=LUMA[1]).add_(b, alpha=LUMA[2]).unsqueeze(1)


def brightened(x: Tensor, factor: Tensor) -> Tensor:
    """`x` times `factor` (n, 1, 1, 1), kept in [0, 1]; 1 changes nothing."""
    return (x * factor).clamp_(0, 1)


def contrasted(x: Tensor, factor: Tensor) -> Tensor:
    """`x` moved away from (factor > 1) or towards (factor < 1) the mean grey of its sample."""
    return torch.lerp(grey(x).mean((1, 2, 3), keepdim=True), x, factor).clamp_(0, 1)


def saturated(x: Tensor, factor: Tensor) -> Tensor:
    """`x` moved away from (factor > 1) or towards (factor < 1) the grey of each pixel."""
    return torch.lerp(grey(x), x, factor).clamp_(0, 1)


def hue_turned(x: Tensor, turn: Tensor) -> Tensor:
    """`x` with its HSV hue turned by `turn` (n, 1, 1, 1), a share of a full circle."""
    r, g, b = x.unbind(1)
    value, chroma = x.amax(1), x.amax(1) - x.amin(1)
    safe = chroma.clamp_min(torch.finfo(x.dtype).tiny)
    sector = torch.where(
        value == r, (g - b) / safe, torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
    ) + 6 * turn.squeeze(1)
    # HSV to RGB: channel = V - C * clamp(min(k, 4 - k), 0, 1), k = (sector + 5, 3, 1) mod 6.
    k = torch.stack((sector + 5, sector + 3, sector + 1), 1).remainder_(6)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(k, 4 - k).clamp_(0, 1)


def solarised(x: Tensor) -> Tensor:
    """`x` with every value of 0.5 or more inverted."""
    return torch.where(x >= 0.5, 1 - x, x)
