"""Resizes pictures bit for bit as torchvision's transforms do.

torchvision is not imported: it imports torch._dynamo, which costs a second or more when a program
starts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_FLOATS = (torch.float32, torch.float64)


def resized(x: Tensor, height: int, width: int, *, smooth: bool) -> Tensor:
    """x (..., c, h, w) with other heights and widths, in the dtype of x.

    Equal to torchvision's `resize`. smooth: bilinear with antialiasing; otherwise every pixel is
    the nearest one of x (`nearest-exact`), which makes no new values.
    """
    if x.shape[-2:] == (height, width):
        return x
    planes = x.reshape(-1, *x.shape[-3:])
    exact = x.dtype in _FLOATS or (x.dtype == torch.uint8 and (not smooth or _smooth_bytes()))
    planes = planes if exact else planes.float()
    mode = {"mode": "bilinear", "align_corners": False, "antialias": True} if smooth else {"mode": "nearest-exact"}
    out = F.interpolate(planes, size=[height, width], **mode)
    out = out if exact or x.dtype.is_floating_point else out.round_()
    return out.to(x.dtype).reshape(*x.shape[:-2], height, width)


def shorter_side_resized(x: Tensor, size: int, *, smooth: bool) -> Tensor:
    """x (..., c, h, w) with `size` pixels on its shorter side, see `resized`."""
    height, width = x.shape[-2:]
    longer = size * max(height, width) // min(height, width)
    return resized(x, *((longer, size) if width <= height else (size, longer)), smooth=smooth)


def central_square(x: Tensor, size: int) -> Tensor:
    """The centre (..., size, size) of x (..., h, w), whose sides are `size` or longer."""
    top, left = (round((side - size) / 2) for side in x.shape[-2:])
    return x[..., top : top + size, left : left + size]


def _smooth_bytes() -> bool:
    """Whether PyTorch resizes bytes without a copy in float32, which rounds differently."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or _is_arm()


def _is_arm() -> bool:
    import platform

    return platform.machine() in ("aarch64", "arm64")
