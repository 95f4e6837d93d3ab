"""The embedded dataset: small ray-cast scenes with image, depth, normals, mask and sound.

The files here make arrays from (seed, index); `sources/scenes.py` is the source for `preprocess`.
"""

from multiview import moved

__getattr__ = moved.names_of("data.scenes")
