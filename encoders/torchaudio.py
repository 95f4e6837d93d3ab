"""Torchaudio's transformers of waveforms as encoders: `torchaudio:wav2vec2_base`, ..."""

from __future__ import annotations

from typing import Any

import torchaudio
from torch import Tensor

from multiview.encoder import Encoder
from multiview.errors import MultiviewError, unknown_name
from multiview.record import recorded
from multiview.weights import Target

MODELS = (
    *("wav2vec2_base", "wav2vec2_large", "wav2vec2_large_lv60k"),
    *("wav2vec2_xlsr_300m", "wav2vec2_xlsr_1b", "wav2vec2_xlsr_2b"),
    *("hubert_base", "hubert_large", "hubert_xlarge", "wavlm_base", "wavlm_large"),
)


class Speech(Encoder):
    """A wav2vec 2.0, HuBERT or WavLM model of sound at 16 kHz: h (n, features).

    h is the mean of the last layer over time. network: a `torchaudio.models.Wav2Vec2Model`.
    channels: of the sound, which are averaged. Layers: layer1, layer2, ... as maps (n, features,
    steps of 20 ms), then pool. Raises MultiviewError for sound shorter than 400 samples (25 ms).
    """

    axes = ("channels", "samples")
    network: Any

    def __init__(self, network: Any, channels: int) -> None:
        blocks = network.encoder.transformer.layers
        features = network.encoder.feature_projection.projection.out_features
        super().__init__(channels, features, (*(f"layer{number}" for number in range(1, len(blocks) + 1)), "pool"))
        self.network = network

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`; deeper layers are not computed."""
        if x.shape[2] < 400:
            raise MultiviewError(
                f"this encoder needs 400 samples (25 ms at 16 kHz) or more, not {x.shape[2]}; cut longer windows."
            )
        last = layer == self.layers[-1]
        depth = len(self.layers) - 1 if last else self.layers.index(layer) + 1
        maps, _ = self.network.extract_features(x.mean(1), num_layers=depth)
        return maps[-1].mean(1) if last else maps[-1].transpose(1, 2)

    def weights_target(self) -> Target:
        """torchaudio's model."""
        return Target(self.network, self.channels, ("aux.",))


@recorded
def torchaudio_model(
    model: str, channels: int, *, width: float = 1.0, weights: str | None = None, **options: Any
) -> Speech:
    """The torchaudio model `model` for sound at 16 kHz: h (n, 768 or more).

    Args:
        model: one of `MODELS`.
        channels: of the sound, which are averaged.
        width: 1; these models have a width of their own.
        weights: file with the model's state, .pt or .safetensors; None = random weights.
        options: torchaudio's own, such as encoder_dropout. encoder_layer_drop is 0 by default:
            dropped layers would break training on several processes.

    Raises:
        MultiviewError: for an unknown model or option, another width, and weights that do not fit.
    """
    if width != 1:
        raise MultiviewError(
            f"torchaudio's models have a width of their own: leave width at 1, not {width}, and choose another model."
        )
    if model not in MODELS:
        raise unknown_name("model of torchaudio", model, MODELS)
    try:
        network = getattr(torchaudio.models, model)(**{"encoder_layer_drop": 0.0, **options})
    except TypeError as cause:
        raise MultiviewError(f"torchaudio cannot make {model} with the options {options}: {cause}.") from cause
    encoder = Speech(network, channels)
    if weights is not None:
        encoder.load_weights(weights)
    return encoder
