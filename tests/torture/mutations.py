"""Damage to bytes, bits, lengths and the structure of JSON, drawn from one generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

STRANGE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, -(2**63), 1e308, "", "x", "../../etc/passwd", "\x1b[31mred", "\u202eright to left",
    "x" * 300, [], {}, [[]], {"a": {"b": None}}, [None], float("inf"), float("nan"),
)  # fmt: skip


def flip_bit(data: bytearray, draw: random.Random) -> None:
    """One bit of the file."""
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def flip_bytes(data: bytearray, draw: random.Random) -> None:
    """A few bytes, anywhere."""
    for _ in range(draw.choice((1, 2, 8, 64))):
        data[draw.randrange(len(data))] = draw.randrange(256)


def early_byte(data: bytearray, draw: random.Random) -> None:
    """A byte near the start, where most formats keep what matters."""
    data[draw.randrange(min(len(data), 512))] = draw.choice((0, 1, 127, 128, 255))


def truncate(data: bytearray, draw: random.Random) -> None:
    """The end is missing."""
    del data[draw.randrange(len(data)) :]


def zero_block(data: bytearray, draw: random.Random) -> None:
    """A block of zeros, as a disk leaves after a power cut."""
    start = draw.randrange(len(data))
    size = min(draw.choice((16, 512, 4096)), len(data) - start)
    data[start : start + size] = bytes(size)


def repeat_block(data: bytearray, draw: random.Random) -> None:
    """A block stands twice."""
    start = draw.randrange(len(data))
    data[start:start] = data[start : start + draw.choice((1, 16, 512))]


def swap_blocks(data: bytearray, draw: random.Random) -> None:
    """Two blocks have changed places."""
    size = min(64, len(data) // 2)
    if size:
        a, b = draw.randrange(len(data) - size), draw.randrange(len(data) - size)
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def empty(data: bytearray, _: random.Random) -> None:
    """No byte is left."""
    data.clear()


BYTES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bit, flip_bit, flip_bytes, early_byte, truncate, zero_block, repeat_block, swap_blocks, empty,
)  # fmt: skip


def damage(file: Path, draw: random.Random) -> str:
    """Damages one file in place and returns how."""
    if file.suffix in (".json", ".jsonl") and draw.random() < 0.7:
        return damage_json(file, draw)
    data = bytearray(file.read_bytes())
    way = draw.choice(BYTES)
    if data:
        way(data, draw)
    file.write_bytes(bytes(data))
    return way.__name__


def damage_json(file: Path, draw: random.Random) -> str:
    """Damages a JSON file: drops a key, changes a value's type, or nests too deep."""
    if draw.random() < 0.1:
        file.write_text("[" * 100_000 + "]" * 100_000)
        return "deep nesting"
    if draw.random() < 0.1:
        file.write_bytes(file.read_bytes().replace(b'"', b'\xff"', 1))
        return "not UTF-8"
    lines = file.read_text("utf-8").splitlines() if file.suffix == ".jsonl" else [file.read_text("utf-8")]
    if not any(lines):
        file.write_text(json.dumps(draw.choice(STRANGE_VALUES)))
        return "a strange document"
    number = draw.randrange(len(lines))
    document = json.loads(lines[number])
    done = _change(document, draw)
    lines[number] = json.dumps(document if done else draw.choice(STRANGE_VALUES))
    file.write_text("\n".join(lines) + ("\n" if file.suffix == ".jsonl" else ""), "utf-8")
    return done or "a strange document"


def _change(document: Any, draw: random.Random) -> str:
    """Changes one place of the document. Returns how; empty when nothing can be changed."""
    places = list(_places(document))
    if not places:
        return ""
    parent, key = draw.choice(places)
    way = draw.choice(("remove", "replace", "replace", "number", "rename"))
    if way == "remove":
        del parent[key]
    elif way == "number" and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] = parent[key] + draw.choice((1, -1, 0.5, 1e9))
    elif way == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    else:
        parent[key] = draw.choice(STRANGE_VALUES)
    return f"{way} {key}"


def _places(document: Any) -> Any:
    if isinstance(document, dict | list):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield document, key
            yield from _places(document[key])
