"""No secret is anywhere but where it belongs: everything that a run produces is searched.

One deployment goes through good and bad days with logging at DEBUG; all its secrets are known,
because the simulated Stripe made them. Next to them goes one planted value that nobody protects: it
has to be found in every kind of place, which proves that these places are searched.

Airflow's metadata is in SQLite; with LEAKS_METADATA=postgres it is in a real PostgreSQL server.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.leak_dags.leaks import PLANTED
from tests.integration.leak_lab import LeakLab, leak_lab
from tests.integration.leak_scanner import Corpus, Leak, describe
from tests.integration.leak_story import whole_story

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(400)]

BY_DESIGN = (
    # Airflow's commands that print connections print all of them.
    (r"cli/airflow connections get shop_app .*", {"key of the app"}),
    (r"cli/airflow connections get shop .*", {"access token", "broker token"}),
    (
        r"cli/(airflow connections list --show-values .*|the exported file)",
        {
            "key of the app",
            "restricted",
            "access token",
            "broker token",
            "password of the warehouse",
        },
    ),
    # The address at which an account owner consents; its state works for its starter only.
    (r"cli/airflow stripe-app install-url .*", {"state"}),
    (r"location/POST /stripe-app/install", {"state"}),
    # Handles work once, and for the user who started the installation only.
    (r"location/GET /stripe-app/callback", {"handle"}),
    (r"location/GET /api/v2/auth/login", {"handle"}),
    (r"page/GET /stripe-app/confirm", {"handle"}),
    (r"file/process-logs/api-server\.log", {"handle"}),  # Airflow's login writes down its `next`
    # What this test gave to Airflow this way.
    (
        r"process/environ",
        {"Airflow's Fernet key", "Airflow's JWT secret", "Airflow's secret key"},
    ),
    (r"file/passwords\.json", {"password of a user"}),
)
"""Places, and the kinds of secrets that belong there."""


@pytest.fixture(scope="module")
def lab() -> Iterator[LeakLab]:
    with leak_lab() as running:
        running.plant()
        whole_story(running)
        running.collect_database()
        running.airflow.stop_component("scheduler")
        running.collect_warehouse()
        running.collect_files()
        yield running


def by_design(leak: Leak) -> bool:
    return any(re.fullmatch(place, leak.place) and leak.kind in kinds for place, kinds in BY_DESIGN)


def test_no_secret_is_anywhere_but_where_it_belongs(lab: LeakLab) -> None:
    leaks = [leak for leak in lab.corpus.find(lab.secrets()) if not by_design(leak)]
    assert not leaks, describe(leaks)


def test_every_kind_of_secret_was_in_play(lab: LeakLab) -> None:
    """What is not there cannot leak: the encrypted columns hold all that Stripe gave."""
    kinds = Counter(lab.secrets().values())
    for kind, at_least in {
        "key of the app": 1,
        "restricted": 1,
        "access token": 5,
        "refresh token": 5,
        "code": 20,
        "broker token": 2,
        "state": 5,
        "handle": 2,
    }.items():
        assert kinds[kind] >= at_least, kinds
    stored = {leak.kind for leak in lab.unsealed(lab.corpus).find(lab.secrets())}
    assert stored >= {"access token", "refresh token", "broker token"}


PLACES = (
    r"cli/airflow connections get shop_app -o json",
    r"db/connection",
    r"db/dag_code",
    r"db/dag_run",
    r"db/log",
    r"db/rendered_task_instance_fields",
    r"db/stripe_app_history",
    r"db/xcom",
    r"file/(airflow\.db|postgres/).*",
    r"file/logs/.*task_id=plant/.*",
    r"file/logs/dag_processor/.*",
    r"file/process-logs/api-server\.log",
    r"file/warehouse\.duckdb",
    r"page/GET /stripe-app/",
    r"page/GET /stripe-app/installation",
    r"cli/airflow stripe-app history shop --json",
    r"process/cmdline",
    r"process/environ",
    r"rest/GET /api/v2/connections",
    r"rest/GET /api/v2/connections/shop_app",
    r"rest/GET /api/v2/dagSources/leak_plants",
    r"rest/GET /api/v2/eventLogs",
    r"rest/GET .*/logs/1",
    r"rest/GET .*/taskInstances/plant",
    r"rest/GET .*/xcomEntries/return_value",
    r"rest/PATCH /api/v2/connections/shop_app",
    r"warehouse/planted",
)
"""Where the planted value was put, one for each way in which places are read."""


@pytest.fixture(scope="module")
def planted(lab: LeakLab) -> set[str]:
    return {leak.place for leak in lab.corpus.find({PLANTED: "planted value"})}


@pytest.mark.parametrize("place", PLACES)
def test_the_planted_value_is_found(planted: set[str], place: str) -> None:
    assert any(re.fullmatch(place, one) for one in planted), sorted(planted)


def test_what_airflow_exports_of_an_installation_is_bounded(lab: LeakLab) -> None:
    """An installation's connection gives away its account for an hour, never the installation."""
    exported = json.loads(lab.corpus.text("cli/the exported file"))
    for conn_id in ("shop", "shop_cli"):
        one = Corpus()
        one.add("export", json.dumps(exported[conn_id]))
        found = [kind for secret, kind in lab.secrets().items() if one.find({secret: kind})]
        assert sorted(found) == ["access token", "broker token"]


def test_the_scanner_finds_what_is_cut_off_or_encoded() -> None:
    secret = "sk_test_" + "".join(random.Random(3).choices(string.ascii_letters, k=40))
    corpus = Corpus()
    corpus.add("plain", f"x{secret}x")
    corpus.add("cut", f"Token {secret[:26]}…")
    corpus.add("end", f"…{secret[-18:]}")
    for number in range(3):
        wrapped = f"{'x' * number}{secret}{'y' * number}".encode()
        corpus.add(f"base64 {number}", base64.b64encode(wrapped))
    corpus.add("hex", secret.encode().hex())
    corpus.add("masked as Stripe does", f"sk_test_{'*' * 20}{secret[-4:]}")
    found = {leak.place for leak in corpus.find({secret: "key"})}
    assert found == set(corpus.places) - {"masked as Stripe does"}
