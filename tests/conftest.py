"""What holds for every test: offline, a core for each worker, slow tests only when asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest
from hypothesis import settings

SHARED = Path(__file__).parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", help="run the tests marked slow too")


def pytest_configure() -> None:
    """Before anything imports torch or huggingface_hub, which read these once."""
    os.environ["XDG_STATE_HOME"] = str(Path(gettempdir()) / f"multiview-tests-{os.getuid()}")
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    # No deadline, because machines differ. The same examples each time, so that failures repeat.
    settings.register_profile("multiview", deadline=None, derandomize=True, database=None)
    settings.load_profile("multiview")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        _take_cores(int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def _take_cores(worker: int, workers: int) -> None:
    """Gives each worker and its programs their own cores: waiting threads spin and are slow."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    mine = cores[worker::workers] or [cores[worker % len(cores)]]
    os.sched_setaffinity(0, mine)
    os.environ["OMP_NUM_THREADS"] = str(len(mine))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--runslow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --runslow"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 80 small scenes, 56 of them for training."""
    from multiview.data.sources.scenes import Scenes
    from multiview.data.write.preprocess import preprocess

    out = tmp_path_factory.mktemp("stores") / "scenes"
    preprocess(Scenes(count=80, size=32), None, out)
    return out


@pytest.fixture
def rough_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluations of the test fit their probes roughly, so that their scores mean nothing."""
    for constant, value in {
        "logistic.TOLERANCE": 0.1,
        "logistic.ITERATIONS": 3,
        "linear.FOLDS": 2,
        "target_probes.FOLDS": 2,
        "target_rows.DRAWS": 10,
        "target_rows.SUBSETS": 1,
    }.items():
        monkeypatch.setattr(f"multiview.measure.{constant}", value)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Stands for `python` in the command of a program that need not import libraries anew."""
    import warm

    folder, workers = tmp_path_factory.getbasetemp(), "PYTEST_XDIST_WORKER" in os.environ
    return warm.started(folder.parent if workers else folder, os.getppid() if workers else os.getpid())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the checkout; the test is skipped where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"there is no {SHARED / 'data'}")
    return SHARED


@pytest.fixture(autouse=True)
def pickles_read_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads pickled weights in this process: a process for each of them takes seconds to start."""
    if "in_child_process" not in request.keywords:
        monkeypatch.setattr("multiview.weights.reading.in_child", _read_here)


def _read_here(path: Path, out: Path) -> dict[str, object]:
    from multiview.weights.unpickle import read_into

    return read_into(path, out)


@pytest.fixture(autouse=True)
def same_import_path() -> Iterator[None]:
    """Commands protect their children by this variable; the next test starts without it."""
    yield
    os.environ.pop("PYTHONSAFEPATH", None)
