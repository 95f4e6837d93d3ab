"""Optimisers without the marks for torch.compile, whose first use imports torch._dynamo.

The import costs a second or more when a run starts. No optimiser of ours is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of every optimiser that PyTorch hides from torch.compile."""


@cache
def unmarked(kind: type[Kind]) -> type[Kind]:
    """The optimiser class with the same name, options, state and arithmetic, never compiled."""
    methods: dict[str, Any] = {name: _inner(getattr(kind, name)) for name in MARKED}
    step = getattr(kind.step, "__wrapped__", None)
    if step is not None:  # the outer function only sets whether gradients are recorded
        methods["step"] = torch.no_grad()(step)
    return cast("type[Kind]", type(kind.__name__, (kind,), methods | {"__doc__": kind.__doc__}))


def _inner(method: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(method, "__wrapped__", method)
