"""The moments that VICReg holds in place (arXiv:2105.04906, Eq. 1-4 and Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-4
"""Under the root, so that a number that has collapsed still has a gradient."""


def covariance(z: Tensor, present: Tensor) -> Tensor:
    """The unbiased covariance (d, d) of the rows of z (n, d) that are `present` (n,); 0 of fewer than two."""
    weights = present.to(z.dtype)[:, None]
    rows = weights.sum()
    centred = (z - (z * weights).sum(0) / rows.clamp(min=1)) * weights
    return centred.T @ centred / (rows - 1).clamp(min=1)


def variance_term(covariance: Tensor) -> Tensor:
    """mean_j max(0, 1 - sqrt(Var_j + 1e-4))."""
    return torch.relu(1 - torch.sqrt(covariance.diagonal() + EPSILON)).mean()


def covariance_term(covariance: Tensor) -> Tensor:
    """(1 / d) sum_{i != j} Cov_ij^2."""
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance)
