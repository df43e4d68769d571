"""The helpers that start processes leave nothing behind, however their owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from demo.processes import REPOSITORY, ManagedProcess, ProcessFailed, free_ports

# A process whose child has left its group and session, and ignores SIGTERM, as some do.
STUBBORN = """
    import os, signal, subprocess, sys, time
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal, time; "
         "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
         "print('ready', flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE, start_new_session=True,
    )
    child.stdout.readline()
    print('{"child": %d}' % child.pid, flush=True)
    time.sleep(600)
"""


def command() -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(STUBBORN)]


def wait_until_gone(pids: list[int], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.matrix
def test_stopping_ends_descendants_that_left_the_group_and_ignore_sigterm(tmp_path: Path) -> None:
    process = ManagedProcess("stubborn", command(), tmp_path, os.environ)
    process.start()
    child = process.wait_for_json_line("child")["child"]
    pids = [process.pid, child]
    process.stop(grace=0.5)
    wait_until_gone(pids, seconds=3)


def test_a_killed_owner_leaves_no_process_and_no_directory_behind() -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import os, sys, time
                from demo.processes import ManagedProcess, TemporaryHome
                home = TemporaryHome("stripe-app-killed-")
                process = ManagedProcess("stubborn", {command()!r}, home.path, os.environ)
                process.start()
                child = process.wait_for_json_line("child")["child"]
                print(home.path, process.pid, child, flush=True)
                time.sleep(600)
            """),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    home, *pids = owner.stdout.readline().split()
    assert Path(home).is_dir()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until_gone([int(pid) for pid in pids])
    deadline = time.monotonic() + 5
    while Path(home).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    process = ManagedProcess(
        "early", [sys.executable, "-c", "print('out of cheese'); raise SystemExit(3)"], tmp_path, {}
    )
    process.start()
    with pytest.raises(ProcessFailed, match=r"status 3[\s\S]*out of cheese"):
        process.wait_for_json_line("url")
    process.stop()


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20
