"""How a view and an encoder remember their registered name and options, as JSON can hold them.

A recorded factory puts a `Made` on its result. `to_plain` writes options as plain values.
`from_plain` reads them back, and imports classes only from packages that register a plugin.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from multiview.errors import MultiviewError
from multiview.plugins import GROUPS, installed

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    """The factory of a view or an encoder, and the options of the call, defaults included.

    factory: its registered name, or `module:function`. model: NAME of `timm:NAME`.
    """

    factory: str
    options: Mapping[str, Any]
    model: str | None = None

    def name(self, group: str) -> str:
        """The name for `make_view` or `make_encoder`. Raises MultiviewError when there is none."""
        names = [self.factory]
        if ":" in self.factory:
            plugins = installed(group)
            names = [plugin.name for plugin in plugins if plugin.target == self.factory]
            names = [name for name in names if sum(plugin.name == name for plugin in plugins) == 1] or [
                plugin.whole for plugin in plugins if plugin.target == self.factory
            ]
        if not names:
            raise MultiviewError(
                f'no package registers {self.factory} under [project.entry-points."multiview.{group}"]'
            )
        return names[0] if self.model is None else f"{names[0]}:{self.model}"


def recorded(factory: Callable[P, T]) -> Callable[P, T]:
    """The factory, which now enters itself and its options into `made` of each result."""
    target = f"{factory.__module__}:{factory.__qualname__}"

    @wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> T:
        return remember(factory(*args, **kwargs), target, factory, args, kwargs)

    return make


def remember(result: T, name: str, factory: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> T:
    """`result` with its `Made`: the result of `factory`, known as `name`, for these arguments."""
    bound = inspect.signature(factory).bind(*args, **kwargs)
    bound.apply_defaults()
    options: dict[str, Any] = {}
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            options[parameter.name] = bound.arguments[parameter.name]
        elif parameter.kind is parameter.VAR_KEYWORD:
            options |= bound.arguments[parameter.name]
    object.__setattr__(result, "made", Made(name, options, bound.arguments.get("model")))  # a View is frozen
    return result


def to_plain(value: Any) -> Any:
    """The value in JSON's types. Raises MultiviewError when `from_plain` could not read it back.

    A dataclass becomes `{"class": "module:Name", "options": {...}}`, an infinite number
    `{"number": "inf"}`, a mapping `{"mapping": {...}}`, a path text, a tuple a list.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else {"number": str(float(value))}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {key: to_plain(item) for key, item in value.items()}}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        target = f"{kind.__module__}:{kind.__qualname__}"
        _class(target)
        return {"class": target, "options": plain_fields(value)}
    raise MultiviewError(f"{value!r} is no number, text, list or dataclass, so JSON cannot hold it")


def plain_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, in JSON's types."""
    return {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.init}


def from_plain(value: Any) -> Any:
    """The value that `to_plain` wrote; a list becomes a tuple. Raises MultiviewError."""
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "number" in value:
        return float(value["number"])
    if "mapping" in value:
        return {key: from_plain(item) for key, item in value["mapping"].items()}
    return _class(value["class"])(**{key: from_plain(item) for key, item in value["options"].items()})


def _class(target: str) -> type:
    """The dataclass `module:Name` of a package with plugins; a record must not run other code."""
    module, _, name = target.partition(":")
    packages = {plugin.target.partition(":")[0].partition(".")[0] for group in GROUPS for plugin in installed(group)}
    if module.partition(".")[0] not in packages:
        raise MultiviewError(f"{target} belongs to no installed package that registers plugins for multiview")
    found = getattr(import_module(module), name, None)
    if not (isinstance(found, type) and is_dataclass(found) and found.__module__ == module):
        raise MultiviewError(f"{target} is not a dataclass at the top of its module")
    return found
