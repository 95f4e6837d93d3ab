"""CMC: contrast against a memory bank (Tian, Krishnan, Isola: Contrastive Multiview Coding, arXiv:1906.05849)."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from multiview.errors import MultiviewError
from multiview.objectives.base import Bank, EdgeInput, EdgeOutput, Head, Needs, Objective, Situation, positive, share

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.memory.bank import MemoryBank

DEFAULT_NEGATIVES = 4096


@dataclass(frozen=True, kw_only=True)
class CMC(Objective):
    r"""Each view's embedding is scored against the other view's memory bank: its own row against `negatives` random rows.

    With scores s = <z, row> / temperature, N samples and K negatives, `loss="nce"` is the binary NCE of the paper,
    -log h(s_0) - sum_k log(1 - h(s_k)) with h(s) = (e^s / Z) / (e^s / Z + K / N), and `loss="softmax"` is -log(e^{s_0} / sum_k e^{s_k}).
    Both directions are added, as in the original code.

    Args:
        negatives: K, rows of the bank that a sample is scored against (null: 4096, or all other samples where the data has fewer).
        temperature: T, by which scores are divided.
        momentum: of the bank: row <- normalise(momentum * row + (1 - momentum) * z).
        dim: numbers of an embedding.
        variant: `nce` is the paper's binary estimation, `softmax` a cross entropy over the K + 1 scores.
        z: how Z is found: `ema` (running mean with factor .99), `first-batch` (the original: mean e^s x N, kept), or a number.
        exclude: never draw a sample's own row as its negative (the original does draw it).
    """

    negatives: int | None = None
    temperature: float = 0.07
    momentum: float = 0.5
    dim: int = 128
    variant: Literal["nce", "softmax"] = "nce"
    z: Literal["ema", "first-batch"] | float = "ema"
    exclude: bool = True

    def __post_init__(self) -> None:
        positive("CMC", temperature=self.temperature, negatives=1 if self.negatives is None else self.negatives)
        share("CMC", momentum=self.momentum)
        if not isinstance(self.z, str):
            positive("CMC", z=self.z)

    @classmethod
    def original(cls) -> "CMC":
        """The original code's defaults: K 16384, T .07, momentum .5, Z of the first batch, a sample may be its own negative."""
        return cls(
            negatives=16384, temperature=0.07, momentum=0.5, dim=128, variant="nce", z="first-batch", exclude=False
        )

    def fitted(self, situation: Situation) -> "CMC":
        """Settles K; raises MultiviewError when more negatives are asked for than there are other samples."""
        others = situation.samples - 1
        if others < 1:
            raise MultiviewError(f"CMC needs two training samples or more; the data has {situation.samples}.")
        if self.negatives is not None and self.negatives > others and self.exclude:
            raise MultiviewError(
                f"CMC: {self.negatives} negatives asked for, but a sample has only {others} others; give negatives {others} or fewer."
            )
        return replace(self, negatives=self.negatives or min(DEFAULT_NEGATIVES, others))

    def needs(self) -> tuple[Needs, Needs]:
        """A linear projector and a bank on both sides."""
        side = Needs(projector=Head(dim=self.dim), memory=Bank(momentum=self.momentum))
        return side, side

    def initial_state(self) -> dict[str, Any]:
        """log Z of each direction; NaN until a first batch sets it."""
        if self.variant == "softmax":
            return {}
        start = math.nan if isinstance(self.z, str) else math.log(self.z)
        return {"log_z": [start, start]}

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """The sum of both directions; one draw of negatives serves both, as in the original."""
        from multiview.ops.negatives import draw_negatives

        banks = cast("tuple[MemoryBank, MemoryBank]", (edge.a.memory, edge.b.memory))
        negatives = self.negatives or DEFAULT_NEGATIVES
        drawn = draw_negatives(edge.index, negatives, len(banks[0]), generator=edge.generator, exclude=self.exclude)
        outputs = [
            self._direction(edge, cast("Tensor", side.z), bank, drawn, direction)
            for direction, (side, bank) in enumerate([(edge.a, banks[1]), (edge.b, banks[0])])
        ]
        return self._joined(outputs)

    def _direction(
        self, edge: EdgeInput, z: "Tensor", bank: "MemoryBank", drawn: "Tensor", direction: int
    ) -> EdgeOutput:
        import torch

        from multiview.distributed import mean_over_rows
        from multiview.ops.nce import nce_terms, running_log_z, softmax_terms
        from multiview.ops.precision import full_precision
        from multiview.ops.scores import scores_at

        scores = scores_at(full_precision(z), bank.rows, drawn) / self.temperature
        state: dict[str, Tensor] = {}
        if self.variant == "softmax":
            terms = softmax_terms(scores)
        else:
            old = edge.state["log_z"][direction]
            new, used = running_log_z(old, scores.detach(), edge.present, len(bank), self.z)
            terms = nce_terms(scores, used, len(bank))
            state["log_z"] = new
        share_of_positive = torch.softmax(scores.detach(), dim=1)[:, 0]
        log = {"positive": mean_over_rows(share_of_positive, edge.present)}
        return EdgeOutput(mean_over_rows(terms, edge.present), log, state)

    def _joined(self, outputs: list[EdgeOutput]) -> EdgeOutput:
        import torch

        loss = outputs[0].loss + outputs[1].loss
        log = {"positive": (outputs[0].log["positive"] + outputs[1].log["positive"]) / 2}
        state = {name: torch.stack([out.state[name] for out in outputs]) for name in outputs[0].state}
        return EdgeOutput(loss, log, state)
