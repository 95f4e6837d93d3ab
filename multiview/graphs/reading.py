"""Reads a graph from plain values, as YAML and the command line give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError, suggestion, unknown_name
from multiview.graph import VIEW_NAME, Schedule
from multiview.graphs.kinds import fitting, hints_of, of_fields
from multiview.graphs.options import split_options
from multiview.graphs.shorthand import named_words, view_words
from multiview.graphs.topology import edges_of
from multiview.graphs.values import GEOMETRY, Graph, GraphEdge, GraphView
from multiview.graphs.yamlfile import At, Document, document_of, kind_of, read_document
from multiview.objectives.base import Objective
from multiview.photometric import NAMED, Augment
from multiview.plugins import find, installed, load
from multiview.recipe import Recipe
from multiview.tuning import Tuning
from multiview.view import Crop

FILES = (".yaml", ".yml")
"""Endings of the names of graph files."""
GRAPH = ("crop", "views", "edges", "topology", "objective")
"""The keys at the top that make a graph; all others are options of the run."""
TUNING = tuple(each.name for each in fields(Tuning))
OWN = ("view", "modality", "encoder", "share", "crop", *GEOMETRY, "augment", *TUNING, "dim")
"""The keys of a view that are no option of its view or encoder."""
EDGE = ("weight", "crop", "schedule")
"""The keys of an edge that are no option of its objective."""
NAMES = ("name", "kind", "objective")
"""The keys that name an objective in a mapping."""
Listed = tuple[At, tuple[str, ...], dict[str, Any]]
"""Where an edge stands, its views, and its options."""


def graph_from_yaml(source: str | Path) -> Graph:
    """The graph in a file (a Path, or a name that ends in .yaml or .yml), or in a text of YAML."""
    is_file = not isinstance(source, str) or ("\n" not in source and source.endswith(FILES))
    document = read_document(Path(source)) if is_file else document_of(str(source), "graph")
    check_top(document)
    return graph_of(document)


def graph_of_plain(**parts: Any) -> Graph:
    """The graph of plain values or of values: crop, views, edges, topology and objective."""
    return graph_of(Document(parts))


def check_top(document: Document, recipe: type[Recipe] = Recipe) -> None:
    """Raises MultiviewError unless the document is a mapping of known keys."""
    if not isinstance(document.value, dict):
        document.fail((), f"a graph file is a mapping such as `views: ...`; this is {kind_of(document.value)}.")
    known = [*dict.fromkeys([*GRAPH, *(each.name for each in fields(recipe))])]
    for key in document.value:
        if key not in known:
            document.fail((key,), unknown_name("key of a graph file", key, known))


def graph_of(document: Document) -> Graph:
    """The graph of a document. Raises MultiviewError with the place of the mistake."""
    parts = document.value
    crop = crop_of(document, parts.get("crop"))
    views = views_of(document)
    objective = objective_at(document, ("objective",), parts.get("objective"), None)
    edges = edges_read(document, views, objective)
    try:
        return Graph(views=views, edges=edges, crop=crop, objective=objective)
    except MultiviewError as error:
        document.fail(_nearest(document, str(error)), error)


def _nearest(document: Document, message: str) -> At:
    """The view that a message is about, by its first name in quotes."""
    for name in re.findall(r"'(\w+)'|circle: (\w+)", message):
        if (name[0] or name[1]) in document.value["views"]:
            return ("views", name[0] or name[1])
    return ("views",)


def crop_of(document: Document, given: Any) -> Crop:
    """The crop of all views."""
    return Crop() if given is None else _value(document, ("crop",), given, Crop)


def _value(document: Document, at: At, given: Any, kind: type) -> Any:
    """A dataclass of a mapping; the mistake names the line of the option."""
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        document.fail(at, f"{at[-1]} is {kind_of(given)}; give its options, as in `{at[-1]}: {{{_first(kind)}: ...}}`.")
    try:
        return of_fields(kind, given)
    except MultiviewError as error:
        named = next((key for key in given if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", str(error))), None)
        document.fail(at if named is None else (*at, named), error)


def _first(kind: type) -> str:
    return fields(kind)[0].name


def views_of(document: Document) -> dict[str, GraphView]:
    """The views of a document, by name."""
    given = document.value.get("views")
    if isinstance(given, (list, tuple)) and all(isinstance(each, str) for each in given):
        given = dict.fromkeys(given)
    if given is None or (isinstance(given, Mapping) and not given):
        document.fail(("views",), "the graph has no views; name one or more, such as `views: {photo: {view: rgb}}`.")
    if not isinstance(given, Mapping):
        document.fail(("views",), f"views is {kind_of(given)}; give a mapping such as `photo: {{view: rgb}}`.")
    return {name: view_of(document, name, value) for name, value in given.items()}


def _refuse_unknown(document: Document, views: Mapping[str, GraphView]) -> None:
    """Fails at a view that no package registers: an edge that lacks a view may mean that one."""
    for name, view in views.items():
        try:
            find("views", view.view or name)
        except MultiviewError as error:
            at: At = ("views", name, "view")
            document.fail(at if at in document.places else at[:2], f"view '{name}': {error}")


def view_of(document: Document, name: str, given: Any) -> GraphView:
    """One view from its mapping, from words such as `rgb:image`, or from nothing."""
    at: At = ("views", name)
    if isinstance(given := _view_mapping(document, at, given), GraphView):
        return given
    values = _view_fields(document, at, given)
    try:
        return GraphView(**values)
    except MultiviewError as error:
        keys = [key for key in given if str(error).startswith(f"{key} is")] or [key for key in given if key == "share"]
        document.fail((*at, *keys[:1]), f"view '{name}': {error}")


def _view_mapping(document: Document, at: At, given: Any) -> Mapping[str, Any] | GraphView:
    """What is said of a view as a mapping. Raises MultiviewError for a wrong name or kind."""
    name = str(at[1])
    if not VIEW_NAME.fullmatch(name):
        document.fail(
            at, f"'{name}' is not a name for a view; use letters, digits and underscores, as in 'depth_left'."
        )
    given = view_words(given) if isinstance(given, str) else {} if given is None else given
    if not isinstance(given, (Mapping, GraphView)):
        document.fail(at, f"view '{name}' is {kind_of(given)}; give a mapping such as `{{view: rgb, size: 64}}`.")
    return given


def _view_fields(document: Document, at: At, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `GraphView` by name."""
    plain = [key for key in OWN if key in given and key not in (*TUNING, "view", "encoder", "augment")]
    values = {key: _typed(document, (*at, key), given[key], hints_of(GraphView)[key]) for key in plain}
    values["augment"] = _augment(document, (*at, "augment"), given.get("augment"))
    values["view"], options = _registered(document, (*at, "view"), given.get("view"))
    values["encoder"], made = _named(document, (*at, "encoder"), given.get("encoder"))
    values["tuning"] = _tuning(document, at, {key: given[key] for key in TUNING if key in given})
    loose = {key: value for key, value in given.items() if key not in OWN}
    if loose:
        name, shared = str(at[1]), values.get("share")
        more = split_options(document, at, name, values["view"] or name, values["encoder"], shared, loose)
        options, made = options | more[0], made | more[1]
    return values | {"options": options, "encoder_options": made}


def _registered(document: Document, at: At, given: Any) -> tuple[str | None, dict[str, Any]]:
    """Name and options of a view. `rgb:image` is the short form of --views, not a name."""
    name, options = _named(document, at, given)
    first, colon, modality = (name or "").partition(":")
    if colon and first in {plugin.name for plugin in installed("views")}:
        document.fail(
            at,
            f"view '{at[1]}': '{name}' names a view and its modality; write `{{view: {first}, modality: {modality}}}`, "
            f"or `{at[1]}: {name}` alone.",
        )
    return name, options


def _typed(document: Document, at: At, value: Any, kind: Any) -> Any:
    try:
        return fitting(value, kind)
    except (ValueError, MultiviewError) as error:
        document.fail(at, f"view '{at[1]}': {at[-1]} is {value!r}; {error}")


def _tuning(document: Document, at: At, given: Mapping[str, Any]) -> Tuning:
    try:
        return of_fields(Tuning, given)
    except MultiviewError as error:
        key = next((key for key in given if str(error).startswith(f"{key} is")), "train")
        document.fail((*at, key), f"view '{at[1]}': {error}")


def _augment(document: Document, at: At, given: Any) -> Any:
    if isinstance(given, (list, tuple, bool, int, float)):
        document.fail(
            at, f"view '{at[1]}': augment is {kind_of(given)}; give a name such as simclr, or options of mv.Augment."
        )
    if given is None or not isinstance(given, (str, Mapping)):
        return given
    if isinstance(given, str):
        if given not in ("none", *NAMED):
            document.fail(at, f"view '{at[1]}': {unknown_name('augmentation', given, ('none', *NAMED))}")
        return NAMED.get(given)
    if set(given) == {"class", "options"}:
        return _typed(document, at, given, Any)
    return _value(document, at, given, Augment)


def _named(document: Document, at: At, given: Any) -> tuple[str | None, dict[str, Any]]:
    """Name and options of a view or an encoder: a text, or a mapping with `name`."""
    if given is None:
        return None, {}
    if isinstance(given, str):
        return named_words(given)
    if not isinstance(given, Mapping) or not isinstance(given.get("name", ""), str):
        document.fail(at, f"view '{at[1]}': {at[-1]} is {kind_of(given)}; give a name, or {{name: ..., option: ...}}.")
    options = {key: _typed(document, (*at, key), value, Any) for key, value in given.items() if key != "name"}
    return given.get("name"), options


def edges_read(
    document: Document, views: Mapping[str, GraphView], objective: Objective | None
) -> tuple[GraphEdge, ...]:
    """The edges of a document: listed, or those of its topology."""
    given, topology = document.value.get("edges"), document.value.get("topology")
    if topology is None and not given and isinstance(given, (list, tuple, dict, type(None))):
        topology = "joint" if objective is not None and objective.fuses else "full"
    if topology is not None:
        if given:
            document.fail(("topology",), "the graph has edges and a topology; leave out one of the two.")
        return _of_topology(document, topology, views)
    return tuple(edge_of(document, listed, views, objective) for listed in listed_edges(document, given))


def _of_topology(document: Document, topology: Any, views: Mapping[str, GraphView]) -> tuple[GraphEdge, ...]:
    if isinstance(topology, Mapping) and len(topology) == 1:
        ((name, centre),) = topology.items()
        topology = name if centre is None else f"{name}:{centre}"
    if not isinstance(topology, str):
        document.fail(
            ("topology",),
            f"topology is {kind_of(topology)}; give full, core, core:{next(iter(views))}, chain or joint.",
        )
    try:
        return edges_of(topology, tuple(views))
    except MultiviewError as error:
        _refuse_unknown(document, views)
        document.fail(("topology",), error)


def listed_edges(document: Document, given: Any) -> list[Listed]:
    """The edges as they are listed: where, between which views, and their options."""
    if isinstance(given, Mapping):
        return [_listed(document, ("edges", name), name, options) for name, options in given.items()]
    if not isinstance(given, (list, tuple)):
        document.fail(("edges",), f"edges is {kind_of(given)}; give a list such as `- photo - depth: cmc`.")
    return [_listed_item(document, ("edges", number), item) for number, item in enumerate(given)]


def _listed_item(document: Document, at: At, item: Any) -> Listed:
    """One item of the list of edges."""
    if isinstance(item, GraphEdge):
        return at, item.views, {"edge": item}
    if isinstance(item, str):
        return _listed(document, at, item, None)
    if not isinstance(item, Mapping) or not item:
        document.fail(at, f"an edge is {kind_of(item)}; write `photo - depth: cmc`.")
    if "views" in item:
        return _listed(document, at, item["views"], {key: x for key, x in item.items() if key != "views"})
    name = next(iter(item))
    if len(item) > 1:
        document.fail(at, f"edge '{name}': indent its options further than the name, or write {name}: {{...}}.")
    return _listed(document, (*at, name), name, item[name])


def _listed(document: Document, at: At, names: Any, options: Any) -> Listed:
    views = re.split(r"\s*-+\s*", names.strip()) if isinstance(names, str) else list(names or ())
    if not all(isinstance(view, str) and VIEW_NAME.fullmatch(view) for view in views):
        document.fail(
            at, f"'{names}' is no edge; write names of views with dashes between them, as in `photo - depth`."
        )
    if isinstance(options, (str, type(None))):
        options = {} if options is None else {"objective": options}
    if not isinstance(options, Mapping):
        document.fail(at, f"edge {'-'.join(views)} is {kind_of(options)}; give an objective, or a mapping of options.")
    return at, tuple(views), dict(options)


def edge_of(document: Document, listed: Listed, views: Mapping[str, GraphView], default: Objective | None) -> GraphEdge:
    """One edge from its views and options."""
    at, names, options = listed
    if "edge" in options:
        return options["edge"]
    label = "-".join(names)
    if unknown := next((name for name in names if name not in views), None):
        _refuse_unknown(document, views)
        document.fail(at, f"edge {label}: {unknown_name('view of this graph', unknown, views)}")
    objective = objective_at(document, at, _objective_words(options, names, default), default, label)
    own = _edge_fields(document, at, options, label)
    try:
        return GraphEdge(names, objective, **own)
    except MultiviewError as error:
        key = next((key for key in own if f"{key} is" in str(error)), None)
        document.fail(at if key is None else (*at, key), error)


def _objective_words(options: Mapping[str, Any], names: tuple[str, ...], default: Objective | None) -> Any:
    """The objective of an edge, with the options that stand beside its name."""
    named = options.get("objective")
    loose = {key: value for key, value in options.items() if key not in (*EDGE, "objective")}
    if not loose or not isinstance(named, (str, Mapping, type(None))):
        return named
    if named is None:
        return loose if default is not None or len(names) == 2 else {"name": "symile", **loose}
    return {**({"name": named} if isinstance(named, str) else named), **loose}


def _edge_fields(document: Document, at: At, options: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Weight, crop and schedule of an edge, where they are given."""
    own = {key: options[key] for key in EDGE if key in options}
    if own.get("schedule") is not None:
        own["schedule"] = _value(document, (*at, "schedule"), own["schedule"], Schedule)
    if not isinstance(own.get("crop", ""), str):
        document.fail((*at, "crop"), f"edge {label}: crop is {kind_of(own['crop'])}; give shared, own, or a name.")
    return own


def objective_at(
    document: Document, at: At, given: Any, default: Objective | None, label: str = ""
) -> Objective | None:
    """The objective that a text or mapping names; options without a name change the default."""
    if given is None or isinstance(given, Objective):
        return given
    before = f"edge {label}: " if label else ""
    name, options = _name_and_options(document, at, given, before)
    try:
        kind = objective_class(name) if name is not None else type(default) if default else objective_class("simclr")
        made = _with_options(kind, options)
    except MultiviewError as error:
        key = next((key for key in options if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", str(error))), "objective")
        document.fail((*at, key), f"{before}{error}")
    if name is not None or default is None:
        return made
    return replace(default, **{key: getattr(made, key) for key in options})


def _name_and_options(document: Document, at: At, given: Any, before: str) -> tuple[str | None, dict[str, Any]]:
    """The name (None = not named) and the options of an objective."""
    if isinstance(given, str):
        return named_words(given)
    if not isinstance(given, Mapping):
        document.fail(at, f"{before}objective is {kind_of(given)}; give a name such as cmc, or {{name: cmc, dim: 64}}.")
    names = [given[key] for key in NAMES if key in given]
    if len(names) > 1 or not all(isinstance(name, str) for name in names):
        document.fail(at, f"{before}objective needs one name; give {{name: cmc, dim: 64}}.")
    return names[0] if names else None, {key: value for key, value in given.items() if key not in NAMES}


def objective_class(name: str) -> type[Objective]:
    """The objective registered as `name`, in any case. Raises MultiviewError with the nearest."""
    known = [each for plugin in installed("objectives") for each in (plugin.name, plugin.whole)]
    return load("objectives", next((each for each in known if each.lower() == name.strip().lower()), name))


def _with_options(kind: type[Objective], options: Mapping[str, Any]) -> Objective:
    known = [each.name for each in fields(kind) if each.init]
    for key in options:
        if key not in known:
            others = [name for name in _all_objectives() if key in _all_objectives()[name]]
            whose = f" It is an option of {', '.join(others)}." if others else suggestion(key, [*known, *EDGE])
            raise MultiviewError(
                f"'{key}' is no option of {kind.__name__}; available: {', '.join([*known, *EDGE])}.{whose}"
            )
    return of_fields(kind, options)


def _all_objectives() -> dict[str, list[str]]:
    """The options of every objective of this package."""
    names = [plugin for plugin in installed("objectives") if plugin.origin == "multiview-cmc"]
    return {plugin.name: [each.name for each in fields(load("objectives", plugin.whole))] for plugin in names}
