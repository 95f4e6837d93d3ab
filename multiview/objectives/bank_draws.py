"""Which bank rows CMC scores a batch against: whole or split banks, a table or a counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiview import ops
from multiview.errors import MultiviewError

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.objectives.cmc import CMC
    from multiview.objectives.edge import EdgeInput
    from multiview.ops.bank_scores import Scorer
    from multiview.ops.split_scores import OwnStrata, SplitScorer

TABLE_ROWS = 2**24
"""Up to so many rows `numbers: auto` draws a table with torch's generator, as it always did.

`torch.Tensor.random_` takes 32 random bits modulo the range: of N rows, some are drawn more often
by a share of up to N / 2^32. That is 0.4 % here, and 2.4 % for 1e8 rows.
"""


def require_split(cmc: CMC) -> None:
    """Raises MultiviewError when the settings cannot work with a bank that is split."""
    strata = 64
    if cmc.draw == "all":
        raise MultiviewError("CMC: bank=split draws negatives, and draw is all; give draw=step or draw=sample.")
    if cmc.negatives is not None and cmc.negatives % strata:
        low = cmc.negatives // strata * strata
        near = f"{low} or {low + strata}" if low else f"{strata}"
        raise MultiviewError(
            f"CMC: bank=split draws as many negatives from each of {strata} parts of the bank, and negatives is "
            f"{cmc.negatives}; give {near}."
        )
    if cmc.numbers == "table":
        raise MultiviewError(
            "CMC: bank=split draws from a counter, because no process knows all rows; give numbers=auto or counter."
        )
    if cmc.decoupled or cmc.hardness or cmc.tau_plus:
        raise MultiviewError(
            "CMC: decoupled, hardness and tau_plus are not made for bank=split; give bank=whole, or leave them out."
        )


def drawn_rows(cmc: CMC, edge: EdgeInput, index: Tensor, bank: Tensor, kind: str, count: int) -> Tensor:
    """Rows of `bank` (N, d): K for the `step`, own and K others per `sample`, none for `all`."""
    draw, generator, size = ops.negatives, edge.generator, len(bank)
    counted = cmc.numbers == "counter" or (cmc.numbers == "auto" and size > TABLE_ROWS)
    key = _key(edge) if counted and kind != "all" else None
    if kind == "all":
        return index[:0]
    if kind == "step":
        return draw.draw_shared(count, size, generator=generator, key=key, device=index.device)
    if edge.bank_groups is not None:
        drawn = draw.draw_other_groups(index, count, edge.bank_groups, generator=generator, key=key)
    else:
        drawn = draw.draw_negatives(index, count, size, generator=generator, exclude=cmc.exclude, key=key)
    return ops.bank_scores.in_reading_order(drawn, size)


def scorer(cmc: CMC, edge: EdgeInput, bank: Tensor, index: Tensor, drawn: Tensor, kind: str) -> Scorer:
    """Scores samples `index` (n,) against a whole bank (N, d) at the rows `drawn`."""
    codes = None if edge.bank_groups is None else edge.bank_groups.codes
    if kind == "all":
        return ops.bank_scores.all_rows(bank, index, exclude=cmc.exclude, codes=codes)
    if kind == "step":
        return ops.bank_scores.shared_negatives(bank, index, drawn, exclude=cmc.exclude, codes=codes)
    return ops.bank_scores.own_negatives(bank, drawn)


def split_drawn_rows(cmc: CMC, edge: EdgeInput, index: Tensor, own: OwnStrata, kind: str, count: int) -> Tensor:
    """Rows of the own strata, for the samples `index` (n,) of each process, or for the step."""
    from multiview.distributed import gather

    if kind == "step":
        return ops.split_scores.draw_shared(own, _key(edge), count, index.device)
    return ops.split_scores.draw(own, _key(edge), gather(index), count, exclude=cmc.exclude)


def split_scorer(
    cmc: CMC,
    edge: EdgeInput,  # noqa: ARG001
    own: OwnStrata,
    index: Tensor,
    drawn: Tensor,
    kind: str,
) -> SplitScorer:
    """Scores the samples of all processes against the own strata at the rows `drawn`."""
    if kind == "step":
        return ops.split_scores.shared_negatives_of(own, index, drawn, exclude=cmc.exclude)
    return ops.split_scores.own_negatives_of(own, index, drawn)


def _key(edge: EdgeInput) -> int:
    """The key of the counter for the negatives of this edge at this step."""
    assert edge.draws is not None
    return edge.draws.key("negatives")
