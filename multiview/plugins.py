"""The one door by which names become things: entry points, for our own parts and for a stranger's package alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from multiview.errors import MultiviewError, unknown_name

GROUPS = ("views", "encoders", "objectives", "sources", "recipes")


@dataclass(frozen=True)
class Plugin:
    """A registered name, before it is imported: `target` is `module:attribute`, `origin` the package that registers it."""

    name: str
    group: str
    target: str
    origin: str

    @property
    def kind(self) -> str:
        """What one of the group is called: `view`, `encoder`, ..."""
        return self.group.removesuffix("s")

    @property
    def whole(self) -> str:
        """The name that no other package's plugin has: `package/name`."""
        return f"{self.origin}/{self.name}"

    def imported(self) -> Any:
        """The object itself. Raises whatever its module raises."""
        return EntryPoint(self.name, self.target, f"multiview.{self.group}").load()


@cache
def _registered(group: str) -> tuple[Plugin, ...]:
    if group not in GROUPS:
        raise ValueError(f"no plugin group '{group}'; there are {', '.join(GROUPS)}")
    found = entry_points(group=f"multiview.{group}")
    plugins = [Plugin(e.name, group, e.value, e.dist.name if e.dist else "unknown") for e in found]
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.origin)))


def installed(group: str) -> list[Plugin]:
    """Every plugin of a group, by name, without importing any; of two with one name, both."""
    return list(_registered(group))


def find(group: str, name: str) -> Plugin:
    """The plugin called `name`, or `package/name`, in `group` (`views`, `encoders`, `objectives`, `sources`, `recipes`).

    Raises MultiviewError for an unknown name, with the nearest one, and for a name that two packages register.
    """
    plugins = installed(group)
    fitting = [plugin for plugin in plugins if name in (plugin.name, plugin.whole)]
    if not fitting:
        remedy = f'Add your own under [project.entry-points."multiview.{group}"].'
        raise unknown_name(group.removesuffix("s"), name, {plugin.name for plugin in plugins}, remedy)
    if len(fitting) > 1:
        raise MultiviewError(
            f"{len(fitting)} packages register the {group.removesuffix('s')} '{name}': "
            f"write {' or '.join(plugin.whole for plugin in fitting)}, or uninstall one of them."
        )
    return fitting[0]


def load(group: str, name: str) -> Any:
    """The object registered under `name` (or `package/name`) in `group`.

    Raises MultiviewError as `find` does, and for a plugin whose import fails, with the cause.
    """
    plugin = find(group, name)
    try:
        return plugin.imported()
    except Exception as cause:
        raise MultiviewError(
            f"the {plugin.kind} '{name}' of {plugin.origin} cannot be imported from {plugin.target}: "
            f"{type(cause).__name__}: {cause}. Reinstall or update {plugin.origin}."
        ) from cause


def check_options(what: str, factory: Callable[..., Any], given: Iterable[str], also: Iterable[str] = ()) -> None:
    """Raises MultiviewError for an option that `what`'s factory does not take by name; `also` are taken on its behalf."""
    parameters = inspect.signature(factory).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    taken = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    for option in given:
        if option not in taken:
            raise unknown_name(f"option of the {what}", option, {*taken, *also})
