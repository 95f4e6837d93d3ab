"""Covariances of embeddings, and the terms of VICReg (arXiv:2105.04906, Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-4
"""Stands under the root, so that a collapsed dimension still has a gradient."""


def centred(z: Tensor, present: Tensor) -> Tensor:
    """The rows of z (n, d) less the mean of the `present` (n,) rows; absent rows become 0."""
    weights = present.to(z.dtype)[:, None]
    return (z - (z * weights).sum(0) / weights.sum().clamp(min=1)) * weights


def covariance(z: Tensor, present: Tensor) -> Tensor:
    """The unbiased covariance (d, d) of the `present` rows of z (n, d); 0 for fewer than two."""
    rows = centred(z, present)
    return rows.T @ rows / (present.sum().to(z.dtype) - 1).clamp(min=1)


def variance_term(covariance: Tensor) -> Tensor:
    """mean_j max(0, 1 - sqrt(Var_j + 1e-4))."""
    return torch.relu(1 - torch.sqrt(covariance.diagonal() + EPSILON)).mean()


def covariance_term(covariance: Tensor) -> Tensor:
    """(1 / d) sum_{i != j} Cov_ij^2."""
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance)
