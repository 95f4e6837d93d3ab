"""A store that is written to an address: whole shards are sent one by one, the manifest last.

Beside every shard stands its record until the store is whole. So a command that is given again
sends what is missing only, and the jobs of one command may run on machines that share no disk.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from multiview import folderlock
from multiview.data.store import columnfile, manifest
from multiview.data.store.manifest import Manifest, Provenance, Shard
from multiview.data.store.shard import shard_name
from multiview.data.write import storefolder
from multiview.data.write.records import columns_in, record_name, record_of, summary_in
from multiview.data.write.shardjob import FinishedShard, ShardJob, Tick
from multiview.errors import MultiviewError
from multiview.files import partial_path, replace_bytes, replace_text
from multiview.remote.address import join, last_name
from multiview.remote.cache import cache_root
from multiview.remote.transfer import read_bytes, remove, send, sizes

RECORDS = ".records"
"""The folder of the records, here and at the address."""


@dataclass(frozen=True)
class SentShardJob(ShardJob):
    """Writes shards in the folder `out`, sends them to `address`, and removes them here.

    there: the files at the address when the job began, with their sizes.
    """

    address: str = ""
    there: Mapping[str, int] = field(default_factory=dict)

    def write(self, number: int, tick: Tick) -> FinishedShard:
        """Writes and sends a shard, unless it is at the address already."""
        found = self.sent(number)
        if found and not self._has_mended_rejects(found.summary, self.rows_of(number)):
            tick(len(self.rows_of(number)), len(found.summary.rejects))
            return found
        return self._send(super().write(number, tick))

    def rewrite_without(self, shard: FinishedShard, copies: Mapping[str, str]) -> FinishedShard:
        """See `ShardJob.rewrite_without`."""
        return self._send(super().rewrite_without(shard, copies))

    def sent(self, number: int) -> FinishedShard | None:
        """A shard that is whole at the address, whose record is here then; None without one."""
        name = shard_name(number)
        record = read_bytes(join(self.address, RECORDS), record_name(name)) if name in self.there else None
        summary = summary_in(record, self.layout) if record else None
        if record is None or summary is None or summary.shard.size != self.there[name]:
            return None
        replace_bytes(self._record(name), record)
        return FinishedShard(number, summary, reused=True)

    def columns(self, shard: Shard, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of a shard that was sent, from its record."""
        return columns_in(self._record(shard.name).read_bytes(), names)

    def _record(self, shard: str) -> Path:
        return self.out / RECORDS / record_name(shard)

    def _send(self, shard: FinishedShard) -> FinishedShard:
        name = shard.summary.shard.name
        replace_bytes(self._record(name), record_of(self.out, shard.summary, self.layout))
        send(self.out / name, self.address, name)
        send(self._record(name), join(self.address, RECORDS), record_name(name))
        (self.out / name).unlink()
        return shard


@contextmanager
def opened(address: str, job: ShardJob, origin: Provenance, overwrite: bool) -> Iterator[SentShardJob | Manifest]:
    """Prepares the address; yields the job that writes there, or the manifest of a whole store.

    Raises MultiviewError when anything else is there that may not be replaced.
    """
    out = _staging(address, origin)
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    with folderlock.locked(out):
        whole = _begin(address, origin, overwrite)
        if whole is None:
            fields = (job.plan, job.layout, out, job.shard_rows, job.allowed_bad)
            yield SentShardJob(*fields, address, sizes(address))
    if whole is not None:
        yield whole


def _staging(address: str, origin: Provenance) -> Path:
    """The local folder of a job, beside that of fetched stores."""
    key = hashlib.sha256(f"{address} {origin.origin()} {origin.part}".encode()).hexdigest()[:12]
    root = cache_root()
    return root.with_name(f"{root.name}-sending") / f"{last_name(address)}-{key}"


def _begin(address: str, origin: Provenance, overwrite: bool) -> Manifest | None:
    there = sizes(address)
    _refuse_other_files(address, there)
    begun = manifest.NAME not in there and read_bytes(address, storefolder.JOURNAL) == _journal(origin).encode()
    if overwrite and not begun:  # the other jobs of this command keep what they have sent
        _remove_store(address, there)
    elif manifest.NAME in there:
        return _whole_store(address, origin, there)
    elif there and not begun:
        raise storefolder.occupied(address, _remains(there))
    draft = _staging(address, origin) / storefolder.JOURNAL
    replace_text(draft, _journal(origin))
    send(draft, address, storefolder.JOURNAL)
    return None


def _refuse_other_files(address: str, there: Mapping[str, int]) -> None:
    """Raises MultiviewError for files that belong to no store."""
    foreign = sorted(name for name in there if not storefolder.OWNED.fullmatch(name))
    if foreign and manifest.NAME not in there and storefolder.JOURNAL not in there:
        raise MultiviewError(
            f"{address} is not empty and is no store (it holds {foreign[0]}); nothing was touched. Choose another OUT."
        )


def _remains(there: Mapping[str, int]) -> str:
    if storefolder.JOURNAL in there:
        return "an unfinished store of another command, or of an input that changed"
    return "shards without a manifest"


def _journal(origin: Provenance) -> str:
    """The same for all jobs of one command."""
    return storefolder.journal_text(replace(origin, part=None))


def _whole_store(address: str, origin: Provenance, there: Mapping[str, int]) -> Manifest:
    text = read_bytes(address, manifest.NAME) or b""
    found = Manifest.from_json(text.decode("utf-8", "replace"), join(address, manifest.NAME))
    if found.provenance.origin() != origin.origin():
        raise storefolder.occupied(
            address, f"another store: {storefolder.describe_difference(found.provenance, origin)}"
        )
    if None not in (found.provenance.files, origin.files) and found.provenance.files != origin.files:
        raise storefolder.occupied(address, f"an older store of {origin.input}: its files have other sizes or times")
    missing = [shard.name for shard in found.shards if there.get(shard.name) != shard.size]
    if missing:
        raise storefolder.occupied(address, f"a damaged store: {missing[0]} is missing or has another size")
    return found


def _remove_store(address: str, there: Mapping[str, int]) -> None:
    """Removes a store; its manifest goes first, so that the rest is no store."""
    owned = [name for name in there if storefolder.OWNED.fullmatch(name)]
    remove(address, sorted(owned, key=lambda name: name != manifest.NAME))
    _remove_records(address)


def _remove_records(address: str) -> None:
    remove(join(address, RECORDS), sizes(join(address, RECORDS)))


def all_shards(job: SentShardJob) -> list[FinishedShard] | None:
    """All shards of the store, of all jobs; None while some are not at the address."""
    now = replace(job, there=sizes(job.address))
    found = []
    for number in job.shard_numbers():
        shard = now.sent(number) if shard_name(number) in now.there else None
        if shard is None:
            return None
        found.append(shard)
    return found


def publish(job: SentShardJob) -> None:
    """Sends the files of the finished store, the manifest last, and removes the records."""
    for name in (storefolder.REJECTS, storefolder.DUPLICATES, columnfile.NAME, manifest.NAME):
        if (job.out / name).exists():
            send(job.out / name, job.address, name)
    remove(job.address, [storefolder.JOURNAL])
    _remove_records(job.address)
    leave(job)


def leave(job: SentShardJob) -> None:
    """Removes the local folder of a job that has sent everything."""
    shutil.rmtree(job.out, ignore_errors=True)


def publish_views(address: str, text: str) -> None:
    """Replaces the manifest at an address."""
    folder = cache_root().with_name(f"{cache_root().name}-sending")
    folder.mkdir(parents=True, exist_ok=True)
    draft = partial_path(folder / manifest.NAME)  # another name in every process
    try:
        replace_text(draft, text)
        send(draft, address, manifest.NAME)
    finally:
        draft.unlink(missing_ok=True)
