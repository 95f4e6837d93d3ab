"""Where the time of a training step goes: a stopwatch with labels, and where it is switched."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn

from multiview.memory.key_encoder import KeyEncoder
from multiview.model import Projection
from multiview.train import step as steps
from multiview.train.loop import Loop

PARTS = ("data", "views", "encoders", "heads", "memories", "objectives", "health", "optimiser", "logging", "rest")
"""The parts of a step, in the order in which a table shows them."""


class Stopwatch:
    """Adds up the seconds of each label. Within a block of one label, another one can begin."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.labels = ["rest"]
        self.since = time.perf_counter()

    def switch(self, label: str) -> None:
        """From now on, the time of the present block counts for `label`."""
        now = time.perf_counter()
        self.seconds[self.labels[-1]] += now - self.since
        self.since, self.labels[-1] = now, label

    @contextmanager
    def block(self, label: str) -> Iterator[None]:
        """The time of the block counts for `label`, and not for the block around it."""
        self.switch(self.labels[-1])
        self.labels.append(label)
        try:
            yield
        finally:
            self.switch(label)
            self.labels.pop()

    def timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a block."""

        @wraps(function)
        def measured(*args: Any, **named: Any) -> Any:
            with self.block(label):
                return function(*args, **named)

        return measured


@contextmanager
def watched(loop: Loop) -> Iterator[Stopwatch]:
    """A stopwatch that the parts of the loop's steps switch.

    The backward pass is one call. Hooks tell where it arrives at the output of a head and of an
    encoder, and where it leaves an encoder's first layer.
    """
    watch, parts, patches = Stopwatch(), loop.parts, []
    for owner, name, label in _places(loop):
        patches.append(patch.object(owner, name, watch.timed(label, getattr(owner, name))))
    handles = [_hooked(each, watch) for each in parts.model.modules() if isinstance(each, Projection)]
    for encoder in parts.model.own_encoders().values():
        handles += [encoder.register_forward_hook(_when_reached(watch, "encoders"))]
        first = next(m for m in encoder.modules() if list(m.parameters(recurse=False)))
        handles += [first.register_forward_hook(_when_left(watch))]
    for each in patches:
        each.start()
    try:
        yield watch
    finally:
        for each in patches:
            each.stop()
        for handle in handles:
            handle.remove()


def _places(loop: Loop) -> Iterator[tuple[Any, str, str]]:
    """Where a function is, its name, and the part of a step that it belongs to."""
    parts = loop.parts
    yield parts.layer, "forward", "views"
    encoders: list[nn.Module] = [*parts.model.own_encoders().values()]
    keys = [m for m in parts.memories.modules() if isinstance(m, KeyEncoder)]
    for encoder in [*encoders, *(key.encoder for key in keys)]:
        yield encoder, "forward", "encoders"
    for head in (m for m in parts.model.modules() if isinstance(m, Projection)):
        yield from ((head, name, "heads") for name in ("raw", "onto_sphere"))
    yield from ((parts.memories, name, "memories") for name in ("follow", "keys", "edge_inputs", "update"))
    for kind in {type(edge.objective) for edge in parts.graph.edges}:
        yield from ((kind, name, "objectives") for name in ("scored", "has_loss"))
    yield parts.accelerator, "backward", "objectives"
    yield from ((steps, name, "health") for name in ("measured", "require_finite_losses", "_clip"))
    yield from ((parts.acting_optimiser, name, "optimiser") for name in ("step", "zero_grad"))
    yield loop, "_log", "logging"
    yield from ((type(loop.window), name, "logging") for name in ("add", "summary"))


def _hooked(head: Projection, watch: Stopwatch) -> Any:
    """Hooks on the output of the last layer of a head: `raw` does not call the head itself."""
    return head.layers.register_forward_hook(_when_reached(watch, "heads"))


def _when_reached(watch: Stopwatch, label: str) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook: when the gradient arrives at the output, the time counts for `label`."""

    def hook(_: nn.Module, __: Any, out: Tensor) -> None:
        if out.requires_grad:
            out.register_hook(lambda _: watch.switch(label))

    return hook


def _when_left(watch: Stopwatch) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook: after the backward pass of this module, the rest counts for objectives."""

    def hook(_: nn.Module, __: Any, out: Tensor) -> None:
        if out.grad_fn is not None:
            out.grad_fn.register_hook(lambda *_: watch.switch("objectives"))

    return hook
