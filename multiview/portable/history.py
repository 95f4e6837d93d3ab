"""Where the weights of an encoder come from: its first weights, and what of it was trained."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from multiview.encoder import Encoder
from multiview.errors import printable
from multiview.tuning import Tuning

if TYPE_CHECKING:
    from multiview.trained import Trained

WITH_WEIGHTS = ("transformers:", "timm:hf-hub:", "timm:hf_hub:", "timm:local-dir:")
"""Beginnings of the names of encoders that load pretrained weights unless told otherwise."""
PARTS = {
    "full": "all of it",
    "frozen": "nothing: frozen, its heads alone learned",
    "heads": "nothing: frozen, its heads alone learned",
}


def history_of(trained: Trained, view: str) -> tuple[str, str]:
    """The first weights of a view's encoder, and what of it was trained, in words."""
    owner = trained.model.owners[view]
    tuning = trained.setup.tuning.get(owner, Tuning())
    return _first_weights(trained.model.encoder(view), tuning), _trained_part(tuning)


def _first_weights(encoder: Encoder, tuning: Tuning) -> str:
    if encoder.made is None:
        return "those of its class"
    options = encoder.made.options
    if named := tuning.weights or options.get("weights"):
        return f"`{_short(str(named))}`"
    made = encoder.made
    name = made.factory.rpartition(":")[2] + f":{made.model}" * (made.model is not None)
    pretrained = options.get("pretrained")
    if name.startswith(WITH_WEIGHTS) if pretrained is None else pretrained:
        return f"pretrained, of `{_short(name)}`"
    return "random"


def _short(place: str) -> str:
    """A path as it was typed, without the folders of an absolute one."""
    path = PurePath(place)
    text = "/".join(path.parts[-2:]) if path.is_absolute() else place
    return printable(text).replace("`", "'").replace("|", "\\|").replace("\n", " ")


def _trained_part(tuning: Tuning) -> str:
    if tuning.train.startswith("lora"):
        return f"small matrices beside its weights ({tuning.train})"
    return PARTS.get(tuning.train, f"its {tuning.train}")
