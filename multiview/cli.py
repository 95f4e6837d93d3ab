"""The `multiview` command: prepares data, looks at it, trains by recipe name, evaluates and compares runs."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from multiview.check import check
from multiview.errors import MultiviewError, unknown_name
from multiview.launch import complain, exit_code
from multiview.options import parse
from multiview.plugins import GROUPS, installed, load


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Options of every source.

    Args:
        shard_rows: samples a shard file.
        max_bad: unreadable samples that are tolerated: a share below 1, or a number.
        overwrite: replace the store in OUT.
    """

    shard_rows: int = 1000
    max_bad: float = 0.05
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Prints what a store holds and draws a contact sheet of every modality and view.

    Args:
        store: the store's folder.
        out: the picture (null = contact-sheet.png in the store's folder).
        samples: rows of the picture.
        views: views to draw (null = every installed one whose modality the store has).
    """

    store: str
    out: str | None = None
    samples: int = 8
    views: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a run's frozen features: weighted kNN and a linear probe, beside random weights and raw pixels.

    Args:
        run: the run folder.
        data: another store or folder than the run's own (null = its own).
        layer: probe this layer of the encoders, averaged over the picture (null = the features).
        dim: width that every set of features is reduced to by PCA before the probe (null = the narrowest view's).
        subsets: measure every subset of the views side by side, on the samples that have all of its views.
    """

    run: str
    data: str | None = None
    layer: str | None = None
    dim: int | None = None
    subsets: bool = False


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 a check that failed, 2 a mistake that the message explains, 128 + n stopped by signal n."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = run(words)
    except MultiviewError as error:
        code = complain(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `multiview list | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """The exit code of one command."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(version("multiview-cmc"))
        return 0
    if words[0] not in COMMANDS:
        raise unknown_name("command", words[0], COMMANDS, "`multiview --help` explains them.")
    return COMMANDS[words[0]][1](words[1:])


def usage() -> str:
    """The text of --help."""
    commands = "\n".join(f"  {name:<11} {text}" for name, (text, _) in COMMANDS.items())
    return (
        "usage: multiview COMMAND ...\n\nContrastive multiview coding: any views, N encoders, one contrast graph.\n\n"
        f"commands:\n{commands}\n\n`multiview COMMAND --help` lists the options of each."
    )


def preprocess(words: Sequence[str]) -> int:
    """multiview preprocess SOURCE [INPUT] OUT [options]."""
    names = [plugin.name for plugin in installed("sources")]
    if not words or words[0] in ("-h", "--help"):
        print(
            f"usage: multiview preprocess SOURCE INPUT OUT [options]\n\nsources: {', '.join(names)}\n\n"
            "`multiview preprocess SOURCE --help` lists the options of each. `scenes` makes its samples and takes no INPUT."
        )
        return 0
    source_type = load("sources", words[0])
    positional = ["input", "out"] if source_type.needs_input else ["out"]
    rest = list(words[1:]) if source_type.needs_input else [word for word in words[1:] if word != "-"]
    about = inspect.getdoc(source_type) or ""
    chosen = parse(
        _joined(source_type, positional),
        rest,
        prog=f"multiview preprocess {words[0]}",
        description=about,
        positional=positional,
    )
    from multiview.data.preprocess import preprocess as write
    from multiview.data.progress import progress_bar

    source = source_type(**{field.name: getattr(chosen, field.name) for field in fields(source_type)})
    root = Path(chosen.input) if source_type.needs_input else None
    with progress_bar(f"preparing {root or words[0]}") as progress:
        report = write(
            source,
            root,
            Path(chosen.out),
            name=words[0],
            shard_rows=chosen.shard_rows,
            max_bad=chosen.max_bad,
            overwrite=chosen.overwrite,
            progress=progress,
        )
    print("\n".join(report.lines()))
    return 0


def _joined(source: type[Any], positional: Sequence[str]) -> type[Any]:
    """One dataclass of a source's options, those of every source, and the positional folders, with the help of all of them."""
    from dataclasses import field, make_dataclass
    from typing import get_type_hints

    members: list[tuple[str, Any] | tuple[str, Any, Any]] = [(name, str) for name in positional]
    for kind in (source, Preprocess):
        members += [(f.name, get_type_hints(kind)[f.name], field(default=f.default)) for f in fields(kind)]
    made = make_dataclass(source.__name__, members, kw_only=True, frozen=True)
    folders = {"input": "the folder to read", "out": "the folder of the new store"}
    about = {**folders, **_documented(source), **_documented(Preprocess)}
    made.__doc__ = "\n".join(["Options.", "", "Args:", *(f"    {name}: {text}" for name, text in about.items())])
    return made


def _documented(config: type[Any]) -> dict[str, str]:
    """What a dataclass's docstring says of its fields."""
    import docstring_parser

    return {
        param.arg_name: " ".join((param.description or "").split())
        for param in docstring_parser.parse(inspect.getdoc(config) or "").params
    }


def inspect_store(words: Sequence[str]) -> int:
    """multiview inspect STORE [options]."""
    chosen = parse(
        Inspect, words, prog="multiview inspect", description=inspect.getdoc(Inspect) or "", positional=["store"]
    )
    from multiview.data.inspect import inspect_store as show

    show(Path(chosen.store), out=Path(chosen.out) if chosen.out else None, samples=chosen.samples, views=chosen.views)
    return 0


def train(words: Sequence[str]) -> int:
    """multiview train RECIPE [options]: the recipe in one process, without a launcher."""
    names = [plugin.name for plugin in installed("recipes")]
    if not words or words[0] in ("-h", "--help"):
        print(
            f"usage: multiview train RECIPE [options]\n\nrecipes: {', '.join(names)}\n\n"
            "`multiview train RECIPE --help` lists the options of each."
        )
        return 0
    return exit_code(load("recipes", words[0]), words[1:])


def evaluate(words: Sequence[str]) -> int:
    """multiview evaluate RUN [options]."""
    chosen = parse(
        Evaluate, words, prog="multiview evaluate", description=inspect.getdoc(Evaluate) or "", positional=["run"]
    )
    from multiview.evaluate.run import evaluate as measure
    from multiview.trained import load as load_run

    measure(load_run(chosen.run, chosen.data), layer=chosen.layer, dim=chosen.dim, subsets=chosen.subsets)
    return 0


def compare(words: Sequence[str]) -> int:
    """multiview compare RUN [RUN ...]."""
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: multiview compare RUN [RUN ...]\n\nThe evaluations of several runs side by side: every value, "
            "mean and deviation, margins over the controls."
        )
        return 0
    from multiview.evaluate.run import compare_runs

    compare_runs([Path(word) for word in words])
    return 0


def list_plugins(words: Sequence[str]) -> int:
    """multiview list [GROUP ...]."""
    if words and words[0] in ("-h", "--help"):
        print(
            f"usage: multiview list [GROUP ...]\n\ngroups: {', '.join(GROUPS)}\n\n"
            "Every plugin with the package that it comes from, one line of help, and what is broken."
        )
        return 0
    groups = list(words) or list(GROUPS)
    for group in groups:
        if group not in GROUPS:
            raise unknown_name("group of plugins", group, GROUPS)
    from multiview.catalogue import lines

    for line in lines(groups):
        print(line)
    return 0


COMMANDS.update(
    {
        "preprocess": ("make a store of raw data: SOURCE INPUT OUT", preprocess),
        "inspect": ("print what a store holds, draw a contact sheet", inspect_store),
        "train": ("train a recipe by name in one process", train),
        "check": ("is it right? processes against one: SUBJECT ...", check),
        "evaluate": ("measure a run beside random weights and raw pixels", evaluate),
        "compare": ("several runs side by side", compare),
        "list": ("installed views, encoders, objectives, sources, recipes", list_plugins),
    }
)

if __name__ == "__main__":
    main()
