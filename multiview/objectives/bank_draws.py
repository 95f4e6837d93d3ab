"""How CMC reads a memory bank: a whole or a split one, with negatives of a table or a counter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from multiview import ops
from multiview.errors import MultiviewError
from multiview.objectives.weighted_negatives import is_weighted, weighting_of
from multiview.ops.strata import STRATA

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.objectives.cmc import CMC
    from multiview.objectives.edge import EdgeInput
    from multiview.ops.split_scores import OwnStrata

TABLE_ROWS = 2**24
"""Up to so many rows `numbers: auto` draws a table with torch's generator, as it always did.

`torch.Tensor.random_` takes 32 random bits modulo the range: of N rows, some are drawn more often
by a share of up to N / 2^32. That is 0.4 % here, and 2.4 % for 1e8 rows.
"""


class Whole:
    """A bank of which every process has all rows.

    `takes_all`: whether all other rows may be the negatives. `multiple`: K is a multiple of it.
    """

    takes_all: ClassVar[bool] = True
    multiple: ClassVar[int] = 1

    def require(self, cmc: CMC) -> None:
        """Raises MultiviewError when the settings cannot work with such a bank."""

    def banks(self, edge: EdgeInput) -> tuple[Any, ...]:
        """What this process has of the bank of each side."""
        return edge.banks()

    def drawn(self, cmc: CMC, edge: EdgeInput, bank: Any, rows: int | None, kind: str, count: int) -> Tensor:
        """Rows of a bank: K for the `step`, own and K others per `sample`, none for `all`.

        rows: of the first so many samples of each process alone (None = of all).
        """
        draw, generator, size, index = ops.negatives, edge.generator, len(bank), edge.index[:rows]
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

    def scorer(self, cmc: CMC, edge: EdgeInput, bank: Any, rows: int | None, kind: str, drawn: Tensor) -> Any:
        """Scores the samples of `drawn` against the rows that it drew."""
        codes, index = None if edge.bank_groups is None else edge.bank_groups.codes, edge.index[:rows]
        if kind == "all":
            return ops.bank_scores.all_rows(bank, index, exclude=cmc.exclude, codes=codes)
        if kind == "step":
            return ops.bank_scores.shared_negatives(bank, index, drawn, exclude=cmc.exclude, codes=codes)
        return ops.bank_scores.own_negatives(bank, drawn)

    @property
    def terms(self) -> Any:
        """The functions that turn a scorer into losses."""
        return ops.bank_terms

    def nce(self, log_z: Tensor, negatives: int, size: int) -> Any:
        """The rule of `nce`, see `ops.nce`."""
        return ops.nce.nce(log_z, negatives, size)

    def softmax(self, cmc: CMC) -> Any:
        """The rule of `softmax`, see `ops.nce`."""
        weighting = weighting_of(cmc)
        return ops.nce.softmax if weighting is None else ops.weighting.rule(cmc.temperature, weighting)


class Split(Whole):
    """A bank of which every process has its strata: the samples of all processes are scored."""

    takes_all = False
    multiple = STRATA

    def require(self, cmc: CMC) -> None:
        """See `Whole.require`."""
        if cmc.draw == "all":
            raise MultiviewError("CMC: bank=split draws negatives, and draw is all; give draw=step or draw=sample.")
        if cmc.negatives is not None and cmc.negatives % STRATA:
            raise _uneven(cmc.negatives)
        if cmc.numbers == "table":
            raise MultiviewError(
                "CMC: bank=split draws from a counter, because no process knows all rows; give numbers=auto or counter."
            )
        if is_weighted(cmc):
            raise MultiviewError(
                "CMC: decoupled, hardness and tau_plus are not made for bank=split; give bank=whole, or leave them out."
            )

    def banks(self, edge: EdgeInput) -> tuple[OwnStrata, ...]:
        """See `Whole.banks`."""
        return edge.own_strata()

    def drawn(self, cmc: CMC, edge: EdgeInput, bank: OwnStrata, rows: int | None, kind: str, count: int) -> Tensor:
        """See `Whole.drawn`; rows of the own strata, for the samples of all processes."""
        if kind == "step":
            return ops.split_scores.draw_shared(bank, _key(edge), count, edge.index.device)
        return ops.split_scores.draw(bank, _key(edge), edge.everyone_index(rows), count, exclude=cmc.exclude)

    def scorer(self, cmc: CMC, edge: EdgeInput, bank: OwnStrata, rows: int | None, kind: str, drawn: Tensor) -> Any:
        """See `Whole.scorer`."""
        everyone = edge.everyone_index(rows)
        if kind == "step":
            return ops.split_scores.shared_negatives_of(bank, everyone, drawn, exclude=cmc.exclude)
        return ops.split_scores.own_negatives_of(bank, everyone, drawn)

    @property
    def terms(self) -> Any:
        """See `Whole.terms`."""
        return ops.split_terms

    def nce(self, log_z: Tensor, negatives: int, size: int) -> Any:
        """See `Whole.nce`."""
        return ops.nce.split_nce(log_z, negatives, size)

    def softmax(self, cmc: CMC) -> Any:  # noqa: ARG002
        """See `Whole.softmax`."""
        return ops.nce.split_softmax


WAYS: Mapping[str, Whole] = {"whole": Whole(), "split": Split()}
"""By the option `bank`."""


def _uneven(negatives: int) -> MultiviewError:
    low = negatives // STRATA * STRATA
    near = f"{low} or {low + STRATA}" if low else f"{STRATA}"
    return MultiviewError(
        f"CMC: bank=split draws as many negatives from each of {STRATA} parts of the bank, and negatives is "
        f"{negatives}; give {near}."
    )


def _key(edge: EdgeInput) -> int:
    """The key of the counter for the negatives of this edge at this step."""
    assert edge.draws is not None
    return edge.draws.key("negatives")
