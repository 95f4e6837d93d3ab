"""What a user gives to a loss: checked, masked, and in the form that objectives read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from multiview.distributed import gather, rank
from multiview.errors import MultiviewError, unknown_name
from multiview.masked_forward import masked_forward
from multiview.model import onto_sphere
from multiview.objectives.edge import EdgeInput
from multiview.objectives.needs import Head

Made = TypeVar("Made")
Present = Tensor | Sequence[Tensor] | None
"""Which rows exist: a bool tensor (n,), or one per view; None = all."""

EXTRAS = {field.name for field in fields(EdgeInput) if field.type == "Tensor | None"}
"""What objectives can read of each row besides embeddings, such as `group`."""


def require_rows(owner: str, named: Mapping[str, object], width: int | None = None) -> Tensor:
    """Raises MultiviewError unless all are numbers (n, width) with the same n. Returns the first.

    named: tensors by their names in the message. width: None = that of the first.
    """
    wanted = "(n, d)" if width is None else f"(n, {width})"
    for name, x in named.items():
        if not isinstance(x, Tensor) or x.ndim != 2 or not x.is_floating_point():
            raise MultiviewError(f"{owner}: {name} is {_shown(x)}; give a tensor of embeddings {wanted}.")
        if width is not None and x.shape[1] != width:
            raise MultiviewError(
                f"{owner}: {name} has {x.shape[1]} numbers per row, but the loss is made for {width}; give embeddings "
                f"{wanted}, or make the loss with dim={x.shape[1]}."
            )
    (name, first), *others = cast("dict[str, Tensor]", named).items()
    for other, x in others:
        if x.shape != first.shape:
            raise MultiviewError(
                f"{owner}: {other} has shape {tuple(x.shape)} and {name} {tuple(first.shape)}; row i of each must "
                "belong to the same sample, and all must have the same width."
            )
    return first


def _shown(x: object) -> str:
    """What was given, in a few words."""
    return f"{x.dtype} {tuple(x.shape)}".removeprefix("torch.") if isinstance(x, Tensor) else f"a {type(x).__name__}"


def masks(owner: str, present: Present, views: int, like: Tensor) -> list[Tensor]:
    """One mask (n,) per view, on the device of the rows `like` (n, d)."""
    if present is None:
        return [torch.ones(len(like), dtype=torch.bool, device=like.device)] * views
    given = [present] * views if isinstance(present, Tensor) else list(present)
    for mask in given:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (len(like),):
            raise MultiviewError(
                f"{owner}: present is {_shown(mask)}; give a bool tensor ({len(like)},), or one per view."
            )
    if len(given) != views:
        raise MultiviewError(
            f"{owner}: present holds {len(given)} masks; give one mask, or one for each of {views} views."
        )
    return [mask.to(like.device) for mask in given]


def places(like: Tensor) -> Tensor:
    """The place (n,) of each row of this process among the rows of all processes."""
    return torch.arange(len(like), device=like.device) + rank() * len(like)


def made(owner: str, kind: Callable[..., Made], **options: Any) -> Made:
    """The objective with these options; a message about one names the function that was called."""
    try:
        return kind(**options)
    except MultiviewError as error:
        told = str(error).removeprefix(f"{getattr(kind, '__name__', '')}: ").removeprefix(f"{owner}: ")
        raise MultiviewError(f"{owner}: {told}") from error


def require_index(owner: str, index: Tensor, rows: int, samples: int | None) -> None:
    """Raises MultiviewError, in every process, unless index holds `rows` places below `samples`."""
    if not isinstance(index, Tensor) or index.shape != (rows,) or index.is_floating_point() or index.is_complex():
        raise MultiviewError(
            f"{owner}: index is {_shown(index)}; give whole numbers ({rows},), the place of each sample."
        )
    if samples is None or not rows:
        return
    low, high = (int(x) for x in torch.aminmax(gather(index)))
    if low < 0 or high >= samples:
        raise MultiviewError(
            f"{owner}: index holds {low}..{high}, but the training data has {samples} samples, numbered from 0; "
            "make the loss with samples=len(dataset)."
        )


def kept(x: Tensor, present: Tensor, head: Head) -> Tensor:
    """The rows as an objective reads them: of length 1 if the head says so, zero where absent."""
    return read_rows(lambda rows: {"x": onto_sphere(rows, head)}, x, present)["x"]


def read_rows(
    read: Callable[[Tensor], dict[str, Tensor]],
    x: Tensor,
    present: Tensor,
    modules: Sequence[nn.Module] = (),
    groups: int = 1,
) -> dict[str, Tensor]:
    """`masked_forward`, where x (n, d) gets a gradient of 0 when no row is present.

    Without a gradient, DistributedDataParallel would wait for it for ever.
    """
    found = masked_forward(read, x, present, modules, groups)
    return {name: value + x[:0].sum() for name, value in found.items()}


def with_extras(owner: str, edge: EdgeInput, rows: Mapping[str, Tensor], keywords: Iterable[str] = ()) -> EdgeInput:
    """The edge with further numbers per row, such as the group of each sample.

    rows: by the names in `EXTRAS`.
    keywords: the owner's other keywords, which the error names too.
    """
    for name, x in rows.items():
        if name not in EXTRAS:
            raise unknown_name(f"keyword of {owner}", name, {*EXTRAS, "present", *keywords})
        if not isinstance(x, Tensor) or len(x) != len(edge.index):
            raise MultiviewError(f"{owner}: {name} is {_shown(x)}; give a tensor with {len(edge.index)} rows.")
    extras: dict[str, Any] = {name: x.to(edge.index.device) for name, x in rows.items()}
    return replace(edge, **extras) if extras else edge


@contextmanager
def full_precision_region(like: Tensor) -> Iterator[None]:
    """Autocast is off: the losses convert what they need, and a bfloat16 cosine is too coarse."""
    with torch.autocast(like.device.type, enabled=False):
        yield


def group_codes(groups: Tensor | Sequence[Any] | None, samples: int | None) -> Tensor | None:
    """The group of each of `samples` samples as a number from 0. groups: any hashable values."""
    if groups is None:
        return None
    values = groups.tolist() if isinstance(groups, Tensor) else list(groups)
    if samples is not None and len(values) != samples:
        raise MultiviewError(f"PairLoss: groups holds {len(values)} values for {samples} samples; give one per sample.")
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    if len(numbers) < 2:
        raise MultiviewError(
            "PairLoss: groups holds one group only, so that no sample has a negative; leave groups out."
        )
    return torch.tensor([numbers[value] for value in values])
