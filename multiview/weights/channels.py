"""Adapts the weights of a first convolution to another number of input channels."""

from __future__ import annotations

from torch import Tensor

from multiview.errors import MultiviewError
from multiview.tuning import IN_CHANNELS


def adapted(weight: Tensor, channels: int, how: str) -> Tensor | None:
    """The weights (out, channels, ...) for weights (out, before, ...); None = keep the new ones.

    Args:
        weight: of the first convolution.
        channels: of the new input.
        how: `repeat`: the filters of channel i are those of channel i modulo `before`. `mean`: the
            filters of every channel are the mean over the old channels. Both are multiplied by
            before / channels, so that equal channels give what equal channels gave before. `fresh`:
            new random weights. `timm`: the sum for one channel, else `repeat`.

    Raises:
        MultiviewError: for another `how`.
    """
    before = weight.shape[1]
    if how == "fresh":
        return None
    if how == "mean" or (how == "timm" and channels == 1):
        mean = weight.float().mean(1, keepdim=True) * (before / channels)
        return mean.to(weight.dtype).expand(-1, channels, *[-1] * (weight.ndim - 2)).contiguous()
    if how in ("repeat", "timm"):
        return weight[:, [channel % before for channel in range(channels)]] * (before / channels)
    raise MultiviewError(f"in_channels is {how!r}; give one of {', '.join(IN_CHANNELS)}.")
