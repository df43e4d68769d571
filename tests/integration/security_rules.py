"""Who may use which route: the table that the tests hold the plugin to.

A route that is registered and not in :data:`RULES` fails a test, so a new one has to be thought
about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from security_lab import OTHER, READER, SHOP, SecureServer

from airflow_provider_stripe_app.plugin.app import create_app

APP, INSTALLATION = "the_app", "the_shop"
GRANT = {
    "access_token": "at",
    "refresh_token": "rt",
    "account_id": OTHER,
    "livemode": False,
    "expires_at": 4e9,
}
SEERS = frozenset({"op", "admin", READER})
CHANGERS = frozenset({"op", "admin"})
NOBODY: frozenset[str] = frozenset()

Fields = Callable[[SecureServer, str], dict[str, str]]


def nothing(server: SecureServer, user: str) -> dict[str, str]:
    return {}


def installation(server: SecureServer, user: str) -> dict[str, str]:
    return {"conn_id": INSTALLATION}


def of_app(server: SecureServer, user: str) -> dict[str, str]:
    return {"conn_id": APP}


def again(server: SecureServer, user: str) -> dict[str, str]:
    return {"conn_id": APP, "installation_conn_id": INSTALLATION}


def adopted(server: SecureServer, user: str) -> dict[str, str]:
    more = {"account": SHOP, "account_id": SHOP, "app_conn_id": APP}
    return {**again(server, user), **more}


def own_state(server: SecureServer, user: str) -> dict[str, str]:
    """A genuine state of this very user, with a code: only their rights are in the way."""
    state = server.one_time_value("state", user, APP, INSTALLATION)
    return {"state": state, "code": "ac_of_the_test"}


def own_question(server: SecureServer, user: str) -> dict[str, str]:
    old = [SHOP, False]
    value = server.one_time_value("confirm", user, APP, INSTALLATION, secret=GRANT, old=old)
    return {"handle": value}


@dataclass(frozen=True)
class Rule:
    """Who may use a route.

    :param roles: who may, of those who are logged in.
    :param fields: what a well-formed request says.
    :param anybody: whether it tells nothing and needs no login.
    :param worker: whether a broker token is its only key, so that no login opens it.
    """

    roles: frozenset[str] = NOBODY
    fields: Fields = field(default=nothing)
    anybody: bool = False
    worker: bool = False


RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/"): Rule(SEERS),
    ("GET", "/status.json"): Rule(SEERS),
    ("GET", "/installation"): Rule(SEERS, installation),
    ("GET", "/accounts"): Rule(SEERS, of_app),
    ("GET", "/manifest"): Rule(SEERS, of_app),
    ("GET", "/manifest/stripe-app.json"): Rule(SEERS, of_app),
    ("GET", "/uninstall"): Rule(CHANGERS, installation),
    ("GET", "/confirm"): Rule(CHANGERS, own_question),
    ("GET", "/callback"): Rule(CHANGERS, own_state),
    ("POST", "/install"): Rule(CHANGERS, again),
    ("POST", "/test"): Rule(CHANGERS, installation),
    ("POST", "/take-over"): Rule(CHANGERS, installation),
    ("POST", "/reconcile"): Rule(CHANGERS, of_app),
    ("POST", "/adopt"): Rule(CHANGERS, adopted),
    ("POST", "/confirm"): Rule(CHANGERS, own_question),
    ("POST", "/uninstall"): Rule(CHANGERS, installation),
    ("POST", "/disconnect"): Rule(CHANGERS, installation),
    ("POST", "/token"): Rule(worker=True),
    ("POST", "/report"): Rule(worker=True),
    ("POST", "/worker-accounts"): Rule(worker=True),
    ("GET", "/health"): Rule(anybody=True),
}
STATIC = "/static"


def registered() -> list[tuple[str, str]]:
    """Return method and path of every route of the app; the one mount is the static files."""
    from starlette.routing import Mount, Route

    found: list[tuple[str, str]] = []
    for route in create_app().routes:
        if isinstance(route, Mount):
            assert route.path == STATIC, f"who may use what is mounted at {route.path}?"
            continue
        assert isinstance(route, Route), route
        found += [
            (method, route.path) for method in sorted(route.methods or ()) if method != "HEAD"
        ]
    return found
