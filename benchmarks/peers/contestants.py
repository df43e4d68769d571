"""Who is compared, how each is configured and run, and where its rows end up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers import environments, readings
from benchmarks.peers.environments import Environment
from benchmarks.peers.judge import STREAMS, Table
from benchmarks.peers.server import ACCOUNT, ROOT, Stripe

HERE = Path(__file__).parent
Limits = Literal["real", "off"]
YEARS = 3
"""How far back the data goes, see :mod:`airflow_provider_stripe_app.testing.populate`."""


@dataclass(slots=True)
class Job:
    """One contestant's work on one copy of the data.

    :param folder: its own, empty at first.
    :param limits: whether Stripe enforces its limits.
    :param runs: how many runs there have been.
    """

    folder: Path
    stripe: Stripe
    limits: Limits
    runs: int = 0

    @property
    def output(self) -> Path:
        """Where the standard output of the next run goes."""
        return self.folder / f"run{self.runs}.out"

    def outputs(self) -> list[Path]:
        """Return the standard outputs of all runs so far, oldest first."""
        return [self.folder / f"run{number}.out" for number in range(self.runs)]

    def write(self, name: str, content: Any) -> Path:
        """Write a JSON file into the folder."""
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    def environment(self) -> dict[str, str]:
        """Return the environment of every contestant: no proxies, no telemetry."""
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return kept | {
            "NO_PROXY": "127.0.0.1",
            "STRIPE_URL": self.stripe.url,
            "STRIPE_KEY": self.stripe.key,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "PYTHONPATH": "",
        }


@dataclass(slots=True, kw_only=True)
class Contestant(ABC):
    """One loader.

    :param name: as on the command line and in the tables.
    :param settings: what was chosen, in words.
    """

    name: str
    settings: str

    @abstractmethod
    def install(self) -> Mapping[str, str]:
        """Make its environment; return the versions of what is in it.

        :raises NotAvailable: if that cannot be done here.
        """

    def prepare(self, job: Job) -> None:  # noqa: B027 -- not everybody has something to write
        """Write its configuration; what it asks of Stripe now is not counted."""

    @abstractmethod
    def command(self, job: Job) -> Sequence[str]:
        """Return the command of the next run."""

    def environment(self, job: Job) -> dict[str, str]:
        """Return the environment of the next run."""
        return job.environment()

    def troubles(self, job: Job) -> list[str]:
        """Return what the last run said went wrong, its exit code apart."""
        return []

    @abstractmethod
    def tables(self, job: Job) -> dict[str, Table]:
        """Return what a user finds after all runs so far."""


@dataclass(slots=True, kw_only=True)
class Ours(Contestant):
    """The engine of this provider."""

    name: str = "this provider"
    settings: str = "defaults, into DuckDB"

    def install(self) -> Mapping[str, str]:
        """Use the environment that runs the benchmark."""
        from importlib.metadata import version
        from platform import python_version

        names = ("airflow-provider-stripe-app", "duckdb", "pyarrow")
        return {"Python": python_version(), **{name: version(name) for name in names}}

    def command(self, job: Job) -> Sequence[str]:
        """Run the engine as the operator does."""
        database = str(job.folder / "ours.duckdb")
        module = [sys.executable, "-m", "benchmarks.peers.run_ours"]
        return [*module, job.stripe.url, job.stripe.key, ACCOUNT, database, job.limits]

    def environment(self, job: Job) -> dict[str, str]:
        """Let it find the repository."""
        return job.environment() | {"PYTHONPATH": str(ROOT)}

    def tables(self, job: Job) -> dict[str, Table]:
        """Read DuckDB."""
        return readings.duckdb_tables(job.folder / "ours.duckdb", readings.our_queries())


@dataclass(slots=True, kw_only=True)
class Airbyte(Contestant):
    """Airbyte's source, run as its platform runs it: a catalogue and a state in, messages out.

    :param manifest: a newer ``manifest.yaml`` that ``source-declarative-manifest`` runs in place of
        the packaged connector; beside it may be its ``components.py``.
    """

    package: Environment
    manifest: Path | None = None
    settings: str = (
        "incremental, append + deduped; `num_workers` 10 (the default, of 20 at most), "
        "`slice_range` 365 (the default), `start_date` at the oldest data; JSON lines to disk, "
        "deduplicated as its destinations do"
    )

    def install(self) -> Mapping[str, str]:
        """Make its venv."""
        self.package.install()
        return self.package.versions()

    def prepare(self, job: Job) -> None:
        """Write the configuration and the catalogue of the five streams."""
        config = {
            "account_id": ACCOUNT,
            "client_secret": job.stripe.key,
            "start_date": _oldest(),
            "num_workers": 10,
        }
        job.write("config.json", config)
        done = subprocess.run(
            self._entry("discover", job),
            env=job.environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        [catalog] = [m["catalog"] for m in messages if m["type"] == "CATALOG"]
        chosen = [_configured(s) for s in catalog["streams"] if s["name"] in STREAMS]
        job.write("catalog.json", {"streams": chosen})

    def command(self, job: Job) -> Sequence[str]:
        """Read with the state of the run before."""
        command = [*self._entry("read", job), "--catalog", str(job.folder / "catalog.json")]
        if job.runs:
            state = readings.airbyte_state(readings.lines_of(job.outputs()))
            command += ["--state", str(job.write("state.json", state))]
        return command

    def troubles(self, job: Job) -> list[str]:
        """Return its error traces."""
        return readings.airbyte_troubles(readings.lines_of(job.outputs()[-1:]))

    def tables(self, job: Job) -> dict[str, Table]:
        """Deduplicate all messages."""
        return readings.airbyte_tables(readings.lines_of(job.outputs()))

    def _entry(self, verb: str, job: Job) -> list[str]:
        script = [str(self.package.interpreter), str(HERE / "redirect.py")]
        config = ["--config", str(job.folder / "config.json")]
        if self.manifest is None:
            return [*script, "source_stripe.run:run", verb, *config]
        entry = "airbyte_cdk.cli.source_declarative_manifest:run"
        given = ["--manifest-path", str(self.manifest)]
        components = self.manifest.parent / "components.py"
        given += ["--components-path", str(components)] if components.exists() else []
        return [*script, entry, verb, *config, *given]


@dataclass(slots=True, kw_only=True)
class Dlt(Contestant):
    """dlt's verified source ``stripe_analytics``.

    :param source: the directory that has it; ``None`` to get it.
    """

    source: Path | None = None
    name: str = "dlt"
    settings: str = (
        "write disposition `replace` (dlt's own for what changes), resources in parallel, "
        "Parquet into DuckDB"
    )

    def install(self) -> Mapping[str, str]:
        """Make its venv and find the source."""
        environments.DLT.install()
        self.source = environments.dlt_source(self.source)
        return environments.DLT.versions()

    def command(self, job: Job) -> Sequence[str]:
        """Run the pipeline."""
        python = str(environments.DLT.interpreter)
        places = [str(self.source), str(job.folder / "pipelines"), str(job.folder / "dlt.duckdb")]
        return [python, str(HERE / "run_dlt.py"), *places]

    def tables(self, job: Job) -> dict[str, Table]:
        """Read DuckDB."""
        return readings.duckdb_tables(job.folder / "dlt.duckdb", readings.dlt_queries("stripe"))


@dataclass(slots=True, kw_only=True)
class Tap(Contestant):
    """The Singer tap of singer-io."""

    name: str = "tap-stripe"
    settings: str = (
        "`date_window_size` 3650 (one window, so the fewest requests), `event_date_window_size` 30 "
        "(its most); JSON lines to disk, upserted by the key properties as Singer targets do"
    )

    def install(self) -> Mapping[str, str]:
        """Make its venv."""
        environments.TAP.install()
        return environments.TAP.versions()

    def prepare(self, job: Job) -> None:
        """Write the configuration and the catalogue with the five streams selected."""
        config = {
            "account_id": ACCOUNT,
            "client_secret": job.stripe.key,
            "start_date": _oldest(),
            "date_window_size": 3650,
            "event_date_window_size": 30,
        }
        job.write("config.json", config)
        done = subprocess.run(
            [*self._entry(job), "--discover"],
            env=job.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        streams = [s for s in json.loads(done.stdout)["streams"] if s["tap_stream_id"] in STREAMS]
        for stream in streams:
            for entry in stream["metadata"]:
                entry["metadata"]["selected"] = True
        job.write("catalog.json", {"streams": streams})

    def command(self, job: Job) -> Sequence[str]:
        """Sync with the state of the run before."""
        command = [*self._entry(job), "--catalog", str(job.folder / "catalog.json")]
        if job.runs:
            state = readings.singer_state(readings.lines_of(job.outputs()), {})
            command += ["--state", str(job.write("state.json", state))]
        return command

    def tables(self, job: Job) -> dict[str, Table]:
        """Upsert all messages."""
        return readings.singer_tables(readings.lines_of(job.outputs()))

    def _entry(self, job: Job) -> list[str]:
        script = [str(environments.TAP.interpreter), str(HERE / "redirect.py")]
        return [*script, "tap_stripe:main", "--config", str(job.folder / "config.json")]


def everybody(dlt_source: Path | None, airbyte_manifest: Path | None) -> list[Contestant]:
    """Return all contestants, in the order of the tables."""
    airbyte = [
        Airbyte(name="airbyte 5.14.1", package=environments.AIRBYTE),
        Airbyte(name="airbyte 5.8.14", package=environments.AIRBYTE_58),
    ]
    if airbyte_manifest is not None:
        newest = Airbyte(
            name="airbyte manifest", package=environments.AIRBYTE_CDK, manifest=airbyte_manifest
        )
        airbyte.insert(0, newest)
    return [Ours(), *airbyte, Dlt(source=dlt_source), Tap()]


def _configured(stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream of a catalogue as configured for append + deduped."""
    incremental = "incremental" in stream["supported_sync_modes"]
    return {
        "stream": stream,
        "sync_mode": "incremental" if incremental else "full_refresh",
        "destination_sync_mode": "append_dedup",
        "primary_key": stream.get("source_defined_primary_key"),
        "cursor_field": stream.get("default_cursor_field"),
    }


def _oldest() -> str:
    """Return a day before the oldest object, as ISO time in UTC."""
    seconds = time.time() - (YEARS * 365 + 1) * 86400
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(seconds))
