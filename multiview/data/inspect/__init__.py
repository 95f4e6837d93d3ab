"""Looking at a store: what it holds in words, and a contact sheet of every modality and view.

No code here changes a store.
"""

from multiview import old_import_paths

__getattr__ = old_import_paths.names_of("data.inspect")
