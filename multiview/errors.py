"""Errors are part of the interface: each says what was given, what would be right, and what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MultiviewError(Exception):
    """A mistake that the user can mend. The command line prints its message alone and exits with code 2."""


def suggestion(given: str, known: Iterable[str]) -> str:
    """` Did you mean 'lab'?` for the nearest known name, or an empty string when none is near."""
    by_case = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), by_case, n=1, cutoff=0.6)
    return f" Did you mean '{by_case[near[0]]}'?" if near else ""


def unknown_name(kind: str, given: str, known: Iterable[str], remedy: str = "") -> MultiviewError:
    """The error for a name that does not exist: lists what does, suggests the nearest, ends in `remedy`."""
    names = sorted(known)
    listing = ", ".join(names) if names else "none"
    article = "an" if kind[0] in "aeiou" else "a"
    text = f"'{given}' is not {article} {kind}; available: {listing}.{suggestion(given, names)}"
    return MultiviewError(f"{text} {remedy}".strip())
