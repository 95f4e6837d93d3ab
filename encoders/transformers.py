"""Models of `transformers` as text encoders: `transformers:FOLDER`, `transformers:OWNER/NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multiview.encoder import Encoder
from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import View


class TransformersEncoder(Encoder):
    """A language model with its tokeniser: h (n, features) is the mean of its last hidden states.

    The input is UTF-8 bytes (n, bytes), 0 = padding, as for all text encoders; the CPU tokenises
    them. network: a model of `transformers` without a head. longest: tokens that are read per text.
    Layers: layer1, layer2, ... as maps (n, features, tokens), then pool.
    """

    axes = ("bytes",)
    saved_as = "transformers:"
    network: Any

    def __init__(self, network: Any, tokenizer: Any, channels: int, longest: int) -> None:
        config = network.config
        layers = [f"layer{number}" for number in range(1, config.num_hidden_layers + 1)]
        super().__init__(channels, config.hidden_size, (*layers, "pool"))
        self.network, self.tokenizer, self.longest = network, tokenizer, longest

    def network_with_weights(self) -> nn.Module:
        """The language model, so that `AutoModel.from_pretrained(FOLDER)` reads the weights."""
        return self.network

    def save_beside(self, folder: Path, view: View) -> None:
        """Writes the configuration of the language model and its tokeniser."""
        del view
        self.network.save_pretrained(folder, max_shard_size="1000GB")
        self.tokenizer.save_pretrained(folder)

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`."""
        texts = [bytes(row).rstrip(b"\0").decode("utf8", "replace") for row in x.cpu().tolist()]
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt").to(
            x.device
        )
        seen = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        out = self.network(**seen, output_hidden_states=layer != self.layers[-1])
        if layer != self.layers[-1]:
            return out.hidden_states[self.layers.index(layer) + 1].transpose(1, 2)
        weight = seen["attention_mask"].to(out.last_hidden_state.dtype).unsqueeze(2)
        return (out.last_hidden_state * weight).sum(1) / weight.sum(1).clamp(min=1)


@recorded
def transformers_model(
    model: str, channels: int, *, width: float = 1.0, pretrained: bool = True, longest: int = 128
) -> TransformersEncoder:
    """The language model `model` with its tokeniser: h (n, hidden size of the model).

    Weights are read as safetensors. Code that belongs to the model is never run.

    Args:
        model: a folder that `save_pretrained` wrote, or a name of the Hugging Face hub.
        channels: 1.
        width: 1; these models have a width of their own.
        pretrained: False draws the weights at random.
        longest: tokens that are read per text.

    Raises:
        MultiviewError: without the library, for another width, and when the model cannot be loaded.
    """
    if width != 1:
        raise MultiviewError(
            f"transformers models have a width of their own: leave width at 1, not {width}, and choose another model."
        )
    try:
        from transformers import AutoConfig, AutoModel, AutoTokenizer
    except ImportError as cause:
        raise MultiviewError("transformers is not installed; type: pip install 'multiview-cmc[text]'.") from cause
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        if pretrained:
            network = AutoModel.from_pretrained(model, use_safetensors=True)
        else:
            network = AutoModel.from_config(AutoConfig.from_pretrained(model))
    except Exception as cause:
        # The library passes on all exceptions of the hub and the file formats.
        raise MultiviewError(
            f"transformers cannot load {model} ({type(cause).__name__}). Without a connection, name a folder that "
            f"model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER) wrote: transformers:FOLDER."
        ) from cause
    return TransformersEncoder(network.to(torch.float32), tokenizer, channels, longest)
