"""A real MariaDB server out of Debian's packages, started by the tests that need one."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.processes import Reaper, TemporaryHome

HOW_TO_GET_IT = "No mariadbd: scripts/install_server.sh mariadbd mariadb-server-core"
_SYSTEM = "/usr/sbin:/usr/local/sbin"
_REQUIRED_BY = ("STRIPE_APP_REQUIRE_SERVERS", "CI")


def program(name: str) -> str:
    """Return the path of a program of MariaDB's, or skip the test (in CI: fail it)."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM}")
    if found is not None:
        return found
    if any(os.environ.get(name) for name in _REQUIRED_BY):
        pytest.fail(f"{HOW_TO_GET_IT}. It is required here ({' or '.join(_REQUIRED_BY)}).")
    pytest.skip(HOW_TO_GET_IT)


@dataclass
class MariaDB:
    """A running server.

    :param socket: path of its Unix socket; it listens nowhere else.
    """

    socket: Path
    process: subprocess.Popen[bytes]

    def connect(self, database: str = "", **options: Any) -> Any:
        """Return a connection, as the hook of Airflow's provider opens one."""
        import mysql.connector

        return mysql.connector.connect(
            unix_socket=str(self.socket), user="root", database=database or None, **options
        )

    def new_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"w_{uuid.uuid4().hex[:12]}"
        connection = self.connect()
        connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()
        return name


@contextmanager
def running_mariadb() -> Iterator[MariaDB]:
    """Start a server with files of its own, and end it."""
    server, installer = program("mariadbd"), program("mariadb-install-db")
    home = TemporaryHome("stripe-app-mariadb-")
    data, socket = home.path / "data", home.path / "s"
    user = f"--user={getpass.getuser()}"
    subprocess.run(
        [
            installer,
            "--no-defaults",
            f"--datadir={data}",
            user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    files = [f"--datadir={data}", f"--socket={socket}", f"--log-error={home.path / 'log'}"]
    process = subprocess.Popen(
        [server, "--no-defaults", *files, user, "--skip-networking", "--open-files-limit=1000"]
    )
    Reaper.shared().order("watch", str(process.pid))
    try:
        _wait_for(socket, process, home.path / "log")
        yield MariaDB(socket, process)
    finally:
        process.terminate()
        process.wait(60)
        Reaper.shared().order("forget", str(process.pid))
        home.remove()


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"mariadbd did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
