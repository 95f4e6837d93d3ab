"""What every softmax over scores needs, in few passes."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_of(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax of each row (n, k), its highest score (n,), and by how much log sum exp of the row exceeds that (n,).

    The last is found from the largest share, which is at least 1 / k, so that its logarithm is exact however far the scores are apart.
    The two are apart because a difference from the highest score is exact where a difference from their sum is rounded.
    """
    share = torch.softmax(scores, dim=1)
    return share, scores.amax(1), -share.amax(1).log()


def rank_of(positive: Tensor, scores: Tensor) -> Tensor:
    """1 + the number of `scores` (n, k) above `positive` (n,), as a float: 1.0 = found.

    Compared straight into floats: a sum of booleans would first be cast, at four times the cost.
    """
    return torch.gt(scores, positive[:, None], out=torch.empty_like(scores)).sum(1) + 1
