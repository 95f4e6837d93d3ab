"""The command `multiview`: the table of its commands, and where the program starts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multiview import old_import_paths
from multiview.check import CHECK
from multiview.child import protect_children
from multiview.commandline import Command, help_text
from multiview.commandline import run as run_command
from multiview.exits import DONE, EXIT_CODES, MISTAKE, exit_code_of

if TYPE_CHECKING:
    from multiview.commands.completion import Completion

__getattr__ = old_import_paths.names_of("cli")

COMMANDS = (
    Command(
        name="preprocess",
        summary="make a store from raw data",
        words="SOURCE INPUT OUT [options]",
        action="multiview.commands.preprocess:preprocess",
        plugins="sources",
        about="Makes a store from raw data. The source `scenes` generates its samples and takes no INPUT.",
        examples=("multiview preprocess folder photos stores/photos", "multiview preprocess scenes stores/scenes"),
    ),
    Command(
        name="merge",
        summary="join the parts of one store, or several stores",
        words="OUT STORE [STORE ...] [options]",
        action="multiview.commands.stores:merge",
        options="multiview.commands.stores:Merge",
        examples=("multiview merge stores/photos part1 part2",),
    ),
    Command(
        name="split",
        summary="copy a store with other splits",
        words="STORE OUT [options]",
        action="multiview.commands.stores:split",
        options="multiview.commands.stores:Split",
        examples=("multiview split stores/photos stores/photos-80 --split 80/10/10 --by class",),
    ),
    Command(
        name="verify",
        summary="read a whole store and report damage",
        words="STORE [options]",
        action="multiview.commands.stores:verify",
        options="multiview.commands.stores:Verify",
        examples=("multiview verify stores/photos",),
    ),
    Command(
        name="inspect",
        summary="print what a store holds and draw a contact sheet",
        words="STORE [options]",
        action="multiview.commands.stores:inspect_store",
        options="multiview.commands.stores:Inspect",
        examples=("multiview inspect stores/photos --views '[L, ab]'",),
    ),
    Command(
        name="train",
        summary="train a recipe or a graph file in one process",
        words="RECIPE [options]",
        action="multiview.commands.runs:train",
        plugins="recipes",
        about="Trains a recipe, or a graph file in its place, in one process. `paper:NAME` is a graph file with "
        "the settings of a paper; `multiview list recipes` shows the names. "
        "`accelerate launch -m multiview.recipes.RECIPE [options]` starts the same run from any folder, with as many "
        "processes as `accelerate config` or --num_processes says; a recipe in "
        "a file of your own is started with `accelerate launch FILE.py [options]`.",
        examples=("multiview train cmc_lab --plan", "multiview train cmc_lab --data stores/photos --out runs/photos"),
    ),
    Command(
        name="graph",
        summary="draw the views, encoders and edges of a graph file, a run or a recipe",
        words="GRAPH [--svg OUT.svg] [options]",
        action="multiview.commands.graph:draw",
        plugins="recipes",
        about="Draws the views, encoders, edges and memories of a graph file, a run folder or a recipe. The options "
        "are those of `multiview train`. With --data, shapes and bytes are exact; without --data, some depend on data. "
        "--svg also writes a picture.",
        examples=("multiview graph graph.yaml --svg graph.svg", "multiview graph cmc_rgbd --topology core"),
    ),
    CHECK,
    Command(
        name="evaluate",
        summary="evaluate a run and compare it with random weights and raw values",
        words="RUN [options]",
        action="multiview.commands.runs:evaluate",
        options="multiview.commands.runs:Evaluate",
        examples=("multiview evaluate runs/photos --layer stage3",),
    ),
    Command(
        name="compare",
        summary="compare the evaluations of several runs in one table",
        words="RUN [RUN ...]",
        action="multiview.commands.runs:compare",
        options="multiview.commands.runs:Compare",
        examples=("multiview compare runs/scenes/*",),
    ),
    Command(
        name="report",
        summary="write the page of a run, or of several, as one HTML file",
        words="RUN [RUN ...] [options]",
        action="multiview.commands.report:report",
        options="multiview.commands.report:Report",
        examples=("multiview report runs/photos", "multiview report runs/scenes/* -o scenes.html"),
    ),
    Command(
        name="study",
        summary="find out which view helps and which edge hurts",
        words="RECIPE [options]",
        action="multiview.commands.study:study",
        plugins="recipes",
        about="Trains a recipe, or a graph file in its place, with changes over paired seeds: one view less, one edge "
        "less, other edges, one view alone, other options. Ends in one table and one page that say in words which "
        "view helps and which edge hurts. The options are those of the study, which `multiview study RECIPE --help` "
        "lists, and those of `multiview train RECIPE`.",
        examples=(
            "multiview study auto --data stores/photos --steps 400 --plan",
            "multiview study graph.yaml --data stores/photos --parts views --sweep temperature=0.05,0.1,0.2",
        ),
    ),
    Command(
        name="embed",
        summary="write the vectors of any data to a Parquet file",
        words="MODEL INPUT OUT [options]",
        action="multiview.commands.embed:embed",
        options="multiview.commands.embed_options:Embed",
        examples=("multiview embed runs/photos/model new_photos vectors.parquet --what z --workers 4",),
    ),
    Command(
        name="search",
        summary="find the samples nearest to ids, files or texts",
        words="GALLERY QUERY [QUERY ...] [options]",
        action="multiview.commands.embed:search",
        options="multiview.commands.embed_options:Search",
        examples=(
            "multiview search runs/photos cat.jpg --k 5",
            'multiview search runs/captions "a red circle"',
            "multiview search vectors.parquet cat.jpg --model runs/photos/model --sheet found.png",
        ),
    ),
    Command(
        name="export",
        summary="write a view of a model for ONNX, torch.export, timm or Hugging Face",
        words="MODEL VIEW [OUT] [options]",
        action="multiview.commands.export:export",
        options="multiview.commands.export:Export",
        examples=("multiview export runs/photos/model ab ab.onnx", "multiview export runs/photos ab --to timm"),
    ),
    Command(
        name="push",
        summary="send a model folder to the Hugging Face hub",
        words="MODEL REPO_ID [options]",
        action="multiview.commands.hub:push",
        options="multiview.commands.hub:Push",
        examples=("multiview push runs/photos/model my-name/photos --private",),
    ),
    Command(
        name="pull",
        summary="fetch a model from the Hugging Face hub",
        words="REPO_ID OUT [options]",
        action="multiview.commands.hub:pull",
        options="multiview.commands.hub:Pull",
        examples=("multiview pull my-name/photos models/photos",),
    ),
    Command(
        name="weights",
        summary="say what a file of weights holds and which encoder it fits",
        words="FILE [options]",
        action="multiview.commands.weights:weights",
        options="multiview.commands.weights_options:Weights",
        examples=("multiview weights moco_v2.pth", "multiview weights dino.pth:student --all"),
    ),
    Command(
        name="list",
        summary="list the installed views, encoders, objectives, sources and recipes",
        words="[GROUP ...]",
        action="multiview.commands.plugins:list_plugins",
        options="multiview.commands.plugins:ListPlugins",
        examples=("multiview list views encoders",),
    ),
    Command(
        name="completion",
        summary="print a script that completes commands and options in bash or zsh",
        words="SHELL",
        action="multiview.cli:complete",
        options="multiview.commands.completion:Completion",
        examples=(
            "source <(multiview completion bash)  # this shell alone; zsh likewise",
            "multiview completion bash > ~/.local/share/bash-completion/completions/multiview",
            "multiview completion zsh > ~/.zfunc/_multiview  # with fpath+=~/.zfunc before compinit in ~/.zshrc",
        ),
    ),
    Command(
        name="doctor",
        summary="examine this machine: what works, what could work better, what is broken",
        words="[FOLDER ...] [options]",
        action="multiview.commands.doctor:doctor",
        options="multiview.commands.doctor:Doctor",
        examples=("multiview doctor", "multiview doctor /mnt/data --json > doctor.json"),
    ),
)

MULTIVIEW = Command(
    name="",
    summary="",
    words="COMMAND ...",
    subcommands=COMMANDS,
    about="Contrastive multiview coding: any views, N encoders, one contrast graph.",
    epilog=EXIT_CODES,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits; `EXIT_CODES` says with which code."""
    words = list(sys.argv[1:] if argv is None else argv)
    protect_children()
    sys.exit(exit_code_of(lambda: run(words)))


def run(words: Sequence[str]) -> int:
    """Runs one command and returns its exit code. Raises MultiviewError for a mistake."""
    if not words:
        print(help_text(MULTIVIEW))
        return MISTAKE
    if words[0] == "--version":
        print(version_text())
        return DONE
    return run_command(MULTIVIEW, words)


def complete(options: Completion) -> int:
    """multiview completion SHELL."""
    from multiview.commands.completion import completion

    return completion(options, COMMANDS)


def version_text() -> str:
    """`0.2.0 (torch 2.10.0, Python 3.11.7)`, without importing torch."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch = f"torch {version('torch')}"
    except PackageNotFoundError:
        torch = "no torch"
    return f"{version('multiview-cmc')} ({torch}, Python {platform.python_version()})"


if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[:1] == [str(Path.cwd())]:  # put there by `python -m`
        sys.path.pop(0)
    main()
