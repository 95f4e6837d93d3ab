"""The commands that make, join, split and check stores."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from multiview.errors import MultiviewError
from multiview.options import parse
from multiview.plugins import installed, load


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Options of every source.

    Args:
        shard_rows: samples per shard file. Each worker holds one shard in memory.
        max_bad: how many samples may be unreadable: a share of all below 1, else a number.
        duplicates: treatment of exact copies: `keep` lists them, `drop` omits them, `error` stops.
        workers: processes that write shards, 0 = one per core. Any number writes the same bytes.
        engine: `local` processes, or `ray` for the cluster that RAY_ADDRESS names or, without that
            variable, for this machine.
        shard: write one part of the store, such as 2/8 in the second of eight jobs; join the parts
            with `multiview merge`.
        view_statistics: at the end measure the installed views on 1000 samples, for normalisation
            and `inspect`.
        overwrite: replace the store in OUT.
    """

    shard_rows: int = 1000
    max_bad: float = 0.05
    duplicates: Literal["keep", "drop", "error"] = "keep"
    workers: int = 0
    engine: Literal["local", "ray"] = "local"
    shard: str | None = None
    view_statistics: bool = True
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Split:
    """Writes a store again with other splits; its statistics are those of the new training split.

    Args:
        store: the store's folder.
        out: the folder of the new store.
        split: TRAIN/VAL/TEST in percent.
        by: `id` splits by a hash of the id, `class` gives all classes equal shares, the name of a
            factor keeps equal values together, a CSV file has the columns id and split.
        workers: processes that write shards, 0 = one per core.
        overwrite: replace the store in OUT.
    """

    store: str
    out: str
    split: str = "70/10/20"
    by: str = "id"
    workers: int = 0
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Reads a whole store in a separate process with limits and reports every fault.

    Args:
        store: the store's folder.
        memory: gigabytes that the reading process may use.
        seconds: time limit per shard.
    """

    store: str
    memory: float = 8.0
    seconds: float = 600.0


def preprocess(words: Sequence[str]) -> int:
    """multiview preprocess SOURCE [INPUT] OUT [options]."""
    names = [plugin.name for plugin in installed("sources")]
    if not words or words[0] in ("-h", "--help"):
        print(
            f"usage: multiview preprocess SOURCE INPUT OUT [options]\n\nsources: {', '.join(names)}\n\n"
            "`multiview preprocess SOURCE --help` lists the options of a source. `scenes` makes samples itself and "
            "takes no INPUT."
        )
        return 0 if words else 2
    name, _, value = words[0].partition(":")
    source_type = load("sources", name)
    if value:
        words = [*words, f"--{_spelled(name, source_type)}", value]
    positional = ["input", "out"] if source_type.needs_input else ["out"]
    rest = list(words[1:]) if source_type.needs_input else [word for word in words[1:] if word != "-"]
    about = inspect.getdoc(source_type) or ""
    chosen = parse(
        _joined(source_type, positional),
        rest,
        prog=f"multiview preprocess {name}",
        description=about,
        positional=positional,
    )
    from multiview.data.write.preprocess import preprocess as write
    from multiview.data.write.progress import progress_bar

    source = source_type(**{field.name: getattr(chosen, field.name) for field in fields(source_type)})
    root = Path(chosen.input) if source_type.needs_input else None
    options = {field.name: getattr(chosen, field.name) for field in fields(Preprocess)}
    del options["view_statistics"]
    with progress_bar(f"preparing {root or words[0]}") as progress:
        report = write(source, root, Path(chosen.out), name=name, progress=progress, **options)
    print("\n".join(report.lines()))
    if chosen.view_statistics and not chosen.shard:
        from multiview.data.load.viewstatistics import describe_views

        describe_views(report.out)
    return 0


def merge(words: Sequence[str]) -> int:
    """multiview merge OUT STORE [STORE ...]."""
    folders = [Path(word) for word in words if not word.startswith("-")]
    flags = {word for word in words if word.startswith("-")}
    if len(folders) < 2 or flags - {"--overwrite"}:
        print(
            "usage: multiview merge OUT STORE [STORE ...] [--overwrite]\n\nJoins the parts that `multiview preprocess "
            "--shard 1/N` to `N/N` wrote into the store\nthat one run would have written, byte for byte. Other stores "
            "are written again, one after another."
        )
        return 0 if flags & {"-h", "--help"} else 2
    from multiview.data.write.merge import merge as join
    from multiview.data.write.progress import progress_bar

    with progress_bar(f"merging into {folders[0]}") as progress:
        report = join(folders[0], folders[1:], overwrite="--overwrite" in flags, workers=0, progress=progress)
    print("\n".join(report.lines()))
    return 0


def split(words: Sequence[str]) -> int:
    """multiview split STORE OUT [options]."""
    chosen = parse(Split, words, prog="multiview split", positional=["store", "out"])
    from multiview.data.write.derived import Resplit
    from multiview.data.write.preprocess import preprocess as write
    from multiview.data.write.progress import progress_bar

    source = Resplit(store=chosen.store, split=chosen.split, by=chosen.by)
    with progress_bar(f"splitting {chosen.store}") as progress:
        report = write(
            source,
            None,
            Path(chosen.out),
            name="split",
            workers=chosen.workers,
            overwrite=chosen.overwrite,
            progress=progress,
        )
    print("\n".join(report.lines()))
    return 0


def verify(words: Sequence[str]) -> int:
    """multiview verify STORE: 0 whole, 1 damaged."""
    chosen = parse(Verify, words, prog="multiview verify", positional=["store"])
    from multiview.data.store.verify import verify as check

    report = check(Path(chosen.store), memory=chosen.memory, seconds=chosen.seconds)
    print("\n".join(report.lines()))
    return 1 if report.faults else 0


def _spelled(name: str, source: type[Any]) -> str:
    """The option that SOURCE:VALUE sets. Raises MultiviewError when the source has none."""
    option = getattr(source, "shorthand", None)
    if option is None:
        raise MultiviewError(f"the source '{name}' takes no value after a colon; `multiview preprocess {name} --help`.")
    return str(option)


def _joined(source: type[Any], positional: Sequence[str]) -> type[Any]:
    """A dataclass of the options of a source, of all sources, and of the positional folders."""
    from dataclasses import field, make_dataclass
    from typing import get_type_hints

    members: list[tuple[str, Any] | tuple[str, Any, Any]] = [(name, str) for name in positional]
    for kind in (source, Preprocess):
        members += [(f.name, get_type_hints(kind)[f.name], field(default=f.default)) for f in fields(kind)]
    made = make_dataclass(source.__name__, members, kw_only=True, frozen=True)
    folders = {"input": "the folder or file to read", "out": "the folder of the new store"}
    about = {**folders, **_documented(source), **_documented(Preprocess)}
    made.__doc__ = "\n".join(["Options.", "", "Args:", *(f"    {name}: {text}" for name, text in about.items())])
    return made


def _documented(config: type[Any]) -> dict[str, str]:
    """The help of the fields of a dataclass, from its docstring and those of its bases."""
    import docstring_parser

    about: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        for param in docstring_parser.parse(inspect.cleandoc(kind.__doc__ or "")).params:
            about[param.arg_name] = " ".join((param.description or "").split())
    return about
