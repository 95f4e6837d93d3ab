"""Views and encoders in one word, as the command line gives them: `rgb:image:bands=8`."""

from __future__ import annotations

from typing import Any

from multiview.errors import MultiviewError
from multiview.graphs.values import GraphView
from multiview.graphs.yamlfile import document_of


def view_words(words: str) -> dict[str, Any]:
    """`rgb:image:bands=8` as the mapping of a view: its registered name, modality and options."""
    name, *rest = words.split(":")
    modality = rest.pop(0) if rest and "=" not in rest[0] else None
    options = dict(map(_option, rest))
    modality = options.pop("modality", modality)
    view: Any = {"name": name.strip(), **options} if options else name.strip()
    return {"view": view} | ({"modality": modality} if modality is not None else {})


def view_of_words(name: str, words: str | None, **fields: Any) -> GraphView:
    """The view of `rgb:image:bands=8`; None = the view of the same name."""
    given = view_words(words or name)
    named = given["view"] if isinstance(given["view"], dict) else {"name": given["view"]}
    options = {key: value for key, value in named.items() if key != "name"}
    return GraphView(view=named["name"], modality=given.get("modality"), options=options, **fields)


def named_words(words: str) -> tuple[str, dict[str, Any]]:
    """`timm:resnet18:width=0.5` as a name and options."""
    parts = words.strip().split(":")
    name = ":".join(part for part in parts if "=" not in part)
    return name, dict(_option(part) for part in parts if "=" in part)


def _option(words: str) -> tuple[str, Any]:
    name, equals, text = words.partition("=")
    if not equals or not name.strip().isidentifier():
        raise MultiviewError(f"'{words}' is no option; write OPTION=VALUE, such as bands=8.")
    value = document_of(text, f"'{words}'", numbered=False).value
    return name.strip(), tuple(value) if isinstance(value, list) else value
