"""A whole deployment whose secrets are all known, and recorders for all that it says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import psutil
import requests
import sqlalchemy
from cryptography.fernet import Fernet

from airflow_provider_stripe_app.testing import SimulatedStripe
from demo.airflow_cluster import AirflowCluster, User
from demo.processes import REPOSITORY, wait_for
from tests.integration.leak_dags.leaks import PLANTED
from tests.integration.leak_scanner import Corpus

DAGS = Path(__file__).parent / "leak_dags"
PERMISSIONS = ("customer_read", "event_read")
_SEALED = re.compile(r"fernet:([\w=-]+)")


class Sampler:
    """Looks at command lines and environments of all processes below this one, again and again."""

    def __init__(self, corpus: Corpus, spool: Path, every: float = 0.5) -> None:
        self.corpus = corpus
        self.processes: set[tuple[int, str]] = set()
        self._spool = spool
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.look()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.look()

    def look(self) -> None:
        """Look once."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = "\0".join(process.cmdline())
                if (process.pid, line) not in self.processes:
                    self.processes.add((process.pid, line))
                    self.corpus.add("process/cmdline", line)
                    self.corpus.add("process/environ", repr(process.environ()))
        for file in self._spool.glob("*"):
            with contextlib.suppress(OSError):
                self.corpus.add("file/stripe_app_spool", file.read_bytes())


class Visitor:
    """A browser or a script that records every answer of the API server, with its headers.

    :param token: of a user of Airflow, for the cookie; nobody's if empty.
    """

    def __init__(self, lab: LeakLab, token: str = "") -> None:
        self._lab = lab
        self.session = requests.Session()
        self.session.headers["Accept"] = "text/html"
        if token:
            self.session.cookies.set("_token", token)

    def open(self, method: str, path: str, *, group: str = "page", **options: Any) -> Any:
        """Send a request, follow nothing, and record what comes back.

        :param group: the first word of the place.
        """
        url = urljoin(self._lab.airflow.url, path)
        options = {"timeout": 60, "allow_redirects": False} | options
        answer = self.session.request(method, url, **options)
        request = f"{method} {urlsplit(url).path}"
        self._lab.corpus.add(f"{group}/{request}", answer.content)
        told = {k: v for k, v in answer.headers.items() if k.lower() != "location"}
        self._lab.corpus.add(f"{group}/{request}", repr(told))
        self._lab.corpus.add(f"location/{request}", answer.headers.get("Location", ""))
        return answer

    def form(self, path: str, fields: dict[str, str], page: str = "/stripe-app/") -> Any:
        """Post a form of our pages with the token that the page holds."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.open("GET", page).text)
        assert found, (
            f"no form on {page}: {self.open('GET', page).text[-600:]}\n{self._lab.airflow.tails()}"
        )
        return self.open("POST", path, data={"csrf": found[1], **fields})


class LeakLab:
    """Simulated Stripe in this process, Airflow in processes of its own, and all they say."""

    def __init__(self, sim: SimulatedStripe) -> None:
        self.sim = sim
        self.corpus = Corpus()
        self.known: dict[str, str] = {}
        self.warehouse_password = f"Warehouse{secrets.token_hex(16)}"
        self.user = User("ann", "admin", f"Password{secrets.token_hex(16)}")
        self.airflow = AirflowCluster(
            stripe_url=sim.url,
            metadata="postgres" if os.environ.get("LEAKS_METADATA") == "postgres" else "sqlite",
            dags=[DAGS],
            components=("api-server", "scheduler", "dag-processor", "triggerer"),
            users=[self.user],
            env={
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
                "AIRFLOW__API__EXPOSE_CONFIG": "non-sensitive-only",
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
                "AIRFLOW__STRIPE_APP__MIN_TOKEN_AGE": "0",
                "AIRFLOW__STRIPE_APP__WAIT_SECONDS": "5",
                # Otherwise the DAG files are read again and again, at the level of DEBUG.
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            },
        )
        self.app: Any = None
        self._shell: subprocess.Popen[str] | None = None

    @property
    def redirect_uri(self) -> str:
        return f"{self.airflow.url}/stripe-app/callback"

    def visitor(self, *, logged_in: bool = True) -> Visitor:
        return Visitor(self, self.airflow.api.token() if logged_in else "")

    # ---- what people do

    def connect(self) -> None:
        """Make the app at Stripe and the connections in Airflow."""
        self._running_shell()  # it takes its time to start
        self.app = self.sim.register_app(redirect_uris=[self.redirect_uri], permissions=PERMISSIONS)
        key = self.sim.restricted_key(["customer_read"])
        put = self.airflow.api.put_connection
        put(
            "shop_app",
            "stripe_app",
            login=self.app.install_link,
            password=self.app.secret_key,
            extra={"app_id": self.app.app_id},
            description=PLANTED,
        )
        put("own_key", "stripe_app", password=key)
        put(PLANTED, "stripe_app", password=key)
        put("warehouse", "duckdb", host=str(self.airflow.home / "warehouse.duckdb"))
        put(
            "warehouse_down",
            "postgres",
            host="127.0.0.1",
            port=1,
            login="wanda",
            password=self.warehouse_password,
        )

    def consent(self, asked: str, account: str | None = None, **options: Any) -> str:
        """Decide on Stripe's consent page; return where Stripe sends the browser."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
        self.know(query["state"], "state")
        return self.sim.install(
            query["client_id"],
            self.sim.account(account),
            redirect_uri=query.get("redirect_uri"),
            state=query["state"],
            **options,
        )

    def commands(self, *steps: tuple[list[str], str]) -> list[tuple[Any, str, str]]:
        """Run ``airflow`` commands and record what they print."""
        shell, results = self._running_shell(), []
        assert shell.stdin is not None
        assert shell.stdout is not None
        for argv, text in steps:
            shell.stdin.write(json.dumps([argv, text]) + "\n")
            shell.stdin.flush()
            status, out, err = json.loads(shell.stdout.readline())
            self.corpus.add(f"cli/airflow {' '.join(argv)}", f"{out}\n{err}")
            results.append((status, out, err))
        return results

    def _running_shell(self) -> subprocess.Popen[str]:
        if self._shell is None:
            with (self.airflow.logs / "commands.log").open("w") as log:
                self._shell = subprocess.Popen(
                    [sys.executable, "-m", "tests.integration.leak_shell"],
                    env=self.airflow.environment,
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        return self._shell

    def close(self) -> None:
        """End the commands' process."""
        if self._shell is not None:
            self._shell.kill()
            self._shell.communicate()

    # ---- what is secret

    def know(self, secret: str, kind: str) -> str:
        """Note a secret that is not in the simulated Stripe's books."""
        self.known[secret] = kind
        return secret

    def secrets(self) -> dict[str, str]:
        """Return every secret there ever was, with its kind."""
        oauth, environment = self.sim.oauth, self.airflow.environment
        found = {
            token: record.grant.kind.replace("_", " ")
            for token, record in oauth._keys.items()
            if record.grant.kind != "publishable"
        }
        found |= {key: "key of the app" for key in found if key == self.app.secret_key}
        found |= dict.fromkeys(oauth._refresh, "refresh token")
        found |= dict.fromkeys(oauth._codes, "code")
        found |= self.known
        for option, kind in (
            ("CORE__FERNET_KEY", "Airflow's Fernet key"),
            ("API_AUTH__JWT_SECRET", "Airflow's JWT secret"),
            ("API__SECRET_KEY", "Airflow's secret key"),
        ):
            found[environment[f"AIRFLOW__{option}"]] = kind
        found[self.user.password] = "password of a user"
        found[self.warehouse_password] = "password of the warehouse"
        return found

    # ---- where everything is

    def plant(self) -> None:
        """Put the planted value where a run of the story cannot put it."""
        database = self._engine()
        with database.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO stripe_app_history (conn_id, at, event, detail) "
                f"VALUES ('shop', {time.time()}, 'installed', '{PLANTED}')"
            )
        database.dispose()
        code = "import sys, time; time.sleep(60)"
        environment = {"PLANTED": PLANTED, "PATH": ""}
        process = subprocess.Popen([sys.executable, "-c", code, PLANTED], env=environment)
        try:
            wait_for(lambda: self._sampler_saw(PLANTED), 20, "the sampler to see the process")
        finally:
            process.kill()
            process.wait()

    def _sampler_saw(self, text: str) -> bool:
        return all(
            text in self.corpus.text(place) for place in ("process/cmdline", "process/environ")
        )

    def _engine(self) -> sqlalchemy.Engine:
        return sqlalchemy.create_engine(self._database_url())

    def _database_url(self) -> str:
        return str(self.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])

    def collect_database(self) -> None:
        """Record every table as text, and learn the broker tokens."""
        engine = self._engine()
        fernet = Fernet(self.airflow.environment["AIRFLOW__CORE__FERNET_KEY"])
        with engine.connect() as connection:
            for table in sqlalchemy.inspect(connection).get_table_names():
                for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"'):
                    values = [bytes(v) if isinstance(v, memoryview) else v for v in row]
                    self.corpus.add(f"db/{table}", repr(values))
            sealed = connection.exec_driver_sql(
                "SELECT broker_token_sealed FROM stripe_app_installation"
            )
            for (text,) in sealed:
                token = fernet.decrypt(text.removeprefix("fernet:").encode()).decode()
                self.know(token, "broker token")
        engine.dispose()

    def unsealed(self, corpus: Corpus) -> Corpus:
        """Return what our tables hold encrypted, in plain."""
        fernet = Fernet(self.airflow.environment["AIRFLOW__CORE__FERNET_KEY"])
        plain = Corpus()
        for place in corpus.places:
            if place.startswith("db/stripe_app_"):
                for one in _SEALED.findall(corpus.text(place)):
                    plain.add(place, fernet.decrypt(one.encode()))
        return plain

    def collect_files(self) -> None:
        """Record every file below AIRFLOW_HOME, and those of the database server."""
        roots = {"file": self.airflow.home}
        for directory in parse_qs(urlsplit(self._database_url()).query).get("host", []):
            roots["file/postgres"] = Path(directory)
        for place, root in roots.items():
            for path in root.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    self.corpus.add(f"{place}/{path.relative_to(root)}", path.read_bytes())

    def collect_warehouse(self) -> None:
        """Record every table of the warehouse as text."""
        import duckdb

        with duckdb.connect(str(self.airflow.home / "warehouse.duckdb")) as connection:
            connection.execute("CREATE OR REPLACE TABLE planted AS SELECT ? AS value", [PLANTED])
            tables = connection.execute(
                "SELECT table_schema, table_name FROM information_schema.tables"
            ).fetchall()
            for schema, table in tables:
                for row in connection.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall():
                    self.corpus.add(f"warehouse/{table}", repr(row))


@contextlib.contextmanager
def leak_lab() -> Iterator[LeakLab]:
    """Run it."""
    with SimulatedStripe(seed=secrets.randbits(32)) as sim:
        sim.populate(customers=250, small=True)
        lab = LeakLab(sim)
        with Sampler(lab.corpus, lab.airflow.home / "stripe_app_spool"), lab.airflow:
            try:
                yield lab
            finally:
                lab.close()
