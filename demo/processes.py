"""Processes that are started, watched and ended with all that they start themselves.

Airflow's scheduler forks workers, and tasks move into process groups of their own, so ending a
group is not enough: the whole tree is collected first. A :class:`Reaper` does the same when this
process is killed and cannot clean up any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

REPOSITORY = Path(__file__).resolve().parent.parent


class ProcessFailed(RuntimeError):
    """A process ended or did not become ready; the message has the end of its log."""


def inherited_environment() -> dict[str, str]:
    """Return this process's environment without anybody's Airflow settings and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW") and name.lower() not in {"http_proxy", "https_proxy"}
    }
    return kept | {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "HOME": kept.get("HOME") or str(REPOSITORY),
    }


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that were free a moment ago, each another one.

    :param count: how many.
    """
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


def port_or_free(wanted: int) -> int:
    """Return a port if it is free, otherwise another one that is.

    :param wanted: the port; 0 for any.
    """
    with socket.socket() as probe:
        # Without this, a port is "in use" for a minute after a server that had visitors ended.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_ports(1)[0]
        return int(probe.getsockname()[1])


def interrupt_on_signals() -> None:
    """Let SIGTERM and SIGINT end this program as Ctrl-C does, so that it cleans up.

    SIGINT as well, because shells start background programs with that signal ignored.
    """

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)


def wait_for(
    ready: Callable[[], bool],
    seconds: float,
    what: str,
    *,
    every: float = 0.2,
    why: Callable[[], str] = str,
) -> None:
    """Wait until something is so.

    :param ready: asked every ``every`` seconds; may raise :class:`ProcessFailed` to give up.
    :param seconds: how long at most.
    :param what: for the error: "the API server to be healthy".
    :param why: gives more text for the error.
    :raises ProcessFailed: if it is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ProcessFailed(f"Waited {seconds:.0f} s in vain for {what}.\n{why()}".rstrip())
        time.sleep(every)


def end_trees(pids: Iterable[int], grace: float) -> None:
    """End processes and all their descendants: SIGTERM, then SIGKILL for what is left.

    :param pids: the roots; unknown ones are skipped.
    :param grace: seconds between the two signals.
    """
    processes: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            processes |= {child.pid: child for child in root.children(recursive=True)} | {pid: root}
    for send in (signal.SIGTERM, signal.SIGKILL):
        for process in processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(send)
        _, alive = psutil.wait_procs(list(processes.values()), timeout=grace)
        # What was forked between the look and the signal has one of ours as its parent.
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes |= {child.pid: child for child in process.children(recursive=True)}


class Reaper:
    """A helper process that ends what is left, and removes directories, once this process is gone.

    It reads orders from a pipe; the pipe closes when this process dies, however it dies.
    """

    _shared: Reaper | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demo.processes"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @classmethod
    def shared(cls) -> Reaper:
        """Return this process's reaper."""
        with cls._lock:
            if cls._shared is None:
                cls._shared = Reaper()
            return cls._shared

    def order(self, verb: str, what: str) -> None:
        """Tell the reaper: ``watch``/``forget`` a pid, ``clean``/``keep`` a directory."""
        stdin = self._process.stdin
        if stdin is not None:
            with self._lock, contextlib.suppress(OSError):
                stdin.write(f"{json.dumps([verb, what])}\n".encode())
                stdin.flush()


def _reap(orders: IO[str]) -> None:
    pids: set[int] = set()
    directories: set[str] = set()
    for line in orders:
        verb, what = json.loads(line)
        if verb == "watch":
            pids.add(int(what))
        elif verb == "forget":
            pids.discard(int(what))
        elif verb == "clean":
            directories.add(what)
        elif verb == "keep":
            directories.discard(what)
    end_trees(pids, grace=5)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


class TemporaryHome:
    """A temporary directory that goes away even when this process is killed.

    :param prefix: start of its name.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        Reaper.shared().order("clean", str(self.path))

    def remove(self) -> None:
        """Remove it now."""
        shutil.rmtree(self.path, ignore_errors=True)
        Reaper.shared().order("keep", str(self.path))


class ManagedProcess:
    """One process with a log file, and all that it starts.

    :param name: for messages and for the log file.
    :param command: the arguments.
    :param log_directory: where ``NAME.log`` is written (standard output and standard error).
    :param env: the whole environment.
    """

    def __init__(
        self, name: str, command: list[str], log_directory: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.command = command
        self.log = log_directory / f"{name}.log"
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id.

        :raises ProcessFailed: if it was not started.
        """
        if self._process is None:
            raise ProcessFailed(f"{self.name} was not started.")
        return self._process.pid

    def start(self) -> None:
        """Start it; output is appended to the log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._env,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        Reaper.shared().order("watch", str(self.pid))

    def check(self) -> None:
        """Raise if it has ended.

        :raises ProcessFailed: with the end of its log.
        """
        if self._process is not None and self._process.poll() is not None:
            raise ProcessFailed(
                f"{self.name} ended with status {self._process.returncode}.\n{self.tail()}"
            )

    def stop(self, grace: float = 10) -> None:
        """End it and its descendants.

        :param grace: seconds between SIGTERM and SIGKILL.
        """
        if self._process is None:
            return
        end_trees([self.pid], grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        Reaper.shared().order("forget", str(self.pid))
        self._process = None

    def descendants(self) -> list[psutil.Process]:
        """Return the living processes that it started, directly and indirectly."""
        try:
            return list(psutil.Process(self.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def tail(self, lines: int = 40) -> str:
        """Return the end of its log with a headline.

        :param lines: how many lines.
        """
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- end of {self.log}", *text.splitlines()[-lines:]])

    def wait_for_json_line(self, key: str, seconds: float = 30) -> dict[str, Any]:
        """Return the first JSON object in the log that has ``key``.

        :param key: what the object must have.
        :param seconds: how long to wait.
        :raises ProcessFailed: if the process ends or says nothing in time.
        """
        found: list[dict[str, Any]] = []

        def look() -> bool:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith("{"):
                    with contextlib.suppress(json.JSONDecodeError):
                        value = json.loads(line)
                        if isinstance(value, dict) and key in value:
                            found.append(value)
                            return True
            self.check()
            return False

        wait_for(look, seconds, f"{self.name} to say its {key}", every=0.05, why=self.tail)
        return found[0]


if __name__ == "__main__":
    # The reaper outlives its owner's terminal: Ctrl-C is for the owner.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _reap(sys.stdin)
