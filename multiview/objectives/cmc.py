"""CMC: contrast against a memory bank (Tian, Krishnan, Isola, arXiv:1906.05849)."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from multiview import ops, require
from multiview.errors import MultiviewError
from multiview.objectives.base import Objective, Situation
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.needs import Bank, Head, Needs
from multiview.objectives.weighted_negatives import is_weighted, require_weighting, weighting_of

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.ops.bank_scores import Scorer
    from multiview.ops.bank_terms import BankTerms, Rule

DEFAULT_NEGATIVES = 4096
ORIGINAL: dict[str, Any] = {
    "temperature": 0.07,
    "momentum": 0.5,
    "dim": 128,
    "variant": "nce",
    "z": "first-batch",
    "exclude": False,
    "shared": False,
    "bank_dtype": "float32",
}
ORIGINAL_NEGATIVES = 16384


@dataclass(frozen=True, kw_only=True)
class CMC(Objective):
    r"""Each view's embedding is scored against rows of the other view's memory bank.

    The rows are the sample's own and `negatives` random ones.
    The scores are s = <z, row> / temperature, s_0 of the own row; N samples; K negatives, drawn
    uniformly with replacement. `nce` is the paper's binary estimation, -log h(s_0) - sum_k log(1 -
    h(s_k)) with h(s) = (e^s / Z) / (e^s / Z + K / N). `softmax` is -log(e^{s_0} / (e^{s_0} + sum_k
    e^{s_k})). The losses of both directions are added, as in the original code. No temperature
    overflows: all is computed in log space.

    Args:
        negatives: K, rows of the bank that a sample is scored against (null: 4096, or all other
            samples where the data has fewer).
        temperature: T, by which scores are divided.
        momentum: momentum of the bank: row <- normalise(momentum * row + (1 - momentum) * z), after
            scoring. When a sample is in a batch twice, its last embedding is used.
        dim: width of an embedding.
        variant: the loss: `nce` (binary, with Z) or `softmax` (cross entropy over the K + 1 scores,
            without Z).
        z: Z of nce. `ema`: the first batch sets it to mean(e^s) N, then Z <- z_momentum Z + (1 -
            z_momentum) mean(e^s) N after each step. `first-batch`: the first batch sets it, then it
            stays (the original). A number keeps Z fixed. Each direction of an edge has its own Z.
        z_momentum: momentum of Z when z is `ema`.
        exclude: never draw a sample's own row as its negative (the original does draw it).
        shared: one draw of K negatives for the whole batch instead of one for each sample. Scoring
            becomes one small matrix product, but the gradient is noisier because all samples of a
            step meet the same K rows. With exclude, a sample whose own row was drawn has one
            negative fewer for each time its row was drawn.
        bank_dtype: type of the stored rows. bfloat16 halves the bank and rounds each row by up to
            0.4 %. Scores stay in float32.
        seed_defaults: the settings of the original code: nce, Z of the first batch, own row among
            the negatives, T .07, momentum .5, dim 128, and K 16384 unless negatives is given.
            Overrides the other fields.
        decoupled: (softmax) leave the positive out of the denominator (DCL, arXiv:2110.06848).
        hardness: (softmax) beta of arXiv:2010.04592: a negative with the score s weighs e^(beta s),
            divided by the mean of these weights. 0 weights all alike.
        tau_plus: (softmax) share of the negatives that are of the sample's own class. Their
            expected part is subtracted (arXiv:2007.00224). 0 subtracts nothing.

    Example:
        >>> mv.CMC.original().negatives, mv.CMC(negatives=1024, variant="softmax").temperature
        (16384, 0.07)
    """

    negatives: int | None = None
    temperature: float = 0.07
    momentum: float = 0.5
    dim: int = 128
    variant: Literal["nce", "softmax"] = "nce"
    z: Literal["ema", "first-batch"] | float = "ema"
    z_momentum: float = 0.99
    exclude: bool = True
    shared: bool = False
    bank_dtype: Literal["float32", "bfloat16"] = "float32"
    seed_defaults: bool = False
    decoupled: bool = False
    hardness: float = 0.0
    tau_plus: float = 0.0

    excludes_groups: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        if self.seed_defaults:
            for name, value in {**ORIGINAL, "negatives": self.negatives or ORIGINAL_NEGATIVES}.items():
                object.__setattr__(self, name, value)
        require.positive("CMC", temperature=self.temperature, negatives=1 if self.negatives is None else self.negatives)
        require.fraction("CMC", momentum=self.momentum, z_momentum=self.z_momentum)
        if not isinstance(self.z, str):
            require.positive("CMC", z=self.z)
        require_weighting(self)
        if self.variant == "nce" and is_weighted(self):
            raise MultiviewError(
                "CMC: decoupled, hardness and tau_plus weight the negatives of a softmax, and the variant is nce; "
                "give variant=softmax, or leave them out."
            )

    @classmethod
    def original(cls) -> "CMC":
        """The settings of the original code."""
        return cls(seed_defaults=True)

    def resolved(self, situation: Situation) -> "CMC":
        """Chooses K. Raises MultiviewError when the data has fewer samples to draw from than K."""
        others = situation.samples - int(self.exclude)
        if situation.samples < 2:
            raise MultiviewError(f"CMC needs two training samples or more; the data has {situation.samples}.")
        if self.negatives is not None and self.negatives > others:
            raise MultiviewError(
                f"CMC: {self.negatives} negatives asked for, but the data has only {others} "
                f"{'other ' if self.exclude else ''}samples to draw from; give negatives {others} or fewer."
            )
        return replace(self, negatives=self.negatives or min(DEFAULT_NEGATIVES, others))

    def needs(self) -> tuple[Needs, Needs]:
        """A linear projector and a bank on both sides."""
        side = Needs(projector=Head(dim=self.dim), memory=Bank(momentum=self.momentum, dtype=self.bank_dtype))
        return side, side

    def initial_state(self) -> dict[str, Any]:
        """log Z of each direction; NaN until the first batch sets it."""
        if self.variant == "softmax":
            return {}
        start = math.nan if isinstance(self.z, str) else math.log(self.z)
        return {"log_z": [start, start]}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The sum of both directions. One draw of negatives serves both, as in the original."""
        (a, b), (bank_a, bank_b) = edge.embeddings(), edge.banks()
        drawn = self._draw(edge, edge.index, len(bank_a))
        from_a = self._direction(edge, 0, a, bank_b, drawn)
        from_b = self._direction(edge, 1, b, bank_a, drawn)
        return EdgeOutput.of_directions([from_a, from_b])

    def _direction(self, edge: EdgeInput, direction: int, z: "Tensor", bank: "Tensor", drawn: "Tensor") -> EdgeOutput:
        """The embeddings z of one view against the bank of the other."""
        scaled, scorer = z / self.temperature, self._scorer(edge, bank, edge.index, drawn)
        if self.variant == "softmax":
            terms = ops.bank_terms.bank_terms(scaled, scorer, self._softmax())
            return EdgeOutput(edge.mean(terms.loss), _log(edge, terms))
        scores = self._count_scores(edge, drawn)
        log_z = self._log_z(edge, direction, scaled, scorer, scores, len(bank))
        rule = ops.nce.nce(log_z.nan_to_num(), self._count, len(bank))
        terms = ops.bank_terms.bank_terms(scaled, scorer, rule, self._shift(edge, scaled))
        batch = ops.nce.batch_log_z(terms.log_sum, edge.present, scores, len(bank))
        after = ops.nce.updated_log_z(log_z, batch, self.z_momentum) if self.z == "ema" else log_z
        log = {**_log(edge, terms), "z_drift": (batch - log_z).nan_to_num()}
        return EdgeOutput(edge.mean(terms.loss), log, {"log_z": after})

    def _softmax(self) -> "Rule":
        weighting = weighting_of(self)
        return ops.nce.softmax if weighting is None else ops.weighting.rule(self.temperature, weighting)

    def _log_z(
        self,
        edge: EdgeInput,
        direction: int,
        scaled: "Tensor",
        scorer: "Scorer",
        scores: "int | Tensor",
        size: int,
    ) -> "Tensor":
        """log Z to use now: the edge's, else this batch's; NaN while no row was ever present."""
        known = edge.state["log_z"][direction]
        if not known.isnan():
            return known
        return ops.nce.batch_log_z(ops.bank_terms.log_sums(scaled, scorer), edge.present, scores, size)

    def _shift(self, edge: EdgeInput, scaled: "Tensor") -> "Tensor | None":
        """What the noise of each sample's own rows changes; None without groups.

        With one draw for the batch nothing: a row of another group is in it K / N times on average,
        whatever rows are hidden.
        """
        if edge.bank_groups is None or self.shared:
            return None
        groups = edge.bank_groups
        return ops.nce.log_more_noise(groups.others(groups.codes[edge.index]), len(groups.codes), scaled)

    def _count_scores(self, edge: EdgeInput, drawn: "Tensor") -> "int | Tensor":
        """Scores per sample: 1 + K, or (n,) where rows of the sample's group are hidden from it."""
        if edge.bank_groups is None or not self.shared:
            return 1 + self._count
        codes = edge.bank_groups.codes
        return 1 + (codes[edge.index, None] != codes[drawn]).sum(1)

    def _draw(self, edge: EdgeInput, index: "Tensor", size: int) -> "Tensor":
        """Bank rows: K for the whole batch, or for each sample its own row and K others."""
        draw, generator = ops.negatives, edge.generator
        if self.shared:
            return draw.draw_shared(self._count, size, generator=generator).to(index.device)
        if edge.bank_groups is not None:
            drawn = draw.draw_other_groups(index, self._count, edge.bank_groups, generator=generator)
        else:
            drawn = draw.draw_negatives(index, self._count, size, generator=generator, exclude=self.exclude)
        return ops.bank_scores.in_reading_order(drawn, size)

    def _scorer(self, edge: EdgeInput, bank: "Tensor", index: "Tensor", drawn: "Tensor") -> "Scorer":
        if self.shared:
            codes = None if edge.bank_groups is None else edge.bank_groups.codes
            return ops.bank_scores.shared_negatives(bank, index, drawn, exclude=self.exclude, codes=codes)
        return ops.bank_scores.own_negatives(bank, drawn)

    @property
    def _count(self) -> int:
        return self.negatives or DEFAULT_NEGATIVES

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the other view's bank."""
        (a, b), (bank_a, bank_b), index = edge.embeddings(), edge.banks(), edge.index[:rows]
        found = []
        for z, bank in ((a, bank_b), (b, bank_a)):
            scorer = self._scorer(edge, bank, index, self._draw(edge, index, len(bank)))
            found.append(ops.bank_terms.all_scores(z[:rows] / self.temperature, scorer))
        return tuple(found)

    def meets_itself(self, situation: Situation) -> float:
        """1 - (1 - 1/N)^K, because K rows are drawn with replacement from N."""
        return 0.0 if self.exclude else -math.expm1(self._count * math.log1p(-1 / situation.samples))

    def remedy(self, symptom: str) -> str:
        """What to change when Z drifts, or when a sample's own row is among its negatives."""
        freed = "Without seed_defaults, use" if self.seed_defaults else "Use"
        slow = f"Lower z_momentum (now {self.z_momentum:g}), or use" if self.z_momentum else "Use"
        drift = slow if self.z == "ema" else f"{freed} z=ema or"
        itself = f"{freed} exclude=True to leave the sample itself out."
        return {"itself": itself, "drift": f"{drift} variant=softmax, which has no Z."}.get(symptom, "")


def _log(edge: EdgeInput, terms: "BankTerms") -> "dict[str, Tensor]":
    """The positive's share of the softmax, and its rank from 1, as means."""
    return {"positive": edge.mean(terms.positive), "rank": edge.mean(terms.rank)}
