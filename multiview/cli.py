"""The `multiview` command: prepares data, looks at it, trains by recipe name, evaluates and compares runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.check import check
from multiview.commands.stores import merge, preprocess, split, verify
from multiview.errors import MultiviewError, unknown_name
from multiview.launch import complain, exit_code
from multiview.options import parse
from multiview.plugins import GROUPS, installed, load


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Prints what a store holds and draws a contact sheet of every modality and view.

    Args:
        store: the store's folder.
        out: the picture (null = contact-sheet.png in the store's folder).
        samples: rows of the picture.
        views: views to draw, with the options that they need: '[L, bands:bands=8, "table:columns=[0,3]"]' (null = every
            installed one that needs none and whose modality the store has).
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
        dim: width that every set of features is reduced to by PCA before the probe (null = that of the narrowest encoder).
        subsets: measure every subset of the views side by side, on the samples that have all of its views.
        segment: probe the maps of `layer` for the classes of this stored mask instead, pixel by pixel.
        classes: with --segment, the commonest classes that count.
    """

    run: str
    data: str | None = None
    layer: str | None = None
    dim: int | None = None
    subsets: bool = False
    segment: str | None = None
    classes: int = 40


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


def inspect_store(words: Sequence[str]) -> int:
    """multiview inspect STORE [options]."""
    chosen = parse(Inspect, words, prog="multiview inspect", positional=["store"])
    from multiview.data.inspect.inspection import inspect_store as show

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
        return 0 if words else 2
    return exit_code(load("recipes", words[0]), words[1:])


def evaluate(words: Sequence[str]) -> int:
    """multiview evaluate RUN [options]."""
    chosen = parse(Evaluate, words, prog="multiview evaluate", positional=["run"])
    from multiview.load_run import load as load_run

    if chosen.segment is not None:
        if chosen.layer is None:
            raise MultiviewError("--segment probes the maps of a layer; name it with --layer, such as --layer stage3.")
        from multiview.measure.segmentation import segment

        segment(load_run(chosen.run, chosen.data), chosen.segment, chosen.layer, classes=chosen.classes)
        return 0
    from multiview.measure.evaluate import evaluate as measure

    measure(load_run(chosen.run, chosen.data), layer=chosen.layer, dim=chosen.dim, subsets=chosen.subsets)
    return 0


def compare(words: Sequence[str]) -> int:
    """multiview compare RUN [RUN ...]."""
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: multiview compare RUN [RUN ...]\n\nThe evaluations of several runs side by side: every value, "
            "mean and deviation, margins over the controls."
        )
        return 0 if words else 2
    from multiview.commands.compare import compare_runs

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
        "merge": ("one store of the parts of one, or of several stores", merge),
        "split": ("a store's samples in new splits: STORE OUT", split),
        "verify": ("read a store from end to end: hashes, counts, values", verify),
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
