"""The options of `multiview study`.

They stand apart from the command, because reading options imports the types that a module names.
"""

from __future__ import annotations

from dataclasses import dataclass

from multiview.errors import MultiviewError, unknown_name

PARTS = ("views", "edges", "topology", "alone")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Trains a recipe with changes, over paired seeds, and says which view helps and which hurts.

    The changes: one view is left out, one edge is left out, other edges (full, core, chain), one
    view alone (its own SimCLR), and other values of options. All runs have equal steps. The other
    options are those of `multiview train RECIPE`.

    Args:
        out: the folder of the study (null = studies/RECIPE). The same command continues a study
            that was stopped; finished runs are not repeated.
        seeds: how many seeds, from --seed on. Intervals need 2, verdicts 3; 5 make the
            intervals narrow enough for most differences.
        parts: what is changed: views, edges, topology, alone, or none.
        core: the view in the middle of the topology `core` (null = the first).
        sweep: OPTION=VALUE,VALUE: also other values of an option: temperature, K, dim or another
            field of the objectives, crop (own, shared), or an option of training such as batch.
        processes: how many runs are trained side by side, each on its share of the cores (0 = one
            for each core, at most 8; one on a GPU).
        gradients: measure how the gradients of two edges agree on an encoder that both train.
        plan: print the variants, the number of runs and the minutes, then stop.
    """

    out: str | None = None
    seeds: int = 5
    parts: tuple[str, ...] = PARTS
    core: str | None = None
    sweep: tuple[str, ...] = ()
    processes: int = 0
    gradients: bool = True
    plan: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.processes < 0:
            raise MultiviewError("give --seeds 1 or more, and --processes 0 or more.")
        for part in self.parts:
            if part not in (*PARTS, "none"):
                raise unknown_name("part of a study", part, (*PARTS, "none"))

    @property
    def sweeps(self) -> list[tuple[str, str]]:
        """Option and value of every swept setting."""
        found, name = list[tuple[str, str]](), ""
        for words in (part for each in self.sweep for part in each.split(",")):  # the command line cuts at commas
            option, equals, value = words.partition("=")
            name, value = (option, value) if equals else (name, words)
            if not name or not value:
                raise MultiviewError(f"--sweep {words} names no values; write --sweep temperature=0.05,0.1,0.2.")
            found.append((name, value))
        return found
