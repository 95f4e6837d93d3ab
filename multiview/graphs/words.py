"""The command line of a graph: files, `--views`, `--edges`, `--encoders` and dotted options.

The words are read from left to right, and later words replace what earlier words said. The graph
becomes three options (`--views`, `--edges`, `--topology`); all other words stay options of the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from multiview.config import Optimizer
from multiview.errors import MultiviewError, unknown_name
from multiview.graphs.checking import check
from multiview.graphs.placing import placed
from multiview.graphs.reading import (
    NAMES,
    check_top,
    crop_of,
    graph_of,
    listed_edges,
    objective_at,
)
from multiview.graphs.shorthand import named_words, view_words
from multiview.graphs.topology import edges_of
from multiview.graphs.writing import plain_parts
from multiview.graphs.yamlfile import At, Document, document_of, kind_of, read_document
from multiview.option_values import split
from multiview.options import flags_of, parse
from multiview.papers import is_graph_file, path_of
from multiview.recipe import Recipe

GRAPH = ("views", "edges", "encoders", "topology")
OF_ONE_VIEW = ("width", "encoder", "augment", "modality", "share", "lr_scale", "dim")
"""Options that other recipes have for all views; a graph has them for each."""
NAMED = ("view", "encoder", "objective")
"""Keys whose value is a name, or a mapping with the name and options."""
RATE_OF_SGD = 0.01
"""Learning rates from here on, without the name of an optimiser, are of graphs of before AdamW."""


def _require_views(document: Document) -> None:
    if "views" not in document.value:
        raise MultiviewError(
            "there is no graph to train; give a graph file, as in `multiview train graph.yaml`, or views, as in "
            "--views photo=rgb,depth."
        )


def options_of(recipe: type[Recipe], words: Sequence[str]) -> list[str]:
    """The words of `multiview train graph.yaml ...` as options of the recipe, checked.

    Raises MultiviewError with the file and line, or the option, of a mistake.
    """
    if {"-h", "--help"} & set(words):
        return list(words)
    document, options = _read(recipe, words)
    _require_views(document)
    graph = check(graph_of(document), document)
    views, edges = plain_parts(graph.views, graph.edges)
    options += _rest_of_optimiser(options)
    return [*options, f"--views={json.dumps(views)}", f"--edges={json.dumps(edges)}", "--topology=null"]


def _rest_of_optimiser(options: Sequence[str]) -> list[str]:
    """SGD for a rate of SGD without a name; SGD's rate for a name without one, as once."""
    given = _given(options)
    rates = [own for option, own in given.items() if option.rpartition(".")[2] == "lr"]
    name = next((own for option, own in given.items() if option.endswith("optimizer.name")), None)
    warm = any(option.endswith("optimizer.warmup") for option in given)
    unwarmed = [] if warm else [f"--train.optimizer.warmup={Optimizer.warmup}"]
    if name is None:
        return ["--train.optimizer.name=sgd", *unwarmed] if any(map(_is_of_sgd, rates)) else []
    if name == "adamw":
        return []
    return unwarmed if rates else [f"--train.optimizer.lr={Optimizer.lr}", *unwarmed]


def _given(options: Sequence[str]) -> dict[str, str]:
    """Option -> its value, of `--option=value` and `--option value`."""
    given: dict[str, str] = {}
    for word, value in zip(options, [*options, ""][1:], strict=True):
        option, equals, own = word.partition("=")
        if option.startswith("--"):
            given[option.removeprefix("--")] = own if equals else value
    return given


def _is_of_sgd(rate: str) -> bool:
    """Whether a learning rate is one of SGD: AdamW diverges with it."""
    try:
        return float(rate) >= RATE_OF_SGD
    except ValueError:
        return False


def place_of_mistake(recipe: type[Recipe], words: Sequence[str], message: str) -> str:
    """The message of a mistake that was found later, behind its file and line, or its option."""
    try:
        return placed(_read(recipe, words)[0], message)
    except MultiviewError:  # the words themselves are wrong, and the message says where
        return message


def _read(recipe: type[Recipe], words: Sequence[str]) -> tuple[Document, list[str]]:
    """The graph that the words name, and the other words."""
    document = Document({})
    options: list[str] = []
    for option, text in split_words(words, flags_of(recipe)):
        name = option.removeprefix("--")
        if name in OF_ONE_VIEW:
            raise MultiviewError(
                f"{option} is an option of one view; give it for each, as in --views.photo.{name} VALUE."
            )
        if option == "--config" or not option:
            options += add_file(document, path_of(text or ""), recipe)
        elif text is None or not option.startswith("--"):
            options.append(option)
        elif name.partition(".")[0] in GRAPH:
            add_option(document, name, text)
        else:
            options.append(f"{option}={text}")
            if name.partition(".")[0] == "objective":
                objective_option(document, name.split("."), text)
    return document, options


def split_words(words: Sequence[str], flags: Set[str] = frozenset()) -> Iterator[tuple[str, str | None]]:
    """Options with their values; a graph file has no option: ("", file).

    flags: options that are true or false, behind which a file is no value.
    """
    left = list(words)
    takes = True
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=")
        if not word.startswith("--"):
            yield ("", word) if takes and _is_file(word) else (word, None)
            takes = True
            continue
        takes = True
        if equals:
            yield option, value
        elif option.startswith("--objective") and left and not left[0].startswith("--"):
            yield option, left.pop(0)
        elif option == "--config" or option.removeprefix("--").partition(".")[0] in GRAPH:
            if not left or left[0].startswith("--"):
                raise MultiviewError(f"{option} needs a value; give it behind the option.")
            yield option, _joined(option, left)
        else:
            yield option, None
            takes = _is_flag(option, flags)


def _is_flag(option: str, flags: Set[str]) -> bool:
    """Whether an option, perhaps without the first part of its name, is true or false."""
    name = option.removeprefix("--").replace("-", "_")
    return any(flag == name or flag.endswith(f".{name}") for flag in flags)


def _joined(option: str, left: list[str]) -> str:
    """The value of an option; `--views photo=rgb depth` may have spaces between its items."""
    found = [left.pop(0)]
    while option in ("--views", "--encoders", "--edges") and left and not left[0].startswith("--"):
        if _is_file(left[0]) and found[-1][-1:] not in ",:-":
            break
        found.append(left.pop(0))
    return " ".join(found)


def _is_file(word: str) -> bool:
    return not word.startswith("-") and is_graph_file(word)


def add_file(document: Document, path: Path, recipe: type[Recipe]) -> list[str]:
    """Replaces the graph by that of a file; returns the other options of the file as words."""
    read = read_document(path)
    check_top(read, recipe)
    if {"edges", "topology", "views"} & set(read.value):
        for key in ("edges", "topology"):
            document.value.pop(key, None)
    for key in ("views", "edges", "topology", "objective"):
        if key in read.value:
            document.put((key,), read.value[key], read.place((key,)))
            document.places |= {at: place for at, place in read.places.items() if at[:1] == (key,)}
    crop_of(read, read.value.get("crop"))
    if "train" in read.value and not isinstance(read.value["train"], (dict, str)):
        read.fail(
            ("train",), f"train is {kind_of(read.value['train'])}; give its options, as in `train: {{epochs: 20}}`."
        )
    objective_at(read, ("objective",), read.value.get("objective"), None)
    rest = {key: value for key, value in read.value.items() if key not in GRAPH}
    words = [word for key, value in rest.items() for word in _words((key,), value)]
    _check_rest(recipe, words, read)
    return words


def _check_rest(recipe: type[Recipe], words: Sequence[str], read: Document) -> None:
    """Raises MultiviewError, with its line, for a mistake in the options of a file."""
    try:
        parse(recipe, words, prog="multiview train graph.yaml")
    except MultiviewError as error:
        found = [at for at in read.places if at and _names(str(error), at)]
        read.fail(max(found, key=len, default=()), error)


def _names(message: str, at: At) -> bool:
    """Whether a message is about an option: it begins with the name, or has it in quotes."""
    full = re.escape(".".join(map(str, at)))
    last = re.escape(str(at[-1]))
    return bool(
        re.match(rf"(--)?({full}|{last}) ?(:|is|are|takes|got)", message) or re.search(rf"'({full}|{last})'", message)
    )


def _words(at: tuple[str, ...], value: Any) -> list[str]:
    """Options such as `--train.epochs=5` for a value in a file."""
    if at == ("objective",):
        name, options = named_words(value) if isinstance(value, str) else (None, value)
        names = [options[key] for key in NAMES if key in options] if isinstance(options, Mapping) else []
        if name is not None or names:
            rest = {key: item for key, item in options.items() if key not in NAMES}
            return [f"--objective.kind={name or names[0]}", *_words(("objective", ""), rest)]
    if isinstance(value, Mapping) and value:
        head = tuple(key for key in at if key)
        return [word for key, item in value.items() for word in _words((*head, str(key)), item)]
    text = value if isinstance(value, str) else json.dumps(value)
    return [f"--{'.'.join(at)}={text}"] if at[-1] else []


def add_option(document: Document, name: str, text: str) -> None:
    """Applies one of the options of the graph."""
    first, *rest = name.split(".")
    place = f"--{name}"
    if first == "topology":
        document.value.pop("edges", None)
        document.put(("topology",), text, place)
    elif first == "encoders":
        for view, encoder in _pairs(text, place):
            _require_view(document, view, place)
            _put_deep(document, ("views", view, "encoder"), encoder, place)
    elif first == "views":
        _views_option(document, rest, text, place)
    else:
        _edges_option(document, rest, text, place)


def objective_option(document: Document, name: Sequence[str], text: str) -> None:
    """Notes `--objective cmc` and `--objective.dim 64`, which are options of the recipe as well."""
    place = f"--{'.'.join(name)}"
    if len(name) > 1 and name[1] not in NAMES:
        value = document_of(text, place, numbered=False).value
        _put_deep(document, ("objective", *name[1:]), value, place)
    else:
        document.put(("objective",), text, place)


def _views_option(document: Document, rest: Sequence[str], text: str, place: str) -> None:
    if rest:
        _require_view(document, rest[0], place)
        value = document_of(text, place, numbered=False).value if len(rest) > 1 else text
        _put_deep(document, ("views", *rest), value, place)
    elif text.strip().startswith("{"):
        document.put(("views",), document_of(text, place, numbered=False).value, place)
    else:
        document.put(("views",), dict(view_pairs(text, place)), place)


def view_pairs(text: str, place: str = "--views") -> Iterator[tuple[str, str | None]]:
    """The views of `photo=rgb:image,depth`: names, and words such as `rgb:image` or None."""
    seen = set()
    for item in _items(text):
        name, equals, words = item.partition("=")
        if not equals or ":" in name:
            name, words = item.partition(":")[0], item
        name = name.strip()
        if name in seen:
            raise MultiviewError(f"{place}: view '{name}' occurs twice; every view needs its own name.")
        seen.add(name)
        yield name, None if words == name else words.strip()


def _pairs(text: str, place: str) -> Iterator[tuple[str, str]]:
    for item in _items(text):
        name, equals, value = item.partition("=")
        if not equals:
            raise MultiviewError(f"{place}: '{item}' names no view; write VIEW=ENCODER, as in photo=timm:resnet18.")
        yield name.strip(), value.strip()


def _items(text: str) -> list[str]:
    """The items between commas, with or without brackets and quotes around them."""
    inner = text.strip()
    if inner[:1] in "[(" and inner[-1:] in "])":
        inner = inner[1:-1]
    return [item.strip().strip("'\"").strip() for item in split(inner) if item.strip()]


def _require_view(document: Document, name: str, place: str) -> None:
    views = document.value.get("views")
    if isinstance(views, list):
        views = dict.fromkeys(views)
        document.put(("views",), views, document.place(("views",)))
    if not isinstance(views, dict) or name not in views:
        raise MultiviewError(f"{place}: {unknown_name('view of this graph', name, views or ())}")


def _put_deep(document: Document, at: At, value: Any, place: str) -> None:
    """Puts a value; names on the way, such as `encoder: convnet`, become mappings."""
    around = document.value
    for depth, key in enumerate(at[:-1]):
        inner = around.get(key) if isinstance(around, dict) else None
        if isinstance(inner, str):
            named = key in NAMED
            around[key] = {"name": inner} if named else view_words(inner)
        elif inner is not None and not isinstance(inner, dict):
            raise MultiviewError(f"{place}: {'.'.join(map(str, at[: depth + 1]))} is {kind_of(inner)}.")
        around = around.setdefault(key, {}) if isinstance(around, dict) and around.get(key) is not None else around
        around = _opened(around, key)
    document.put(at, value, place)


def _opened(around: Any, key: Any) -> Any:
    """The mapping below a key, which is made where there is none."""
    if isinstance(around, dict) and around.get(key) is None and key in around:
        around[key] = {}
    return around[key] if isinstance(around, dict) and key in around else around


def _edges_option(document: Document, rest: Sequence[str], text: str, place: str) -> None:
    if not rest:
        inner = text.strip()
        whole = inner if inner[:1] in "[{" else f"[{inner}]"
        read = document_of(re.sub(r"(?<=\w):(?=[A-Za-z])(?![^,]*=)", ": ", whole), place, numbered=False)
        document.value.pop("topology", None)
        document.put(("edges",), read.value, place)
        return
    _list_edges(document)
    labels = {"-".join(edge["views"]): number for number, edge in enumerate(document.value["edges"])}
    if rest[0] not in labels:
        raise MultiviewError(f"{place}: {unknown_name('edge of this graph', rest[0], labels)}")
    key = rest[1:] or ("objective",)
    value = document_of(text, place, numbered=False).value
    document.put(("edges", labels[rest[0]], *key), value, place)


def _list_edges(document: Document) -> None:
    """Writes the edges of the document as a list of mappings that have `views`."""
    given, topology = document.value.get("edges"), document.value.pop("topology", None)
    if not given:
        edges = edges_of(topology or "full", tuple(document.value.get("views") or ()))
        document.put(("edges",), [{"views": list(edge.views)} for edge in edges], document.place(("topology",)))
        return
    listed = listed_edges(document, given)
    if all(isinstance(item, Mapping) and "views" in item for item in given):
        return
    places = dict(document.places)
    document.put(
        ("edges",), [{"views": list(views), **options} for _, views, options in listed], places.get(("edges",), "")
    )
    for number, (at, _, _) in enumerate(listed):
        moved = {("edges", number, *old[len(at) :]): place for old, place in places.items() if old[: len(at)] == at}
        document.places |= moved
