"""A stand-in for a device without float64, such as MPS, that computes on the CPU.

Its tensors say that they are on the device `meta` and hold their numbers on the CPU. As on a real
device, float64 is refused, and so are operations between its tensors and those of the CPU. It
counts the operations for which the host would wait for a real device.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import optimizer as torch_optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default)
BY_INDEX = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
"""Operations whose indices may be on the CPU."""

FUSED = "_get_fused_kernels_supported_devices"
ROOT = f"{Path(__file__).parents[1]}{os.sep}"
SIZED_BY_VALUES = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.equal.default,
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
}
"""Operations whose results the host needs at once: a number, or the shape of a tensor."""

_waits: list[Counter[str]] = []
"""Where waits are counted; see `counted_waits`."""


@contextmanager
def counted_waits() -> Iterator[Counter[str]]:
    """Counts how often the host waits for the device in the block, by `file:line operation`.

    A copy counts unless it is `non_blocking`.
    """
    found: Counter[str] = Counter()
    _waits.append(found)
    try:
        yield found
    finally:
        _waits.remove(found)


def _note_wait(operation: str) -> None:
    if _waits:
        frame = sys._getframe()
        while frame.f_back and (frame.f_code.co_filename == __file__ or ROOT not in frame.f_code.co_filename):
            frame = frame.f_back
        place = f"{frame.f_code.co_filename.removeprefix(ROOT)}:{frame.f_lineno}"
        for counter in _waits:
            counter[f"{place} {operation}"] += 1


def _note_if_waits(func: Any, args: Any, kwargs: dict[str, Any], there: list[Any]) -> None:
    """Counts an operation for which a host waits. there: its tensors on the device."""
    if func in SIZED_BY_VALUES and there:
        _note_wait(func.overloadpacket.__name__)
    elif func in BY_INDEX and any(isinstance(x, OnDevice) and x.dtype == torch.bool for x in args[1]):
        _note_wait("index by a mask")
    elif func in BY_INDEX and isinstance(args[0], OnDevice) and any(type(x) is Tensor for x in args[1]):
        _note_wait("index on the CPU")
    elif func is aten._to_copy.default and kwargs.get("device") is not None:
        to_device = torch.device(kwargs["device"]).type == DEVICE.type
        if to_device and not there and not kwargs.get("non_blocking"):
            _note_wait("copy to the device")
        elif there and not to_device and not kwargs.get("non_blocking"):
            _note_wait("copy to the CPU")
    elif func is aten.copy_.default and isinstance(args[0], OnDevice) != isinstance(args[1], OnDevice):
        if not isinstance(args[0], OnDevice):
            _note_wait("copy to the CPU")
        elif len(args) < 3 or not args[2]:
            _note_wait("copy to the device")


class OnDevice(Tensor):
    """A tensor of the stand-in; its numbers are in `held`."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        """A tensor of the stand-in with the numbers of `held`, which is on the CPU."""
        if held.dtype == torch.float64:
            raise TypeError("a float64 tensor is made on a device that has no float64")
        facts: Any = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, **facts, device=DEVICE)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Computes with the numbers that are held."""
        return computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        """The numbers, for which a host waits."""
        _note_wait("tolist")
        return self.held.tolist()

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnDevice({self.held!r})"


class NoFloat64(TorchDispatchMode):
    """Within the block the device `meta` is the stand-in."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes on the stand-in what is asked of `meta`."""
        return computed(func, args, kwargs or {})

    def __enter__(self) -> NoFloat64:
        forget_constants()
        self.swapped = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)  # parameters stay the same objects
        self.fused = vars(torch_optimizer)[FUSED]
        setattr(torch_optimizer, FUSED, lambda: [*self.fused(), DEVICE.type])
        self.constants = ConstantsArrive()
        self.constants.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.constants.__exit__(*error)
        torch.__future__.set_swap_module_params_on_conversion(self.swapped)
        setattr(torch_optimizer, FUSED, self.fused)
        forget_constants()


class ConstantsArrive(TorchFunctionMode):
    """`torch.tensor(numbers, device="meta")` forgets the numbers: made on the CPU, then moved."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Makes a tensor of numbers on the CPU first."""
        kwargs = kwargs or {}
        device = kwargs.get("device") if func in (torch.tensor, torch.as_tensor) else None
        if device is None or torch.device(device).type != DEVICE.type:
            return func(*args, **kwargs)
        return func(*args, **{**kwargs, "device": "cpu"}).to(device)


def forget_constants() -> None:
    """Clears the caches of constants: one that was made for the stand-in is not one of `meta`."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("multiview.views.", "multiview.ops.", "views.")):
            for value in vars(module).values():
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What an operation gives, on the device where a real one would give it."""
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there: list[Any] = [x for x in given if isinstance(x, OnDevice)]
    device = kwargs.get("device")
    _note_if_waits(func, args, kwargs, there)
    if there and func not in MOVES:
        _refuse_mixed(func, args, given)
    if device is not None and torch.device(device).type == DEVICE.type:
        kwargs, there = {**kwargs, "device": "cpu"}, [None]
    elif device is not None:
        there = []
    elif func is aten.copy_.default:
        there = [x for x in there if x is args[0]]
    if any(x is torch.float64 for x in kwargs.values()) and there:
        raise TypeError(f"{func} asks for float64 on a device that has no float64")
    wrappers = {id(x.held): x for x in given if isinstance(x, OnDevice)}
    plain = tree_map(lambda x: x.held if isinstance(x, OnDevice) else x, (args, kwargs))
    out = func(*plain[0], **plain[1])
    if there and torch.Tag.inplace_view in func.tags:  # transpose_ and the like: shape and strides change too
        with no_dispatch():
            func(*args, **kwargs)
    plains = {id(x) for x in given}

    def wrapped(x: Any) -> Any:
        if not isinstance(x, Tensor) or id(x) in plains:
            return x
        return wrappers[id(x)] if id(x) in wrappers else OnDevice(x) if there else x

    return tree_map(wrapped, out)


def _refuse_mixed(func: Any, args: Any, given: list[Tensor]) -> None:
    checked = tree_leaves((args[0], *args[2:])) if func in BY_INDEX else given
    if any(isinstance(x, Tensor) and not isinstance(x, OnDevice) and x.ndim for x in checked):
        raise RuntimeError(f"{func}: some tensors are on the device and some are on the CPU")
