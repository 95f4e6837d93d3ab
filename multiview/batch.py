"""One batch between the data workers and the views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The cropped modalities of n samples.

    Args:
        crops: crop name -> modality -> tensor with the channels second: images uint8 (n, 3, h, w);
            depth float32 (n, 1, h, w), metres; normals float32 (n, 3, h, w); masks int64
            (n, 1, h, w); bands float32 (n, bands, h, w); audio int16 (n, channels, samples); video
            uint8 (n, 3, frames, h, w); series float32 (n, channels, times); tables float32
            (n, columns); points float32 (n, numbers, points); text int64 (n, bytes), 0 = padding.
        index: int64 (n,), position of each sample in its split; memories find a sample by it.
        present: modality -> bool (n,). Rows of an absent modality are zeros.
        host: index and presence of a batch that was moved to another device, as they were on the
            CPU: whoever reads them there does not wait for the device.
    """

    crops: dict[str, dict[str, Tensor]]
    index: Tensor
    present: dict[str, Tensor]
    host: Batch | None = None

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on `device`; `non_blocking` overlaps the copy of a pinned batch."""
        moved = self._moved(lambda x: x.to(device, non_blocking=non_blocking))
        return replace(moved, host=Batch({}, self.index, self.present) if self.index.is_cpu else self.host)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; DataLoader calls it for pin_memory=True."""
        return self._moved(lambda x: x.pin_memory())

    def _moved(self, move: Callable[[Tensor], Tensor]) -> Batch:
        # In evaluation several crops hold the same tensor: it is moved once.
        moved: dict[int, Tensor] = {}

        def once(x: Tensor) -> Tensor:
            if id(x) not in moved:
                moved[id(x)] = move(x)
            return moved[id(x)]

        crops = {name: {key: once(x) for key, x in modalities.items()} for name, modalities in self.crops.items()}
        return Batch(crops, once(self.index), {name: once(x) for name, x in self.present.items()})


def sent(x: Tensor, device: torch.device | str) -> Tensor:
    """`x`, of the CPU or there already, on `device`; the host does not wait for the copy."""
    if x.device == torch.device(device):
        return x
    if torch.device(device).type == "cuda" and not x.is_pinned():
        x = x.pin_memory()
    return x.to(device, non_blocking=True)
