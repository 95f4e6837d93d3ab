"""The commands that train, measure and compare runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from multiview.errors import MultiviewError
from multiview.exits import DONE
from multiview.papers import is_graph_file


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a run: kNN and linear probe by labels, and retrieval between views without labels.

    Random weights and raw values are evaluated in the same way.

    Args:
        run: the run folder.
        data: another store or folder than the one of the run (null = the one of the run). Its rows
            are written to a file named after it.
        layer: probe this layer of the encoders, averaged over the picture (null = the features).
        dim: number of dimensions to which PCA reduces all features before the probe (null = the
            width of the narrowest encoder).
        subsets: measure every subset of the views, on the samples that have all of its views.
        target: columns that probes predict: COLUMN, or COLUMN:classes, COLUMN:labels (several a
            sample, `a;b` in a cell), COLUMN:number, or TABLE.csv:COLUMN by id; may be repeated
            (null = the label, or without one the first column). Named columns are also
            measured with 1 and 10 % of the labels.
        probe: `linear`; `mlp` adds a probe with one hidden layer, which reads what only several
            views together tell.
        segment: probe the maps of `layer` pixel by pixel, for the classes of this stored mask.
        classes: with --segment, the number of most frequent classes that count.
        trust_code: run the Python file that the run names as its recipe, although you have never
            trained with that file here. Read the file first.
    """

    run: str
    data: str | None = None
    layer: str | None = None
    dim: int | None = None
    subsets: bool = False
    target: tuple[str, ...] | None = None
    probe: Literal["linear", "mlp"] = "linear"
    segment: str | None = None
    classes: int = 40
    trust_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Shows the evaluations of several runs, with runs that differ in the seed alone together.

    The tables hold every value, mean and standard deviation, and the margins over the controls.
    Runs with other options or data are compared by a paired test over common seeds.

    Args:
        run: run folders that have been evaluated.
    """

    run: tuple[str, ...]


def train(name: str, words: Sequence[str]) -> int:
    """multiview train RECIPE [options]: trains in one process, without a launcher."""
    from multiview.launch import named, train_from_words

    recipe, words = named(name, words)
    prog = f"multiview train {'graph' if is_graph_file(name) else name}"
    return train_from_words(recipe, words, prog=prog)


def evaluate(options: Evaluate) -> int:
    """multiview evaluate RUN [options]."""
    from multiview.load_run import load as load_run
    from multiview.portable.card import refresh_results

    _refuse_model(Path(options.run))
    if options.segment is not None:
        if options.layer is None:
            raise MultiviewError("--segment probes the maps of a layer; name the layer, such as --layer stage3.")
        unused = [name for name in ("dim", "subsets") if getattr(options, name)]
        if unused:
            raise MultiviewError(
                f"--segment probes the maps of every view at their full width, so --{unused[0]} has no "
                f"effect; leave out --{unused[0]} or --segment."
            )
        from multiview.measure.segmentation import segment

        run = load_run(options.run, options.data, trust_code=options.trust_code)
        segment(run, options.segment, options.layer, classes=options.classes)
        return DONE
    from multiview.measure.evaluate import evaluate as measure

    run = load_run(options.run, options.data, trust_code=options.trust_code)
    chosen = {name: getattr(options, name) for name in ("layer", "dim", "subsets", "probe")}
    measure(run, target=options.target or (), **chosen)
    if not run.other_data:
        refresh_results(Path(options.run))
    return DONE


def _refuse_model(folder: Path) -> None:
    """Raises MultiviewError for a model folder, which has no data and no first weights."""
    from multiview.portable.layout import is_model

    if is_model(folder):
        raise MultiviewError(
            f"{folder} is a model without data and without the weights before training, so that it cannot be compared "
            f"with controls. Type multiview evaluate {folder.absolute().parent} if that is its run, or write its "
            f"features of other data with multiview embed {folder} DATA features.parquet."
        )


def compare(options: Compare) -> int:
    """multiview compare RUN [RUN ...]."""
    from multiview.commands.compare import compare_runs

    compare_runs([Path(folder) for folder in options.run])
    return DONE
