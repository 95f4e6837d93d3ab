"""The store on disk: its manifest, its HDF5 shards, how they are read, and how they are verified.

Nothing here writes a store or draws a random number.
"""

# Old import path: this package was one module.
from multiview.data.store.reading import (
    Store as Store,
)
from multiview.data.store.reading import (
    no_store as no_store,
)
