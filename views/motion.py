"""Video as a view: the clip, one frame, the difference of frames, or the speed of motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.colour import IMAGENET_MEAN, IMAGENET_STD, LUMINANCE
from multiview.views.stored_numbers import as_given, real

CLIP = ("channels", "frames", "height", "width")
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
FASTEST = 10.0
"""Pixels per frame, about the most that a differential method can see."""


@recorded
def video(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `video`: the clip (n, 3, frames, h, w) in colour, normalised as `rgb`."""
    return View(
        modality="video",
        channels=Channels("video", 3, "sRGB", 0.0, 1.0),
        crop=crop,
        axes=CLIP,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        augment=augment,
    )


@dataclass(frozen=True)
class Frame:
    """One frame of a clip; `at` is its place, a share of the length."""

    at: float

    def __call__(self, clip: Tensor) -> Tensor:
        """(n, 3, frames, h, w), floats in [0, 1] or bytes -> (n, 3, h, w) in [0, 1]."""
        return as_given(real(clip[:, :, round(self.at * (clip.shape[2] - 1))]), clip)


@recorded
def frame(crop: Crop, augment: Augmentation | None = None, *, at: float = 0.5) -> View:
    """The view `frame`: one frame of the clip (n, 3, h, w) in colour, normalised as `rgb`.

    at: place of the frame, from 0 (first) to 1 (last).
    """
    if not 0 <= at <= 1:
        raise MultiviewError(f"frame: at is {at}; give a place from 0, the first frame, to 1, the last.")
    channels = Channels("frame", 3, "sRGB", 0.0, 1.0)
    return replace(video(crop, augment), channels=channels, axes=CLIP[:1] + CLIP[2:], convert=Frame(at))


def luminance(clip: Tensor) -> Tensor:
    """Grey (n, 1, frames, h, w) of a clip of two frames or more, floats in [0, 1] or bytes."""
    if clip.shape[2] < 2:
        raise MultiviewError("a clip of one frame has no motion; give the crop more seconds, or store more frames.")
    r, g, b = real(clip).unbind(1)
    return (r * LUMINANCE[0] + g * LUMINANCE[1] + b * LUMINANCE[2]).unsqueeze(1)


def differences(clip: Tensor) -> Tensor:
    """Change of grey between frames: (n, 3, frames, h, w) -> (n, 1, frames - 1, h, w)."""
    return as_given(luminance(clip).diff(dim=2), clip)


@recorded
def frame_difference(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `frame_difference`: change of grey between frames (n, 1, frames - 1, h, w)."""
    return View(
        modality="video",
        channels=Channels("frame_difference", 1, "grey / frame", -1.0, 1.0),
        crop=crop,
        convert=differences,
        axes=CLIP,
        mean=(0.0,),
        std=(0.1,),
        augment=augment,
    )


@dataclass(frozen=True)
class Speed:
    """Length of the optical flow (Horn & Schunck); `smooth` weighs the smoothness of the flow."""

    iterations: int
    smooth: float

    def __call__(self, clip: Tensor) -> Tensor:
        """(n, 3, frames, h, w) in [0, 1] -> (n, 1, frames - 1, h, w), pixels per frame."""
        grey = luminance(clip)
        n, _, frames, height, width = grey.shape
        before, after = (x.reshape(n * (frames - 1), 1, height, width) for x in (grey[:, :, :-1], grey[:, :, 1:]))
        u, v = flow_between(before, after, self.iterations, self.smooth)
        # The small number keeps the gradient finite where nothing moves.
        speed = (u.square() + v.square() + 1e-12).sqrt().clamp(max=FASTEST)
        return as_given(speed.view(n, 1, frames - 1, height, width), clip)


def flow_between(before: Tensor, after: Tensor, iterations: int, smooth: float) -> tuple[Tensor, Tensor]:
    """Motion (right, down) in pixels between grey pictures (n, 1, h, w) in [0, 1].

    Least squares of (I_x u + I_y v + I_t)^2 + smooth^2 |grad (u, v)|^2, by Jacobi's iteration.
    For motions of about one pixel; areas of one grey seem not to move. Horn & Schunck, 1981.
    """
    if not before.numel():
        return before, after
    middle = F.pad((before + after) / 2, (1, 1, 1, 1), mode="replicate")
    across = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    down = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    change = after - before
    weight = smooth**2 + across.square() + down.square()

    def step(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        u, v = _neighbours(u), _neighbours(v)
        error = (across * u + down * v + change) / weight
        return u - across * error, v - down * error

    return _repeated(step, torch.zeros_like(before), torch.zeros_like(before), iterations)


def _repeated(step: Step, u: Tensor, v: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """`step` applied `times` times; an exported graph holds it once, in a loop."""
    if not torch.compiler.is_exporting():
        for _ in range(times):
            u, v = step(u, v)
        return u, v

    def left(count: Tensor, u: Tensor, v: Tensor) -> Tensor:  # noqa: ARG001
        return count < times

    def once(count: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return count + 1, *step(u, v)

    _, u, v = torch.while_loop(left, once, (torch.tensor(0), u, v))
    return u, v


def _neighbours(x: Tensor) -> Tensor:
    """Mean of the four neighbours of every pixel."""
    y = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (y[..., 1:-1, 2:] + y[..., 1:-1, :-2] + y[..., 2:, 1:-1] + y[..., :-2, 1:-1]) / 4


@recorded
def flow(
    crop: Crop, augment: Augmentation | None = None, *, iterations: int = 32, smooth: float = 0.05, std: float = 0.5
) -> View:
    """The view `flow`: speed of motion (n, 1, frames - 1, h, w), pixels per frame, from 0 to 10.

    A fast estimate (Horn & Schunck) for motions of about one pixel per frame.

    iterations: steps of the smoothing, which reaches as many pixels. smooth: weight of the
    smoothness, grey per pixel. std: of the normalisation, pixels per frame.
    """
    if iterations < 1 or smooth <= 0:
        raise MultiviewError(f"flow: iterations is {iterations} and smooth {smooth}; give 1 or more, and above 0.")
    return View(
        modality="video",
        channels=Channels("flow", 1, "pixel / frame", 0.0, FASTEST),
        crop=crop,
        convert=Speed(iterations, smooth),
        axes=CLIP,
        mean=(0.0,),
        std=(std,),
        augment=augment,
    )
