"""Encoders as folders of timm and of Hugging Face, and one view as a model folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from multiview.encoder import make_encoder
from multiview.errors import MultiviewError
from multiview.portable.card import card_of_view
from multiview.portable.layout import CARD, MODEL, SCHEMA, VIEW, index
from multiview.portable.model import PortableModel, ViewPart
from multiview.portable.networks import save_encoder, save_heads
from multiview.portable.read import read_model

CONFIG = "config.json"
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
"""Encoders of ours with timm's names of weights."""
Features = Callable[[Any], NDArray]
"""Gives the features of view tensors, or of stored values."""


@dataclass(frozen=True)
class Loaded:
    """How a library loads a folder.

    Args:
        run: folder and view -> the function that gives features.
        stored: whether that function takes stored values, else view tensors.
        how: the Python to type, with {path} and {view}.
    """

    run: Callable[[Path, str], Features]
    stored: bool
    how: str


def write_folder(model: PortableModel, view: str, to: str, folder: Path) -> str:
    """Writes a view for timm or Hugging Face, and returns the key of `LOADED` that loads it.

    Hugging Face's `AutoModel` loads encoders of transformers and timm. Every other encoder becomes
    a model folder of one view. Raises MultiviewError when timm does not have the encoder.
    """
    part = model.part(view)
    reason = reason_against_timm(part)
    if to == "timm" and reason is not None:
        raise MultiviewError(
            f"the encoder of the view '{view}' is none that timm can build: {reason}. Use --to hf, onnx or "
            "torch-export."
        )
    if part.encoder.saved_as == "transformers:":
        _write_beside(part, view, folder, {})
        return "transformers"
    if reason is not None:
        _write_one_view(model, view, folder)
        return "multiview"
    _write_beside(part, view, folder, _config(part))
    return "timm" if to == "timm" else "timm in transformers"


def reason_against_timm(part: ViewPart) -> str | None:
    """Why timm cannot build an encoder, None when it can: its own, and ResNets with its stem."""
    if part.encoder.saved_as.startswith("timm:"):
        return None
    record = part.encoder.record()
    name, options = record.get("name"), record.get("options", {})
    if name not in RESNETS:
        return f"timm has no {name or type(part.encoder).__name__}"
    if options.get("stem", "imagenet") != "imagenet":
        return f"timm's ResNets have no stem called {options['stem']!r}"
    planes = options.get("stem_planes") or round(64 * options.get("width", 1.0))
    return None if planes == 64 else f"the stems of timm's ResNets have 64 channels, not {planes}"


def _write_beside(part: ViewPart, view: str, folder: Path, config: Mapping[str, Any]) -> None:
    """Writes weights, card and record of an encoder, and the files that its library needs."""
    folder.mkdir(parents=True)
    record = save_encoder(part.encoder, part.view, folder)
    if config:
        (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
        record |= {"name": "timm:", "beside": True}
    about = {"schema": SCHEMA, "name": view, "view": part.view.record(), "encoder": record}
    _write(folder / CARD, card_of_view(view, about, None))
    _write(folder / VIEW, json.dumps(about, indent=1))


def _config(part: ViewPart) -> dict[str, Any]:
    """timm's config.json of a ResNet of ours; timm's own encoders write theirs."""
    if part.encoder.saved_as:
        return {}
    record, view = part.encoder.record(), part.view
    width = record["options"].get("width", 1.0)
    about: dict[str, Any] = {
        "mean": view.mean,
        "std": view.std,
        "num_classes": 0,
        "first_conv": "conv1",
        "classifier": "fc",
    }
    about |= {"input_size": [part.encoder.channels, view.crop.size, view.crop.size], "custom_load": False}
    return {
        "architecture": record["name"],
        "num_classes": 0,
        "num_features": part.encoder.features,
        "model_args": {
            "in_chans": part.encoder.channels,
            "channels": [round(planes * width) for planes in (64, 128, 256, 512)],
        },
        "pretrained_cfg": about,
    }


def _write_one_view(model: PortableModel, view: str, folder: Path) -> None:
    part, layout = model.part(view), model.layout
    own = folder / layout.folders[view]
    own.mkdir(parents=True)
    record = save_encoder(part.encoder, part.view, own)
    about: dict[str, Any] = {"schema": SCHEMA, "name": view, "view": part.view.record(), "encoder": record}
    about |= {"modality": part.modality.as_plain(), "heads": save_heads(part.heads, own), "z": dict(part.edges)}
    _write(own / VIEW, json.dumps(about, indent=1))
    _write(own / CARD, card_of_view(view, about, None))
    _write(folder / CARD, _card_of_one_view(model, view))
    _write(folder / MODEL, index(folder, {view: own.name}, {}, data=layout.data, run=layout.run))


def _card_of_one_view(model: PortableModel, view: str) -> str:
    """The card of the whole model, with a sentence on what was left out."""
    left = f"> This folder holds the view {view!r} alone, of the views {', '.join(model.views)}.\n"
    head, mark, rest = model.card.partition("\n# ")
    title, line, body = rest.partition("\n")
    return f"{head}{mark}{title}{line}\n{left}{body}" if mark else f"{left}\n{model.card}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _by_timm(folder: Path, view: str) -> Features:  # noqa: ARG001
    import timm

    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    return torch.no_grad()(lambda x: network(x).numpy())


def _by_auto_model(folder: Path, view: str) -> Features:  # noqa: ARG001
    from transformers import AutoModel

    network = AutoModel.from_pretrained(folder).eval()
    return torch.no_grad()(lambda x: network(pixel_values=x).pooler_output.flatten(1).numpy())


def _by_language_model(folder: Path, view: str) -> Features:  # noqa: ARG001
    network = make_encoder(f"transformers:{folder}", 1).eval()
    return torch.no_grad()(lambda x: network(x).numpy())


def _by_multiview(folder: Path, view: str) -> Features:
    model = read_model(folder)
    return lambda values: model[view](values).numpy()


AUTO_MODEL = 'transformers.AutoModel.from_pretrained("{path}")'
LOADED = {
    "timm": Loaded(_by_timm, False, 'timm.create_model("local-dir:{path}", pretrained=True)'),
    "timm in transformers": Loaded(_by_auto_model, False, AUTO_MODEL),
    "transformers": Loaded(_by_language_model, False, AUTO_MODEL),
    "multiview": Loaded(_by_multiview, True, 'multiview.load("{path}")["{view}"](values)'),
}
