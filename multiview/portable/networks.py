"""The networks of a model folder: encoders and projectors, as safetensors and JSON."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from multiview.encoder import Encoder, encoder_from
from multiview.errors import MultiviewError
from multiview.fusion import FusedHead
from multiview.graph import needs_of_edge
from multiview.model import MultiviewModel, Projection, fused_names
from multiview.objectives.needs import Fusion, Head
from multiview.parsing import parsing
from multiview.portable.layout import HEADS, REMEDY, WEIGHTS
from multiview.record import from_plain, plain_fields
from multiview.view import View


def save_encoder(encoder: Encoder, view: View, folder: Path) -> dict[str, Any]:
    """Writes the weights of an encoder into a folder, and returns its record.

    Where the encoder belongs to another library, the folder also holds what that library reads.
    """
    plain = merged(encoder)
    record = plain.record()
    if "reason" not in record and plain.saved_as:
        record |= {"name": plain.saved_as, "beside": True}
    plain.save_beside(folder, view)
    save_tensors(plain.weights(), folder / WEIGHTS)
    return record | {"class": type(plain).__qualname__, "features": plain.features, "layers": list(plain.layers)}


def load_encoder(record: Mapping[str, Any], folder: Path) -> Encoder:
    """The encoder that `save_encoder` wrote. Raises MultiviewError when it cannot be built."""
    if record.get("beside"):
        record = {**record, "name": f"{record['name']}{folder}"}
    encoder = encoder_from(record, seed=0)
    _fill(encoder.network_with_weights(), load_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return encoder.eval()


def save_heads(heads: Mapping[str, Projection], folder: Path) -> dict[str, Any]:
    """Writes the projectors of a view, by name, and returns their options."""
    tensors = {f"{name}/{key}": x for name, head in heads.items() for key, x in head.state_dict().items()}
    save_tensors(tensors, folder / HEADS)
    return {name: plain_fields(head.head) for name, head in heads.items()}


def load_heads(options: Mapping[str, Any], width: int, folder: Path) -> dict[str, Projection]:
    """The projectors that `save_heads` wrote, for features of `width` numbers."""
    tensors = load_tensors(folder / HEADS)
    heads = {}
    for name, fields in options.items():
        with parsing(str(folder), REMEDY):
            heads[name] = Projection(width, Head(**{key: from_plain(value) for key, value in fields.items()}))
        own = {key.partition("/")[2]: x for key, x in tensors.items() if key.partition("/")[0] == name}
        _fill(heads[name], own, folder / HEADS)
        heads[name].eval()
    return heads


def save_fusions(model: MultiviewModel, folders: Mapping[str, str], draft: Path) -> dict[str, Any]:
    """Writes every fusion of a model, with its head; returns the record of each, by name.

    The tensors are in the folder of the first view that is fused.
    """
    records = {}
    for head, name in fused_names(model.graph).items():
        fused = model.fusion(head)
        file = f"{folders[fused.fusion.views[0]]}/{name}.safetensors"
        save_tensors(fused.state_dict(), draft / file)
        record = {"head": plain_fields(replace(head, fusion=None)), "fusion": plain_fields(fused.fusion)}
        edges = [name for name, edge in model.graph.named_edges().items() if needs_of_edge(edge)[0].projector == head]
        records[name] = {**record, "widths": fused.widths, "file": file, "edges": edges}
    return records


def load_fusion(record: Mapping[str, Any], folder: Path) -> FusedHead:
    """The fusion that `save_fusions` wrote. Raises MultiviewError when it cannot be built."""
    file = folder / str(record["file"])
    with parsing(str(file), REMEDY):
        fusion = Fusion(**{key: from_plain(value) for key, value in record["fusion"].items()})
        fields = {key: from_plain(value) for key, value in record["head"].items()}
        fused = FusedHead(record["widths"], Head(**{**fields, "fusion": fusion}))
    _fill(fused, load_tensors(file), file)
    return fused.eval()


def merged(encoder: Encoder) -> Encoder:
    """The encoder, or a copy in which the matrices of LoRA are added to the weights beside them."""
    adapted = [name for name, module in encoder.named_modules() if hasattr(module, "get_base_layer")]
    if not adapted:
        return encoder
    plain = copy.deepcopy(encoder)
    for name in adapted:
        parent, _, last = name.rpartition(".")
        layer: Any = plain.get_submodule(name)
        layer.merge()
        setattr(plain.get_submodule(parent), last, layer.get_base_layer())
    return plain


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes named tensors, each with memory of its own."""
    from safetensors.torch import save_file

    copies = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    save_file(copies, path, metadata={"format": "pt"})


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises MultiviewError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with parsing(str(path), REMEDY, SafetensorError):
        return load_file(path)


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as cause:
        raise MultiviewError(
            f"the weights in {path} do not fit the network of this version: {str(cause).splitlines()[-1].strip()} "
            "Install the versions that the model's README.md names."
        ) from cause
