"""Stops all processes together when a loss or a gradient is not finite, so that none waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multiview.distributed import any_rank, gather
from multiview.errors import MultiviewError
from multiview.objectives.needs import JOIN

NAMES_SHOWN, SAMPLES_SHOWN = 4, 8

UNTOUCHED = "Weights, banks and queues are as they were before the step."

Ids = Callable[[Tensor], list[str]]
"""Names samples by their index."""

Seen = Mapping[str, Iterable[tuple[str, Tensor]]]
"""Kind of tensor -> (view, tensor of shape (n, ...)) pairs."""


def require_finite_losses(
    losses: Mapping[str, Tensor], seen: Seen, present: Mapping[str, Tensor], index: Tensor, ids: Ids, step: int
) -> None:
    """Raises MultiviewError when a loss of any process is not finite; it names edges and samples.

    Args:
        losses: the loss of each edge, then their `sum`.
        seen: the tensors of the step, in the order in which they were computed.
        present: by view, the rows that have the view.
        index: of the step's samples.
        ids: names samples by their index.
        step: the number of the step.
    """
    bad = any_rank((~torch.stack(list(losses.values())).isfinite()).tolist(), index.device)
    if not any(bad):
        return
    edges = [name for name, is_bad in zip(losses, bad, strict=True) if is_bad]
    raise MultiviewError(
        f"step {step}: the loss of edge {', '.join(edges[:-1] or edges)} is not finite. "
        f"{_suspects(seen, present, index, ids)} {UNTOUCHED} Lower --lr, raise --temperature, or use --precision no; "
        "the last checkpoint is whole."
    )


def require_finite_gradients(
    names: Sequence[str], norms: Tensor, index: Tensor, ids: Ids, step: int, accumulated: int = 1
) -> None:
    """Raises MultiviewError when a gradient of any process is not finite or its norm overflows.

    Args:
        names: of the parameters.
        norms: of their gradients, in the same order.
        index: of the step's samples.
        ids: names samples by their index.
        step: the number of the step.
        accumulated: the number of steps in the gradients.
    """
    bad = any_rank((~norms.isfinite()).tolist(), norms.device)
    if not any(bad):
        return
    lost = [name for name, is_bad in zip(names, bad, strict=True) if is_bad]
    more = f" and {len(lost) - NAMES_SHOWN} more" if len(lost) > NAMES_SHOWN else ""
    since = f" in steps {step - accumulated + 1} to {step}" if accumulated > 1 else ""
    raise MultiviewError(
        f"step {step}: the loss is finite, but the gradient of {_owners(lost)}{since} is not: "
        f"{', '.join(lost[:NAMES_SHOWN])}{more}. The step had samples {_listed(gather(index), ids)}. {UNTOUCHED} Look "
        "for a root, a logarithm or a division at 0 in the computation after these parameters; otherwise lower --lr, "
        "raise --temperature, or use --precision no. The last checkpoint is whole."
    )


MOST_OVERFLOWS = 50
"""Moves of the optimiser in a row that fp16's scaler may leave out. Its scale halves each time."""


@dataclass
class Overflows:
    """Counts the moves in a row that fp16's scaler left out because a gradient overflowed."""

    count: int = 0

    def add(self, skipped: bool, step: int) -> None:
        """Counts the move of `step`. Raises MultiviewError after `MOST_OVERFLOWS` in a row."""
        self.count = self.count + 1 if skipped else 0
        if self.count >= MOST_OVERFLOWS:
            raise MultiviewError(
                f"step {step}: the gradients were not finite in float16 in the last {self.count} moves of the "
                "optimiser, and every one of them was left out, so nothing is learned. Give --precision bf16 or "
                "--precision no, or lower --lr; the last checkpoint is whole."
            )


def _owners(parameters: Sequence[str]) -> str:
    """`view ab, edge L-ab` for parameters `encoders.ab.stem.weight` and `scalars.L-ab.values.x`."""
    parts = [name.split(".") for name in parameters]
    kinds = {"scalars": "edge", "fusions": "fusion"}
    owners = [f"{kinds.get(kind, 'view')} {name.split('/')[0]}" for kind, name, *_ in parts]
    return ", ".join(dict.fromkeys(owners))


def _suspects(seen: Seen, present: Mapping[str, Tensor], index: Tensor, ids: Ids) -> str:
    """The samples with the first tensors that are not finite, else all samples of the step.

    Values of absent views are placeholders and are not checked.
    """
    everyone = gather(index)
    for kind, tensors in seen.items():
        bad = [~x.isfinite().flatten(1).all(1) & _there(view, present) for view, x in tensors]
        lost = gather(torch.stack(bad).any(0))
        if lost.any():
            return f"{kind} are not finite of samples {_listed(everyone[lost], ids)}."
    return f"{' and '.join(seen)} are finite; the step had samples {_listed(everyone, ids)}."


def _there(name: str, present: Mapping[str, Tensor]) -> Tensor:
    """The rows that have a view, or any of the views that are fused under the name `a+b`."""
    return torch.stack([present[view] for view in name.split(JOIN)]).any(0)


def _listed(index: Tensor, ids: Ids) -> str:
    more = f" and {len(index) - SAMPLES_SHOWN} more" if len(index) > SAMPLES_SHOWN else ""
    return ", ".join(ids(index[:SAMPLES_SHOWN].cpu())) + more
