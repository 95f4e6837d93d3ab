"""The embedded dataset: small ray-cast scenes with image, depth, normals, mask and sound.

The files here make arrays from (seed, index); `sources/scenes.py` is the source for `preprocess`.
"""

# `multiview.data.scenes` was one module.
from multiview.data.scenes.random_scenes import arrangement, draw_scenes
from multiview.data.scenes.scene import KINDS, TEXTURES, Body, Camera, Colour, Light, Paint, Scene, Sound

__all__ = [
    "KINDS",
    "TEXTURES",
    "Body",
    "Camera",
    "Colour",
    "Light",
    "Paint",
    "Scene",
    "Sound",
    "arrangement",
    "draw_scenes",
]
