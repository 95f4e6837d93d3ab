"""Programs that start in milliseconds: a process imports the libraries once and forks for each.

    python tests/warm.py --serve SOCKET PID    forks for callers until the process PID has ended
    python tests/warm.py SOCKET WORDS          runs `-c CODE`, `-m MODULE` or a FILE as python does

A program has the arguments, folder, variables, cores and open files of its caller. Its modules
are imported already, so that what happens at a fresh start is not tested with it.
"""

import atexit
import fcntl
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

IMPORTED = ("multiview.launch", "multiview.train.loop", "multiview.portable.model", "sklearn.linear_model")
HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)
POLL_MS = 50
"""How often the process that forks looks for programs that have ended without a word."""


def started(folder: Path, watched: int) -> list[str]:
    """The first words of a command that runs a program; starts the process that forks once."""
    path, program = folder / "warm.socket", str(Path(__file__))
    with (folder / "warm.log").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        if not path.exists():
            words = [sys.executable, program, "--serve", str(path), str(watched)]
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        fcntl.flock(log, fcntl.LOCK_UN)  # closing alone keeps it: the process that forks has the file too
    return [sys.executable, "-IS", program, str(path)]


def serve(path: str, watched: int) -> None:
    """Imports, returns when it can be called, and answers callers in the background."""
    import importlib

    sys.path.pop(0)
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        listener.settimeout(2)
        if os.fork() == 0:
            os.setsid()
            answer(listener, watched)


def answer(listener: socket.socket, watched: int) -> None:
    """Forks for each caller until the watched process ends; kills programs of killed callers."""
    callers: dict[int, socket.socket] = {}
    while alive(watched):
        for pid in ended():
            callers.pop(pid).close()
        events = select.poll()
        events.register(listener, select.POLLIN)
        for caller in callers.values():
            events.register(caller, HUNG_UP)
        ready = {number for number, _ in events.poll(POLL_MS if callers else 2000)}
        for pid, caller in callers.items():
            if caller.fileno() in ready:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if listener.fileno() in ready:
            caller, _ = listener.accept()
            pid = os.fork()
            if pid == 0:
                for other in (listener, *callers.values()):
                    other.close()
                become(caller)
            callers[pid] = caller


def ended() -> Iterator[int]:
    """The programs that have ended since the last call."""
    with suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            yield pid


def alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def become(caller: socket.socket) -> None:
    """Turns this process into the program of a caller; its exit code is the last that it sends."""
    caller.setblocking(True)
    message, files, _, _ = socket.recv_fds(caller, 1, 3)
    with caller.makefile("rb") as stream:
        asked = json.loads(message + stream.readline())
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["variables"])
    os.chdir(asked["folder"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, asked["cores"])
    code = executed(asked["words"])
    threading._shutdown()  # waits for the program's threads, as the end of an interpreter does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(OSError):  # the caller was killed
        caller.sendall(str(code).encode())
        caller.shutdown(socket.SHUT_RDWR)
    os._exit(0)  # to take all modules apart would cost a second


def executed(words: list[str]) -> int:
    """The exit code of a program."""
    import runpy
    import traceback

    kind, *rest = words
    sys.argv = [kind, *rest[1:]] if kind == "-c" else rest if kind == "-m" else words
    try:
        if kind == "-c":
            sys.path.insert(0, "")
            exec(rest[0], {"__name__": "__main__"})
        elif kind == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(kind).parent))
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def call(path: str, words: list[str]) -> int:
    """Has a program run with this process's files; returns its exit code when it has ended."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    asked = {"words": words, "folder": str(Path.cwd()), "variables": dict(os.environ), "cores": cores}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        message = json.dumps(asked).encode() + b"\n"
        socket.send_fds(server, [message[:1]], [0, 1, 2])
        server.sendall(message[1:])
        said = b"".join(iter(lambda: server.recv(16), b""))
    return int(said or b"255")


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
