"""Syncs in processes of their own, to be killed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

from demo.processes import REPOSITORY, inherited_environment
from tests.chaos.sync.figures import TALLY
from tests.integration.sync_lab import Lab


@dataclass(frozen=True)
class End:
    """How a sync's process ended.

    :param status: exit status; -9 for SIGKILL.
    :param steps: requests (before and after each) and statements that it made.
    :param error: what it failed with, in words.
    """

    status: int
    steps: int
    error: str

    @property
    def killed(self) -> bool:
        """Whether it died by SIGKILL."""
        return self.status == -signal.SIGKILL


class Process:
    """Where one sync at a time runs, in a process of its own; see :mod:`.zygote`."""

    def __init__(self) -> None:
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.sync.zygote"],
            cwd=REPOSITORY,
            env=inherited_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._sync: psutil.Process | None = None

    def start(
        self,
        lab: Lab,
        streams: Sequence[str],
        *,
        dies_at: int = 0,
        version: str = "",
        **options: Any,
    ) -> None:
        """Begin a sync.

        :param dies_at: the step at which it kills itself; 0 for never.
        :param version: API version that the release pins; empty for this release's.
        """
        order = {
            "url": lab.sim.url,
            "key": lab.key,
            "account": lab.account.id,
            "kind": lab.kind,
            "where": lab.where,
            "streams": list(streams),
            "options": options,
            "version": version,
            "dies_at": dies_at,
        }
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        # A handle that knows when its process began: numbers of processes are used again.
        with contextlib.suppress(psutil.NoSuchProcess):
            self._sync = psutil.Process(self._read()["pid"])
        TALLY["runs"] += 1

    def kill(self) -> None:
        """Send SIGKILL, whether the sync is over or not."""
        if self._sync is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._sync.kill()

    def end(self) -> End:
        """Wait for the sync to be over."""
        end = End(**self._read())
        TALLY["runs killed with SIGKILL"] += end.killed
        return end

    def _read(self) -> dict[str, Any]:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        assert line, "the process that forks syncs is gone"
        return dict(json.loads(line))

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.kill()
        self._zygote.stdin.close()  # type: ignore[union-attr]
        self._zygote.wait(30)
        self._zygote.stdout.close()  # type: ignore[union-attr]
