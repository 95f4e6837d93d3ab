"""The store on disk: its manifest, its HDF5 shards, how they are read, and how they are verified.

No code here writes a store or draws a random number.
"""

from multiview import moved
from multiview.data.store.reading import Store as Store

__getattr__ = moved.names_of("data.store")
