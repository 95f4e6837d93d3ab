"""CMC: contrast against a memory bank (Tian, Krishnan, Isola, arXiv:1906.05849)."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from multiview import ops, require
from multiview.errors import MultiviewError, unknown_name
from multiview.objectives.bank_draws import WAYS, Whole
from multiview.objectives.base import Objective, Situation
from multiview.objectives.edge import EdgeInput, EdgeOutput
from multiview.objectives.needs import Bank, Head, Needs
from multiview.objectives.weighted_negatives import is_weighted, require_weighting

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.ops.bank_terms import BankTerms

DEFAULT_NEGATIVES = 4096
STARTS = ("random", "encoded")
ALL_ROWS = 16_384
"""Up to so many training samples `draw: auto` takes all others: one product costs little then."""
ORIGINAL: dict[str, Any] = {
    "temperature": 0.07,
    "momentum": 0.5,
    "dim": 128,
    "variant": "nce",
    "z": "first-batch",
    "exclude": False,
    "shared": False,
    "draw": "sample",
    "bank_dtype": "float32",
    "start": "random",
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
        draw: which rows are negatives. `sample`: K random rows for each sample, as in the paper.
            `step`: K random rows for all samples of a step, by one small matrix product, tens of
            times cheaper; all samples of a step meet the same rows. With exclude, a sample whose
            own row was drawn has one negative fewer for each time its row was drawn. `all`: every
            other row once, by one matrix product, without a draw; `step` becomes `all` where K is
            all other samples. `auto`: `all` up to 16,384 training samples, `step` above.
        shared: the former name of draw=step.
        bank_dtype: type of the stored rows. bfloat16 and float16 halve the bank. bfloat16 rounds
            each number of a row by up to 0.4 %, and a score by up to 0.004 / temperature; float16
            rounds an eighth of that. Scores and losses are computed in float32.
        bank: where the rows are. `whole`: every process keeps all. `split`: each of W processes
            keeps 1 / W of them, W a power of two up to 64. It sums over the rows that it has and
            sends the sums, never rows. The negatives are drawn from 64 parts of the bank, equally
            many from each, so that they do not depend on W. Needs negatives in multiples of 64.
        start: the first rows. `random`, as in the original code: until a sample was seen once, its
            positive is noise, while rows of seen samples are negatives, which drives the two views
            apart. `encoded`: one pass over the training samples before the first step gives each
            row the embedding of the untrained encoders.
        numbers: what negatives are drawn with. `table`: every process draws those of the whole
            batch on the CPU. `counter`: a function of (seed, step, sample, number of the negative),
            on the device, each process for its own samples. `auto`: a table up to 2^24 training
            samples; above, its rows would be drawn unequally often, and a counter is used.
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
    draw: Literal["auto", "all", "step", "sample"] = "sample"
    shared: bool = False
    bank_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    bank: Literal["whole", "split"] = "whole"
    start: Literal["random", "encoded"] = "random"
    numbers: Literal["auto", "table", "counter"] = "auto"
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
        if self.start not in STARTS:
            raise unknown_name("start of a bank", str(self.start), STARTS)
        if self.bank not in WAYS:
            raise unknown_name("place of a bank", str(self.bank), WAYS)
        self._ways.require(self)

    @property
    def _ways(self) -> Whole:
        """How the bank is read: all that differs between whole and split banks."""
        return WAYS[self.bank]

    @classmethod
    def original(cls) -> "CMC":
        """The settings of the original code."""
        return cls(seed_defaults=True)

    def resolved(self, situation: Situation) -> "CMC":
        """Chooses K and the draw. Raises MultiviewError when K is more than the data has."""
        others = situation.samples - int(self.exclude)
        if situation.samples < 2:
            raise MultiviewError(f"CMC needs two training samples or more; the data has {situation.samples}.")
        if self.negatives is not None and self.negatives > others:
            raise MultiviewError(
                f"CMC: {self.negatives} negatives asked for, but the data has only {others} "
                f"{'other ' if self.exclude else ''}samples to draw from; give negatives "
                f"{self._default_negatives(others, others)} or fewer."
            )
        draw = self._resolved_draw(situation.samples, others)
        if draw == "all" and self.negatives not in (None, others):
            raise MultiviewError(
                f"CMC: draw=all takes all {others} other samples, but negatives is {self.negatives}; leave negatives "
                "out, or give draw=step or draw=sample."
            )
        count = others if draw == "all" else self.negatives or self._default_negatives(others)
        return replace(self, negatives=count, draw=draw)

    def _resolved_draw(self, samples: int, others: int) -> Literal["all", "step", "sample"]:
        """`auto` as `all` or `step`; `step` as `all` where its K rows would be all others."""
        draw: Any = "step" if self.shared and self.draw == "sample" else self.draw
        takes_all = self._ways.takes_all
        if draw == "auto":
            draw = "all" if takes_all and samples <= ALL_ROWS and self.negatives is None else "step"
        count = self.negatives or min(DEFAULT_NEGATIVES, others)
        return "all" if takes_all and draw == "step" and not self.shared and count >= others else draw

    def _default_negatives(self, others: int, wanted: int = DEFAULT_NEGATIVES) -> int:
        """K when none was given: `wanted`, or all others; whole parts of a split bank."""
        multiple = self._ways.multiple
        return min(wanted, others) // multiple * multiple

    @property
    def _draws(self) -> str:
        """How negatives are drawn, after `auto` was resolved; without data `auto` is `step`."""
        return "step" if self.draw == "auto" or (self.shared and self.draw == "sample") else self.draw

    def needs(self) -> tuple[Needs, Needs]:
        """A linear projector and a bank on both sides."""
        side = Needs(projector=Head(dim=self.dim), memory=self._memory)
        return side, side

    @property
    def _memory(self) -> Bank:
        return Bank(
            momentum=self.momentum,
            dtype=self.bank_dtype,
            split=not self._ways.takes_all,
            encoded=self.start == "encoded",
        )

    def initial_state(self) -> dict[str, Any]:
        """log Z of each direction; NaN until the first batch sets it."""
        if self.variant == "softmax":
            return {}
        start = math.nan if isinstance(self.z, str) else math.log(self.z)
        return {"log_z": [start, start]}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The sum of both directions. One draw of negatives serves both, as in the original."""
        (a, b), (bank_a, bank_b) = edge.embeddings(), self._ways.banks(edge)
        drawn = self._drawn(edge, bank_a)
        from_a = self._direction(edge, 0, a, bank_b, drawn)
        from_b = self._direction(edge, 1, b, bank_a, drawn)
        return EdgeOutput.of_directions([from_a, from_b])

    def _direction(self, edge: EdgeInput, direction: int, z: "Tensor", bank: Any, drawn: "Tensor") -> EdgeOutput:
        """The embeddings z of one view against the bank of the other."""
        ways, scaled, scorer, size = self._ways, z / self.temperature, self._scorer(edge, bank, drawn), edge.bank_size
        if self.variant == "softmax":
            terms = ways.terms.bank_terms(scaled, scorer, ways.softmax(self))
            return EdgeOutput(edge.mean(terms.loss), _log(edge, terms))
        scores = self._count_scores(edge, drawn, size)
        log_z = self._log_z(edge, direction, scaled, scorer, scores)
        rule = ways.nce(log_z.nan_to_num(), self._count_of(size), size)
        terms = ways.terms.bank_terms(scaled, scorer, rule, self._shift(edge, scaled))
        batch = ops.nce.batch_log_z(terms.log_sum, edge.present, scores, size)
        after = ops.nce.updated_log_z(log_z, batch, self.z_momentum) if self.z == "ema" else log_z
        log = {**_log(edge, terms), "z_drift": (batch - log_z).nan_to_num()}
        return EdgeOutput(edge.mean(terms.loss), log, {"log_z": after})

    def _log_z(
        self, edge: EdgeInput, direction: int, scaled: "Tensor", scorer: Any, scores: "int | Tensor"
    ) -> "Tensor":
        """log Z to use now: the edge's, else this batch's; NaN while no row was ever present."""
        known = edge.state["log_z"][direction]
        if edge.begun or not known.isnan():
            return known
        return ops.nce.batch_log_z(self._ways.terms.log_sums(scaled, scorer), edge.present, scores, edge.bank_size)

    def _shift(self, edge: EdgeInput, scaled: "Tensor") -> "Tensor | None":
        """What the noise of each sample's own rows changes; None without groups.

        Nothing where all samples of a step meet the same rows: a row of another group is among them
        K / N times on average, whatever rows are hidden.
        """
        if edge.bank_groups is None or self._draws != "sample":
            return None
        groups = edge.bank_groups
        return ops.nce.log_more_noise(groups.others(groups.codes[edge.index]), len(groups.codes), scaled)

    def _count_scores(self, edge: EdgeInput, drawn: "Tensor", size: int) -> "int | Tensor":
        """Scores per sample: 1 + K, or (n,) where rows of the sample's group are hidden from it."""
        groups = edge.bank_groups
        if groups is None or self._draws == "sample":
            return 1 + self._count_of(size)
        own = groups.codes[edge.index]
        return 1 + (groups.others(own) if self._draws == "all" else (own[:, None] != groups.codes[drawn]).sum(1))

    def _drawn(self, edge: EdgeInput, bank: Any, rows: int | None = None) -> "Tensor":
        """Bank rows: K for the step, for each sample its own row and K others, or none (`all`)."""
        return self._ways.drawn(self, edge, bank, rows, self._draws, self._count)

    def _scorer(self, edge: EdgeInput, bank: Any, drawn: "Tensor", rows: int | None = None) -> Any:
        return self._ways.scorer(self, edge, bank, rows, self._draws, drawn)

    @property
    def _count(self) -> int:
        return self.negatives or DEFAULT_NEGATIVES

    def _count_of(self, size: int) -> int:
        """K against a bank of `size` rows."""
        return size - int(self.exclude) if self._draws == "all" else self._count

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the other view's bank."""
        (a, b), (bank_a, bank_b) = edge.embeddings(), self._ways.banks(edge)
        found = []
        for z, bank in ((a, bank_b), (b, bank_a)):
            scorer = self._scorer(edge, bank, self._drawn(edge, bank, rows), rows)
            found.append(self._ways.terms.all_scores(z[:rows] / self.temperature, scorer))
        return tuple(found)

    def meets_itself(self, situation: Situation) -> float:
        """1 - (1 - 1/N)^K, because K rows are drawn with replacement from N; 1 for all rows."""
        if self._draws == "all":
            return float(not self.exclude)
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
