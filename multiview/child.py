"""One way to start a Python process: it never imports what happens to lie in the working folder."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

SAFE_PATH = "PYTHONSAFEPATH"


def protect_children() -> None:
    """Keeps the working folder off the import path of every process that this one starts from now on.

    Python puts the working folder first on the path of `python -m` and `python -c`, which the
    processes of `multiprocessing` are too: a file `signal.py` among the photos would be run.
    """
    os.environ[SAFE_PATH] = "1"


def start_module(module: str, *words: str, **options: Any) -> subprocess.Popen[str]:
    """Starts `python -P -m MODULE WORDS` and returns the process. options: of `subprocess.Popen`."""
    environment = {**os.environ, SAFE_PATH: "1"}
    return subprocess.Popen([sys.executable, "-P", "-m", module, *words], env=environment, text=True, **options)
