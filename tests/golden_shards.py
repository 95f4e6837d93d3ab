"""What every source writes, from small inputs that are made here byte by byte.

No codec makes the inputs: they are uncompressed PNG, WAV, integer arrays and published formats.
Clips are committed, in lossless codecs, because an encoder's bytes depend on its version.
"""

from __future__ import annotations

import hashlib
import json
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from goldens import CLIPS, command
from published import write_cifar10, write_cifar100, write_fashion, write_nyu, write_stl10

SIZED = ["--size", "8", "--resize", "crop"]
PATTERNS = "{left: '*_left.png', right: '*_right.png', 'far:depth': '*_disp.png'}"
CASES: dict[str, tuple[str, str | None, list[str]]] = {
    "aligned": ("aligned", "scans", ["--depth_scale", "0.001", "--invalid", "65535"]),
    "aligned patterns": ("aligned", "rig", ["--modalities", PATTERNS, "--disparity", "12290"]),
    "arrays": ("arrays", "arrays.npz", []),
    "audio": ("audio", "calls", []),
    "audio cut": ("audio", "calls", ["--seconds", "0.05", "--channels", "1"]),
    "cifar10": ("cifar10", ".", ["--val", "10"]),
    "cifar100": ("cifar100", ".", ["--labels", "coarse"]),
    "folder": ("folder", "photos", SIZED),
    "folder encoded": ("folder", "photos", ["--store", "encoded"]),
    "folder shards": ("folder", "photos", [*SIZED, "--shard_rows", "4"]),
    "manifest": ("manifest", "survey", []),
    "nyuv2": ("nyuv2", "nyu_depth_v2_labeled.mat", []),
    "pairs": ("pairs", "calls", ["--split", "60/0/40"]),
    "scenes": ("scenes", None, ["--count", "8", "--size", "12"]),
    "stl10": ("stl10", "stl10_binary", []),
    "torchvision": ("torchvision:FashionMNIST", "torchvision", []),
    "video": ("video", str(CLIPS), []),
}
"""Case -> the source, its input, its options."""
LEFT_OPEN = ("input", "versions", "files")
"""What the provenance says of where and by which versions a store was made."""


def written(case: str, folder: Path) -> dict[str, Any]:
    """What the store of a case holds. folder: holds the inputs; the store is written there too."""
    source, given, options = CASES[case]
    out = folder / "stores" / case
    words = [source, *([str(folder / given)] if given else []), str(out), *options]
    assert command("preprocess", *words, "--workers", "1", "--view_statistics", "false") == 0
    return described(out)


def described(store: Path) -> dict[str, Any]:
    """The manifest of a store without facts about the machine, and its shards."""
    manifest = json.loads((store / "manifest.json").read_text("utf8"))
    manifest["provenance"] = {name: x for name, x in manifest["provenance"].items() if name not in LEFT_OPEN}
    del manifest["shards"], manifest["checksum"]
    return {"manifest": manifest, "shards": {path.name: _shard(path) for path in sorted(store.glob("shard-*.h5"))}}


def _shard(path: Path) -> dict[str, Any]:
    """The sha256 of a shard and of each dataset in it; the moments, sums of floats, as numbers.

    The shard's origin, a hash of the input's place among others, counts as zeros.
    """
    with h5py.File(path) as file:
        origin = file.attrs["origin"]
        datasets: dict[str, Any] = {}
        file.visititems(lambda name, item: datasets.update({name: _dataset(name, item)}) if _is_data(item) else None)
    blank = path.read_bytes().replace(origin.encode(), b"0" * len(origin))
    return {"file": hashlib.sha256(blank).hexdigest(), "datasets": datasets}


def _is_data(item: Any) -> bool:
    return isinstance(item, h5py.Dataset)


def _dataset(name: str, item: Any) -> Any:
    if name.startswith("statistics/"):
        return [[repr(x) if np.isinf(x) else x for x in row] for row in item[()].tolist()]
    return f"{item.dtype} {item.shape} {hashlib.sha256(np.ascontiguousarray(item[()]).tobytes()).hexdigest()}"


def write_inputs(folder: Path) -> None:
    """The inputs of all cases."""
    rng = np.random.default_rng(0)
    for write in (write_cifar10, write_cifar100, write_stl10, write_nyu):
        write(folder)
    write_fashion(folder / "torchvision")
    _write_arrays(folder / "arrays.npz", rng)
    _write_calls(folder / "calls", rng)
    _write_photos(folder / "photos", rng)
    _write_scans(folder / "scans", rng)
    _write_rig(folder / "rig", rng)
    _write_survey(folder / "survey", rng)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes uint8 (h, w, 3) or uint16 (h, w) as a PNG without compression: zlibs differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    deep = pixels.dtype == np.uint16
    lines = b"".join(b"\0" + line.astype(">u2" if deep else "u1").tobytes() for line in pixels)
    header = struct.pack(">2I5B", width, height, 16 if deep else 8, 0 if deep else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", _stored(lines)), (b"IEND", b""))
    whole = [struct.pack(">I", len(x)) + kind + x + struct.pack(">I", zlib.crc32(kind + x)) for kind, x in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(whole))


def _stored(data: bytes) -> bytes:
    """A zlib stream of one stored block."""
    size = struct.pack("<2H", len(data), 0xFFFF - len(data))
    return b"\x78\x01\x01" + size + data + struct.pack(">I", zlib.adler32(data))


def write_wav(path: Path, rng: np.random.Generator, frames: int, channels: int = 1) -> None:
    """A WAV of noise at 8 kHz, 16 bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        file.writeframes(rng.integers(-9000, 9000, (frames, channels)).astype("<i2").tobytes())


def _photo(rng: np.random.Generator, height: int = 12, width: int = 12) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), "uint8")


def _write_arrays(path: Path, rng: np.random.Generator) -> None:
    arrays = {"x": rng.random((10, 5), "float32"), "photo": rng.integers(0, 256, (10, 6, 6, 3), "uint8")}
    np.savez(path, **arrays, y=np.arange(10) % 3, note=np.array([f"note {number}" for number in range(10)]))


def _write_calls(folder: Path, rng: np.random.Generator) -> None:
    for kind in ("low", "high"):
        for number in range(5):
            write_wav(folder / kind / f"{number}.wav", rng, 600 + 40 * number)


def _write_photos(folder: Path, rng: np.random.Generator) -> None:
    """Pictures of several sizes, one of them twice."""
    for kind in ("disc", "ring"):
        for number in range(6):
            write_png(folder / kind / f"{number}.png", _photo(rng, 10 + number, 14))
    (folder / "ring" / "copy.png").write_bytes((folder / "ring" / "0.png").read_bytes())


def _write_scans(folder: Path, rng: np.random.Generator) -> None:
    lines = ["id,class,split"]
    for number in range(6):
        depth = rng.integers(500, 4000, (12, 12)).astype("uint16")
        depth[0, :3] = 65535
        write_png(folder / "rgb" / f"s{number}.png", _photo(rng))
        write_png(folder / "depth" / f"s{number}.png", depth)
        write_png(folder / "normal" / f"s{number}.png", _photo(rng))
        lines.append(f"s{number},{'disc' if number % 2 else 'ring'},{'test' if number > 3 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines), "utf8")


def _write_rig(folder: Path, rng: np.random.Generator) -> None:
    for name in ("bike", "plant"):
        disparity = rng.integers(1280, 5760, (12, 12)).astype("uint16")
        disparity[:, :2] = 0
        write_png(folder / f"{name}_left.png", _photo(rng))
        write_png(folder / f"{name}_right.png", _photo(rng))
        write_png(folder / f"{name}_disp.png", disparity)


def _write_survey(folder: Path, rng: np.random.Generator) -> None:
    """A manifest of pictures, sounds, numbers and texts; one sound is missing."""
    lines = ["id,class,split,photo,call,f1,f2,caption"]
    for number in range(6):
        write_png(folder / "files" / f"{number}.png", _photo(rng))
        write_wav(folder / "files" / f"{number}.wav", rng, 300 + number)
        call, kind = f"files/{number}.wav" if number != 2 else "", "disc" if number % 2 else "ring"
        split = "test" if number > 3 else "train"
        lines.append(f"s{number},{kind},{split},files/{number}.png,{call},{number / 4},{-number},a {kind}")
    (folder / "manifest.csv").write_text("\n".join(lines), "utf8")
