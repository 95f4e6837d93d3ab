"""Looking at a store: what it holds in words, and a contact sheet of every modality and view.

No code here changes a store.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`inspect_store` at the import path of the former module, loaded when it is used."""
    if name != "inspect_store":
        raise AttributeError(name)
    from multiview.data.inspect.inspection import inspect_store

    return inspect_store
