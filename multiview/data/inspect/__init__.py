"""Looking at a store: what it holds in words, and a contact sheet of every modality and view.

Nothing here changes a store.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Names of the module that stood here before it became a package."""
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(import_module("multiview.data.inspect.contact_sheet"), name)
