"""The file system behind an address, opened through fsspec and anew in every process."""

from __future__ import annotations

import os
from typing import Any

from multiview.errors import MultiviewError
from multiview.remote.address import scheme_of

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http", "hf": "hf"}
"""Scheme -> the extra of this package that installs what it needs."""
PLAIN = ("file", "memory")
CONNECT_SECONDS, READ_SECONDS = 10, 60
"""Longest wait for a connection, and for the next bytes of one."""

_opened: dict[str, Any] = {}
_owner = os.getpid()


def filesystem(address: str) -> Any:
    """The file system of fsspec for an address. Each process opens its own: few survive a fork.

    Raises MultiviewError for an unknown scheme, or when a package is missing.
    """
    global _owner
    if _owner != os.getpid():
        _opened.clear()
        _owner = os.getpid()
    scheme = scheme_of(address)
    if scheme not in _opened:
        _opened[scheme] = _open(scheme)
    return _opened[scheme]


def forget(address: str) -> None:
    """The next request opens the file system again, with new connections."""
    if scheme_of(address) != "memory":
        _opened.pop(scheme_of(address), None)


def _open(scheme: str) -> Any:
    if scheme not in EXTRAS and scheme not in PLAIN:
        known = sorted([*EXTRAS, *PLAIN])
        raise MultiviewError(
            f"'{scheme}://' is no kind of address; known are {', '.join(f'{name}://' for name in known)}."
        )
    try:
        import fsspec

        return fsspec.filesystem(scheme, skip_instance_cache=True, **_options(scheme))
    except ImportError as cause:
        raise MultiviewError(
            f"{scheme}:// needs a package that is not there ({cause}): "
            f"pip install 'multiview-cmc[{EXTRAS.get(scheme, 'remote')}]'."
        ) from cause


def _options(scheme: str) -> dict[str, Any]:
    """Limits of time; the retries are ours, so that a lost server is named soon."""
    if EXTRAS.get(scheme) == "s3":
        limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
        return {
            "config_kwargs": {**limits, "retries": {"mode": "standard", "max_attempts": 1}},
            "use_listings_cache": False,
        }
    if EXTRAS.get(scheme) == "http":
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        return {"client_kwargs": {"timeout": limits}}
    return {}


def plain_path(address: str) -> str:
    """The path of an address as its file system takes it."""
    return str(filesystem(address)._strip_protocol(address))


def single_stream(address: str) -> dict[str, Any]:
    """Options of `get_file` for one stream: s3fs does not check the parts of ranged downloads."""
    return {"max_concurrency": 1} if EXTRAS.get(scheme_of(address)) == "s3" else {}
