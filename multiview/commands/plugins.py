"""`multiview list`."""

from __future__ import annotations

from dataclasses import dataclass

from multiview.catalogue import lines
from multiview.errors import unknown_name
from multiview.exits import DONE
from multiview.plugins import GROUPS
from multiview.terminal import say


@dataclass(frozen=True, kw_only=True)
class ListPlugins:
    """Lists every plugin with its package and one line of help, and says which ones are broken.

    Args:
        group: views, encoders, objectives, sources or recipes; all groups when none is named.
    """

    group: tuple[str, ...] = ()


def list_plugins(options: ListPlugins) -> int:
    """multiview list [GROUP ...]."""
    for group in options.group:
        if group not in GROUPS:
            raise unknown_name("group of plugins", group, GROUPS)
    for line in lines(options.group or GROUPS):
        say(line)
    return DONE
