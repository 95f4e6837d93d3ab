"""Ready encoders, imported when first used: `from multiview.encoders import ResNet, resnet18`.

A function with the name of its module, such as `alexnet`, is not exported: use the class `AlexNet`,
or `make_encoder("alexnet", 1)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiview.encoders.alexnet import AlexNet
    from multiview.encoders.convnet import ConvNet
    from multiview.encoders.mlp import MLP
    from multiview.encoders.pointnet import PointNet
    from multiview.encoders.resnet import ResNet, resnet18, resnet34, resnet50, resnet101
    from multiview.encoders.resnet1d import ResNet1d
    from multiview.encoders.seriesconv import SeriesConv
    from multiview.encoders.soundconv import SoundConv
    from multiview.encoders.text import ByteTransformer
    from multiview.encoders.timm import TimmEncoder, timm_model
    from multiview.encoders.torchaudio import Speech, torchaudio_model
    from multiview.encoders.transformers import TransformersEncoder, transformers_model
    from multiview.encoders.video import Frames, R3d, frames, r3d_18
    from multiview.encoders.waveconv import WaveConv

_HOME = {
    "AlexNet": "alexnet",
    "ByteTransformer": "text",
    "ConvNet": "convnet",
    "Frames": "video",
    "MLP": "mlp",
    "PointNet": "pointnet",
    "R3d": "video",
    "ResNet": "resnet",
    "ResNet1d": "resnet1d",
    "SeriesConv": "seriesconv",
    "SoundConv": "soundconv",
    "Speech": "torchaudio",
    "TimmEncoder": "timm",
    "TransformersEncoder": "transformers",
    "WaveConv": "waveconv",
    "frames": "video",
    "r3d_18": "video",
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "timm_model": "timm",
    "torchaudio_model": "torchaudio",
    "transformers_model": "transformers",
}

__all__ = [
    "MLP",
    "AlexNet",
    "ByteTransformer",
    "ConvNet",
    "Frames",
    "PointNet",
    "R3d",
    "ResNet",
    "ResNet1d",
    "SeriesConv",
    "SoundConv",
    "Speech",
    "TimmEncoder",
    "TransformersEncoder",
    "WaveConv",
    "frames",
    "r3d_18",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "timm_model",
    "torchaudio_model",
    "transformers_model",
]


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
