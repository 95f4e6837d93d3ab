"""Parts of a softmax over scores, in few passes over memory."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_of(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax of each row (n, k), its highest score, and log sum exp less that score (n,).

    The third is -log of the largest softmax value. That value is at least 1 / k, so the logarithm
    is exact however far apart the scores are. The second and third are not added, because a
    difference from the highest score is exact where a difference from the sum is rounded.
    """
    share = torch.softmax(scores, dim=1)
    return share, scores.amax(1), -share.amax(1).log()


def rank_of(positive: Tensor, scores: Tensor) -> Tensor:
    """1 + the number of `scores` (n, k) above `positive` (n,), as a float.

    The comparison writes floats, because a sum of booleans would cast them first, at four times the
    cost.
    """
    return torch.gt(scores, positive[:, None], out=torch.empty_like(scores)).sum(1) + 1
