"""Prints the lowest version that pyproject.toml declares of each dependency, for `pip install`.

`make test-lowest` installs these and runs the fast tests on them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pins(extras: tuple[str, ...] = ("video", "parquet")) -> Iterator[str]:
    """`h5py==3.12` of `h5py>=3.12`, for the dependencies and some extras."""
    project = tomllib.loads(PROJECT.read_text("utf8"))["project"]
    wanted = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    for requirement in wanted:
        name, low = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        yield f"{name}=={low}"


if __name__ == "__main__":
    print(*pins())
