"""The store on disk: its manifest, its HDF5 shards, how they are read, and how they are verified.

No code here writes a store or draws a random number.
"""

from multiview import old_import_paths
from multiview.data.store.reading import Store as Store

__getattr__ = old_import_paths.names_of("data.store")
