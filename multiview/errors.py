"""Errors are part of the interface: each says what was given, what would be right, and what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MultiviewError(Exception):
    """A mistake that the user can mend. The command line prints its message alone and exits with code 2."""


def suggestion(given: str, known: Iterable[str]) -> str:
    """` Did you mean 'lab'?` for the nearest known name, or an empty string when none is near."""
    by_case = {name.casefold(): name for name in known}
    near = sorted(difflib.get_close_matches(given.casefold(), by_case, n=5, cutoff=0.6))
    # Of equally near names the first one, so that another plugin of a like name does not change the answer at random.
    best = max(near, key=lambda name: difflib.SequenceMatcher(None, name, given.casefold()).ratio(), default=None)
    return f" Did you mean '{by_case[best]}'?" if best else ""


def unknown_name(kind: str, given: str, known: Iterable[str], remedy: str = "") -> MultiviewError:
    """The error for a name that does not exist: lists what does, suggests the nearest, ends in `remedy`."""
    names = sorted(known)
    listing = ", ".join(names) if names else "none"
    article = "an" if kind[0] in "aeiou" else "a"
    text = f"'{given}' is not {article} {kind}; available: {listing}.{suggestion(given, names)}"
    return MultiviewError(f"{text} {remedy}".strip())
