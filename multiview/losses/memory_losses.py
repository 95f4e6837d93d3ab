"""Losses against a memory bank or a queue that the caller keeps, one direction at a time."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from multiview import ops, require
from multiview.distributed import mean_over_rows
from multiview.errors import MultiviewError
from multiview.losses.inputs import Present, full_precision_region, kept, masks, require_rows
from multiview.objectives.needs import Head


def moco(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    temperature: float | Tensor = 0.07,
    *,
    index: Tensor | None = None,
    queue_index: Tensor | None = None,
    present: Present = None,
) -> Tensor:
    """InfoNCE of queries against a queue of keys (MoCo, arXiv:1911.05722, Eq. 1).

    Args:
        query: (n, d) embeddings with gradient, of any length.
        key: (n, d) embeddings of the key encoder for the same samples, of any length. They get no
            gradient.
        queue: (K, d) earlier keys of length 1, the negatives. K may be 0: then the loss is 0.
        temperature: divides the cosines; a tensor is learned.
        index: (n,) the sample of each row. With `queue_index`, own older keys are no negatives.
        queue_index: (K,) the sample of each key of the queue.
        present: which rows exist.

    Returns:
        The mean over the rows. `PairLoss(mv.MoCo())` keeps the queue itself.
    """
    require_rows("moco", {"query": query, "key": key})
    here = torch.stack(masks("moco", present, 2, query)).all(0)
    _require_table("moco", "queue", queue, query)
    if not isinstance(temperature, Tensor):
        require.positive("moco", temperature=temperature)
    if (index is None) != (queue_index is None):
        raise MultiviewError("moco: give both index and queue_index to leave out a sample's older keys, or neither.")
    samples = torch.zeros(len(queue), dtype=torch.int64, device=queue.device) if queue_index is None else queue_index
    with full_precision_region(query):
        q, k = (kept(x, here, Head()) for x in (query, key))
        terms = ops.queue_loss.info_nce(q, k.detach(), queue.detach(), samples, index, temperature)
        return mean_over_rows(terms.loss, here)


def cmc(
    z: Tensor,
    bank: Tensor,
    drawn: Tensor,
    temperature: float = 0.07,
    *,
    variant: Literal["nce", "softmax"] = "nce",
    z_constant: float | Tensor | None = None,
    present: Present = None,
) -> Tensor:
    """Embeddings of one view against drawn rows of the other view's memory bank.

    The paper adds both directions (CMC, arXiv:1906.05849, Sec. 3.4).

    Args:
        z: (n, d) embeddings with gradient, of any length.
        bank: (N, d) one row per training sample.
        drawn: (n, 1 + K) integer rows of the bank: the sample's own, then K negatives.
            `draw_negatives` draws them.
        temperature: divides the scores.
        variant: `nce` is binary noise-contrastive estimation; `softmax` is cross entropy over the
            1 + K scores.
        z_constant: Z of nce (None = that of this batch: mean(e^score) N).
        present: which rows exist.

    Returns:
        The mean over the rows. `PairLoss(mv.CMC())` keeps bank and Z itself.
    """
    require_rows("cmc", {"z": z})
    _require_table("cmc", "bank", bank, z)
    _require_drawn(drawn, len(z), len(bank))
    require.positive("cmc", temperature=temperature)
    here = torch.stack(masks("cmc", present, 1, z)).all(0)
    with full_precision_region(z):
        scaled = kept(z, here, Head()) / temperature
        scorer = ops.bank_scores.own_negatives(bank.detach(), drawn)
        if variant == "softmax":
            rule: ops.bank_terms.Rule = ops.nce.softmax
        else:
            log_z = _log_z(scaled, scorer, here, drawn.shape[1], len(bank), z_constant)
            rule = ops.nce.nce(log_z, drawn.shape[1] - 1, len(bank))
        return mean_over_rows(ops.bank_terms.bank_terms(scaled, scorer, rule).loss, here)


def _log_z(
    scaled: Tensor,
    scorer: ops.bank_scores.Scorer,
    present: Tensor,
    scores: int,
    size: int,
    given: float | Tensor | None,
) -> Tensor:
    """log Z: the given one, else that of this batch; 0 when no row is present."""
    if given is None:
        sums = ops.bank_terms.log_sums(scaled.detach(), scorer)
        return ops.nce.batch_log_z(sums, present, scores, size).nan_to_num()
    if isinstance(given, Tensor):
        return given.detach().log().to(scaled)
    require.positive("cmc", z_constant=given)
    return scaled.new_tensor(math.log(given))


def _require_table(owner: str, name: str, table: Tensor, rows: Tensor) -> None:
    if table.ndim != 2 or table.shape[1] != rows.shape[1]:
        raise MultiviewError(
            f"{owner}: the {name} has shape {tuple(table.shape)}; give (rows, {rows.shape[1]}), as wide as the "
            "embeddings."
        )


def _require_drawn(drawn: Tensor, rows: int, size: int) -> None:
    if drawn.ndim != 2 or len(drawn) != rows or drawn.shape[1] < 2 or drawn.dtype not in (torch.int32, torch.int64):
        raise MultiviewError(
            f"cmc: drawn is {drawn.dtype} {tuple(drawn.shape)}; give whole numbers ({rows}, 1 + K), "
            "such as draw_negatives(index, K, len(bank), generator=generator, exclude=True)."
        )
    low, high = (int(x) for x in torch.aminmax(drawn)) if rows else (0, 0)
    if low < 0 or high >= size:
        raise MultiviewError(f"cmc: drawn holds {low}..{high}, but the bank has {size} rows, numbered from 0.")
