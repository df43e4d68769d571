"""What people install: the wheel, unpacked by pip into an environment without this repository."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from demo.airflow_cluster import AirflowCluster
from demo.processes import (
    REPOSITORY,
    ManagedProcess,
    TemporaryHome,
    free_ports,
    inherited_environment,
    wait_for,
)

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.timeout(200)]
PACKAGE = "airflow_provider_stripe_app"
VERBS = ("manifest", "install-url", "exchange", "status", "refresh", "disconnect", "simulate")
ISOLATED = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
"""Processes start in the repository, and must not import the package from there."""

# Every verb's help from one process: each `airflow` command takes seconds to begin.
ALL_HELP = f"""
import contextlib
from airflow.cli.cli_parser import get_parser
for verb in {VERBS!r}:
    with contextlib.suppress(SystemExit):
        get_parser().parse_args(["stripe-app", verb, "--help"])
"""


# What a task does whose copy of the token has expired, without any other part of a task.
WORKER = """
import types
from airflow_provider_stripe_app.oauth.broker import BrokerTokens
from airflow_provider_stripe_app.exceptions import StripeAppError
extra = '{"app_conn_id": "app", "broker_token": "x"}'
connection = types.SimpleNamespace(conn_id="shop", login=None, password=None, extra=extra)
tokens = BrokerTokens(
    "shop", read_connection=lambda _: connection, direct=lambda: None, patience=PATIENCE
)
try:
    tokens.get()
except StripeAppError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """A directory with the wheel and the source distribution."""
    home = TemporaryHome("stripe-app-built-")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(home.path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    yield home.path
    home.remove()


@pytest.fixture(scope="module")
def python(built: Path) -> Iterator[Path]:
    """An interpreter that has the wheel, and this environment's other packages."""
    home = TemporaryHome("stripe-app-wheel-")
    venv.create(home.path, with_pip=True)
    python = home.path / "bin" / "python"
    [wheel] = built.glob("*.whl")
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(install, cwd=home.path, env=environment(), check=True)
    [site_packages] = home.path.glob("lib/python*/site-packages")
    # A .pth file in there, such as that of an editable install, is not followed.
    (site_packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    yield python
    home.remove()


@pytest.fixture(scope="module")
def airflow(python: Path) -> Iterator[AirflowCluster]:
    with AirflowCluster(
        components=["api-server"], api_workers=2, python=python, env=ISOLATED
    ) as airflow:
        yield airflow


def environment() -> dict[str, str]:
    return {**inherited_environment(), **ISOLATED}


def source_files() -> set[str]:
    """What the package has in this work tree."""
    return {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / PACKAGE).rglob("*")
        if path.is_file() and not {"__pycache__", ".mypy_cache"} & set(path.parts)
    }


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == source_files()
    suffixes = {Path(name).suffix for name in inside}
    assert {".html", ".css", ".js", ".svg", ".ini", ".mako", ".py"} <= suffixes
    assert f"{PACKAGE}/py.typed" in inside


def test_the_wheel_brings_its_own_entry_points(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        points = archive.read(name).decode()
    plugin = f"stripe_app = {PACKAGE}.plugin.airflow_plugin:StripeAppPlugin"
    assert f"[airflow.plugins]\n{plugin}" in points
    assert f"[apache_airflow_provider]\nprovider_info = {PACKAGE}." in points


def test_the_source_distribution_can_be_built_and_tested(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert source_files() <= inside
    wanted = {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml"}
    assert wanted | {"requirements/dev.lock", "tests/conftest.py", "demo/run.py"} <= inside
    assert not {name for name in inside if name.startswith((".venv", ".work", ".git/"))}


def test_it_is_the_wheel_that_airflow_lists(python: Path, airflow: AirflowCluster) -> None:
    ask = f"import {PACKAGE}; print({PACKAGE}.__file__)"
    done = subprocess.run(
        [python, "-c", ask], env=environment(), check=True, capture_output=True, text=True
    )
    assert Path(done.stdout.strip()).is_relative_to(python.parents[1])
    listed = airflow.airflow("providers", "list", "--output", "plain")
    assert listed.count("airflow-provider-stripe-app") == 1


def test_help_of_every_command(python: Path, airflow: AirflowCluster) -> None:
    text = airflow.airflow("stripe-app", "--help")
    assert all(verb in text for verb in VERBS)
    done = subprocess.run(
        [python, "-c", ALL_HELP],
        env=airflow.environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert [verb for verb in VERBS if f"stripe-app {verb} [-h]" not in done.stdout] == []


def test_migrating_the_database_made_the_tables(airflow: AirflowCluster) -> None:
    assert "Nothing is installed." in airflow.airflow("stripe-app", "status")


def test_two_server_processes_serve_the_page_and_its_looks(airflow: AirflowCluster) -> None:
    cookies = {"_token": airflow.api.token()}
    page = requests.get(f"{airflow.url}/stripe-app/", cookies=cookies, timeout=30)
    assert page.status_code == 200
    assert "Redirect URI" in page.text
    for name in ("page.css", "copy.js", "icon.svg"):
        looks = requests.get(f"{airflow.url}/stripe-app/static/{name}", timeout=30)
        assert looks.status_code == 200, name
    log = airflow.processes["api-server"].log.read_text()
    assert "Traceback" not in log


def test_the_plugin_comes_from_the_wheels_entry_point(python: Path) -> None:
    code = (
        "from importlib.metadata import distribution\n"
        "found = distribution('airflow-provider-stripe-app')\n"
        "[point] = found.entry_points.select(group='airflow.plugins')\n"
        "print(found.locate_file(''), point.load().__module__, sep='\\n')"
    )
    done = subprocess.run(
        [python, "-c", code], env=environment(), check=True, capture_output=True, text=True
    )
    place, module = done.stdout.splitlines()[-2:]
    assert Path(place).is_relative_to(python.parents[1])
    assert module == f"{PACKAGE}.plugin.airflow_plugin"


def test_forms_of_one_server_process_are_taken_by_the_other(airflow: AirflowCluster) -> None:
    """Both sign with Airflow's one secret key; which of them answers is chance."""
    link = "https://marketplace.stripe.com/oauth/v2/authorize?client_id=ca_workers"
    key = "sk_test_51" + "a" * 30
    airflow.api.put_connection("workers_app", "stripe_app", login=link, password=key)
    for _ in range(6):
        session = requests.Session()
        session.cookies.set("_token", airflow.api.token())
        page = session.get(f"{airflow.url}/stripe-app/", timeout=30)
        [token, *_] = re.findall(r'name="csrf" value="([^"]+)"', page.text)
        session.close()  # the next request opens a connection, which either process may get
        form = {"csrf": token, "conn_id": "workers_app"}
        answer = session.post(f"{airflow.url}/stripe-app/disconnect", data=form, timeout=30)
        assert answer.status_code == 400, answer.text
        assert "holds no installation" in answer.text


def test_a_server_for_tasks_only_starts_and_has_no_page(
    python: Path, airflow: AirflowCluster
) -> None:
    [port] = free_ports(1)
    command = [str(python), "-m", "airflow", "api-server", "--apps", "execution"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    server = ManagedProcess("execution", command, airflow.logs, airflow.environment)
    server.start()
    try:
        address = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            server.check()
            try:
                return requests.get(f"{address}/execution/health", timeout=5).ok
            except requests.ConnectionError:
                return False

        wait_for(answers, 60, "the execution API to answer", why=server.tail)
        assert requests.get(f"{address}/stripe-app/", timeout=30).status_code == 404
        assert "Traceback" not in server.log.read_text()
        # A worker that knows this server only says which option to set; with it set, it finds the
        # server with the plugin, which does not know the token of this made-up installation.
        only = {
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        }
        told = worker_says(python, airflow, only, patience=1)
        assert told.startswith("TokenUnavailable")
        assert f"answers at {address}" in told
        assert "set option [stripe_app] broker_url" in told
        named = {**only, "AIRFLOW__STRIPE_APP__BROKER_URL": airflow.url}
        told = worker_says(python, airflow, named, patience=60)
        assert told.startswith("ConfigurationError")
        assert "refused the broker_token" in told
    finally:
        server.stop()


def worker_says(
    python: Path, airflow: AirflowCluster, env: dict[str, str], *, patience: float
) -> str:
    done = subprocess.run(
        [python, "-c", WORKER.replace("PATIENCE", str(patience))],
        env={**airflow.environment, **env},
        check=True,
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.stdout.strip()
