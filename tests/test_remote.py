"""Stores at an address: read, cached, shared by processes, and with faults on the way."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from faulty_proxy import Proxy

from multiview.data.load.viewstatistics import describe_views_at
from multiview.data.sources.scenes import Scenes
from multiview.data.store import examine
from multiview.data.store.reading import Store
from multiview.data.write import storeaddress
from multiview.data.write.diskspace import estimate_bytes_of, rows_per_shard
from multiview.data.write.planning import make_plan
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.remote import transfer
from multiview.remote.cache import LOCKS, cache_limit
from multiview.remote.filelocks import alone, open_lock, try_lock

SHARDS = 4
MODALITIES = ("image", "depth")
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of four shards on the disk."""
    out = tmp_path_factory.mktemp("local") / "scenes"
    preprocess(Scenes(count=16, size=16), None, out, shard_rows=4)
    return Store.open(out)


@pytest.fixture(scope="module")
def proxy(local: Store) -> Iterator[Proxy]:
    """The S3 server of moto with the store in s3://pictures/scenes, behind the proxy."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port()[1])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", proxy.address)
        system = transfer.filesystem("s3://pictures")
        system.mkdir("pictures")
        for file in local.path.iterdir():
            transfer.send(file, "s3://pictures/scenes", file.name)
        yield proxy
    proxy.shutdown()
    proxy.server_close()
    server.stop()


@pytest.fixture
def address(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the store, with an empty cache and short waits."""
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.01)
    proxy.gets.clear()
    yield "s3://pictures/scenes"
    proxy.spoil = lambda *_: None


def assert_same(remote: Store, local: Store, rows: np.ndarray | None = None) -> None:
    rows = np.random.default_rng(0).permutation(len(local)) if rows is None else rows
    assert remote.ids == local.ids
    assert (remote.labels == local.labels).all()
    for name in MODALITIES:
        assert (np.asarray(remote.read(rows, name)) == np.asarray(local.read(rows, name))).all()


def cache_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_the_columns_need_no_shard(address: str, proxy: Proxy, local: Store) -> None:
    remote = Store.open(address)
    assert (remote.rows("train") == local.rows("train")).all()
    assert remote.spec == address
    assert set(proxy.gets) == {"manifest.json", "columns.safetensors"}


@pytest.fixture
def web(local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A plain web server over the folder of the local store; ends in `/`."""
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    handler = partial(QuietFiles, directory=str(local.path.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Prints nothing."""


def test_a_store_on_a_web_server_is_read_and_never_written(web: str, local: Store) -> None:
    assert_same(Store.open(f"{web}scenes"), local)
    with pytest.raises(MultiviewError, match=r"no manifest\.json there.*OUT is then copied to the server\.$"):
        Store.open(f"{web}photos")
    with pytest.raises(MultiviewError, match=r"^http://\S+ can be read, and nothing can be written there.*hf://\.$"):
        preprocess(Scenes(count=16, size=16), None, f"{web}photos")
    for address in ("https://example.org/a", "http://example.org/a"):
        with pytest.raises(MultiviewError, match="nothing can be written there"):
            transfer.remove(address, ["manifest.json"])


def test_every_shard_is_fetched_once(address: str, proxy: Proxy, local: Store) -> None:
    assert_same(Store.open(address), local)
    assert_same(Store.open(address), local)
    assert [proxy.gets[shard.name] for shard in local.manifest.shards] == [1] * SHARDS


@pytest.mark.parametrize(
    "fault", ["drop", "bytes", *(pytest.param(each, marks=SLOW) for each in ("truncate", "503", "late"))]
)
def test_a_passing_fault_loses_nothing(fault: str, address: str, proxy: Proxy, local: Store) -> None:
    proxy.spoil = lambda name, number: fault if name.endswith(".h5") and number == 1 else None
    assert_same(Store.open(address), local)


@pytest.mark.parametrize("fault", ["503", *(pytest.param(each, marks=SLOW) for each in ("drop", "truncate", "bytes"))])
def test_a_lasting_fault_is_named(
    fault: str, address: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TRIES", 2)
    store = Store.open(address)
    proxy.spoil = lambda name, _: fault if name == "shard-00001.h5" else None
    with pytest.raises(MultiviewError, match=r"s3://pictures/scenes/shard-00001.h5 cannot be fetched: .*\.$") as error:
        store.read([5], "image")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "cache").rglob("*.partial"))
    proxy.spoil = lambda *_: None
    assert len(store.read([5], "image")) == 1


def test_the_cache_stays_below_its_limit(address: str, local: Store, tmp_path: Path) -> None:
    sizes = [shard.size for shard in local.manifest.shards]
    beside = sum((local.path / name).stat().st_size for name in ("manifest.json", "columns.safetensors"))
    limit = beside + 2 * max(sizes) + 10
    remote, rng = Store.open(address, limit), np.random.default_rng(0)
    for _ in range(6):
        assert_same(remote, local, rng.integers(0, 16, 6))
        assert cache_bytes(tmp_path) <= limit


def test_a_cache_that_is_too_small_is_named(address: str) -> None:
    remote = Store.open(address, "9kB")
    with pytest.raises(MultiviewError, match=r"has no room for shard-00000.h5.*--cache_size"):
        remote.read([0], "image")


def read_all(address: str, out: multiprocessing.Queue[object]) -> None:
    store = Store.open(address)
    out.put(int(np.asarray(store.read(np.arange(16), "image")).sum()))


def test_two_processes_fetch_each_shard_once(address: str, proxy: Proxy, local: Store) -> None:
    proxy.spoil = lambda name, _: "late" if name.endswith(".h5") else None
    Store.open(address)  # this process has used its file system: the children make theirs anew
    context = multiprocessing.get_context("fork")
    sums: multiprocessing.Queue[object] = context.Queue()
    children = [context.Process(target=read_all, args=(address, sums)) for _ in range(2)]
    for child in children:
        child.start()
    wanted = int(np.asarray(local.read(np.arange(16), "image")).sum())
    assert [sums.get(timeout=60) for _ in children] == [wanted, wanted]
    for child in children:
        child.join()
    assert [proxy.gets[shard.name] for shard in local.manifest.shards] == [1] * SHARDS


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s4://a/b", r"'s4://' is no kind of address; known are .*, s3://"),
        ("memory://nothing/here", "memory://nothing/here is no store"),
        ("file:///nowhere/here", "file:///nowhere/here is no store"),
    ],
)
def test_mistakes_in_addresses(address: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path))
    with pytest.raises(MultiviewError, match=message):
        Store.open(address)


@pytest.mark.slow
def test_no_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(transfer, "TRIES", 1)
    transfer.forget("s3://x")
    with pytest.raises(MultiviewError, match=r"s3://a/b/manifest.json cannot be read: .*Check the network"):
        Store.open("s3://a/b")
    transfer.forget("s3://x")


def test_files_and_memory_are_addresses_too(local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    shutil.copytree(local.path, tmp_path / "copy")
    assert_same(Store.open(f"file://{tmp_path}/copy"), local)
    for file in local.path.iterdir():
        transfer.send(file, "memory://stores/scenes", file.name)
    assert_same(Store.open("memory://stores/scenes"), local)


def test_sizes_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [cache_limit(text) for text in ("5", "2 MB", "1.5gb", 7)] == [5, 2_000_000, 1_500_000_000, 7]
    monkeypatch.setenv("MULTIVIEW_CACHE_SIZE", "3kb")
    assert cache_limit() == 3000
    with pytest.raises(MultiviewError, match="the size of the cache is 'much'; give a size such as 500MB"):
        cache_limit("much")


def written_files(address: str) -> dict[str, bytes]:
    return {name: transfer.read_bytes(address, name) or b"" for name in transfer.sizes(address)}


def test_a_store_is_written_to_an_address(local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes as in a folder; an interrupted call continues, and two jobs make one store."""
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    address, source = "memory://bucket/written", Scenes(count=16, size=16)
    wanted = {file.name: file.read_bytes() for file in local.path.iterdir() if not file.name.startswith(".")}
    first = preprocess(source, None, address, shard_rows=4, shard="2/2")
    assert first.part
    assert "part 2/2 of memory://bucket/written is there" in first.lines()[0]
    with pytest.raises(MultiviewError, match=r"memory://bucket/written is no store"):
        Store.open(address)
    report = preprocess(source, None, address, shard_rows=4)
    assert (report.out, report.written, report.reused) == (address, 16, 2)
    assert written_files(address) == wanted
    assert not (tmp_path / "cache-sending").exists() or not list((tmp_path / "cache-sending").iterdir())
    assert preprocess(source, None, address, shard_rows=4).already
    with pytest.raises(MultiviewError, match="holds another store: its shard_rows is 4, not 5"):
        preprocess(source, None, address, shard_rows=5)
    assert preprocess(source, None, address, shard_rows=8, overwrite=True).shards == 2
    assert_same(Store.open(address), local)


def test_jobs_that_overwrite_an_address_keep_what_the_others_sent(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first job removes the old store; the later ones add to what the first has sent."""
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    address, new = "memory://bucket/replaced", Scenes(count=16, size=16)
    preprocess(Scenes(count=8, size=8), None, address, shard_rows=2)
    assert preprocess(new, None, address, shard_rows=4, overwrite=True, shard="1/2").part
    assert {"shard-00000.h5", "shard-00001.h5"} == {name for name in transfer.sizes(address) if name.endswith(".h5")}
    assert preprocess(new, None, address, shard_rows=4, overwrite=True, shard="2/2").written == 16
    assert_same(Store.open(address), local)


def test_what_is_no_store_is_kept_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    address, file, source = "memory://bucket/thesis", tmp_path / "thesis.tex", Scenes(count=4, size=8)
    file.write_text("mine")
    transfer.send(file, address, file.name)
    for overwrite in (False, True):
        with pytest.raises(MultiviewError, match=r"is no store \(it holds thesis.tex\); nothing was touched"):
            preprocess(source, None, address, overwrite=overwrite)
    transfer.send(file, "memory://bucket/remains", "shard-00000.h5")
    with pytest.raises(MultiviewError, match=r"holds shards without a manifest\. Replace it with --overwrite"):
        preprocess(source, None, "memory://bucket/remains")
    with pytest.raises(MultiviewError, match="--engine ray cannot write to an address such as memory://bucket/ray"):
        preprocess(source, None, "memory://bucket/ray", engine="ray")


def test_a_damaged_manifest_at_an_address_is_named(tmp_path: Path) -> None:
    """The measuring of views reads the manifest there too."""
    file, address = tmp_path / "manifest.json", "memory://bucket/damaged"
    with pytest.raises(MultiviewError, match=f"{address} is no store"):
        describe_views_at(address, Scenes(count=4, size=8), None)
    file.write_bytes(b"\xff")
    transfer.send(file, address, file.name)
    with pytest.raises(MultiviewError, match=r"damaged/manifest.json is damaged: it is not UTF-8 text"):
        describe_views_at(address, Scenes(count=4, size=8), None)


def test_two_processes_publish_views_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two addresses with one last name have drafts of their own; an error removes them."""
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    drafts: list[Path] = []

    def refuse(draft: Path, *_: str) -> None:
        drafts.append(draft)
        raise MultiviewError(draft.read_text())

    monkeypatch.setattr(storeaddress, "send", refuse)
    for place in ("a", "b"):
        with pytest.raises(MultiviewError, match=f"^{place}$"):
            storeaddress.publish_views(f"memory://{place}/same", place)
    assert drafts[0] != drafts[1]
    assert not list((tmp_path / "cache-sending").iterdir())


def test_shards_of_a_size_in_megabytes() -> None:
    plan = make_plan(Scenes(count=12, size=16), None)
    each = estimate_bytes_of(plan, [0]) / 1e6
    assert [rows_per_shard(plan, 5, size, False) for size in (None, each / 2, 3.5 * each, 1e6)] == [5, 1, 3, 12]
    assert [rows_per_shard(plan, rows, None, True) for rows in (None, 1000)] == [12, 1000]
    assert rows_per_shard(plan, None, None, False) == 1000
    assert rows_per_shard(plan, 5, None, True) == 5
    with pytest.raises(MultiviewError, match="shard_mb is 0; give a number of megabytes above 0"):
        rows_per_shard(plan, 5, 0, False)


def test_a_lock_ends_while_a_child_process_has_a_copy(tmp_path: Path) -> None:
    path, context = tmp_path / "a.lock", multiprocessing.get_context("fork")
    over = context.Event()
    child = context.Process(target=over.wait, args=(60,))
    with alone(path):
        child.start()
        assert not try_lock(open_lock(path), True)
    assert try_lock(open_lock(path), True)
    over.set()
    child.join()
    assert child.exitcode == 0


def test_a_shard_whose_examination_fails_is_given_back(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTIVIEW_CACHE_DIR", str(tmp_path / "cache"))
    for file in local.path.iterdir():
        transfer.send(file, "memory://bucket/examined", file.name)
    taken: list[bool] = []

    def fail(folder: Path, _: object, number: int, *__: object) -> None:
        taken.extend(try_lock(open_lock(folder / LOCKS / f"shard-0000{n}.h5"), True) for n in range(number + 1))
        raise MultiviewError("damaged")

    monkeypatch.setattr(examine, "_report", fail)
    monkeypatch.setattr(examine, "_limit_memory", lambda _: None)
    examine.main(["memory://bucket/examined", "1", "0", "1"])
    assert capsys.readouterr().out.count("damaged") == 2
    assert taken == [False, True, False]  # the shard before is free, the own one is held


@pytest.mark.slow
def test_the_commands_take_addresses(
    address: str, local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training, evaluation, vectors, inspection and verification say the same as for the folder."""
    import torch

    import multiview as mv
    from multiview.cli import run

    monkeypatch.chdir(tmp_path)
    for place in (address, str(local.path)):
        name = "far" if place == address else "near"
        words = f"--data {place} --out {name} --steps 2 --batch 4 --encoder convnet --width 0.25 --workers 1 --size 16"
        assert run(["train", "cmc_lab", *words.split(), "--evaluate=false"]) == 0
        assert run(["embed", f"{name}/model", place, f"{name}.npz"]) == 0
        assert run(["verify", place]) == 0
        assert run(["inspect", place, "--samples", "1"]) == 0
    far, near = mv.load("far").model.state_dict(), mv.load("near").model.state_dict()
    assert all(torch.equal(far[key], near[key]) for key in near)
    assert (tmp_path / "contact-sheet.png").is_file()


@pytest.mark.slow
def test_verify_fetches_anew_and_names_a_damaged_shard(address: str, proxy: Proxy) -> None:
    from multiview.data.store.verify import verify

    Store.open(address).read([0], "image")
    proxy.spoil = lambda name, _: "bytes" if name == "shard-00002.h5" else None
    found = verify(address)
    assert len(found.faults) == 1
    assert "its sha256 is not that of the manifest" in found.faults[0]
