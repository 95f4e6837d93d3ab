"""The embedded dataset: small ray-cast scenes with image, depth, normals, mask and sound.

The files here make arrays from (seed, index); `sources/scenes.py` is the source for `preprocess`.
"""

from multiview import old_import_paths

__getattr__ = old_import_paths.names_of("data.scenes")
