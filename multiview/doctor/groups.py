"""The groups of checks. Each is a process: `python -m multiview.doctor.groups NAME`.

The process prints one JSON object per finding, and the name of each check before it starts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from multiview.doctor import devices, machine, software, trials
from multiview.doctor.finding import Check, examined, name_of

GO = "matrix product"
"""The check that waits for the end of standard input, because other groups would disturb it."""
DISKS = "disks"
"""The group that looks at folders, which are its words."""
CHECKS: dict[str, tuple[Check, ...]] = {
    "software": (software.multiview, software.dependencies, software.extras, software.compiler),
    "plugins": (software.plugins,),
    "machine": (
        machine.python,
        machine.variables,
        machine.cores,
        machine.memory,
        machine.shared_memory,
        machine.file_handles,
    ),
    DISKS: (machine.disk,),
    "torch": (
        devices.torch,
        trials.two_processes,
        devices.imports,
        devices.device,
        devices.accelerate_launch,
        devices.matrix_product,
    ),
    "store": (trials.store,),
}
"""In the order of the page. Only one group imports torch."""


def run(group: str, folders: Sequence[str]) -> None:
    """Runs the checks of a group and prints what they find."""
    for check in CHECKS[group]:
        name = name_of(check)
        if name == GO:
            sys.stdin.read()
        _print({"started": name})
        for finding in examined(partial(check, tuple(folders)) if group == DISKS else check, name):
            _print(asdict(finding))
        _print({"ended": name})


def _print(value: dict[str, str]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
