"""The command `multiview export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from multiview.commands.models import model_of
from multiview.exits import DONE
from multiview.terminal import say


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes one view of a model for other programs, after comparing the result with the model.

    onnx and torch-export hold conversion, normalisation, encoder and projectors: stored values of
    the size of the crop in, h and z out, for any number of samples. timm and hf hold the encoder
    alone, which takes the normalised view; an encoder that neither library has becomes a model
    folder of one view for mv.load.

    Args:
        model: a model folder, or a run.
        view: the view to write.
        out: the file or folder to write (null = named after the view).
        to: the format.
        overwrite: replace OUT.
    """

    model: str
    view: str
    out: str | None = None
    to: Literal["onnx", "torch-export", "timm", "hf"] = "onnx"
    overwrite: bool = False


def export(options: Export) -> int:
    """multiview export MODEL VIEW [OUT] [options]."""
    from multiview.exports.compare import BATCHES
    from multiview.exports.export import export_view

    model = model_of(Path(options.model))
    done = export_view(model, options.view, options.to, options.out, force=options.overwrite)
    sizes = ", ".join(map(str, BATCHES))
    say(f"wrote {done.path}; it takes {done.takes}")
    say(f"largest differences from the model in batches of {sizes}: {'; '.join(map(str, done.differences))}")
    say(f"load it with {done.load}")
    return DONE
