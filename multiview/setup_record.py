"""A setup made in Python as a file in the run folder, from which an equal setup is built.

The record names installed views, encoders and objectives, with their options. It holds no code.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview.encoder import encoder_from
from multiview.errors import MultiviewError
from multiview.files import replace_bytes, replace_text
from multiview.graph import AnyEdge, ContrastGraph, Edge, HyperEdge, Schedule
from multiview.objectives.base import Objective
from multiview.parsing import parsing
from multiview.plugin_fields import kind_of
from multiview.plugins import find, load
from multiview.recipe import Setup
from multiview.record import from_plain, plain_fields
from multiview.tuning import Tuning
from multiview.view import view_from

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.encoder import Encoder
    from multiview.graphs import Graph

SETUP, GRAPH, INITIAL = "setup.json", "graph.yaml", "initial.safetensors"
SCHEMA = 1
OURS = "multiview-cmc"


def record_of(setup: Setup) -> dict[str, Any]:
    """The views, encoders, edges and tuning of a setup in JSON's types.

    A part that cannot be built from a record has a `reason` instead of a name.
    """
    views = {name: view.record() for name, view in setup.views.items()}
    encoders = {
        name: encoder if isinstance(encoder, str) else encoder.record() for name, encoder in setup.encoders.items()
    }
    edges = [_edge_record(edge) for edge in setup.graph.edges]
    tuning = {name: plain_fields(each) for name, each in setup.tuning.items()}
    record = {"schema": SCHEMA, "views": views, "encoders": encoders, "edges": edges, "tuning": tuning}
    return record | {"plugins": _plugins_of(record)}


def unrecorded(record: Mapping[str, Any]) -> list[str]:
    """A sentence for each part of a record that cannot be built from it."""
    parts = [(f"the view '{name}'", part) for name, part in record["views"].items()]
    parts += [(f"the encoder of '{name}'", part) for name, part in record["encoders"].items()]
    parts += [(f"the objective of {'-'.join(part['views'])}", part["objective"]) for part in record["edges"]]
    return [f"{what}: {part['reason']}" for what, part in parts if isinstance(part, dict) and "reason" in part]


def save_setup(folder: Path, setup: Setup, initial: Setup | None) -> None:
    """Writes the record, the graph file if there is one, and the first weights of the encoders.

    initial: the setup with the encoders as they were before the first step; None writes no weights.
    """
    from safetensors.torch import save

    record = record_of(setup)
    replace_text(folder / SETUP, json.dumps(record, indent=1))
    if setup.source is not None and _describes(setup.source, record):
        replace_text(folder / GRAPH, setup.source.to_yaml())
    if initial is not None:
        replace_bytes(folder / INITIAL, save(_weights_of(initial)))


def _weights_of(setup: Setup) -> dict[str, Tensor]:
    """`VIEW.NAME` -> the tensors of all encoders."""
    own = {name: each for name, each in setup.encoders.items() if not isinstance(each, str)}
    tensors = {f"{name}.{key}": x for name, encoder in own.items() for key, x in encoder.state_dict().items()}
    return {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}


def _describes(graph: Graph, record: Mapping[str, Any]) -> bool:
    """Whether the graph still builds the recorded setup: a part may have been replaced since."""
    import torch

    with torch.random.fork_rng(devices=[]):  # new encoders draw weights
        try:
            return record_of(graph.setup()) == record
        except MultiviewError:
            return False


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record in a run folder; None where there is none."""
    file = folder / SETUP
    if not file.is_file():
        return None
    with parsing(f"the setup of {folder} in its {SETUP}", "Give the setup again, as in mv.load(run, setup=setup)."):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["schema"] > SCHEMA:
            raise ValueError(f"it has schema {record['schema']}: update multiview-cmc")
    return record


def setup_from(folder: Path) -> Setup:
    """The setup that the record in a run folder describes, with new encoders.

    Raises MultiviewError when there is no record, or a part cannot be built from it.
    """
    record, again = read_record(folder), f"Give the setup again: mv.load({str(folder)!r}, setup=setup)."
    if record is None:
        raise MultiviewError(f"{folder} was trained from Python and holds no {SETUP}. {again}")
    with parsing(f"the setup of {folder} in its {SETUP}", again):
        if missing := unrecorded(record):
            raise MultiviewError(
                f"{folder} was trained from Python with a part that cannot be built again: {'; '.join(missing)}. "
                f"Register it as a plugin before the next run. {again}"
            )
        return _built(record)


def _built(record: Mapping[str, Any]) -> Setup:
    parts = record["encoders"].items()
    views = {name: view_from(part) for name, part in record["views"].items()}
    encoders = {name: part if isinstance(part, str) else encoder_from(part) for name, part in parts}
    tuning = {name: Tuning(**part) for name, part in record["tuning"].items()}
    edges = tuple(_edge_from(part) for part in record["edges"])
    return Setup(views, encoders, ContrastGraph(tuple(views), edges), tuning)


def with_initial(setup: Setup, folder: Path) -> Setup:
    """A copy of the setup with the first weights of the run, where the folder holds them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    encoders = {name: copy.deepcopy(encoder) for name, encoder in setup.encoders.items()}
    remedy = "Remove the file; other random weights are then the control of an evaluation."
    with parsing(f"the first weights of {folder} in its {INITIAL}", remedy, SafetensorError):
        tensors = load_file(folder / INITIAL) if (folder / INITIAL).is_file() else {}
    for name, encoder in encoders.items():
        if not isinstance(encoder, str):
            begin = f"{name}."
            _load_first(encoder, {key.removeprefix(begin): x for key, x in tensors.items() if key.startswith(begin)})
    return replace(setup, encoders=encoders)


def _load_first(encoder: Encoder, state: Mapping[str, Tensor]) -> None:
    """Loads first weights; of another network none, because its trained weights are refused."""
    own = encoder.state_dict()
    if own.keys() == state.keys() and all(own[key].shape == state[key].shape for key in own):
        encoder.load_state_dict(state)


def _edge_record(edge: AnyEdge) -> dict[str, Any]:
    schedule = None if edge.schedule is None else plain_fields(edge.schedule)
    objective = _objective_record(edge.objective)
    return {"views": list(edge.views), "objective": objective, "weight": edge.weight, "schedule": schedule}


def _objective_record(objective: Objective) -> dict[str, Any]:
    name = kind_of(objective, Objective)
    if ":" in name:
        return {"reason": f'no package registers {name} under [project.entry-points."multiview.objectives"]'}
    try:
        return {"name": name, "options": plain_fields(objective)}
    except MultiviewError as cause:
        return {"reason": str(cause)}


def _edge_from(record: Mapping[str, Any]) -> AnyEdge:
    options = {key: from_plain(value) for key, value in record["objective"]["options"].items()}
    objective = load("objectives", record["objective"]["name"])(**options)
    plain = record["schedule"]
    schedule = None if plain is None else Schedule(**{key: from_plain(value) for key, value in plain.items()})
    views = tuple(record["views"])
    if len(views) == 2:
        return Edge(*views, objective, record["weight"], schedule)
    return HyperEdge(views, objective, record["weight"], schedule)


def _plugins_of(record: Mapping[str, Any]) -> dict[str, str]:
    """`encoders/mine` -> the package that registers it, of all named parts that are not ours."""
    named = {"views": record["views"].values(), "encoders": record["encoders"].values()}
    named["objectives"] = [edge["objective"] for edge in record["edges"]]
    found = {}
    for group, parts in named.items():
        for name in {part["name"] for part in parts if isinstance(part, dict) and part.get("name")}:
            package = find(group, name.partition(":")[0]).origin
            if package != OURS:
                found[f"{group}/{name}"] = package
    return found
