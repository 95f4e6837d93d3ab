"""The edges of a picture as a view: their strength, or thin lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.colour import rgb_to_grey
from multiview.views.light import transformed

if TYPE_CHECKING:
    from torch import Tensor


def sobel(rgb: Tensor) -> Tensor:
    """Length of the Sobel gradient of grey: (n, 3, h, w) -> (n, 1, h, w); a step of 1 gives 0.5."""
    from kornia.filters import sobel

    grey = rgb_to_grey(rgb)
    return sobel(grey) if grey.numel() else grey


@recorded
def edges(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `edges`: strength of the edges in grey (Sobel), one channel, grey per pixel."""
    return View(
        modality="image",
        channels=Channels("edges", 1, "grey / pixel", 0.0, 0.75),
        crop=crop,
        convert=sobel,
        mean=(0.05,),
        std=(0.1,),
        augment=augment,
    )


@dataclass(frozen=True)
class Canny:
    """Thin lines along the strongest edges, by a hysteresis from `low` to `high`."""

    low: float
    high: float

    def __call__(self, rgb: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 1, h, w): 1 on a line, else 0; no gradient."""
        grey = rgb_to_grey(rgb)
        if not grey.numel():
            return grey
        return _mapped_lines(grey, self.low, self.high) if transformed() else _lines(grey, self.low, self.high)


def _lines(grey: Tensor, low: float, high: float) -> Tensor:
    """Strong pixels, and weak ones that a path of weak pixels joins to a strong one."""
    import torch
    from kornia.filters import canny

    if torch.jit.is_tracing() or torch.compiler.is_compiling():  # type: ignore[attr-defined]
        return canny(grey, low, high)[1]  # its loop can be exported
    levels = canny(grey, low, high, hysteresis=False)[1]  # 1 strong, 0.5 weak
    return _joined(levels == 1, levels > 0).to(grey.dtype)


def _joined(strong: Tensor, weak: Tensor) -> Tensor:
    """The pixels of `weak` (n, 1, h, w) that paths join to `strong`, as kornia finds them."""
    import torch
    from torch.nn.functional import max_pool2d

    lines = strong.clone()
    growing = torch.arange(len(lines), device=lines.device)
    while len(growing):
        now = lines[growing]
        grown = (max_pool2d(now.float(), 3, stride=1, padding=1) > 0) & weak[growing]
        changed = (grown != now).flatten(1).any(1)
        growing = growing[changed]
        lines[growing] = grown[changed]
    return lines


def _mapped_lines(grey: Tensor, low: float, high: float) -> Tensor:
    """`_lines` within `torch.func`: following lines until none is left cannot be traced."""
    import torch

    class Lines(torch.autograd.Function):
        @staticmethod
        def forward(grey: Tensor) -> Tensor:
            return _lines(grey, low, high)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
            ctx.mark_non_differentiable(output)

        @staticmethod
        def backward(ctx: Any, _: Tensor) -> None:  # noqa: ARG004
            return None

        @staticmethod
        def vmap(info: Any, dims: tuple[int], grey: Tensor) -> tuple[Tensor, int]:
            """All images of all samples at once, (m n, 1, h, w)."""
            images = grey.movedim(dims[0], 0)
            found = Lines.apply(images.flatten(0, 1))
            return found.unflatten(0, (info.batch_size, -1)), 0

    return Lines.apply(grey)


@recorded
def canny(crop: Crop, augment: Augmentation | None = None, *, low: float = 0.1, high: float = 0.2) -> View:
    """The view `canny`: 1 on the lines of Canny's detector in grey, else 0; normalised to [-1, 1].

    low, high: thresholds of the gradient; a line starts above `high` and continues above `low`.
    """
    if not 0 < low < high < 1:
        raise MultiviewError(f"canny: low is {low} and high {high}; give thresholds with 0 < low < high < 1.")
    return View(
        modality="image",
        channels=Channels("canny", 1, "line", 0.0, 1.0),
        crop=crop,
        convert=Canny(low, high),
        mean=(0.5,),
        std=(0.5,),
        augment=augment,
    )
