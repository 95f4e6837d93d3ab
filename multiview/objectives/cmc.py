"""CMC: contrast against a memory bank (Tian, Krishnan, Isola: Contrastive Multiview Coding, arXiv:1906.05849)."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from multiview.errors import MultiviewError
from multiview.objectives.base import Bank, EdgeInput, EdgeOutput, Head, Needs, Objective, Situation, positive, share

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.memory.bank import MemoryBank
    from multiview.ops.bank_scores import Scorer

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
    r"""Each view's embedding is scored against the other view's memory bank: its own row against `negatives` random rows.

    With scores s = <z, row> / temperature, the positive's s_0, N samples and K negatives drawn uniformly with replacement,
    `nce` is the paper's binary estimation, -log h(s_0) - sum_k log(1 - h(s_k)) with h(s) = (e^s / Z) / (e^s / Z + K / N),
    and `softmax` is -log(e^{s_0} / (e^{s_0} + sum_k e^{s_k})). Both directions are added, as in the original code.
    All is computed in log space: no temperature overflows.

    Args:
        negatives: K, rows of the bank that a sample is scored against (null: 4096, or all other samples where the data has fewer).
        temperature: T, by which scores are divided.
        momentum: of the bank: row <- normalise(momentum * row + (1 - momentum) * z), after scoring; of a sample that stands twice in a
            batch the last counts.
        dim: numbers of an embedding.
        variant: the loss: `nce` (binary, with Z) or `softmax` (cross entropy over the K + 1 scores, without Z).
        z: Z of nce: `ema` (set by the first batch to mean(e^s) N, then Z <- z_momentum Z + (1 - z_momentum) mean(e^s) N after each step),
            `first-batch` (the original: set by the first batch and kept), or a number (fixed). Each direction has its own.
        z_momentum: of Z when it is `ema`.
        exclude: a sample's own row is never among its negatives: they are uniform over the others (the original does draw it).
        shared: one draw of K negatives for the whole batch instead of one for each sample. Scoring becomes one small matrix product, but all
            samples of a step then meet the same K rows, so the gradient is noisier; with exclude, a sample whose own row was drawn has
            that many negatives fewer.
        bank_dtype: how rows are kept; bfloat16 halves the bank and rounds each row by up to 0.4 % (scores stay in float32).
        seed_defaults: the original to the letter: nce, Z of the first batch, own row among the negatives, T .07, momentum .5, dim 128,
            and K 16384 unless negatives is given. Overrides the other fields.
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

    def __post_init__(self) -> None:
        if self.seed_defaults:
            for name, value in {**ORIGINAL, "negatives": self.negatives or ORIGINAL_NEGATIVES}.items():
                object.__setattr__(self, name, value)
        positive("CMC", temperature=self.temperature, negatives=1 if self.negatives is None else self.negatives)
        share("CMC", momentum=self.momentum, z_momentum=self.z_momentum)
        if not isinstance(self.z, str):
            positive("CMC", z=self.z)

    @classmethod
    def original(cls) -> "CMC":
        """The original code to the letter, with its defaults."""
        return cls(seed_defaults=True)

    def fitted(self, situation: Situation) -> "CMC":
        """Settles K; raises MultiviewError when more negatives are asked for than there are samples to draw from."""
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
        """log Z of each direction; NaN until a first batch sets it."""
        if self.variant == "softmax":
            return {}
        start = math.nan if isinstance(self.z, str) else math.log(self.z)
        return {"log_z": [start, start]}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The sum of both directions; one draw of negatives serves both, as in the original."""
        import torch

        banks = cast("tuple[MemoryBank, MemoryBank]", (edge.a.memory, edge.b.memory))
        for bank in banks:
            bank.require(edge.index)
        drawn = self._draw(edge, len(banks[0]))
        scorers = [self._scorer(banks[1].rows, edge.index, drawn), self._scorer(banks[0].rows, edge.index, drawn)]
        outputs = [self._direction(edge, direction, scorer, len(banks[0])) for direction, scorer in enumerate(scorers)]
        log = {name: (outputs[0].log[name] + outputs[1].log[name]) / 2 for name in outputs[0].log}
        state = {name: torch.stack([out.state[name] for out in outputs]) for name in outputs[0].state}
        return EdgeOutput(outputs[0].loss + outputs[1].loss, log, state)

    def scores(self, edge: EdgeInput, rows: int) -> "tuple[Tensor, ...]":
        """Rows of a, and of b, against the other view's bank."""
        from multiview.ops.bank_terms import all_scores
        from multiview.ops.precision import full_precision

        few = replace(edge, index=edge.index[:rows])
        found = []
        for side, other in ((edge.a, edge.b), (edge.b, edge.a)):
            bank, z = cast("MemoryBank", other.memory), full_precision(cast("Tensor", side.z)[:rows])
            found.append(
                all_scores(z / self.temperature, self._scorer(bank.rows, few.index, self._draw(few, len(bank))))
            )
        return tuple(found)

    def meets_itself(self, situation: Situation) -> float:
        """1 - (1 - 1/N)^K: K rows are drawn with replacement from N."""
        return 0.0 if self.exclude else -math.expm1(self._count * math.log1p(-1 / situation.samples))

    def remedy(self, symptom: str) -> str:
        """Against a Z that is off, and a sample's own row."""
        freed = "Without seed_defaults, use" if self.seed_defaults else "Use"
        slow = f"Lower z_momentum (now {self.z_momentum:g}), or use" if self.z_momentum else "Use"
        drift = slow if self.z == "ema" else f"{freed} z=ema or"
        itself = f"{freed} exclude=True: it leaves them out."
        return {"itself": itself, "drift": f"{drift} variant=softmax, which has no Z."}.get(symptom, "")

    def _draw(self, edge: EdgeInput, size: int) -> "Tensor":
        from multiview.ops.bank_scores import in_reading_order
        from multiview.ops.negatives import draw_negatives, draw_shared

        if self.shared:
            return draw_shared(self._count, size, generator=edge.generator).to(edge.index.device)
        drawn = draw_negatives(edge.index, self._count, size, generator=edge.generator, exclude=self.exclude)
        return in_reading_order(drawn, size)

    def _scorer(self, rows: "Tensor", index: "Tensor", drawn: "Tensor") -> "Scorer":
        from multiview.ops.bank_scores import own_negatives, shared_negatives

        if self.shared:
            return shared_negatives(rows, index, drawn, exclude=self.exclude)
        return own_negatives(rows, drawn)

    def _direction(self, edge: EdgeInput, direction: int, scorer: "Scorer", size: int) -> EdgeOutput:
        from multiview.distributed import mean_over_rows
        from multiview.ops.bank_terms import bank_terms
        from multiview.ops.nce import batch_log_z, moved_log_z, nce, softmax
        from multiview.ops.precision import full_precision

        z = full_precision(cast("Tensor", (edge.a, edge.b)[direction].z)) / self.temperature
        state: dict[str, Tensor] = {}
        drift: dict[str, Tensor] = {}
        if self.variant == "softmax":
            found = bank_terms(z, scorer, softmax)
        else:
            log_z = self._log_z(edge, direction, z, scorer, size)
            found = bank_terms(z, scorer, nce(log_z.nan_to_num(), self._count, size))
            batch = batch_log_z(found.log_sum, edge.present, 1 + self._count, size)
            state["log_z"] = moved_log_z(log_z, batch, self.z_momentum) if self.z == "ema" else log_z
            drift["z_drift"] = (batch - log_z).nan_to_num()
        log = {
            "positive": mean_over_rows(found.positive, edge.present),
            "rank": mean_over_rows(found.rank, edge.present),
            **drift,
        }
        return EdgeOutput(mean_over_rows(found.terms, edge.present), log, state)

    def _log_z(self, edge: EdgeInput, direction: int, z: "Tensor", scorer: "Scorer", size: int) -> "Tensor":
        """log Z to use now: what the edge remembers, or this batch's where that is nothing yet; NaN while no row was ever present."""
        from multiview.ops.bank_terms import log_sums
        from multiview.ops.nce import batch_log_z

        old = edge.state["log_z"][direction]
        return batch_log_z(log_sums(z, scorer), edge.present, 1 + self._count, size) if old.isnan() else old

    @property
    def _count(self) -> int:
        return self.negatives or DEFAULT_NEGATIVES
