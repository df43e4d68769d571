"""A real ``airflow api-server`` process below a path, with users, beside a simulated Stripe."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import requests

from airflow_provider_stripe_app.testing import SimulatedStripe

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse"
USERS = {"ann": "admin", "olga": "op", "otto": "op", "vera": "viewer"}
PERMISSIONS = ("customer_read", "event_read", "invoice_read", "subscription_read")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    """A page as a browser sees it, with its forms' hidden fields."""

    response: requests.Response
    forms: list[dict[str, str]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        return self.response.text

    @property
    def location(self) -> str:
        return self.response.headers.get("Location", "")

    def form(self, action: str, **wanted: str) -> dict[str, str]:
        """Return the fields of the form with this action in which ``wanted`` are as given."""
        for one in self.forms:
            if one["action"] == action and all(one.get(k) == v for k, v in wanted.items()):
                return {name: value for name, value in one.items() if name != "action"}
        raise AssertionError(f"no form {action} {wanted} on the page:\n{self.text}")


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({"action": values.get("action", "")})
            self._open = True
        elif tag == "input" and self._open and "name" in values:
            self.forms[-1][values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False


class Browser:
    """One user's browser: keeps cookies, follows nothing by itself."""

    def __init__(self, server: PluginServer, user: str | None) -> None:
        self.server = server
        self.session = requests.Session()
        if user is not None:
            self.login(user)

    def login(self, user: str) -> None:
        answer = self.session.post(
            f"{self.server.url}/auth/token",
            json={"username": user, "password": PASSWORD},
            timeout=20,
        )
        answer.raise_for_status()
        self.session.cookies.set("_token", answer.json()["access_token"])

    def get(self, path: str, **options: object) -> Answer:
        return self._open("GET", path, **options)

    def post(self, path: str, data: Mapping[str, str], **options: object) -> Answer:
        return self._open("POST", path, data=data, **options)

    def page(self) -> Answer:
        return self.get("/stripe-app/")

    def installation(self, conn_id: str) -> Answer:
        return self.get(f"/stripe-app/installation?{urlencode({'conn_id': conn_id})}")

    def _open(self, method: str, path: str, **options: object) -> Answer:
        url = path if path.startswith("http") else f"{self.server.url}{path}"
        answer = self.session.request(method, url, timeout=30, allow_redirects=False, **options)
        parser = _Forms()
        if "html" in answer.headers.get("Content-Type", ""):
            parser.feed(answer.text)
        return Answer(answer, parser.forms)

    def install(self, app: str, installation: str | None = None) -> Answer:
        """Press Install; the answer redirects to Stripe."""
        csrf = next(form["csrf"] for form in self.page().forms if "csrf" in form)
        fields = {"csrf": csrf, "conn_id": app, "installation_conn_id": installation or app}
        return self.post("/stripe-app/install", fields)


class PluginServer:
    """The processes.

    :param home: AIRFLOW_HOME, an empty directory.
    :param sim: the simulated Stripe.
    """

    def __init__(self, home: Path, sim: SimulatedStripe, users: Mapping[str, str] = USERS) -> None:
        self.home = home
        self.sim = sim
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/af"
        self.log = home / "api-server.log"
        self._process: subprocess.Popen[bytes] | None = None
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps(dict.fromkeys(users, PASSWORD)))
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__FERNET_KEY": "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{u}:{r}" for u, r in users.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": "secret-of-the-tests",
            "AIRFLOW__API_AUTH__JWT_SECRET": "jwt-secret-of-the-tests " * 3,
            "AIRFLOW__STRIPE_APP__API_BASE": sim.url,
            "AIRFLOW__STRIPE_APP__MARKETPLACE_BASE": sim.url,
        }

    @property
    def redirect_uri(self) -> str:
        return f"{self.url}/stripe-app/callback"

    def prepare(self, teams: Sequence[str] = ()) -> None:
        """Make the metadata database."""
        self.env["AIRFLOW__CORE__MULTI_TEAM"] = str(bool(teams))
        self.airflow("db", "migrate")
        if teams:
            done = self.airflow_steps(*((["teams", "create", team], "") for team in teams))
            assert not any(status for status, _, _ in done), done

    def start(self, teams: Sequence[str] = ()) -> None:
        self.prepare(teams)
        command = [*self._airflow(), "api-server", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", "1"],
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.ready():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.2)
        raise AssertionError(f"the API server did not start:\n{self.log.read_text()[-4000:]}")

    def ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            health = requests.get(f"{self.url}/stripe-app/health", timeout=2)
            return bool(health.json().get("provider"))
        return False

    def stop(self) -> None:
        if self._process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=8)
                return

    def airflow(
        self, *args: str, text: str = "", check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run an ``airflow`` command to its end."""
        done = subprocess.run(
            [*self._airflow(), *args],
            env={**self.env, **(env or {})},
            input=text,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"airflow {args} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def airflow_steps(self, *steps: tuple[list[str], str]) -> list[tuple[int, str, str]]:
        """Run several commands in one process; return (status, stdout, stderr) of each."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests/integration/cli_steps.py")],
            env=self.env,
            input=json.dumps(steps),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [tuple(one) for one in json.loads(done.stdout.splitlines()[-1])]

    @staticmethod
    def _airflow() -> list[str]:
        return [sys.executable, "-m", "airflow"]

    def browser(self, user: str | None = "ann") -> Browser:
        return Browser(self, user)

    def connection(self, conn_id: str, **fields: object) -> None:
        """Create or replace a connection by Airflow's API, as its form does."""
        session = self.browser("ann").session
        base = f"{self.url}/api/v2/connections"
        session.delete(f"{base}/{conn_id}", timeout=20)
        body = {"connection_id": conn_id, "conn_type": "stripe_app", **fields}
        session.post(base, json=body, timeout=20).raise_for_status()

    def app_connection(self, conn_id: str, **options: object) -> object:
        """Upload an app to the simulated Stripe and make its connection; return the app."""
        app = self.sim.oauth.register_app(
            redirect_uris=[self.redirect_uri], permissions=PERMISSIONS, **options
        )
        self.connection(conn_id, login=app.install_link, password=app.secret_key)
        return app

    def consent(self, location: str, account: str, decision: str = "allow") -> str:
        """Do what a person does on Stripe's consent page; return where Stripe sends the browser."""
        session = requests.Session()
        page = session.get(location, timeout=10)
        assert page.status_code == 200, page.text
        parser = _Forms()
        parser.feed(page.text)
        data = {name: value for name, value in parser.forms[0].items() if name != "action"}
        answer = session.post(
            location,
            data={**data, "account": account, "decision": decision},
            timeout=10,
            allow_redirects=False,
        )
        assert answer.status_code == 302, answer.text
        return str(answer.headers["Location"])


@contextlib.contextmanager
def plugin_server(
    home: Path, users: Mapping[str, str] = USERS, teams: Sequence[str] = ()
) -> Iterator[PluginServer]:
    """Run both; with ``teams``, multi-team is on and users may be ``role:team``."""
    with SimulatedStripe(seed=7) as sim:
        server = PluginServer(home, sim, users)
        try:
            server.start(teams)
            yield server
        finally:
            server.stop()
