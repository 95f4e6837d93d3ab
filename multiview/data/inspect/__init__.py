"""Looking at a store: what it holds in words, and a contact sheet of every modality and view.

No code here changes a store.
"""

from multiview import moved

__getattr__ = moved.names_of("data.inspect")
