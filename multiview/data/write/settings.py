"""How a store is written: settings that change who does the work and what is tolerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.cores import available_cores
from multiview.errors import MultiviewError, unknown_name
from multiview.plurals import counted

if TYPE_CHECKING:
    from multiview.data.write.shardjob import Work

DUPLICATES = ("keep", "drop", "error")


@dataclass(frozen=True)
class Part:
    """The `number`-th of `count` jobs that write a store together, counted from 1."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str | None) -> Part | None:
        """`2/8` is the second of eight. Raises MultiviewError for anything else."""
        if text is None:
            return None
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise MultiviewError(f"shard is '{text}'; give NUMBER/COUNT, from 1/8 to 8/8 for eight jobs.")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def numbers(self, work: Work) -> range:
        """The shard files of this part, neighbours. Raises MultiviewError when there are fewer files than jobs."""
        files = len(work.numbers())
        if self.count > files:
            raise MultiviewError(
                f"{counted(len(work.plan.rows), 'sample')} make {counted(files, 'shard file')} of {work.shard_rows}, "
                f"fewer than {self.count} jobs; use fewer jobs, or a smaller --shard-rows in all of them."
            )
        return range((self.number - 1) * files // self.count, self.number * files // self.count)


@dataclass(frozen=True, kw_only=True)
class How:
    """See `preprocess`. Raises MultiviewError for what cannot be."""

    max_bad: float
    workers: int
    engine: str
    part: Part | None
    duplicates: str

    def __post_init__(self) -> None:
        if not self.max_bad >= 0:
            raise MultiviewError(f"max_bad is {self.max_bad}; give a share below 1 or a count, 0 for none.")
        if self.workers < 0:
            raise MultiviewError(f"workers is {self.workers}; give a number of processes, or 0 for one a core.")
        if self.duplicates not in DUPLICATES:
            raise unknown_name("treatment of duplicates", self.duplicates, DUPLICATES)
        if self.part and self.duplicates == "drop":
            raise MultiviewError("one part cannot tell what the others hold; use --duplicates drop without --shard.")
        if not self.workers:
            object.__setattr__(self, "workers", available_cores())
