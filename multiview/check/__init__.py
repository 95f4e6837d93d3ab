"""`multiview check`: whether what a user has, or has written, does what it should. One file a subject; light until one is chosen."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from multiview.errors import unknown_name

SUBJECTS = {
    "parity": ("RECIPE [options]: do 2 and 4 processes train what one would?", "multiview.check.recipe"),
    "view": ("NAME [options]: shape, dtype, range, determinism, ... of a view", "multiview.check.views"),
    "encoder": ("NAME [options]: does an encoder keep its contract?", "multiview.check.encoders"),
    "objective": ("NAME [options]: does an objective keep its contract?", "multiview.check.objectives"),
    "source": ("NAME [INPUT] [options]: does a source keep its contract?", "multiview.check.sources"),
}
"""Name -> (what follows it and what it answers, the module whose `run(words)` returns the exit code)."""


def check(words: Sequence[str]) -> int:
    """multiview check SUBJECT ...; returns 0 when all is well, 1 when it is not."""
    if not words or words[0] in ("-h", "--help"):
        subjects = "\n".join(f"  {name:<10} {text}" for name, (text, _) in SUBJECTS.items())
        print(
            f"usage: multiview check SUBJECT ...\n\nExits with 0 when all is well and with 1 when it is not.\n\n{subjects}"
        )
        return 0
    if words[0] not in SUBJECTS:
        raise unknown_name("subject of a check", words[0], SUBJECTS)
    return importlib.import_module(SUBJECTS[words[0]][1]).run(words[1:])
