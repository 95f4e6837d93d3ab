"""Losses for any training loop: plain functions, and `PairLoss` for objectives that remember.

Every function takes embeddings (n, d) and returns a scalar.

- Losses are computed in float32, also under autocast. float64 stays float64.
- Where the paper compares directions, rows are scaled to length 1 first.
- With several processes (torch.distributed), the loss is that of the batch of all processes. The
  mean of the processes' gradients is exact, as DistributedDataParallel takes it. Every process must
  give the same number of rows.
- `present` (n,) says which rows exist, or a tuple of them, one per view. A row without all of its
  views takes no part, and its numbers are not read.
"""

from multiview.losses.functions import barlow_twins, byol, info_nce, nt_xent, siglip, simsiam, symile, vicreg
from multiview.losses.key_encoder import KeyEncoder
from multiview.losses.memory_losses import cmc, moco
from multiview.losses.pair_loss import PairLoss
from multiview.ops.negatives import draw_negatives

__all__ = [
    "KeyEncoder",
    "PairLoss",
    "barlow_twins",
    "byol",
    "cmc",
    "draw_negatives",
    "info_nce",
    "moco",
    "nt_xent",
    "siglip",
    "simsiam",
    "symile",
    "vicreg",
]
