"""A step whose numbers are not finite is refused by all processes at once, so that none waits for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from multiview.distributed import any_rank, gather
from multiview.errors import MultiviewError

NAMES_SHOWN, SAMPLES_SHOWN = 4, 8

UNTOUCHED = "Weights, banks and queues are as they were before it."

Ids = Callable[[Tensor], list[str]]
"""Names of samples by their index."""

Seen = Mapping[str, Iterable[tuple[str, Tensor]]]
"""Tensors (n, ...) by what they are, each with the view it is of."""


def require_finite_losses(
    losses: Mapping[str, Tensor], seen: Seen, present: Mapping[str, Tensor], index: Tensor, ids: Ids, step: int
) -> None:
    """Raises MultiviewError naming step, edges and samples when a loss of any process is not finite.

    losses: by edge, then their `sum`. seen: what the step worked with, first things first. present: which rows a view exists for. index: of
    the step's samples.
    """
    bad = any_rank((~torch.stack(list(losses.values())).isfinite()).tolist(), index.device)
    if not any(bad):
        return
    edges = [name for name, one in zip(losses, bad, strict=True) if one]
    raise MultiviewError(
        f"step {step}: the loss of edge {', '.join(edges[:-1] or edges)} is not finite. {_suspects(seen, present, index, ids)} {UNTOUCHED} "
        "Lower --lr, raise --temperature, or use --precision no; the last checkpoint is whole."
    )


def require_finite_gradients(
    names: Sequence[str], norms: Tensor, index: Tensor, ids: Ids, step: int, accumulated: int = 1
) -> None:
    """Raises MultiviewError naming step, parameters and samples when a gradient of any process is not finite, or its norm overflows.

    names: of the parameters (p,). norms: of their gradients (p,). index: of the step's samples. accumulated: steps in the gradients.
    """
    bad = any_rank((~norms.isfinite()).tolist(), norms.device)
    if not any(bad):
        return
    lost = [name for name, one in zip(names, bad, strict=True) if one]
    more = f" and {len(lost) - NAMES_SHOWN} more" if len(lost) > NAMES_SHOWN else ""
    since = f" of steps {step - accumulated + 1} to {step}" if accumulated > 1 else ""
    raise MultiviewError(
        f"step {step}: the loss is finite, but the gradient{since} is not, of {_whose(lost)}: {', '.join(lost[:NAMES_SHOWN])}{more}. The step "
        f"had samples {_listed(gather(index), ids)}. {UNTOUCHED} Look for a root, a logarithm or a division at 0 in what these parameters feed; "
        "else lower --lr, raise --temperature, or use --precision no. The last checkpoint is whole."
    )


def _whose(parameters: Sequence[str]) -> str:
    """`view ab`, `edge L-ab`: whose parameters they are, by names such as `encoders.ab.stem.weight` and `scalars.L-ab.values.x`."""
    parts = [name.split(".") for name in parameters]
    owners = [f"{'edge' if kind == 'scalars' else 'view'} {name.split('/')[0]}" for kind, name, *_ in parts]
    return ", ".join(dict.fromkeys(owners))


def _suspects(seen: Seen, present: Mapping[str, Tensor], index: Tensor, ids: Ids) -> str:
    """The samples of all ranks whose views first went wrong; where none did, those of the step. What stands for an absent view is none."""
    everyone = gather(index)
    for kind, tensors in seen.items():
        lost = gather(torch.stack([~x.isfinite().flatten(1).all(1) & present[view] for view, x in tensors]).any(0))
        if lost.any():
            return f"{kind} are not finite of samples {_listed(everyone[lost], ids)}."
    return f"{' and '.join(seen)} are finite; the step had samples {_listed(everyone, ids)}."


def _listed(index: Tensor, ids: Ids) -> str:
    more = f" and {len(index) - SAMPLES_SHOWN} more" if len(index) > SAMPLES_SHOWN else ""
    return ", ".join(ids(index[:SAMPLES_SHOWN].cpu())) + more
