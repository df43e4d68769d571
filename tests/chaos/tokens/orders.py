"""The zygote's other end: orders for it, and the API servers and tasks that it forks."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from demo.processes import REPOSITORY, Reaper, free_ports, wait_for


@dataclass
class Task:
    """Processes that were ordered as tasks."""

    pids: list[int]
    results: list[dict[str, Any]]

    @property
    def ok(self) -> int:
        """How many calls succeeded."""
        return sum(one.get("ok", 0) for one in self.results)

    @property
    def failed(self) -> dict[str, int]:
        """The texts of failed calls, and what processes died of."""
        found: Counter[str] = Counter()
        for one in self.results:
            found.update(one.get("failed", {}))
            if "error" in one:
                found[one["error"]] += 1
        return dict(found)


class Orders:
    """The zygote's other end.

    :param env: environment of the deployment.
    :param log: file for what it prints.
    """

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.tokens.zygote"],
                env=env,
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        Reaper.shared().order("watch", str(self.process.pid))
        self._lock = threading.Lock()
        self._next = 1
        self._ready = False
        self._events: dict[int, queue.Queue[dict[str, Any]]] = {0: queue.Queue()}
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, role: str, **order: Any) -> int:
        """Give an order and return its number; the first one waits until it can be obeyed."""
        with self._lock:
            if not self._ready:
                self.wait(0, "ready", 120)
                self._ready = True
            number = self._next
            self._next += 1
            self._events[number] = queue.Queue()
            line = json.dumps({"id": number, "role": role, **order})
            assert self.process.stdin is not None
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        return number

    def wait(self, number: int, event: str, seconds: float = 60) -> dict[str, Any]:
        """Return the next event of a kind; others of the same order are dropped."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._events[number].get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} in {seconds} s:\n{self.tail()}") from None
            if found["event"] == event:
                return found
            assert found["event"] != "gone", f"the zygote is gone:\n{self.tail()}"

    def call(self, name: str, env: dict[str, str] | None = None, **arguments: Any) -> Any:
        """Run one of ``steps`` in a process of its own and return what it returned."""
        number = self.send("call", name=name, arguments=arguments, env=env or {})
        found = self.wait(number, "result", 90)
        assert "error" not in found, found["error"]
        return found["value"]

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it; it ends its children."""
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        Reaper.shared().order("forget", str(self.process.pid))

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self._events[event["id"]].put(event)
        for waiting in list(self._events.values()):
            waiting.put({"event": "gone"})


class Server:
    """One API server out of the zygote, started again after each of its deaths.

    :param orders: the zygote.
    :param directory: for its log and its kill orders.
    :param name: names its files.
    """

    def __init__(self, orders: Orders, directory: Path, name: str) -> None:
        self._orders = orders
        self._log = directory / f"{name}.log"
        self.kill_file = directory / f"{name}.kill"
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.pid = 0
        self._number = 0

    def start(self, wrong: float = 0.0, **env: str) -> None:
        """Start it and wait until the plugin answers.

        :param wrong: seconds by which its clock is wrong.
        :param env: more environment.
        """
        self._number = self._orders.send(
            "server",
            port=self._port,
            env={"CHAOS_KILL_FILE": str(self.kill_file), **env},
            log=str(self._log),
            wrong=wrong,
        )
        self.pid = self._orders.wait(self._number, "started", 30)["pid"]
        wait_for(self._answers, 30, f"{self._log.name}", every=0.02, why=self.tail)

    def order_kill(self, step: str) -> None:
        """Let it end itself when it reaches a step."""
        part = self.kill_file.with_suffix(".new")
        part.write_text(step)
        part.replace(self.kill_file)

    def killed(self, seconds: float = 30) -> int:
        """Wait for its end and return its status, -9 after SIGKILL."""
        status: int = self._orders.wait(self._number, "ended", seconds)["status"]
        self.pid = 0
        return status

    def kill(self, sign: int = signal.SIGKILL) -> None:
        """Send it a signal now."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def restart(self, wrong: float = 0.0, **env: str) -> None:
        """Kill it and start it with other settings."""
        self.kill()
        self.killed()
        self.start(wrong, **env)

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/stripe-app/health", timeout=5).ok
        except requests.RequestException:
            return False
