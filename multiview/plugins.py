"""Plugins are found by name through entry points, those of this package and of any other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError, unknown_name

GROUPS = ("views", "encoders", "objectives", "sources", "recipes")
EXAMPLES = {
    "recipes": "multiview train auto --data {}",
    "sources": "multiview preprocess SOURCE {} OUT",
}
"""How data is given to the command that was probably meant."""


@dataclass(frozen=True)
class Plugin:
    """A registered name that is not imported yet.

    `target` is `module:attribute`; `origin` is the package that registers the name.
    """

    name: str
    group: str
    target: str
    origin: str

    @property
    def kind(self) -> str:
        """The name of the group in the singular: `view`, `encoder`, ..."""
        return self.group.removesuffix("s")

    @property
    def whole(self) -> str:
        """The unique name `package/name`."""
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
    """Every plugin of a group, sorted by name. Nothing is imported; equal names are all listed."""
    return list(_registered(group))


def find(group: str, name: str) -> Plugin:
    """The plugin `name` or `package/name`. Raises MultiviewError if unknown or registered twice."""
    plugins = installed(group)
    matches = [plugin for plugin in plugins if name in (plugin.name, plugin.whole)]
    if not matches:
        remedy = _of_data(group, name) or f'Add your own under [project.entry-points."multiview.{group}"].'
        raise unknown_name(group.removesuffix("s"), name, {plugin.name for plugin in plugins}, remedy)
    if len(matches) > 1:
        raise MultiviewError(
            f"{len(matches)} packages register the {group.removesuffix('s')} '{name}': "
            f"write {' or '.join(plugin.whole for plugin in matches)}, or uninstall one of them."
        )
    return matches[0]


def _of_data(group: str, name: str) -> str:
    """What to type when the name of data stands where a recipe or a source is expected."""
    if group not in EXAMPLES or not Path(name).exists():
        return ""
    return f"It is a {'folder' if Path(name).is_dir() else 'file'}: type `{EXAMPLES[group].format(name)}`."


def load(group: str, name: str) -> Any:
    """The object registered under `name` (or `package/name`) in `group`.

    Raises MultiviewError as `find` does, and when the import of the plugin fails.
    """
    plugin = find(group, name)
    try:
        return plugin.imported()
    except (Exception, SystemExit) as cause:  # a plugin that ends the program is broken too
        raise MultiviewError(
            f"the {plugin.kind} '{name}' of {plugin.origin} cannot be imported from {plugin.target}: "
            f"{type(cause).__name__}: {cause}. Reinstall or update {plugin.origin}."
        ) from cause


def check_options(what: str, factory: Callable[..., Any], given: Iterable[str], also: Iterable[str] = ()) -> None:
    """Raises MultiviewError for an option that is neither a keyword of `factory` nor in `also`.

    `what` names the plugin in the message: "view 'lab'".
    """
    parameters = inspect.signature(factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    keywords = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    for option in given:
        if option not in keywords:
            raise unknown_name(f"option of the {what}", option, {*keywords, *also})
