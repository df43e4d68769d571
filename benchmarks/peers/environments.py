"""The peers' environments: one venv each under ``.work/peers``, made by uv from PyPI.

Nothing of a peer is in this repository. dlt's Stripe source is not on PyPI; ``dlt init`` gets it
from GitHub, as dlt's documentation says, or ``--dlt-source`` names a directory that has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.server import ROOT

HOME = ROOT / ".work" / "peers"


class NotAvailable(RuntimeError):
    """A peer cannot be installed here; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A venv.

    :param packages: what is installed, with pinned versions.
    :param shown: distributions whose versions are reported.
    :param python: the newest and the oldest Python that the peer takes, as uv's request.
    """

    name: str
    packages: tuple[str, ...]
    shown: tuple[str, ...]
    python: str = ">=3.10,<3.12"

    @property
    def folder(self) -> Path:
        """Where it is."""
        return HOME / self.name

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    def install(self) -> None:
        """Make it, unless it is there with these very packages.

        :raises NotAvailable: if uv cannot.
        """
        stamp = self.folder / ".installed"
        wanted = "\n".join((self.python, *self.packages))
        if stamp.exists() and stamp.read_text() == wanted:
            return
        HOME.mkdir(parents=True, exist_ok=True)
        _uv("venv", "--clear", "--python", self._found_python(), str(self.folder))
        _uv("pip", "install", "--python", str(self.interpreter), *self.packages)
        stamp.write_text(wanted)

    def versions(self) -> dict[str, str]:
        """Return the installed versions of what is reported."""
        code = (
            "import importlib.metadata as m, platform, sys\n"
            "print('Python', platform.python_version())\n"
            "for name in sys.argv[1:]: print(name, m.version(name))"
        )
        command = [str(self.interpreter), "-c", code, *self.shown]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    def _found_python(self) -> str:
        """Return this Python where it will do, else what uv is to look for."""
        return sys.executable if (3, 10) <= sys.version_info[:2] < (3, 12) else self.python


AIRBYTE = Environment(
    "airbyte",
    ("airbyte-source-stripe==5.14.1", "airbyte-cdk==6.61.6"),
    ("airbyte-source-stripe", "airbyte-cdk"),
)
AIRBYTE_58 = Environment(
    "airbyte-5.8",
    ("airbyte-source-stripe==5.8.14", "airbyte-cdk==6.61.6"),
    ("airbyte-source-stripe", "airbyte-cdk"),
)
AIRBYTE_CDK = Environment("airbyte-cdk", ("airbyte-cdk==7.39.1",), ("airbyte-cdk",))
"""What runs a connector that is only a manifest."""

DLT = Environment(
    "dlt",
    ("dlt[duckdb,parquet]==1.31.0", "stripe>=15,<16"),
    ("dlt", "stripe", "duckdb", "pyarrow"),
)
TAP = Environment("tap-stripe", ("tap-stripe==3.3.0",), ("tap-stripe", "stripe", "singer-python"))


def dlt_source(given: Path | None) -> Path:
    """Return the directory that has dlt's package ``stripe_analytics``.

    :param given: where the user has it; ``None`` looks under ``.work/peers`` and gets it there.
    :raises NotAvailable: if it is not there and GitHub cannot be reached.
    """
    place = given or HOME / "dlt-source"
    if (place / "stripe_analytics" / "__init__.py").exists():
        return place
    if given is not None:
        raise NotAvailable(f"{given} has no package stripe_analytics")
    place.mkdir(parents=True, exist_ok=True)
    command = [str(DLT.interpreter), "-m", "dlt", "--non-interactive"]
    command += ["init", "stripe_analytics", "duckdb"]
    environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode or not (place / "stripe_analytics").exists():
        raise NotAvailable(
            "dlt's Stripe source is on GitHub (dlt-hub/verified-sources), which cannot be reached "
            "from here: get it with `dlt init stripe_analytics duckdb` and name its directory with "
            "--dlt-source"
        )
    return place


def _uv(*arguments: str) -> None:
    found = [Path(sys.executable).parent / "uv", shutil.which("uv")]
    uv = next((path for path in found if path and Path(path).exists()), None)
    if uv is None:
        raise NotAvailable("uv is needed to make the peers' environments: pip install uv")
    done = subprocess.run(
        [str(uv), "--quiet", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotAvailable(f"uv {' '.join(arguments[:2])} failed: {_last_lines(done.stderr)}")


def _last_lines(text: str, number: int = 3) -> str:
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-number:])
