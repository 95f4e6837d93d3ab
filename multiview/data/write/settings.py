"""Settings of writing a store that change who does the work and which faults are tolerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.cores import available_cores
from multiview.errors import MultiviewError, unknown_name
from multiview.plurals import counted

if TYPE_CHECKING:
    from multiview.data.write.shardjob import ShardJob

SHARD_ROWS = 1000
"""Planned samples per shard when neither their number nor their size is given."""
DUPLICATES = ("keep", "drop", "error")


@dataclass(frozen=True)
class Part:
    """Part `number` (counted from 1) of a store that `count` jobs write together."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str | None) -> Part | None:
        """Reads `2/8`, the second of eight parts. Raises MultiviewError for any other text."""
        if text is None:
            return None
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise MultiviewError(f"shard is '{text}'; give NUMBER/COUNT, from 1/8 to 8/8 for eight jobs.")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def shard_numbers(self, job: ShardJob) -> range:
        """The shards of this part. Raises MultiviewError when there are fewer shards than parts."""
        files = len(job.shard_numbers())
        if self.count > files:
            raise MultiviewError(
                f"{counted(len(job.plan.rows), 'sample')} make {counted(files, 'shard file')} of {job.shard_rows}, "
                f"fewer than {self.count} jobs; use fewer jobs, or a smaller --shard_rows in all of them."
            )
        return range((self.number - 1) * files // self.count, self.number * files // self.count)


@dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """The arguments of the same names of `preprocess`, checked.

    Raises MultiviewError when a value is out of range or two values contradict each other.
    """

    max_bad: float
    workers: int
    engine: str
    part: Part | None
    duplicates: str

    def __post_init__(self) -> None:
        if not self.max_bad >= 0:
            raise MultiviewError(f"max_bad is {self.max_bad}; give a share below 1 or a count, 0 for none.")
        if self.workers < 0:
            raise MultiviewError(f"workers is {self.workers}; give a number of processes, or 0 for one per core.")
        if self.duplicates not in DUPLICATES:
            raise unknown_name("treatment of duplicates", self.duplicates, DUPLICATES)
        if self.part and self.duplicates == "drop":
            raise MultiviewError(
                "one part of a store cannot be compared with the other parts; use --duplicates drop without --shard."
            )
        if not self.workers:
            object.__setattr__(self, "workers", available_cores())

    def allowed_bad(self, samples: int) -> float:
        """How many of these samples may be unreadable."""
        return self.max_bad * samples if self.max_bad < 1 else self.max_bad
