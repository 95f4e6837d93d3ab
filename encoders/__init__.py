"""Ready encoders by name, imported when first used: `from multiview.encoders import ResNet, resnet18`.

A name that is also a module's, such as `alexnet`, is not exported: take the class, or make_encoder("alexnet", 1).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiview.encoders.alexnet import AlexNet
    from multiview.encoders.convnet import ConvNet
    from multiview.encoders.resnet import ResNet, resnet18, resnet50, resnet101
    from multiview.encoders.timm import TimmEncoder, timm_model

_HOME = {
    "AlexNet": "alexnet",
    "ConvNet": "convnet",
    "ResNet": "resnet",
    "TimmEncoder": "timm",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "timm_model": "timm",
}

__all__ = ["AlexNet", "ConvNet", "ResNet", "TimmEncoder", "resnet18", "resnet50", "resnet101", "timm_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
