"""Addresses such as `s3://bucket/photos`, in place of the path of a folder."""

from __future__ import annotations

import re

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://")
READ_ONLY = ("http", "https")
"""Schemes of servers that give files and take none."""


def is_address(spec: object) -> bool:
    """Whether a text is an address: a scheme, `://`, and a place."""
    return isinstance(spec, str) and SCHEME.match(spec) is not None


def scheme_of(address: str) -> str:
    """`s3` for `s3://bucket/photos`."""
    found = SCHEME.match(address)
    assert found is not None
    return found[1]


def is_read_only(address: str) -> bool:
    """Whether files at this address can be read, and nothing can be written there."""
    return scheme_of(address) in READ_ONLY


def join(address: str, name: str) -> str:
    """The address of a file in the folder at `address`."""
    return f"{address.rstrip('/')}/{name}"


def last_name(address: str) -> str:
    """`photos` for `s3://bucket/photos/`, of letters that a folder's name may have."""
    last = address.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last) or "store"
