"""The command line of `auto`: what the user says about the graph replaces what would be chosen."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from multiview.config import Train
from multiview.data.load.absent import reading_others, require_modalities
from multiview.graphs.auto import Choice, Wishes, choose
from multiview.graphs.auto_groups import proposed_group
from multiview.graphs.auto_views import Proposal
from multiview.graphs.building import PICTURE, objective_of, seen_by
from multiview.graphs.checking import check
from multiview.graphs.held import Holdings, holdings_of
from multiview.graphs.reading import crop_of, graph_of, views_of
from multiview.graphs.values import Graph, GraphEdge
from multiview.graphs.words import GRAPH, add_file, add_option, options_of, split_words
from multiview.graphs.writing import fields_of, objective_to_plain, view_to_plain
from multiview.graphs.yamlfile import Document, read_document
from multiview.objectives.base import Objective
from multiview.options import flags_of
from multiview.papers import path_of
from multiview.recipe import Recipe
from multiview.view import Crop

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

T = TypeVar("T")

OF_VIEWS = ("views", "encoders")
OF_EDGES = ("edges", "objective")


def options_of_auto(recipe: type[Recipe], words: Sequence[str]) -> list[str]:
    """The words of `multiview train auto ...` as options of the recipe.

    The words about the graph, and the names of all options, become the option `given`. A file with
    views is a whole graph, for which nothing is chosen.
    """
    if {"-h", "--help"} & set(words):
        return list(words)
    pairs = list(split_words(words, flags_of(recipe)))
    files = [path_of(text or "") for option, text in pairs if option in ("--config", "")]
    if any("views" in (read_document(file).value or {}) for file in files):
        return options_of(recipe, words)
    options: list[str] = []
    given: list[str] = []
    document = Document({})
    for option, text in pairs:
        if option in ("--config", ""):
            options += (found := add_file(document, path_of(text or ""), recipe))
            given += [word.partition("=")[0] for word in found]
        elif _head(option) in GRAPH and text is not None:
            given.append(f"{option}={text}")
        else:
            options.append(option if text is None else f"{option}={text}")
            given += [f"{option}={text}" if text is not None else option.partition("=")[0]] * option.startswith("--")
    return [*options, f"--given={json.dumps(given)}"]


def _head(option: str) -> str:
    return option.removeprefix("--").partition("=")[0].partition(".")[0]


class Given:
    """The words that the user gave, and the fields of the recipe."""

    def __init__(self, recipe: Any) -> None:
        self.recipe = recipe
        self.words = [tuple(word.removeprefix("--").partition("=")[::2]) for word in recipe.given]
        self.names = [name for name, _ in self.words]

    def of(self, heads: Sequence[str]) -> list[tuple[str, str]]:
        """The words whose names begin with one of these, in order."""
        return [(name, text) for name, text in self.words if _head(name) in heads]

    def objective(self) -> Objective | None:
        """The objective that the user names for all edges."""
        own, default = self.recipe.objective, type(self.recipe)().objective
        leaves = {f"objective.{each.name}" for each in fields(own)}
        named = any(_covers(name, leaf) for name in self.names for leaf in leaves)
        return own if named or own != default else None

    def batch(self) -> int | None:
        """The number of samples of a step that the user names."""
        own = int(self.recipe.train.batch)
        return own if own != Train().batch or any(_covers(name, "train.batch") for name in self.names) else None

    def merged(self, chosen: T, field: str) -> T:
        """The chosen value of a field, with the parts that the user gave."""
        return _merged(chosen, getattr(self.recipe, field), type(chosen)(), self.names, field)


def _covers(name: str, leaf: str) -> bool:
    """Whether an option such as `lr`, `optimizer` or `train.optimizer.lr` sets a leaf."""
    return f".{leaf}".endswith(f".{name}") or leaf.startswith(f"{name}.") or f".{name}." in f".{leaf}"


def _merged(chosen: T, own: T, default: T, names: Sequence[str], at: str) -> T:
    values = {}
    for each in fields(chosen):  # type: ignore[arg-type]
        leaf = f"{at}.{each.name}"
        ours, theirs, usual = (getattr(value, each.name) for value in (chosen, own, default))
        if is_dataclass(ours) and is_dataclass(theirs):
            values[each.name] = _merged(ours, theirs, usual, names, leaf)
        else:
            is_given = theirs != usual or any(_covers(name, leaf) for name in names)
            values[each.name] = theirs if is_given else ours
    return replace(chosen, **values)  # type: ignore[type-var]


def chosen_for(recipe: Any, store: Store) -> tuple[Graph, Train, str, list[str]]:
    """Graph and budget for a store, as YAML, and the lines that say why."""
    given = Given(recipe)
    holdings = holdings_of(store)
    topology = recipe.topology or next((text for name, text in reversed(given.words) if name == "topology"), None)
    wishes = Wishes(given.objective(), topology, steps=recipe.train.steps, batch=given.batch())
    named = recipe.views or any(name == "views" for name in given.names)
    choice = None if named else choose(holdings, wishes)
    document = Document({"views": recipe.views if choice is None else _plain_views(choice.graph)})
    for name, text in given.of(OF_VIEWS):
        add_option(document, name, text)
    if choice is None:
        choice = choose(holdings, replace(wishes, views=proposals_of(document, holdings, store)))
    choice = choice.with_options(
        given.merged(choice.graph.crop, "crop"), given.merged(choice.train, "train"), holdings.samples
    )
    _add_edges(document, choice, recipe, given)
    graph = check(graph_of(document), document)
    asked = [] if recipe.group else proposed_group(store.manifest.groups, len(store))
    choice = replace(choice, reasons=(*choice.reasons, *asked))
    return graph, choice.train, _yaml(document, recipe, choice), choice.lines()


def _plain_views(graph: Graph) -> dict[str, Any]:
    return {name: view_to_plain(view) for name, view in graph.views.items()}


def _add_edges(document: Document, choice: Choice, recipe: Any, given: Given) -> None:
    """Completes a document of views: crop, edges and objective."""
    if crop := fields_of(choice.graph.crop, Crop()):
        document.put(("crop",), crop, "")
    own = given.objective()
    if own is not None:
        document.put(("objective",), objective_to_plain(own), "")
    edges = recipe.edges or [_short(edge, choice.graph, own) for edge in choice.graph.edges]
    document.put(("edges",), edges, "")
    for name, text in given.of(OF_EDGES):
        add_option(document, name, text) if _head(name) == "edges" else None
    crop_of(document, document.value.get("crop"))


def _short(edge: GraphEdge, graph: Graph, own: Objective | None) -> dict[str, Any]:
    """`{photo - depth: {objective: cmc, temperature: 0.1}}`, without what is usual."""
    objective = objective_of(graph, edge)
    options: dict[str, Any] = {}
    if own is None:
        options = {"objective": objective_to_plain(objective)["name"], **fields_of(objective, type(objective)())}
    if edge.crop != "shared":
        options["crop"] = edge.crop
    return {" - ".join(edge.views): options}


OF_THE_RUN = ("weights", "group", "mix", "seed")
"""Options of the recipe that the graph file repeats where they were given."""


def _yaml(document: Document, recipe: Any, choice: Choice) -> str:
    """The chosen graph as the text of a graph file."""
    order = ("crop", "views", "edges", "objective")
    given = {name: value for name in OF_THE_RUN if (value := getattr(recipe, name)) != getattr(Recipe, name)}
    plain = {"data": recipe.data, **given} | {key: document.value[key] for key in order if key in document.value}
    train = changed_fields(choice.train, Train())
    return yaml.safe_dump(
        copy.deepcopy(plain | {"train": train}),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )


def changed_fields(value: Any, default: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from a default."""
    changed = {}
    for each in fields(value):
        own, usual = getattr(value, each.name), getattr(default, each.name)
        if own != usual:
            nested = is_dataclass(own) and is_dataclass(usual)
            changed[each.name] = changed_fields(own, usual) if nested else list(own) if isinstance(own, tuple) else own
    return changed


def proposals_of(document: Document, holdings: Holdings, store: Store) -> tuple[Proposal, ...]:
    """The views that a user names, as proposals."""
    named = views_of(document)
    held: Mapping[str, Any] = {each.name: each for each in holdings.held}
    asked = {name: seen_by(view, name, Crop()) for name, view in named.items()}
    built = reading_others(asked, {name: each.modality for name, each in held.items()})
    require_modalities(built.values(), store)
    found = []
    for name, view in built.items():
        own = held[view.modality]
        grid = (own.name if own.kind == "image" else "pixels") if view.axes == PICTURE else ""
        alone = "crop" if own.modality.spatial else "window" if own.modality.timed else ""
        found.append(Proposal(name, replace(named[name], modality=own.name), own, "named by you", grid, alone))
    return tuple(found)
