"""Fusion: one feature of a sample from any subset of its views.

An MLP over the features side by side has a learned vector for each missing view. So has an MLP that
stands beside a linear map of these features, or beside the features themselves; both hand on what
the views have alone. Attention has one token per view, and leaves out the tokens of missing views.
All run on every row, so that every parameter of every process gets a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from multiview.batch import sent
from multiview.objectives.needs import Fusion, Head
from multiview.projection import Projection

HEADS = 4
"""Attention heads. The width of a fusion is a multiple of it."""


class MlpMix(nn.Module):
    """Normalised features side by side -> (n, width); a learned vector stands for a missing one."""

    def __init__(self, widths: tuple[int, ...], fusion: Fusion) -> None:
        super().__init__()
        self.width = fusion.width
        self.missing = nn.ParameterList([nn.Parameter(torch.zeros(width)) for width in widths])
        self.layers = self._mlp(sum(widths), 2 * fusion.width, fusion.width)

    def _mlp(self, given: int, hidden: int, width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(given, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))

    def _side_by_side(self, h: list[Tensor], there: Tensor) -> Tensor:
        """All features (n, sum of widths), with the learned vectors in place of missing ones."""
        return torch.cat([torch.where(there[:, i, None], x, self.missing[i].to(x)) for i, x in enumerate(h)], 1)

    def forward(self, h: list[Tensor], there: Tensor) -> Tensor:
        """h: (n, width of the view) per view. there: (n, views) bool."""
        return self.layers(self._side_by_side(h, there))


class MlpLinearMix(MlpMix):
    """As `MlpMix` for half of the numbers; the other half is a linear map of the same features."""

    def __init__(self, widths: tuple[int, ...], fusion: Fusion) -> None:
        super().__init__(widths, fusion)
        half = fusion.width // 2
        self.layers = self._mlp(sum(widths), 2 * fusion.width, half)
        self.linear = nn.Linear(sum(widths), fusion.width - half, bias=False)

    def forward(self, h: list[Tensor], there: Tensor) -> Tensor:
        """h: (n, width of the view) per view. there: (n, views) bool."""
        x = self._side_by_side(h, there)
        return torch.cat([self.layers(x), self.linear(x)], 1)


class MlpFeaturesMix(MlpMix):
    """The features side by side as they are, and behind them the numbers of `MlpMix`."""

    def __init__(self, widths: tuple[int, ...], fusion: Fusion) -> None:
        super().__init__(widths, fusion)
        self.width = sum(widths) + fusion.width

    def forward(self, h: list[Tensor], there: Tensor) -> Tensor:
        """h: (n, width of the view) per view. there: (n, views) bool."""
        x = self._side_by_side(h, there)
        return torch.cat([x, self.layers(x)], 1)


class AttentionMix(nn.Module):
    """A token per view and a token that asks, through one block of attention -> (n, width)."""

    def __init__(self, widths: tuple[int, ...], fusion: Fusion) -> None:
        super().__init__()
        self.width = width = fusion.width
        self.tokens = nn.ModuleList([nn.Linear(each, width) for each in widths])
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.block = nn.TransformerEncoderLayer(
            width, HEADS, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, h: list[Tensor], there: Tensor) -> Tensor:
        """h: (n, width of the view) per view. there: (n, views) bool."""
        tokens = [token(x) for token, x in zip(self.tokens, h, strict=True)]
        query = self.query.expand(len(there), 1, -1)
        x = torch.cat([query.to(tokens[0]), torch.stack(tokens, 1)], 1)
        hidden = torch.cat([torch.zeros_like(there[:, :1]), ~there], 1)
        return self.norm(self.block(x, src_key_padding_mask=hidden)[:, 0])


MIXES: dict[str, type[MlpMix | AttentionMix]] = {
    "mlp": MlpMix,
    "mlp+linear": MlpLinearMix,
    "mlp+features": MlpFeaturesMix,
    "attention": AttentionMix,
}


class FusedHead(nn.Module):
    """The fused feature of any subset of views, and the projector behind it.

    Args:
        widths: view -> width of its feature h.
        head: the projector, whose `fusion` names the same views.
    """

    def __init__(self, widths: Mapping[str, int], head: Head) -> None:
        super().__init__()
        assert head.fusion is not None
        self.head, self.fusion, self.widths = head, head.fusion, dict(widths)
        sizes = tuple(widths[view] for view in self.fusion.views)
        self.norms = nn.ModuleList([nn.LayerNorm(size) for size in sizes])
        self.mix = MIXES[self.fusion.kind](sizes, self.fusion)
        self.width = self.mix.width
        self.projector = Projection(self.width, replace(head, fusion=None))

    def features(self, h: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None) -> Tensor:
        """The fused features (n, width).

        Args:
            h: view -> (n, width of the view), of one view or more; the others are missing.
            present: view -> which rows have the view (n,); None = all that are given.
        """
        some = next(iter(h.values()))
        there = torch.stack([self._there(view, h, present, some) for view in self.fusion.views], 1)
        given = [h[view] if view in h else some.new_zeros(len(some), self.widths[view]) for view in self.fusion.views]
        return self.mix([norm(x) for norm, x in zip(self.norms, given, strict=True)], there)

    def _there(self, view: str, h: Mapping[str, Tensor], present: Mapping[str, Tensor] | None, some: Tensor) -> Tensor:
        if view in h and present is not None:
            return sent(present[view], some.device)
        return torch.full((len(some),), view in h, dtype=torch.bool, device=some.device)

    def forward(self, h: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None) -> Tensor:
        """Embeddings (n, dim) of the fused features, on the unit sphere unless the head is raw."""
        return self.projector(self.features(h, present))


class AloneProjection(nn.Module):
    """One view's embedding in a fusion: all other views are missing."""

    def __init__(self, fused: FusedHead, view: str) -> None:
        super().__init__()
        self.fused, self.view, self.head = fused, view, fused.head

    def raw(self, h: Tensor) -> Tensor:
        """The output before normalisation."""
        return self.fused.projector.raw(self.fused.features({self.view: h}))

    def onto_sphere(self, u: Tensor) -> Tensor:
        """Rows of length 1, as those of a `Projection`."""
        return self.fused.projector.onto_sphere(u)

    def forward(self, h: Tensor) -> Tensor:
        """Embeddings of features."""
        return self.onto_sphere(self.raw(h))
