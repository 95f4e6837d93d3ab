"""Projectors and predictors: from features h to embeddings z, and from z to predictions p."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from multiview.objectives.needs import Head
from multiview.ops.precision import full_precision


def onto_sphere(u: Tensor, head: Head) -> Tensor:
    """Rows of length 1, in float32 also under autocast; unchanged when the head's unit is False."""
    return F.normalize(full_precision(u), dim=1) if head.unit else u


class Projection(nn.Module):
    """A projector or predictor built from its `Head`: (n, width) -> (n, dim)."""

    def __init__(self, width: int, head: Head) -> None:
        super().__init__()
        self.head = head
        self.layers = nn.Sequential(*_layers(width, head))

    def raw(self, h: Tensor) -> Tensor:
        """The output before normalisation."""
        return self.layers(h)

    def onto_sphere(self, u: Tensor) -> Tensor:
        """`onto_sphere` for this head."""
        return onto_sphere(u, self.head)

    def forward(self, h: Tensor) -> Tensor:
        """Embeddings of features."""
        return self.onto_sphere(self.raw(h))


def _layers(width: int, head: Head) -> Iterator[nn.Module]:
    hidden = head.hidden or width
    for _ in range(head.layers - 1):
        yield nn.Linear(width, hidden, bias=head.bias and not head.norm)
        if head.norm:
            yield nn.BatchNorm1d(hidden)
        yield nn.ReLU(inplace=True)
        width = hidden
    yield nn.Linear(width, head.dim, bias=head.bias and not (head.norm_out or head.scale_out))
    if head.norm_out or head.scale_out:
        norm = nn.BatchNorm1d(head.dim, affine=head.scale_out)
        norm.register_parameter("bias", None)
        yield norm
