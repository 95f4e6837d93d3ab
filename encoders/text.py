"""A small transformer that reads the bytes of a text: no vocabulary, any language."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multiview.encoder import Encoder, scaled
from multiview.errors import MultiviewError
from multiview.record import recorded

HEADS = 4


def bytes_of(texts: list[str], length: int) -> Tensor:
    """Texts as UTF-8 bytes, int64 (n, length), cut to `length` and padded with 0."""
    rows = [text.encode()[:length].ljust(length, b"\0") for text in texts]
    return torch.tensor([list(row) for row in rows], dtype=torch.int64).view(len(texts), length)


class ByteTransformer(Encoder):
    """A transformer over UTF-8 bytes, then the mean over bytes without padding: h (n, 128 * width).

    channels: 1. width: multiplier of the embedding size 128. depth: number of blocks (pre-norm,
    four heads, hidden size four times the embedding, GELU, no dropout). longest: bytes read.
    Layers: embedding, block1, block2, ... as maps (n, 128 * width, bytes), then pool.
    Initialisation: embeddings and positions N(0, 0.02), the rest PyTorch's.
    Raises MultiviewError when depth or longest is below 1.
    """

    axes = ("bytes",)

    def __init__(self, channels: int, *, width: float = 1.0, depth: int = 3, longest: int = 256) -> None:
        if depth < 1 or longest < 1:
            raise MultiviewError(f"text: depth is {depth} and longest {longest}; give 1 or more of each.")
        size = HEADS * scaled(128 // HEADS, width)
        blocks = [f"block{number}" for number in range(1, depth + 1)]
        super().__init__(channels, size, ("embedding", *blocks, "pool"))
        self.embedding, self.longest = nn.Embedding(256, size), longest
        self.positions = nn.Parameter(torch.empty(longest, size))
        for weight in (self.embedding.weight, self.positions):
            nn.init.normal_(weight, std=0.02)
        for block in blocks:
            made = nn.TransformerEncoderLayer(size, HEADS, 4 * size, 0.0, "gelu", batch_first=True, norm_first=True)
            self.add_module(block, made)
        self.norm = nn.LayerNorm(size)

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`; deeper layers are not computed."""
        tokens = x[:, : self.longest]
        padding = tokens == 0
        # An empty text attends to its first place: attention to nothing would give NaN.
        unseen = padding & (torch.arange(tokens.shape[1], device=x.device) > 0)
        y = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        for block in self.layers[1 : self.layers.index(layer) + 1]:
            if block == "pool":
                return _mean(self.norm(y), ~padding)
            y = getattr(self, block)(y, src_key_padding_mask=unseen)
        return y.transpose(1, 2)


def _mean(y: Tensor, present: Tensor) -> Tensor:
    """Mean of (n, places, c) over the present places; 0 without any."""
    weight = present.to(y.dtype).unsqueeze(2)
    return (y * weight).sum(1) / weight.sum(1).clamp(min=1)


@recorded
def text(channels: int, *, width: float = 1.0, depth: int = 3, longest: int = 256) -> ByteTransformer:
    """The small transformer over bytes: h (n, 128 * width). Options: see `ByteTransformer`."""
    return ByteTransformer(channels, width=width, depth=depth, longest=longest)
