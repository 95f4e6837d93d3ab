"""Docstrings as the site shows them: `Example:` is a program, and a formula keeps its brackets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import griffe

PROGRAM = re.compile(r"^ *>>> .*(?:\n.*\S.*)*", flags=re.MULTILINE)
CODE = re.compile(r"`+[^`]*`+")


class ExampleSections(griffe.Extension):
    """Changes every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Changes the text of one docstring."""
        if obj.docstring:
            obj.docstring.value = for_the_site(obj.docstring.value)


def for_the_site(text: str) -> str:
    """A docstring for Griffe and Markdown.

    Griffe knows only `Examples:`. Markdown takes `<a, b>` for a tag of HTML and drops it; programs
    and code between backquotes are safe.
    """
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    return _outside(PROGRAM, text, lambda prose: _outside(CODE, prose, lambda words: words.replace("<", "&lt;")))


def _outside(pattern: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    """The text, changed where the pattern does not match."""
    parts, end = [], 0
    for found in pattern.finditer(text):
        parts += [change(text[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*parts, change(text[end:])])
