"""`multiview doctor`: what each check says of a machine, and that no check can end the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from multiview import cgroups, cores
from multiview.catalogue import Entry
from multiview.commands import doctor as page
from multiview.doctor import devices, examine, groups, launching, machine, software, trials
from multiview.doctor.finding import ADVICE, BROKEN, OK, STATES, Finding, examined, short
from multiview.exits import DONE, FAILED
from multiview.plugins import Plugin

Patch = pytest.MonkeyPatch


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], float, Path]:
    """The page of this machine as JSON, made in an empty folder."""
    folder = tmp_path_factory.mktemp("doctor")
    start = time.monotonic()
    words = [sys.executable, "-P", "-m", "multiview.cli", "doctor", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    return done.returncode, json.loads(done.stdout), time.monotonic() - start, folder


@pytest.mark.slow
def test_the_page_of_this_machine_names_every_check_once_and_agrees_with_its_exit_code(whole: Any) -> None:
    code, read, _, folder = whole
    found = [finding["check"] for finding in read["findings"]]
    expected = {check.__name__.replace("_", " ") for checks in groups.CHECKS.values() for check in checks}
    assert expected - {"variables", "shared memory", "file handles"} <= set(found)
    assert {finding["state"] for finding in read["findings"]} <= set(STATES)
    assert read["works"] == (code == DONE)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_page_of_a_working_machine_has_nothing_broken(whole: Any) -> None:
    code, read, _, _ = whole
    assert [finding for finding in read["findings"] if finding["state"] == BROKEN] == []
    assert code == DONE


@pytest.mark.slow
def test_the_page_keeps_its_time(whole: Any) -> None:
    assert whole[1]["seconds"] < 20


def test_the_groups_without_torch_find_nothing_broken_and_leave_nothing(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.delitem(groups.CHECKS, "torch")
    monkeypatch.chdir(tmp_path)
    found = examine.examine((str(tmp_path),))
    expected = {check.__name__.replace("_", " ") for checks in groups.CHECKS.values() for check in checks}
    assert expected - {"variables", "shared memory", "file handles"} <= {finding.check for finding in found}
    assert [finding for finding in found if finding.state not in (OK, ADVICE)] == []
    assert list(tmp_path.iterdir()) == []


def fake_groups(patch: Patch, code: str) -> None:
    """Every group runs `code` in its process; `name` is the name of the group."""
    patch.setattr(examine, "SECONDS", 2.0)
    patch.setattr(examine, "MEASURING", 0.5)

    def start(_: str, name: str, *words: str, **options: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen([sys.executable, "-c", f"name = {name!r}\n{code}"], **options)

    patch.setattr(examine, "start_module", start)


def test_a_check_that_hangs_costs_its_own_group_alone(monkeypatch: Patch) -> None:
    fake_groups(
        monkeypatch,
        "import json, time\n"
        "print(json.dumps({'started': {'torch': 'two processes'}.get(name, 'x')}), flush=True)\n"
        "if name == 'torch': time.sleep(60)\n"
        "print(json.dumps({'check': name, 'state': 'ok', 'text': 'well', 'advice': ''}))\n",
    )
    start = time.monotonic()
    found = {finding.check: finding for finding in examine.examine(())}
    assert time.monotonic() - start < 5
    assert found["two processes"].text == "no answer within 2 s"
    assert found["matrix product"].text == "not examined, because 'two processes' did not end"
    assert "torch" not in found
    assert {found[name].state for name in ("software", "plugins", "machine", "disks", "store")} == {OK}


def test_a_group_whose_checks_have_answered_may_end_late(monkeypatch: Patch) -> None:
    fake_groups(
        monkeypatch,
        "import json, time\n"
        "answer = {'check': name, 'state': 'ok', 'text': 'well', 'advice': ''}\n"
        "if name == 'store':\n"
        "    for record in ({'started': name}, answer, {'ended': name}):\n"
        "        print(json.dumps(record), flush=True)\n"
        "    time.sleep(60)\n",
    )
    assert [(finding.check, finding.text) for finding in examine.examine(())] == [("store", "well")]


def test_a_group_that_is_ended_leaves_no_folder(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".multiview-doctor-mine").mkdir()
    fake_groups(
        monkeypatch,
        "import os, time\n"
        "if name == 'store':\n"
        "    os.makedirs(f'.multiview-doctor-{os.getpid()}-x/store')\n"
        "    print('made', flush=True)\n"
        "    time.sleep(60)\n",
    )
    assert [finding.check for finding in examine.examine(())] == ["store"]
    assert [path.name for path in tmp_path.iterdir()] == [".multiview-doctor-mine"]


def test_a_check_that_crashes_is_broken_with_what_it_said(monkeypatch: Patch) -> None:
    fake_groups(
        monkeypatch,
        "import os, signal, sys\n"
        "if name == 'store': print('libhdf5: no such symbol', file=sys.stderr, flush=True)\n"
        "if name == 'store': os.kill(os.getpid(), signal.SIGSEGV)\n",
    )
    finding = only(iter(examine.examine(())))
    assert (finding.check, finding.state) == ("store", BROKEN)
    assert finding.text == "the check ended with signal 11 (SIGSEGV): libhdf5: no such symbol"


def test_an_error_of_a_check_is_a_line(monkeypatch: Patch) -> None:
    def strange() -> Iterator[Finding]:
        raise OSError("the file is\nno file")

    assert examined(strange, "strange") == [Finding("strange", ADVICE, "could not be examined: OSError: the file is")]


def test_the_page_prints_state_text_and_advice_and_exits_with_1(monkeypatch: Patch, capsys: Any) -> None:
    found = [Finding("disk", OK, "much [red]room"), Finding("memory", BROKEN, "none", "Buy\x1b some.")]
    monkeypatch.setattr(examine, "examine", lambda _: found)
    assert page.doctor(page.Doctor()) == FAILED
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["ok", "disk", "much", "[red]room"]
    assert lines[3].split() == ["broken", "memory", "none"]
    assert lines[4].strip() == "-> Buy\\x1b some."
    assert lines[-1] == "1 thing will not work; 0 lines with advice."
    monkeypatch.setattr(examine, "examine", lambda _: found[:1])
    assert page.doctor(page.Doctor(json=True)) == DONE
    assert json.loads(capsys.readouterr().out)["works"] is True


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_limits_of_version_2_are_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    own = written(tmp_path / "proc", cgroup="0::/pod/box\n") / "cgroup"
    root = tmp_path / "groups"
    written(root / "pod/box", cpu__max="max 100000\n", memory__max="max\n", memory__current="700\n")
    written(root / "pod", cpu__max="150000 100000\n", memory__max="9000\n")
    assert cgroups.cpu_quota(root, own) == 1.5
    assert cgroups.memory_limit(root, own) == 9000
    assert cgroups.memory_used(root, own) == 700


def test_limits_of_version_1_and_none_at_all(tmp_path: Path) -> None:
    own = written(tmp_path / "proc", cgroup="4:cpu,cpuacct:/a\n3:memory:/a\n") / "cgroup"
    root = tmp_path / "groups"
    written(root / "cpu/a", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    written(root / "memory/a", memory__limit_in_bytes=str(1 << 62))
    assert cgroups.cpu_quota(root, own) == 3.0
    assert cgroups.memory_limit(root, own) is None
    assert cgroups.cpu_quota(tmp_path / "none", tmp_path / "nothing") is None


@pytest.mark.parametrize(("quota", "usable"), [(None, 8), (2.5, 3), (0.2, 1), (99.0, 8)])
def test_a_containers_limit_counts_as_cores(monkeypatch: Patch, quota: float | None, usable: int) -> None:
    monkeypatch.setattr(cores, "chosen_cores", lambda: 8)
    monkeypatch.setattr(cores, "_quota", lambda: quota)
    assert cores.available_cores() == usable


def test_little_memory_in_a_container_gives_advice(monkeypatch: Patch) -> None:
    monkeypatch.setattr(machine, "memory_limit", lambda: 3 * 10**9)
    monkeypatch.setattr(machine, "memory_used", lambda: 2 * 10**9)
    monkeypatch.setattr(machine, "_memory_of_machine", lambda: (64 * 10**9, 60 * 10**9))
    finding = only(machine.memory())
    assert finding.state == ADVICE
    assert finding.text == "1 GB free of the container's 3 GB (machine: 60 GB of 64 GB free)"


def test_a_disk_that_cannot_be_written_is_broken_and_one_line_stands_for_each_disk(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    assert only(machine.disk((str(tmp_path), str(tmp_path / "not/yet/there")))).check == "disk"

    def refuse(_: Path) -> float:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(machine, "_writing_speed", refuse)
    finding = only(machine.disk((str(tmp_path),)))
    assert finding.state == BROKEN
    assert "PermissionError: read-only file system" in finding.text


def test_a_full_or_slow_disk_gives_advice(tmp_path: Path, monkeypatch: Patch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine, "_writing_speed", lambda _: 5e6)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(10**12, 0, 10**12))
    assert "is slow" in only(machine.disk((str(tmp_path),))).advice
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    assert "free some space" in only(machine.disk((str(tmp_path),))).advice


def needs(patch: Patch, *rows: tuple[str, str]) -> None:
    patch.setattr(software, "requirements", lambda: tuple((Requirement(text), extra) for text, extra in rows))


def test_a_missing_and_an_old_dependency_are_broken(monkeypatch: Patch) -> None:
    needs(monkeypatch, ("numpy>=999", ""), ("no-such-package-here>=1", ""), ("h5py>=3", ""))
    finding = only(software.dependencies())
    assert finding.state == BROKEN
    assert "does not fit >=999" in finding.text
    assert "no-such-package-here is not installed" in finding.text
    assert "pip install --upgrade multiview-cmc" in finding.advice


def test_an_extra_is_installed_missing_or_old(monkeypatch: Patch) -> None:
    needs(monkeypatch, ("numpy>=1", "a"), ("no-such-package-here", "b"), ("ruff", "dev"))
    finding = only(software.extras())
    assert finding.state == OK
    assert finding.text.endswith("not installed: b")
    assert "dev" not in finding.text
    needs(monkeypatch, ("numpy>=999", "a"))
    finding = only(software.extras())
    assert (finding.state, finding.advice) == (ADVICE, "Upgrade: `pip install --upgrade 'multiview-cmc[a]'`.")


def test_an_installation_older_than_its_checkout_is_found(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    assert software.stale_entry_points(project) == []
    project.write_text('[project]\nname = "another"\n')
    assert software.stale_entry_points(project) == []
    project.write_text('[project]\nname = "multiview-cmc"\n[project.entry-points."multiview.views"]\nnew = "a:b"\n')
    assert {"views/new", "views/L"} <= set(software.stale_entry_points(project))


def test_two_installations_that_differ_are_broken(monkeypatch: Patch) -> None:
    def installation(place: str, names: tuple[str, ...]) -> SimpleNamespace:
        points = [SimpleNamespace(group="multiview.views", name=name, value="a:b") for name in names]
        facts = {"metadata": {"Name": "multiview-cmc"}, "version": "1", "entry_points": points}
        return SimpleNamespace(**facts, locate_file=lambda _: place)

    found = [installation("/site", ("L",)), installation("/checkout", ("L", "ab"))]
    monkeypatch.setattr(software, "distributions", lambda: found)
    finding = only(software.multiview())
    assert finding.state == BROKEN
    assert "several installations that differ: /site, /checkout" in finding.text


@pytest.mark.parametrize(("cxx", "text"), [("false", "cannot build a program"), ("nothing-of-that-name", "")])
def test_a_compiler_that_fails_or_is_missing_gives_advice(monkeypatch: Patch, cxx: str, text: str) -> None:
    monkeypatch.setenv("CXX", cxx)
    which: Callable[[str], str | None] = {"false": "/bin/false"}.get
    monkeypatch.setattr(software.shutil, "which", which)
    monkeypatch.setattr(software.sysconfig, "get_paths", lambda: {"include": "/"})
    finding = only(software.compiler())
    assert finding.state == ADVICE
    assert (text or "CXX=nothing-of-that-name does not exist and none is installed") in finding.text or (
        "Python.h" in finding.text
    )


def test_a_broken_and_a_doubled_plugin_are_lines(monkeypatch: Patch) -> None:
    ours, theirs = (Plugin("L", "views", "a:b", origin) for origin in ("multiview-cmc", "stranger"))
    listed = {"views": [Entry(ours, "", ""), Entry(theirs, "", "ImportError: no GPU (a:b)")]}
    monkeypatch.setattr(software, "entries", lambda group: listed.get(group, []))
    first, broken, doubled = software.plugins()
    assert first.text == "1 of multiview-cmc, 1 of stranger"
    assert (broken.state, broken.text) == (BROKEN, "view 'L' of stranger: ImportError: no GPU (a:b)")
    assert (doubled.state, doubled.text) == (ADVICE, "2 packages register the view 'L'")


@pytest.mark.parametrize(
    ("text", "gpus", "state", "part"),
    [
        (None, 0, OK, "starts one process"),
        (None, 4, OK, "starts 4 processes, one per GPU"),
        ("distributed_type: 'NO'\nuse_cpu: true\nmixed_precision: bf16", 0, OK, "mixed precision bf16"),
        ("distributed_type: MULTI_GPU\nnum_processes: 2", 0, BROKEN, "this machine has 0 usable GPUs"),
        ("distributed_type: MULTI_GPU\nnum_processes: 8\nnum_machines: 2", 4, OK, "on 2 machines"),
        ("distributed_type: FSDP\nnum_processes: 2", 2, BROKEN, "splits the model"),
        ("distributed_type: MULTI_CPU\nnum_processes: 2\nuse_cpu: true", 1, ADVICE, "leaves 1 GPUs unused"),
        ("distributed_type: MULTI_CPU\nnum_processes: 64\nuse_cpu: true", 0, ADVICE, "more processes than the 2 cores"),
        ("dynamo_config: {dynamo_backend: INDUCTOR}\nuse_cpu: true", 0, OK, "torch.compile by inductor"),
        ("num_processes: [", 0, BROKEN, "cannot be read"),
        ("just words", 0, BROKEN, "the file holds no options"),
        ("num_processes: many", 0, BROKEN, "cannot be read"),
    ],
)
def test_the_configuration_of_accelerate(
    tmp_path: Path, monkeypatch: Patch, text: str | None, gpus: int, state: str, part: str
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(launching, "available_cores", lambda: 2)
    if text is not None:
        written(tmp_path / "accelerate", default_config__yaml=text)
    finding = only(launching.launching(gpus))
    assert finding.state == state
    assert part in finding.text


def test_the_file_of_accelerate_is_where_accelerate_looks(tmp_path: Path, monkeypatch: Patch) -> None:
    file = Path(str(distribution("accelerate").locate_file("accelerate/commands/config/config_args.py")))
    text = file.read_text("utf8")
    lines = text[text.index("hf_cache_home =") : text.index("# For backward compatibility")]
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setattr("os.environ", {"HOME": str(tmp_path), name: str(tmp_path / name)})
        found: dict[str, Any] = {"os": os}
        exec(lines, found)  # the whole module would import torch
        assert found["default_yaml_config_file"] == str(launching.configuration_file(os.environ))


def test_a_module_that_cannot_be_imported_is_broken(monkeypatch: Patch) -> None:
    monkeypatch.setattr(devices, "MODULES", ("json", "no_such_module.part"))
    finding = only(devices.imports())
    assert finding.state == BROKEN
    assert finding.text.startswith("no_such_module.part cannot be imported: ModuleNotFoundError")
    assert "`pip install -U no_such_module`" in finding.advice


def test_processes_that_cannot_meet_are_broken(monkeypatch: Patch) -> None:
    monkeypatch.setattr(trials, "MEETING_SECONDS", 2)
    monkeypatch.setattr(trials, "_meet", lambda rank, port, answers: answers.put("ConnectionError: no" if rank else ""))
    finding = only(trials.two_processes())
    assert finding.state == BROKEN
    assert finding.text.endswith("ConnectionError: no")
    assert "GLOO_SOCKET_IFNAME" in finding.advice


def test_a_store_that_cannot_be_written_is_broken(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    assert only(trials.store()).state == OK
    monkeypatch.setattr("multiview.data.write.preprocess.preprocess", lambda *_, **__: 1 / 0)
    finding = only(trials.store())
    assert (finding.state, finding.text) == (BROKEN, "writing and reading failed: ZeroDivisionError: division by zero")
    assert list(tmp_path.iterdir()) == []


def test_paths_in_the_home_folder_are_shortened(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    assert [short(path) for path in ("/home/ann", "/home/ann/x", "/home/annabel")] == ["~", "~/x", "/home/annabel"]
