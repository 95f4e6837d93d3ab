"""`multiview preprocess`: the options of a source and of every source in one command line."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from multiview.errors import MultiviewError
from multiview.exits import DONE
from multiview.options import parse
from multiview.plugins import load
from multiview.remote.address import is_address
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.data.write.finish import Report

FOLDERS = {
    "input": "the folder or file to read",
    "out": "the folder of the new store, or its address such as s3://bucket/photos",
}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Options of every source.

    Args:
        shard_rows: samples per shard file (null = 1000; for an address see shard_mb). Each worker
            holds one shard in memory.
        shard_mb: megabytes per shard file, in place of shard_rows (null = shard_rows; for an
            address 128 unless shard_rows is given).
        max_bad: how many samples may be unreadable: a value below 1 is a share of all samples,
            other values are a number of samples.
        duplicates: treatment of exact copies: `keep` lists them, `drop` omits them, `error` stops.
        workers: processes that write shards, 0 = one per core. Any number writes the same bytes.
        engine: `local` processes, or `ray` for the cluster that RAY_ADDRESS names or, without that
            variable, for this machine.
        shard: write one part of the store, such as 2/8 in the second of eight jobs; join the parts
            with `multiview merge`, or use --merge.
        merge: all jobs have one OUT, each its --shard; the last job makes the store there.
        group: column that says which samples belong together, such as the patient, the place or the
            recording: a column of the table or CSV file, an array, a factor, `label`, `folder` (the
            folder of the id), or 'id:REGEX' (what the first parentheses match in the id). The store
            keeps it for `train --group`, and no group is in two of the splits made here.
        view_statistics: at the end, compute mean and std of the installed views from at most 250
            samples, for normalisation and `inspect`.
        overwrite: replace the store in OUT.
    """

    shard_rows: int | None = None
    shard_mb: float | None = None
    max_bad: float = 0.05
    duplicates: Literal["keep", "drop", "error"] = "keep"
    workers: int = 0
    engine: Literal["local", "ray"] = "local"
    shard: str | None = None
    merge: bool = False
    group: str | None = None
    view_statistics: bool = True
    overwrite: bool = False


def preprocess(given: str, words: Sequence[str]) -> int:
    """multiview preprocess SOURCE [INPUT] OUT [options]; `given` is SOURCE or SOURCE:VALUE."""
    name, _, value = given.partition(":")
    source_type = load("sources", name)
    chosen = _parsed(name, source_type, [*words, f"--{_shorthand(name, source_type)}", value] if value else words)
    from multiview.data.write.progress import progress_bar

    source = source_type(**{field.name: getattr(chosen, field.name) for field in fields(source_type)})
    root = Path(chosen.input) if source_type.needs_input else None
    options = {field.name: getattr(chosen, field.name) for field in fields(Preprocess)}
    del options["view_statistics"], options["merge"]
    started = time.monotonic()
    with progress_bar(f"preparing {root or given}") as progress:
        report = _writer(chosen.merge)(source, root, out_of(chosen.out), name=name, progress=progress, **options)
    say("\n".join(report.lines()))
    _log_speed(report, time.monotonic() - started)
    if chosen.view_statistics and not report.part and (chosen.merge or not chosen.shard or is_address(chosen.out)):
        _describe_views(report.out, source, root, chosen.group)
    return DONE


def _writer(together: bool) -> Callable[..., Report]:
    """What writes the store: alone, or as one of several jobs that join their parts."""
    from multiview.data.write import jobs
    from multiview.data.write.preprocess import preprocess as alone

    return jobs.write_together if together else alone


def _log_speed(report: Report, seconds: float) -> None:
    """One line on standard error: how many samples and megabytes a second were written."""
    if report.bytes_written and not (report.already and not report.part):
        rate, megabytes = report.written / seconds, report.bytes_written / 1e6
        text = f"{rate:,.0f} samples/s, {megabytes / seconds:,.1f} MB/s ({megabytes:,.1f} MB in {seconds:.1f} s)"
        print(text, file=sys.stderr)


def out_of(word: str) -> Path | str:
    """The folder, or the address, that a word names."""
    return word if is_address(word) else Path(word)


def _describe_views(out: Path | str, source: Any, root: Path | None, group: str | None) -> None:
    """Measures the views of a new store; for an address on the input, to fetch no shard."""
    from multiview.data.load.viewstatistics import describe_views, describe_views_at

    if isinstance(out, str):
        describe_views_at(out, source, root, group)
    else:
        describe_views(out)


def _parsed(name: str, source: type[Any], words: Sequence[str]) -> Any:
    """The folders, the options of the source and those of every source, from the command line."""
    folders = ["input", "out"] if source.needs_input else ["out"]
    if not source.needs_input:
        words = [word for word in words if word != "-"]  # a `-` may stand for the missing INPUT
    usage = " ".join([*(folder.upper() for folder in folders), "[options]"])
    prog, about = f"multiview preprocess {name}", inspect.getdoc(source) or ""
    return parse(_joined(source, folders), words, prog=prog, description=about, words=usage)


def _shorthand(name: str, source: type[Any]) -> str:
    """The option that SOURCE:VALUE sets. Raises MultiviewError when there is no such option."""
    option = getattr(source, "shorthand", None)
    if option is None:
        raise MultiviewError(
            f"the source '{name}' takes no value after a colon; `multiview preprocess {name} --help` lists its options."
        )
    return str(option)


def _joined(source: type[Any], folders: Sequence[str]) -> type[Any]:
    """One dataclass of the folders, the source's options and those of every source."""
    members: list[tuple[str, Any] | tuple[str, Any, Any]] = [(name, str) for name in folders]
    for kind in (source, Preprocess):
        members += [(f.name, get_type_hints(kind)[f.name], field(default=f.default)) for f in fields(kind)]
    joined = make_dataclass(source.__name__, members, kw_only=True, frozen=True)
    about = {**FOLDERS, **_documented(source), **_documented(Preprocess)}
    joined.__doc__ = "\n".join(["Options.", "", "Args:", *(f"    {name}: {text}" for name, text in about.items())])
    return joined


def _documented(config: type[Any]) -> dict[str, str]:
    """The help of every field, from the docstrings of a dataclass and its bases."""
    import docstring_parser

    about: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        for param in docstring_parser.parse(inspect.cleandoc(kind.__doc__ or "")).params:
            about[param.arg_name] = " ".join((param.description or "").split())
    return about
