"""Tokens that Stripe has handed out and the metadata database does not hold yet, sealed on disk.

They exist nowhere else: if the process ends or the database is away between answer and store, the
grant would be lost. So a renewal writes them here first and removes the file once they are stored;
what a process finds it stores. Files are in ``$AIRFLOW_HOME/stripe_app_spool``, readable by the
owner only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.cipher import seal, unseal
from airflow_provider_stripe_app.oauth.token_endpoint import Granted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spooled:
    """One pair of tokens on its way into the database.

    :param conn_id: whose they are.
    :param generation: the generation that they follow.
    :param spent: fingerprint of the refresh token that was spent for them.
    :param granted: the tokens.
    :param healed: whether they mend a loss.
    """

    conn_id: str
    generation: int
    spent: str
    granted: Granted = field(repr=False)
    healed: bool = False


class Spool:
    """The directory. Every method is safe to call from many processes.

    :param directory: where the files are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, entry: Spooled) -> Path | None:
        """Write an entry down; on failure say so and go on: the database is the real home.

        :return: the file, ``None`` if it could not be written.
        """
        path = self._directory / f"{self._prefix(entry.conn_id)}-{entry.spent}.json"
        values = {
            "conn_id": entry.conn_id,
            "generation": entry.generation,
            "spent": entry.spent,
            "granted": asdict(entry.granted),
            "healed": entry.healed,
        }
        part = path.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}.part")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(seal(json.dumps(values)))
                file.flush()
                # Under its name at once: what the kernel has survives the end of this process, and
                # a slow disk would make the moment in which only its memory has the tokens longer.
                part.replace(path)
                self._sync(file.fileno())
        except OSError as error:
            log.warning("Cannot write to %s (%s).", self._directory, error.strerror)
            with contextlib.suppress(OSError):
                part.unlink()
            return None
        return path

    @staticmethod
    def _sync(handle: int) -> None:
        """Bring a file to the disk, for the case that the machine ends."""
        try:
            os.fsync(handle)
        except OSError as error:
            log.warning("Cannot sync a file of the token spool (%s).", error.strerror)

    def find(self, conn_id: str, *, min_age: float = 0.0) -> list[tuple[Path, Spooled]]:
        """Return what waits for a connection, oldest first; nothing in the usual case.

        :param conn_id: the installation's connection.
        :param min_age: seconds since it was written; a younger file is just being stored.
        """
        return self._read(f"{self._prefix(conn_id)}-*.json", min_age)

    def everything(self, *, min_age: float = 0.0) -> list[tuple[Path, Spooled]]:
        """Return what waits for any connection, as ``find`` does for one.

        :param min_age: seconds since it was written.
        """
        return self._read("*.json", min_age)

    def _read(self, pattern: str, min_age: float) -> list[tuple[Path, Spooled]]:
        found = []
        try:
            names = sorted(self._directory.glob(pattern))
        except OSError:
            return []
        for path in names:
            try:
                if time.time() - path.stat().st_mtime < min_age:
                    continue
                values = json.loads(unseal(path.read_text()))
                granted = Granted(**values.pop("granted"))
                found.append((path, Spooled(granted=granted, **values)))
            except FileNotFoundError:  # another process has just stored it
                continue
            except (OSError, ValueError, TypeError, KeyError, ConfigurationError) as error:
                log.warning("Cannot read %s (%s); leaving it there.", path, type(error).__name__)
        return sorted(found, key=lambda item: item[1].generation)

    @staticmethod
    def remove(path: Path | None) -> None:
        """Remove a file whose tokens are stored or out of date."""
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    @staticmethod
    def _prefix(conn_id: str) -> str:
        return hashlib.sha256(conn_id.encode()).hexdigest()[:24]


def default_spool() -> Spool:
    """Return the spool under ``AIRFLOW_HOME``."""
    from airflow.configuration import get_airflow_home

    return Spool(Path(get_airflow_home()) / "stripe_app_spool")
