"""Mistakes of the user, with messages that say what to type instead."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from multiview import old_import_paths

__getattr__ = old_import_paths.names_of("errors")


MOST_NAMES = 2000
"""Names of a folder that are compared with a path that does not exist."""
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control characters, invisible formatting, lone surrogates and line ends."""


class MultiviewError(Exception):
    """A mistake of the user. The message says what was given, what is right, and what to type.

    The command line prints only the message, without a traceback, and exits with code 2.

    local: this process alone has the error, so that its message is printed on any rank.

    Example:
        >>> mv.make_view("labb", mv.Crop(size=32))
        Traceback (most recent call last):
        multiview.errors.MultiviewError: 'labb' is not a ... Did you mean 'lab'?...
    """

    local = False


def printable(text: object) -> str:
    """A foreign text, such as a file name, that cannot steer the terminal.

    Control characters, also invisible ones that change the direction of text, become `\\x1b` and
    the like. Tabs, line ends and the joiners of scripts and emoji stay.
    """
    return "".join(
        c if c in "\n\t\u200c\u200d" or unicodedata.category(c) not in UNSAFE else _escaped(c) for c in str(text)
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Stopped(MultiviewError):  # noqa: N818
    """A signal stopped `fit` before the last step; code after `fit` must not take the run for done.

    trained: the half-trained run, whose checkpoint is saved.

    Example:
        >>> try:  # doctest: +SKIP
        ...     trained = mv.fit(setup, data="photos")
        ... except mv.Stopped as stop:
        ...     trained = stop.trained
    """

    def __init__(self, message: str, trained: Any = None) -> None:
        super().__init__(message)
        self.trained = trained


def suggestion(given: str, known: Iterable[str]) -> str:
    """` Did you mean 'lab'?` with the most similar known name; empty when no name is similar."""
    near = _nearest(given, known)
    return f" Did you mean '{near}'?" if near else ""


def _nearest(given: str, known: Iterable[str]) -> str | None:
    by_case = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), by_case, n=5, cutoff=0.6)
    best = max(near, key=lambda name: (_likeness(name, given.casefold()), name), default=None)
    return by_case[best] if best else None


def near_path(given: str) -> str:
    """` Did you mean 'photos'?` with the name nearest to the first missing part of a path."""
    there = Path(given).expanduser()
    missing = next((part for part in (*reversed(there.parents), there) if not part.exists()), None)
    if missing is None:
        return ""
    try:
        beside = [path.name for path in islice(missing.parent.iterdir(), MOST_NAMES) if not path.name.startswith(".")]
    except OSError:
        return ""
    near = _nearest(missing.name, beside)
    return f" Did you mean '{printable(missing.parent / near)}'?" if near else ""


def _likeness(name: str, given: str) -> tuple[float, float]:
    """How similar two words are; the second number prefers resnet18 to resnet1d for resnet19."""
    shape, given_shape = (re.sub(r"[a-z]", "a", re.sub(r"\d", "0", word)) for word in (name, given))
    return difflib.SequenceMatcher(None, name, given).ratio(), difflib.SequenceMatcher(None, shape, given_shape).ratio()


LONG = 12
"""Names in a list that a reader no longer sees at a glance."""


def unknown_name(kind: str, given: str, known: Iterable[str], remedy: str = "") -> MultiviewError:
    """The error for an unknown name: lists the known names, suggests one, and ends in `remedy`.

    Before a long list the suggestion comes first.
    """
    names = sorted(known)
    listing = ", ".join(names) if names else "none"
    article = "an" if kind[0] in "aeiou" else "a"
    wrong, near = f"'{given}' is not {article} {kind}", suggestion(given, names)
    first = near and len(names) > LONG
    text = f"{wrong}.{near} Available: {listing}." if first else f"{wrong}; available: {listing}.{near}"
    return MultiviewError(f"{text} {remedy}".strip())
