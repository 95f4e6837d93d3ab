"""A GPU that disappears or has no memory left ends a run in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from multiview.errors import MultiviewError

LOST: tuple[type[Exception], ...] = (getattr(torch, "AcceleratorError", torch.OutOfMemoryError),)
"""What PyTorch raises when a device fails; versions below 2.8 have only a RuntimeError."""
WORDS = re.compile(
    r"(CUDA|HIP|XPU|MPS|device)( runtime)? error|cuDNN error|device.{0,20}(lost|removed)|MPS backend", re.I
)


@contextmanager
def naming_lost_devices() -> Iterator[None]:
    """Turns the failure of a device, or of its memory, into a MultiviewError of one sentence."""
    try:
        yield
    except torch.OutOfMemoryError as cause:
        raise _local(
            f"the device has no memory left ({_line(cause)}). Give a smaller --batch, a --micro_batch, or --precision "
            "bf16, and continue with --resume."
        ) from cause
    except RuntimeError as cause:
        if not (isinstance(cause, LOST) or WORDS.search(_line(cause))):
            raise
        raise _local(
            f"the device failed or is gone ({_line(cause)}). The newest checkpoint is whole: when the device works "
            "again (`nvidia-smi` shows it), continue with --resume."
        ) from cause


def _line(cause: BaseException) -> str:
    return next(iter(str(cause).splitlines()), type(cause).__name__)[:200]


def _local(text: str) -> MultiviewError:
    error = MultiviewError(text)
    error.local = True
    return error
