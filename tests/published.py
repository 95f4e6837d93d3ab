"""Small files in the formats of published datasets."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import h5py
import numpy as np

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def python2(value: object) -> bytes:
    """The opcodes that Python 2 and its NumPy wrote, in which CIFAR is published."""
    if isinstance(value, bytes):
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(k) + python2(v) for k, v in value.items()) + b"u"
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    dtype = b"cnumpy\ndtype\n(U\x02u1" + python2(0) + python2(1) + b"tR("
    dtype += python2(3) + b"U\x01|NNN" + python2(-1) + python2(-1) + python2(0) + b"tb"
    shape = b"(" + b"".join(map(python2, value.shape)) + b"t"
    state = b"(" + python2(1) + shape + dtype + b"I00\n" + python2(value.tobytes()) + b"tb"
    return b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + python2(0) + b"tU\x01btR" + state


def write_python2(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x80\x02" + python2(value) + b".")


def pixels(seed: int, count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype="uint8")


def write_cifar10(folder: Path) -> Path:
    """Four images per file, in the Python and in the binary version."""
    for number, name in enumerate(BATCHES):
        labels = [(number + place) % 10 for place in range(4)]
        write_python2(
            folder / "cifar-10-batches-py" / name, {b"batch_label": b"x", b"labels": labels, b"data": pixels(number)}
        )
        table = np.column_stack([np.array(labels, "uint8"), pixels(number)])
        (folder / "cifar-10-batches-bin").mkdir(exist_ok=True)
        table.tofile(folder / "cifar-10-batches-bin" / f"{name}.bin")
    write_python2(folder / "cifar-10-batches-py" / "batches.meta", {b"label_names": [name.encode() for name in TEN]})
    (folder / "cifar-10-batches-bin" / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")
    return folder


def write_cifar100(folder: Path) -> Path:
    """Four images per split, in the Python and in the binary version."""
    names = {b"fine_label_names": [b"apple", b"bear"], b"coarse_label_names": [b"fruit", b"carnivores", b"trees"]}
    write_python2(folder / "cifar-100-python" / "meta", names)
    (folder / "cifar-100-binary").mkdir()
    for number, split in enumerate(("train", "test")):
        fine, coarse = [0, 1, 1, 0], [2, 1, 1, 0]
        sample = {b"fine_labels": fine, b"coarse_labels": coarse, b"data": pixels(number)}
        write_python2(folder / "cifar-100-python" / split, sample)
        table = np.column_stack([np.array(coarse, "uint8"), np.array(fine, "uint8"), pixels(number)])
        table.tofile(folder / "cifar-100-binary" / f"{split}.bin")
    (folder / "cifar-100-binary" / "fine_label_names.txt").write_text("apple\nbear\n")
    (folder / "cifar-100-binary" / "coarse_label_names.txt").write_text("fruit\ncarnivores\ntrees\n")
    return folder


def write_stl10(folder: Path) -> Path:
    """Three images to train, two to test, four without a label."""
    root = folder / "stl10_binary"
    root.mkdir()
    for seed, (name, count) in enumerate((("train", 3), ("test", 2), ("unlabeled", 4))):
        # Published column by column: (n, channel, x, y).
        np.random.default_rng(seed).integers(0, 256, (count, 3, 96, 96), dtype="uint8").tofile(root / f"{name}_X.bin")
    np.array([1, 10, 4], "uint8").tofile(root / "train_y.bin")
    np.array([2, 2], "uint8").tofile(root / "test_y.bin")
    (root / "class_names.txt").write_text("\n".join(TEN))
    return folder


def write_nyu(folder: Path, count: int = 4, height: int = 24, width: int = 32) -> Path:
    """The layout of the labelled .mat: MATLAB's axes reversed, texts behind references."""
    rng = np.random.default_rng(0)
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = rng.integers(0, 256, (count, 3, width, height), "uint8")
        file["depths"] = np.broadcast_to(np.linspace(2, 4, width)[:, None], (count, width, height)).astype("float32")
        file["labels"] = rng.integers(0, 3, (count, width, height)).astype("uint16")
        for name, words in (("names", ["book", "Schränke"]), ("sceneTypes", ["kitchen", "office"] * (count // 2))):
            refs = []
            for number, word in enumerate(words):
                file[f"#refs#/{name}{number}"] = np.frombuffer(word.encode("utf-16-le"), "uint16")[:, None]
                refs.append(file[f"#refs#/{name}{number}"].ref)
            file.create_dataset(name, data=np.array(refs, h5py.ref_dtype)[None], dtype=h5py.ref_dtype)
    return folder


def write_fashion(root: Path) -> Path:
    """FashionMNIST's IDX files: 6 to train, 4 to test."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("train", 6), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28), "uint8")
        labels = (np.arange(count) % 10).astype("uint8")
        files = {
            f"{name}-images-idx3-ubyte": struct.pack(">4i", 2051, *images.shape) + images.tobytes(),
            f"{name}-labels-idx1-ubyte": struct.pack(">2i", 2049, count) + labels.tobytes(),
        }
        for file, data in files.items():
            (raw / file).write_bytes(data)
            (raw / f"{file}.gz").write_bytes(gzip.compress(data))
    return root
