"""Measures `multiview embed` on many picture files: rate, kills, and programs that read the result.

python benchmarks/embed.py [PICTURES] [--count 20000] [--kills 10] [--train WORDS]

PICTURES is a folder of pictures that are written again as COUNT small JPEG files. Without it,
scenes are rendered. A model is trained for four steps on them. The script prints files per second
of

- the command, from its start to its end;
- its work: the same without the seconds that it needs for one single file;
- the encoders alone, on the same samples in memory, before and after the command;
- reading and decoding the files alone, on one core.

The goal of the work is 80 % of the encoders alone, where decoding allows. With --kills, the command
is killed that often (kill -9) while it embeds 3,000 of the files: the first time before its first
saved part, the last time at the last one, and evenly in between. It is given again, and the result
must equal that of one whole run to the bit. The exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

GOAL = 0.8
KILLED = 3_000
"""Files of the runs that are killed."""
PART = 256
PARTS = -(-KILLED // PART)
"""Samples of a saved part, and the number of parts at least: each split has parts of its own."""
ALONE = 8
"""Batches on which encoders and reading are measured alone, three times; the fastest counts."""


def main() -> int:
    """Makes what is missing, measures, and prints."""
    options = parsed()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(options.work or temporary)
        files, model = made(work, options)
        sound = True
        if not options.only_kills:
            measure(work, files, model, options.workers)
            readers(work / "all.parquet", options.count)
        if options.kills:
            sound = killed(work, files, model, options.kills)
    return 0 if sound else 1


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="?", type=Path, help="folder of pictures")
    parser.add_argument("--count", type=int, default=20_000, help="JPEG files")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side of the files")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="each is measured")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--only_kills", action="store_true")
    parser.add_argument("--train", default="", help="further words for `multiview train auto`")
    parser.add_argument("--work", help="where files and model are kept for another call")
    return parser.parse_args()


def made(work: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """The folder of files and the model; only what is missing is made."""
    files, run = work / "files", work / "run"
    if not files.exists():
        pictures = of_folder(options.pictures, options.size) if options.pictures else rendered(options.size)
        write_files(files, islice(cycle(pictures), options.count))
    if not (run / "model" / "model.json").is_file():
        words = ["train", "auto", "--data", str(files), "--out", str(run), "--steps", "4", "--overwrite"]
        words += ["--evaluate", "false", "--train.knn_every", "0", *options.train.split()]
        subprocess.run(command(*words), check=True, stdout=subprocess.DEVNULL)
    return files, run / "model"


def of_folder(folder: Path, size: int) -> list[Any]:
    """The pictures of a folder and its folders, at one size."""
    from PIL import Image

    endings = {".png", ".jpg", ".jpeg"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    return [Image.open(path).convert("RGB").resize((size, size)) for path in paths]


def rendered(size: int) -> list[Any]:
    """Pictures of rendered scenes, at one size."""
    from PIL import Image

    from multiview.data.load.open_data import open_data

    store = open_data("scenes:512", Path("data"))
    values = [store.read(row, ["image"])["image"] for row in range(512)]
    return [Image.fromarray(value).resize((size, size)) for value in values]


def write_files(folder: Path, pictures: Iterator[Any]) -> None:
    """Writes JPEG files into ten folders; repeated pictures get another quality."""
    for number, picture in enumerate(pictures):
        path = folder / f"{number % 10}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=75 + number // 10 % 20)


def command(*words: str) -> list[str]:
    """A command of the command line, for `subprocess`."""
    return [sys.executable, "-m", "multiview.cli", *words]


def embedding(model: Path, files: Path, out: Path, *words: str) -> list[str]:
    """The command that is measured."""
    return command("embed", str(model), str(files), str(out), "--save_every", "512", *words)


def measure(work: Path, files: Path, model: Path, workers: Sequence[int]) -> None:
    """Prints the rates of the command and of its parts."""
    import torch

    from multiview.portable.opening import open_for
    from multiview.portable.read import read_model
    from multiview.portable.vectors import _Reading

    opened = open_for(read_model(model), str(files))
    reading, part = _Reading(opened), opened.batches[:ALONE]
    held, one = [reading[rows][0] for rows in part], linked(files, work / "one", 1)
    cores = f"{torch.get_num_threads()} threads, {os.cpu_count()} cores"
    print(f"{opened.count:,} files, views {', '.join(opened.views)}, {cores}")
    decode = rate(lambda i: reading[part[i]], part)
    print(f"reading and decoding alone, one core: {decode:,.0f} files/s")

    def alone() -> float:
        return rate(lambda i: opened.model.vectors(held[i], opened.columns, opened.views), part)

    for count in workers:
        words, before = ["--workers", str(count), "--overwrite"], alone()
        whole = timed(embedding(model, files, work / "all.parquet", *words))
        own = whole - timed(embedding(model, one, work / "one.parquet", *words))
        show(count, opened.count / whole, opened.count / own, (before, alone()), decode)


def show(workers: int, command: float, own: float, encoders: tuple[float, float], decode: float) -> None:
    """Prints one measurement; all numbers are files per second."""
    alone = max(encoders)
    cores = os.cpu_count() or 1
    shared = cores / (cores / alone + 1 / decode)  # encoders on all cores, beside workers that decode
    bound = 1 / (1 / alone + 1 / decode) if workers == 0 else min(alone, workers * decode, shared)
    print(
        f"workers {workers}: command {command:,.0f}, its work {own:,.0f}, encoders alone {encoders[0]:,.0f} and "
        f"{encoders[1]:,.0f} files/s; work / encoders {own / alone:.0%} (goal {GOAL:.0%}); decoding allows "
        f"{bound:,.0f} files/s, work / that {own / bound:.0%}",
        flush=True,
    )


def rate(work: Callable[[int], object], part: Sequence[Any]) -> float:
    """Samples per second of `work` on the batches of a part."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        for place in range(len(part)):
            work(place)
        seconds.append(time.perf_counter() - start)
    return sum(map(len, part)) / min(seconds)


def timed(words: list[str]) -> float:
    """Seconds of a command."""
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def linked(files: Path, folder: Path, count: int) -> Path:
    """A folder with the first files of another one, as links to them."""
    for path in sorted(files.rglob("*.jpg"))[:count] if not folder.exists() else ():
        to = folder / path.relative_to(files)
        to.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, to)
    return folder


def readers(out: Path, count: int) -> None:
    """Prints what other programs find in the file; those that are not installed are left out."""
    for name, read in READERS.items():
        try:
            rows, width, ids = read(str(out))
        except ImportError:
            continue
        verdict = "right" if rows == ids == count else "WRONG"
        print(f"{name}: {rows:,} rows, {ids:,} different ids, vectors of {width}; {verdict}")


def _pandas(out: str) -> tuple[int, int, int]:
    import pandas

    frame = pandas.read_parquet(out)
    return len(frame), len(frame.filter(like="h_").iloc[0, 0]), frame["id"].nunique()


def _polars(out: str) -> tuple[int, int, int]:
    import polars

    frame = polars.read_parquet(out)
    vectors = next(name for name in frame.columns if name.startswith("h_"))
    return frame.height, len(frame[vectors][0]), frame["id"].n_unique()


def _datasets(out: str) -> tuple[int, int, int]:
    import datasets

    data = datasets.Dataset.from_parquet(out, cache_dir=f"{out}.cache")
    vectors = next(name for name in data.column_names if name.startswith("h_"))
    return len(data), len(data[0][vectors]), len(set(data["id"]))


def _duckdb(out: str) -> tuple[int, int, int]:
    import duckdb

    names = [row[0] for row in duckdb.sql(f"describe select * from '{out}'").fetchall()]
    vectors = next(name for name in names if name.startswith("h_"))
    (found,) = duckdb.sql(f"select count(*), max(len(\"{vectors}\")), count(distinct id) from '{out}'").fetchall()
    return found[0], found[1], found[2]


READERS = {"pandas": _pandas, "polars": _polars, "datasets": _datasets, "duckdb": _duckdb}


def killed(work: Path, files: Path, model: Path, kills: int) -> bool:
    """Kills the command at moments spread over its parts, continues it, and compares results."""
    import pyarrow.parquet as parquet

    some, whole, broken = linked(files, work / "some", KILLED), work / "whole.parquet", work / "broken.parquet"
    seconds = timed([*in_parts(model, some, whole), "--overwrite"]) / PARTS
    expected, sound = parquet.read_table(whole), True
    for number in range(kills):
        broken.unlink(missing_ok=True)
        parts = number * PARTS // max(kills - 1, 1)
        left = kill_at([*in_parts(model, some, broken), "--overwrite"], parts, seconds * number / kills, broken)
        subprocess.run(in_parts(model, some, broken), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = parquet.read_table(broken)
        equal = found.equals(expected) and len(set(found["id"].to_pylist())) == len(found) == KILLED
        print(f"kill {number + 1}, with {left}: {'whole and equal' if equal else 'DIFFERENT'}", flush=True)
        sound &= equal
    return sound


def in_parts(model: Path, files: Path, out: Path) -> list[str]:
    """The command that is killed."""
    return [*embedding(model, files, out), "--save_every", str(PART)]


def kill_at(words: list[str], parts: int, later: float, out: Path) -> str:
    """Kills a command some seconds after it has saved so many parts; returns what it left."""
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and len(saved(out)) < parts:
        time.sleep(0.001)
    time.sleep(later if parts < PARTS else 0)
    child.kill()
    child.wait()
    return "the whole file" if out.exists() else f"{len(saved(out))} saved parts"


def saved(out: Path) -> list[Path]:
    """The parts that a command has saved."""
    return list(out.with_name(f"{out.name}.parts").glob("part-*.npz"))


if __name__ == "__main__":
    sys.exit(main())
