"""`multiview check`: tests processes, devices, and plugins against their laws.

One file for each subject. This file is the table; it imports a subject only to run it.
"""

from __future__ import annotations

from multiview import old_import_paths
from multiview.commandline import Command

__getattr__ = old_import_paths.names_of("check")

SUBJECTS = (
    Command(
        name="check parity",
        summary="do 2 and 4 processes train the same as one?",
        words="RECIPE [options]",
        action="multiview.check.recipe:run",
        plugins="recipes",
        about="""Trains the recipe for a few steps on 1, 2 and 4 processes of this machine, on the same batches
in float64. Compares the loss of every edge, the gradient of every parameter, and all parameters
and memories at the end. Takes the options of the recipe; the defaults are --batch 16 and --steps 3.

Batch norm and dropout see only the rows of their own process. All processes must therefore agree
in a second comparison, in which batch norm and dropout work as in evaluation.""",
        examples=("multiview check parity cmc_lab --data stores/photos",),
    ),
    Command(
        name="check view",
        summary="does a view keep its contract (shape, dtype, range, determinism, ...)?",
        words="NAME [options]",
        action="multiview.check.views:run",
        options="multiview.check.options:CheckView",
        examples=("multiview check view depth", "multiview check view table --options '{columns: 6}'"),
    ),
    Command(
        name="check encoder",
        summary="does an encoder keep its contract?",
        words="NAME [options]",
        action="multiview.check.encoders:run",
        options="multiview.check.options:CheckEncoder",
        examples=("multiview check encoder convnet --width 0.5",),
    ),
    Command(
        name="check objective",
        summary="does an objective keep its contract?",
        words="NAME [options]",
        action="multiview.check.objectives:run",
        options="multiview.check.options:CheckObjective",
        examples=("multiview check objective simclr",),
    ),
    Command(
        name="check device",
        summary="does training on this machine's device work, and how fast?",
        words="[options]",
        action="multiview.check.device:run",
        options="multiview.check.options:CheckDevice",
        examples=("multiview check device", "multiview check device --quick --out device.json"),
    ),
    Command(
        name="check source",
        summary="does a source keep its contract?",
        words="SOURCE [INPUT] [options]",
        action="multiview.check.sources:run",
        plugins="sources",
        about="Runs the laws of sources on an installed source: plans INPUT, reads some samples, writes nothing.",
        examples=("multiview check source folder photos", "multiview check source scenes --count 30"),
    ),
)

CHECK = Command(
    name="check",
    summary="test a recipe on several processes, a device, or a plugin against its contract",
    words="SUBJECT ...",
    subcommands=SUBJECTS,
    about="Exits with 0 when all laws hold and with 1 when one is broken.",
)
