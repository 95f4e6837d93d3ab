"""A stand-in for a device without float64, such as MPS, that computes on the CPU.

Its tensors say that they are on the device `meta` and hold their numbers on the CPU. As on a real
device, float64 is refused, and so are operations between its tensors and those of the CPU.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default)
BY_INDEX = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
"""Operations whose indices may be on the CPU."""


class OnDevice(Tensor):
    """A tensor of the stand-in; its numbers are in `held`."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        if held.dtype == torch.float64:
            raise TypeError("a float64 tensor is made on a device that has no float64")
        facts = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, **facts, device=DEVICE)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"OnDevice({self.held!r})"


class NoFloat64(TorchDispatchMode):
    """Within the block the device `meta` is the stand-in."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})

    def __enter__(self) -> NoFloat64:
        forget_constants()
        self.swapped = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)  # parameters stay the same objects
        self.constants = ConstantsArrive()
        self.constants.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.constants.__exit__(*error)
        torch.__future__.set_swap_module_params_on_conversion(self.swapped)
        forget_constants()


class ConstantsArrive(TorchFunctionMode):
    """`torch.tensor(numbers, device="meta")` forgets the numbers: made on the CPU, then moved."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
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
    there = [x for x in given if isinstance(x, OnDevice)]
    device = kwargs.get("device")
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
