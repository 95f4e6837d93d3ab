"""What became of every parameter of a file: mapped, adapted, dropped, missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from multiview.errors import MultiviewError
from multiview.weights.formats import Scales

SHOWN = 6
"""Names that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What of a file goes where in a network.

    Args:
        source: the file, in the words of the user.
        title: of its format.
        tower: the network of the file that was taken.
        dialect: how it names its parameters; empty = as the encoder does.
        mapped: name in the network -> name in the file.
        adapted: name in the network -> what was changed; these are also in `mapped`.
        dropped: name in the file -> what it belongs to.
        missing: names in the network that the file has not.
        unknown: names in the file that belong to the tower and not to the network.
        misshaped: name in the network -> both shapes.
        hints: what to do about these.
        scales: mean and std that the weights were trained with, by the name of the channels.
        note: a sentence about the format.
    """

    source: str
    title: str
    tower: str
    dialect: str = ""
    mapped: Mapping[str, str] = field(default_factory=dict)
    adapted: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    misshaped: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()
    scales: Scales = field(default_factory=dict)
    note: str = ""

    @property
    def whole(self) -> bool:
        """Whether every parameter of the network and of the tower found its place."""
        return not (self.missing or self.unknown or self.misshaped or self.hints)

    def sentence(self) -> str:
        """One line for the plan of a run."""
        parts = [f"{len(self.mapped)} of {len(self.mapped) + len(self.missing) + len(self.misshaped)} tensors loaded"]
        parts += [f"adapted {name}: {how}" for name, how in self.adapted.items()]
        parts += [f"dropped {', '.join(self.groups())}"] if self.dropped else []
        left = [*self.missing, *self.misshaped]
        parts += [f"new weights in {len(left)} ({_some(left)})"] if left else []
        parts += [f"{len(self.unknown)} unknown left out ({_some(self.unknown)})"] if self.unknown else []
        return f"{self.source} ({self.title}; {self.tower}): {'; '.join(parts)}"

    def groups(self) -> list[str]:
        """`queue (4)`, for what was dropped."""
        return [f"{what} ({count})" for what, count in Counter(self.dropped.values()).items()]

    def mismatch(self) -> MultiviewError:
        """The error for a file that fits in part, or not at all."""
        lists = [
            f"{count} {what}{f': {_some(names)}' if names else ''}"
            for what, count, names in (
                ("names are missing", len(self.missing), self.missing),
                ("are unknown", len(self.unknown), self.unknown),
                ("have another shape", len(self.misshaped), [f"{k} {v}" for k, v in self.misshaped.items()]),
            )
        ]
        remedy = " ".join(self.hints) or (
            "Give the file that belongs to this encoder and its options; `multiview weights FILE` names encoders that "
            "fit, and partial: true loads what does."
        )
        return MultiviewError(
            f"{self.source} ({self.title}) holds the weights of another network: {'; '.join(lists)}. {remedy}"
        )


def _some(names: object) -> str:
    """The first names of a list, and how many follow."""
    every = list(names)  # type: ignore[call-overload]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
