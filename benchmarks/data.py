"""Compares the speed of loading pictures with the original; exits with 1 when a target is missed.

python benchmarks/data.py [--images 96] [--rounds 5] [--copies 40]

All implementations run on one core, on the same JPEG files and crops, with a warm page cache:
(a) the seeds: ImageFolder, Pillow, resized crop, Lab by scikit-image, tensor;
(b) ours from the same folder of files;
(c) ours from a store of the same pixels.

The measured time ends with the normalised L and ab of a batch. It is CPU time. The implementations
take turns, and the fastest round counts, so that other work on the machine matters less.
Preparation with several processes is measured in elapsed time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from multiview.counter_rng import uniform
from multiview.data.load.dataset import CACHE, Samples
from multiview.data.load.sourcestore import SourceStore
from multiview.data.load.windows import TRIES, Windows, draw_windows
from multiview.data.sources.folder import Folder
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.heap import keep_freed_memory
from multiview.train.processes import has_compiler
from multiview.view import Crop, View
from multiview.viewlayer import ViewLayer
from multiview.views import Lab

HEIGHT, WIDTH = 375, 500
SIZES = (96, 224)
BATCH = 32
TARGETS = {
    ("files", 96): 4.0,
    ("store", 96): 8.0,
    ("files", 224): 3.0,
    ("store", 224): 5.0,
    ("ours, compiled", 96): 8.0,
    ("ours", 224): 1.8,
    ("ours, compiled", 224): 1.8,
    ("workers", 2): 1.7,
}


def photo(number: int) -> np.ndarray:
    """A picture like a photo: 1/f noise in correlated colours behind discs; uint8 (375, 500, 3)."""
    rng = np.random.default_rng(number)
    fall = 1 / np.maximum(np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]), 1 / WIDTH)
    planes = [
        np.fft.irfft2(np.fft.rfft2(rng.normal(size=(HEIGHT, WIDTH))) * fall**p, (HEIGHT, WIDTH)) for p in (1, 1.3)
    ]
    light, tint = (plane / plane.std() for plane in planes)
    picture = np.stack([rng.uniform(60, 190) + 45 * light + 25 * tint * (c - 1) for c in range(3)], -1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for _ in range(12):
        inside = (x - rng.uniform(0, WIDTH)) ** 2 + (y - rng.uniform(0, HEIGHT)) ** 2 < rng.uniform(10, 90) ** 2
        picture[inside] = (picture[inside] + rng.uniform(0, 255, 3)) / 2
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_photos(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / "train" / f"class{number % 4}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(number)).save(path, quality=80)


def views(size: int) -> dict[str, View]:
    crop = Crop(size=size)
    return {"L": Lab.lightness(crop), "ab": Lab.chroma(crop)}


def windows(size: int, index: np.ndarray, epoch: int) -> Windows:
    """The crops that `CropTransform` cuts from these samples."""
    drawn = uniform(0, epoch, "crop crop", index, 2 * TRIES + 3)
    return draw_windows(Crop(size=size), drawn, HEIGHT, WIDTH)


class Seeds:
    """The original implementation: one picture after the other, in float64 until the tensor."""

    def __init__(self, folder: Path, size: int) -> None:
        from torchvision.datasets import ImageFolder

        self.files = ImageFolder(str(folder / "train"))
        self.size = size

    def __call__(self, index: np.ndarray, epoch: int) -> tuple[torch.Tensor, ...]:
        cut = windows(self.size, index, epoch)
        sides = zip(cut.top, cut.left, cut.height, cut.width, cut.flip, strict=True)
        lab = torch.stack([self.sample(i, *each) for i, each in zip(index.tolist(), sides, strict=True)])
        return lab.split((1, 2), dim=1)

    def sample(self, number: int, top: int, left: int, height: int, width: int, flip: bool) -> torch.Tensor:
        from skimage.color import rgb2lab
        from torchvision.transforms import functional

        picture, _ = self.files[number]
        picture = functional.resized_crop(picture, top, left, height, width, [self.size, self.size])
        picture = functional.hflip(picture) if flip else picture
        lab = functional.to_tensor(rgb2lab(np.asarray(picture, np.uint8)))
        return functional.normalize(lab, [50, 6.025, -6.69], [50, 92.208, 101.168]).float()


class Ours:
    """Our samples and views, from any store."""

    def __init__(self, store: Store, size: int, cache: int) -> None:
        self.samples = Samples(store, "train", views(size), train=True, cache=cache)
        self.layer = ViewLayer(views(size))

    def __call__(self, index: np.ndarray, epoch: int) -> tuple[torch.Tensor, ...]:
        return tuple(self.layer(self.samples[epoch, torch.from_numpy(index)]).values())


def files(folder: Path) -> Store:
    return SourceStore.of(Folder(store="encoded"), folder, "folder")


WAYS: dict[str, Callable[[Path, int], Callable[[np.ndarray, int], tuple[torch.Tensor, ...]]]] = {
    "seeds": lambda root, size: Seeds(root / "photos", size),
    "files, decoded each time": lambda root, size: Ours(files(root / "photos"), size, 0),
    "files": lambda root, size: Ours(files(root / "photos"), size, CACHE),
    "store, read each time": lambda root, size: Ours(Store.open(root / "store"), size, 0),
    "store": lambda root, size: Ours(Store.open(root / "store"), size, CACHE),
}


def fastest(
    calls: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """The fastest of `rounds` calls in seconds, after one round that is not counted."""
    best = dict.fromkeys(calls, float("inf"))
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if number:
                best[name] = min(best[name], clock() - start)
    return best


def pipelines(root: Path, count: int, size: int, rounds: int) -> dict[str, float]:
    """Pictures per second of each implementation, after a check that all give the same numbers."""
    made = {name: make(root, size) for name, make in WAYS.items()}
    index = np.arange(BATCH) % count
    expected = torch.cat(made["seeds"](index, 0), 1)
    for name, way in made.items():
        gap = (torch.cat(way(index, 0), 1) - expected).abs().mean().item()
        assert gap < 0.02, f"{name} gives other numbers than the seeds: the mean difference is {gap}"
    batches = [np.arange(start, start + BATCH) % count for start in range(0, max(count, BATCH), BATCH)]
    best = dict.fromkeys(made, 0.0)
    for place, batch in enumerate(batches):
        seconds = fastest(
            {name: lambda way=way, b=batch, epoch=place: way(b, epoch) for name, way in made.items()}, rounds
        )
        best = {name: best[name] + seconds[name] for name in made}
    return {name: len(batches) * BATCH / total for name, total in best.items()}


def conversions(size: int, rounds: int) -> dict[str, float]:
    """Pictures per second of the conversion to Lab alone, from uint8 pixels to a float32 tensor."""
    import kornia
    from skimage.color import rgb2lab

    count = 32 if size < 200 else 8
    crops = np.stack([photo(n)[:size, :size] for n in range(count)])
    planes = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
    whole = views(size)["L"].convert
    assert whole is not None
    ways: dict[str, Callable[[], object]] = {
        "scikit-image": lambda: [torch.from_numpy(rgb2lab(each)).permute(2, 0, 1).float() for each in crops],
        "kornia": lambda: kornia.color.rgb_to_lab(planes.float() / 255),
        "ours": lambda: whole(planes),
    }
    if has_compiler():  # as in a run with --compile
        compiled = ViewLayer(views(size), compiled=True).compiled[whole]
        gap = (compiled(planes) - whole(planes)).abs().max().item()
        assert gap < 1e-3, f"compiled Lab differs by {gap}"
        ways["ours, compiled"] = lambda: compiled(planes)
    with torch.no_grad():
        seconds = fastest(ways, rounds)
    return {name: count / value for name, value in seconds.items()}


def preparation(root: Path, copies: int) -> dict[str, float]:
    """Pictures per second that `multiview preprocess` writes, with 1 and with 2 processes."""
    photos = sorted((root / "photos").rglob("*.jpg"))
    for number in range(copies):
        for photo_file in photos:
            target = root / "many" / photo_file.parent.name / f"{number}-{photo_file.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(photo_file)
    count = copies * len(photos)

    def write(workers: int) -> None:
        words = ["--workers", str(workers), "--shard-rows", str(max(1, count // 20)), "--view-statistics", "false"]
        with tempfile.TemporaryDirectory(dir=root) as out:
            command = [
                str(Path(sys.executable).parent / "multiview"),
                "preprocess",
                "folder",
                str(root / "many"),
                f"{out}/s",
            ]
            subprocess.run([*command, *words], check=True, capture_output=True)

    seconds = fastest({f"{n} workers": lambda n=n: write(n) for n in (1, 2)}, 2, time.perf_counter)
    return {name: count / value for name, value in seconds.items()}


def memory_of(root: Path, name: str, size: int) -> float:
    """Peak megabytes of a process that prepares batches as a worker does."""
    words = [sys.executable, __file__, "--way", name, "--root", str(root), "--size", str(size)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def peak(root: Path, name: str, size: int) -> float:
    way = WAYS[name](root, size)
    for epoch in range(2):
        way(np.arange(BATCH), epoch)
    # ru_maxrss would count what the parent held before this program was started.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def measured(root: Path, count: int, rounds: int, copies: int) -> Iterator[tuple[str, int, dict[str, float], str]]:
    """Yields (task, size or count, pictures per second of each, name of the reference)."""
    for size in SIZES:
        yield "pictures", size, pipelines(root, count, size, rounds), "seeds"
    for size in SIZES:
        yield "lab", size, conversions(size, rounds), "scikit-image"
    yield "workers", 2, preparation(root, copies), "1 workers"


def judged(what: str, size: int, name: str, ratio: float) -> tuple[str, bool]:
    """The text about the target (empty without target), and whether it is met."""
    # Without a compiler, the uncompiled conversion must reach the target of the compiled one.
    fastest_way = name if has_compiler() else f"{name}, compiled"
    key = {"pictures": name, "lab": fastest_way, "workers": "workers" if name[0] == "2" else ""}[what]
    target = TARGETS.get((key, size))
    if target is None:
        return "", True
    return f"  target {target:g}x {'met' if ratio >= target else 'MISSED'}", ratio >= target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96, help="number of pictures")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions, of which the fastest counts")
    parser.add_argument("--copies", type=int, default=40, help="copies of every picture, for the preparation")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a training run does, for all implementations
    if chosen.way:
        print(peak(chosen.root, chosen.way, chosen.size))
        return 0
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_photos(root / "photos", chosen.images)
        preprocess(Folder(), root / "photos", root / "store")
        for what, size, rates, reference in measured(root, chosen.images, chosen.rounds, chosen.copies):
            print(f"\n{what} {size}" + (" px" if size > 2 else ""))
            for name, rate in rates.items():
                text, met = judged(what, size, name, rate / rates[reference])
                missed += not met
                print(f"  {name:<26} {rate:9.1f} /s {rate / rates[reference]:6.2f}x{text}")
        print("\nmemory of a worker at 224 px, MB")
        for name in WAYS:
            print(f"  {name:<26} {memory_of(root, name, 224):9.0f}")
    print(f"\n{missed} targets missed" if missed else "\nall targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
