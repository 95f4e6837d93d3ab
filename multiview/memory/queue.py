"""The queue of MoCo: the newest keys of a view, first in first out."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multiview.ops.ntxent import Terms
from multiview.ops.queue_loss import info_nce


class KeyQueue(nn.Module):
    """A ring of `size` keys of `dim` numbers, each with its sample.

    The queue starts empty. Unwritten rows are not negatives. grouped: each key also carries the
    code of its sample's group.
    """

    keys: Tensor
    ids: Tensor
    groups: Tensor
    pointer: Tensor
    fill: Tensor
    is_split: ClassVar[bool] = False

    def __init__(self, size: int, dim: int, *, grouped: bool = False) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("ids", torch.full((size,), -1))
        if grouped:
            self.register_buffer("groups", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("fill", torch.zeros((), dtype=torch.int64))
        self._filled: int | None = 0

    def __len__(self) -> int:
        """The number of keys written so far, from a copy on the CPU where there is one."""
        if self._filled is None:
            self._filled = int(self.fill)
        return self._filled

    def forget_length(self) -> None:
        """The next `len` asks the device again."""
        self._filled = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.forget_length()

    @property
    def size(self) -> int:
        """The number of keys that fit."""
        return len(self.keys)

    def filled_keys(self) -> Tensor:
        """The keys written so far, (fill, dim), in no order of age."""
        return self.keys[: len(self)]

    def filled_ids(self) -> Tensor:
        """The sample of each filled key, (fill,)."""
        return self.ids[: len(self)]

    def filled_groups(self) -> Tensor:
        """The group of each filled key, (fill,), of a `grouped` queue."""
        return self.groups[: len(self)]

    def prefix(self, width: int) -> KeyQueue:
        """A queue of the first `width` numbers of every key, of length 1 again."""
        made = KeyQueue(0, width)
        made.keys, made.ids = F.normalize(self.keys[:, :width], dim=1), self.ids
        made.pointer, made.fill, made._filled = self.pointer, self.fill, self._filled
        if "groups" in self._buffers:
            made.groups = self.groups
        return made

    def require(self, index: Tensor) -> None:
        """Allows any index: no key is looked up by it."""

    def note(self, name: str, samples: int) -> str:
        """See `MemoryBank.note`."""
        if self.size <= samples:
            return ""
        return (
            f"queue {name} holds {self.size:,} keys but there are only {samples:,} samples: the queue holds some "
            f"samples several times. Give --queue {samples} or less to hold each sample once."
        )

    def take(
        self, keys: Tensor, index: Tensor, present: Tensor, groups: Tensor | None = None, *, whole: bool = False
    ) -> None:
        """Appends the keys where `present`, see `MemoryBank.take`."""
        if present.is_cpu:
            self.update(keys[present], index[present], None if groups is None else groups[present])
        else:
            self.update_present(keys, index, present, groups, all_known=whole)

    @torch.no_grad()
    def update(self, keys: Tensor, index: Tensor, groups: Tensor | None = None) -> None:
        """Appends keys (n, dim) of samples `index` (n,) in place of the oldest.

        n may exceed the size of the queue: then the last keys stay. groups: (n,) codes of the
        samples' groups, for a `grouped` queue.
        """
        keys, index = keys[-self.size :], index[-self.size :]
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.size
        self.keys[slots] = keys.to(self.keys)
        self.ids[slots] = index.to(self.ids)
        if groups is not None:
            self.groups[slots] = groups[-self.size :].to(self.groups)
        self.pointer.copy_((self.pointer + len(keys)) % self.size)
        self.fill.copy_((self.fill + len(keys)).clamp(max=self.size))
        self._filled = None if self._filled is None else min(self._filled + len(keys), self.size)

    @torch.no_grad()
    def update_present(
        self, keys: Tensor, index: Tensor, present: Tensor, groups: Tensor | None = None, *, all_known: bool = False
    ) -> None:
        """`update` with the rows where `present` (n,); the host does not wait for the device.

        Absent rows write what is in their place. all_known: the host knows that all are present.
        """
        order = torch.argsort(present.to(torch.uint8), stable=True)[-self.size :]  # absent rows first
        there, count = present[order], len(order)
        written = there.sum()
        turns = (torch.arange(count, device=keys.device) + written) % count  # present rows come first
        slots = (self.pointer + turns) % self.size
        groups = None if groups is None else groups[order]
        for buffer, new in (
            (self.keys, keys[order]),
            (self.ids, index[order]),
            (getattr(self, "groups", None), groups),
        ):
            if buffer is not None and new is not None:
                old = buffer[slots]
                buffer[slots] = torch.where(there.view(-1, *[1] * (new.ndim - 1)), new.to(old), old)
        self.pointer.copy_((self.pointer + written) % self.size)
        self.fill.copy_((self.fill + written).clamp(max=self.size))
        if self._filled != self.size:
            known = self._filled is not None and all_known
            self._filled = min(len(self) + count, self.size) if known else None


def queue_terms(q: Tensor, k: Tensor, queue: KeyQueue, ids: Tensor | None, temperature: float | Tensor) -> Terms:
    """`info_nce` against a queue: its former signature."""
    return info_nce(q, k, queue.filled_keys(), queue.filled_ids(), ids, temperature)
