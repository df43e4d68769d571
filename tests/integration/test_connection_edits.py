"""What people do to connections in Airflow's own form, API and command line: no token is lost.

One real API server; the app is installed by its pages, and workers ask its broker over HTTP. The
connections ``env_app`` (environment) and those of ``backend.json`` (a secrets backend) are
read-only.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_session import CliSession, cli_session
from connection_lab import (
    Shop,
    Shops,
    app_fields,
    ask,
    bulk,
    database,
    form_of,
    patch,
    register,
    save,
    shadow,
    shown,
)
from plugin_server import USERS, Browser, PluginServer

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
    TokenUnavailable,
)
from airflow_provider_stripe_app.testing import SimulatedStripe

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginServer]:
    home = tmp_path_factory.mktemp("airflow")
    with SimulatedStripe(seed=11) as sim, pytest.MonkeyPatch.context() as patched:
        # Workers are this process: they have the same options as the server.
        patched.setenv("AIRFLOW__STRIPE_APP__MARKETPLACE_BASE", sim.url)
        running = PluginServer(home, sim, USERS)
        backend = home / "backend.json"
        apps = [register(running) for _ in range(2)]
        backend.write_text(json.dumps({"vault_app": app_fields(apps[0])}))
        running.env |= {
            "AIRFLOW__STRIPE_APP__KEEPALIVE": "False",
            "AIRFLOW__STRIPE_APP__MIN_TOKEN_AGE": "0",
            "AIRFLOW_CONN_ENV_APP": json.dumps(app_fields(apps[1])),
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(backend)}),
        }
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def ann(server: PluginServer) -> Browser:
    return server.browser("ann")


@pytest.fixture(scope="module")
def cli(server: PluginServer) -> Iterator[CliSession]:
    with cli_session(server.env) as session:
        yield session


@pytest.fixture(scope="module")
def shops(server: PluginServer, ann: Browser) -> Shops:
    return Shops(server, ann)


@pytest.mark.parametrize("own", [True, False])
def test_saving_the_form_loses_and_shows_nothing(shops: Shops, own: bool) -> None:
    shop = shops(f"form_{own}".lower(), own=own)
    shop.shows_nothing()
    save(shop, form_of(shop), description="our shop")
    assert shop.extra()["broker_token"] == shop.broker_token, "Airflow merges masked values"
    shop.stands()
    assert shown(shop)["description"] == "our shop"
    shop.shows_nothing()


def test_form_that_was_open_during_a_renewal_does_not_bring_old_tokens_back(shops: Shops) -> None:
    shop = shops("open_form")
    form = form_of(shop)
    shop.stands()  # two renewals later …
    save(shop, form, description="late")
    shop.stands()


def test_form_whose_extra_was_emptied(shops: Shops) -> None:
    shop = shops("emptied_form")
    save(shop, form_of(shop), extra="{}")
    assert shop.extra() == {}
    shop.stands()
    assert shop.extra()["app_conn_id"] == shop.app_conn_id


def test_quick_start_whose_extra_was_emptied(shops: Shops) -> None:
    shop = shops("emptied_quick_start", own=True)
    save(shop, form_of(shop), extra="{}")
    shop.stands()


def test_patch_that_knows_only_its_own_keys(shops: Shops) -> None:
    shop = shops("own_keys")
    patch(shop, {"extra": json.dumps({"account_rate": 50})}, ["extra"])
    shop.stands()
    assert shop.extra()["account_rate"] == 50, "keys of people stay"


def test_bulk_overwrite_with_what_get_showed_stores_asterisks(shops: Shops) -> None:
    shop = shops("bulk_overwrite")
    body = {k: v for k, v in shown(shop).items() if k != "team_name"}
    bulk(shop, "create", [body], action_on_existence="overwrite")
    assert shop.extra()["broker_token"] == "***"
    assert shop.extra()["access_grant_token"] == "***"
    shop.stands()
    shop.shows_nothing()


def test_bulk_update_merges_and_keeps(shops: Shops) -> None:
    shop = shops("bulk_update")
    body = {k: v for k, v in shown(shop).items() if k != "team_name"}
    bulk(shop, "update", [body])
    shop.stands()


def test_values_of_another_account_and_generation_in_extra_are_not_believed(shops: Shops) -> None:
    shop = shops("mixed")
    other = shops("mixed_other")
    mixed = {**shop.extra(), "account": other.account, "livemode": True, "generation": 99}
    patch(shop, {"extra": json.dumps(mixed)}, ["extra"])
    assert shop.tokens().grant().account_id == shop.account
    shop.stands()
    foreign = {**shop.extra(), "broker_token": other.broker_token}
    patch(shop, {"extra": json.dumps({**foreign, "access_grant_token": "x"})}, ["extra"])
    shop.stands()


def test_old_export_that_is_imported_again(shops: Shops, cli: CliSession, tmp_path: Path) -> None:
    shop = shops("exported")
    file = tmp_path / "export.json"
    done = cli.run("connections", "export", str(file))
    assert not done[0], done
    shop.stands()  # two renewals later …
    old = json.loads(file.read_text())
    one = tmp_path / "one.json"
    one.write_text(json.dumps({shop.conn_id: old[shop.conn_id]}))
    for command in (f"import {one} --overwrite", "list", "list --show-values --hide-sensitive"):
        done = cli.run("connections", *command.split())
        assert not done[0], done
        assert not [secret for secret in shop.secrets() if secret in repr(done)]
    assert shop.extra() == json.loads(old[shop.conn_id]["extra"])
    shop.stands()


def test_export_from_before_the_installation_that_is_imported_again(shops: Shops) -> None:
    shop = shops("blank_import")
    shop.server.connection(shop.conn_id, extra=json.dumps({"app_conn_id": shop.app_conn_id}))
    shop.stands()


@pytest.mark.parametrize("own", [True, False])
def test_connection_that_was_deleted_and_comes_back(shops: Shops, own: bool) -> None:
    shop = shops(f"deleted_{own}".lower(), own=own)
    shop.ann.session.delete(
        f"{shop.server.url}/api/v2/connections/{shop.conn_id}", timeout=20
    ).raise_for_status()
    for page in (shop.ann.page(), shop.ann.installation(shop.conn_id)):
        assert f"Connection {shop.conn_id} was deleted, but its installation is kept" in page.text
    fields = app_fields(shop.app) if own else {}
    shop.server.connection(shop.conn_id, **{k: v for k, v in fields.items() if k != "conn_type"})
    assert shop.extra() == {}
    shop.stands()


def test_deleted_by_bulk_and_reauthorized_on_the_page(shops: Shops) -> None:
    shop = shops("bulk_deleted")
    bulk(shop, "delete", [shop.conn_id])
    again = shops("bulk_deleted")
    assert again.broker_token == shop.broker_token
    again.stands()


def test_patches_that_race_with_renewals(shops: Shops) -> None:
    shop = shops("race")
    stop = threading.Event()
    failures: list[BaseException] = []

    def edit() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                save(shop, form_of(shop), description=f"edit {number}")
            except BaseException as error:
                failures.append(error)
                return

    editors = [threading.Thread(target=edit) for _ in range(2)]
    for editor in editors:
        editor.start()
    worker = shop.tokens()
    try:
        for _ in range(6):
            shop.expire()
            shop.syncs(worker)
            shop.syncs()  # a new worker, which may find an older token that was saved over this one
    finally:
        stop.set()
        for editor in editors:
            editor.join(30)
    assert not failures, failures
    shop.stands()


def test_token_requests_race_with_bulk_overwrites(shops: Shops) -> None:
    shop = shops("bulk_race")
    body = {k: v for k, v in shown(shop).items() if k != "team_name"}
    stop = threading.Event()

    def edit() -> None:
        while not stop.is_set():
            bulk(shop, "create", [body], action_on_existence="overwrite")
            time.sleep(1)

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        for _ in range(3):
            shop.expire()
            shop.syncs(shop.tokens(patience=30))
    finally:
        stop.set()
        editor.join(30)
    shop.stands()


# -- other types of connection get no token


def test_connection_that_became_another_type_gets_no_token_and_keeps_none(shops: Shops) -> None:
    """The HTTP provider sends every key of extra as a header."""
    shop = shops("retyped")
    save(shop, form_of(shop), conn_type="http")
    ask(shop)
    extra = shop.extra()
    assert "broker_token" not in extra
    assert "access_grant_token" not in extra
    page = shop.ann.installation(shop.conn_id)
    assert "is of type &#39;http&#39; now, but its installation is kept" in page.text
    patch(shop, {}, ["conn_type"])
    shop.stands()


def test_connection_of_another_type_under_the_old_name_gets_no_token(shops: Shops) -> None:
    shop = shops("replaced")
    shop.server.connection(shop.conn_id, conn_type="http", extra=json.dumps({"x-trace": "1"}))
    ask(shop)
    assert shop.extra() == {"x-trace": "1"}


# -- the app's connection


def test_garbage_for_the_secret_key_is_named_and_forgiven(shops: Shops) -> None:
    shop = shops("garbage_key")
    app = Shop(shop.server, shop.ann, shop.app_conn_id, shop.app_conn_id, "", shop.app)
    patch(app, {"password": "garbage"}, ["password"])
    shop.syncs()
    shop.expire()
    with pytest.raises(ConfigurationError, match=f"secret key of connection {shop.app_conn_id}"):
        shop.syncs()
    patch(app, {"password": "sk_test_51Rolled0000000000"}, ["password"])
    with pytest.raises(ConfigurationError, match="Correct the key"):
        shop.syncs()
    patch(app, {"password": shop.app.secret_key}, ["password"])
    # A failed renewal is not repeated for five seconds.
    reset = "UPDATE stripe_app_installation SET retry_at = NULL WHERE conn_id = ?"
    database(shop.server, reset, shop.conn_id)
    shop.stands()


def test_garbage_for_the_install_link_does_not_touch_tokens(shops: Shops) -> None:
    shop = shops("garbage_link")
    app = Shop(shop.server, shop.ann, shop.app_conn_id, shop.app_conn_id, "", shop.app)
    patch(app, {"login": "https://example.com/nothing"}, ["login"])
    shop.stands()


def test_app_connection_under_a_new_name(shops: Shops) -> None:
    shop = shops("renamed")
    base = f"{shop.server.url}/api/v2/connections"
    shop.ann.session.delete(f"{base}/{shop.app_conn_id}", timeout=20).raise_for_status()
    shop.expire()
    with pytest.raises(TokenUnavailable, match="app connection renamed_app was not found"):
        shop.syncs(shop.tokens(patience=0))
    fields = {k: v for k, v in app_fields(shop.app).items() if k != "conn_type"}
    shop.server.connection("renamed_app_new", **fields)
    named = {**json.loads(shown(shop)["extra"]), "app_conn_id": "renamed_app_new"}
    save(shop, form_of(shop), extra=json.dumps(named))
    shop.stands()
    assert shop.extra()["app_conn_id"] == "renamed_app_new"
    assert "renamed_app_new" in shop.ann.page().text


def test_installation_cannot_be_pointed_at_another_app_while_its_own_is_there(
    shops: Shops,
) -> None:
    shop = shops("pointed")
    other = shops("pointed_other")
    patch(
        shop,
        {"extra": json.dumps({**shop.extra(), "app_conn_id": other.app_conn_id})},
        ["extra"],
    )
    shop.stands()
    assert shop.extra()["app_conn_id"] == shop.app_conn_id


def test_disconnected_installation_leaves_no_secret_and_says_what_to_do(shops: Shops) -> None:
    shop = shops("forgotten")
    tokens = shop.tokens()
    tokens.get()
    form = shop.ann.installation(shop.conn_id).form("disconnect", conn_id=shop.conn_id)
    assert shop.ann.post("/stripe-app/disconnect", form).status == 303
    assert shop.extra() == {"app_conn_id": shop.app_conn_id}
    with pytest.raises(ReauthorizationRequired, match="press Install"):
        shop.tokens(patience=3).get()
    assert ask(shop).status_code == 401


# -- app credentials that cannot be written


@pytest.mark.parametrize("app", ["env_app", "vault_app"])
def test_app_from_the_environment_or_a_secrets_backend_is_installed_by_page(
    shops: Shops, app: str
) -> None:
    shop = shops(f"{app}_shop", app=app)
    assert shop.extra()["app_conn_id"] == app
    assert shop.app.secret_key not in repr(shop.row())
    shop.stands()


@pytest.mark.parametrize("app", ["env_app", "vault_app"])
def test_read_only_app_cannot_hold_the_installation_itself(shops: Shops, app: str) -> None:
    refused = shops.ann.install(app)
    assert refused.status == 400
    assert f"{app}_installation" in refused.text


@pytest.mark.parametrize("app", ["env_app", "vault_app"])
def test_read_only_app_is_installed_by_command_line(
    shops: Shops, cli: CliSession, app: str
) -> None:
    server, name, account = shops.server, f"{app}_cli", f"acct_1Cli{app.title().replace('_', '')}"
    server.sim.account(account)
    url = ("stripe-app", "install-url", app, "--installation-conn-id", name)
    status, link, said = cli.run(*url)
    assert not status, said
    done = cli.run("stripe-app", "exchange", stdin=server.consent(link.strip(), account))
    assert not done[0], done
    done = cli.run("stripe-app", "refresh", name)
    assert not done[0], done
    record = next(one for one in server.sim.oauth.apps() if one.client_id in link)
    shop = Shop(server, shops.ann, name, app, account, record)
    shop.broker_token = shop.extra()["broker_token"]
    shop.stands()


def test_health_route_and_command_line_report_the_same(shops: Shops, cli: CliSession) -> None:
    shops("reported")
    route = shops.ann.get("/stripe-app/status.json").response.json()
    status, out, said = cli.run("stripe-app", "status", "--json")
    printed = json.loads(out)
    assert bool(status) == (not route["healthy"]), said
    for report in (route, printed):
        del report["checked_at"]
        for one in report["installations"]:
            del one["access_token"]["expires_in"], one["refresh_token"]["expires_in"]
    assert printed == route
    assert "reported" in [one["conn_id"] for one in route["installations"]]


def test_add_app_corrects_an_app_and_leaves_its_installation(shops: Shops, cli: CliSession) -> None:
    shop = shops("corrected", own=True)
    patch(shop, {"password": "garbage", "extra": '{"mode": "test"}'}, ["password", "extra"])
    add = ("stripe-app", "add-app", shop.conn_id, "--install-link", shop.app.install_link)
    done = cli.run(*add, "--force", stdin=shop.app.secret_key)
    assert not done[0], done
    shop.stands()
    assert shop.extra()["mode"] == "test"


def test_backend_that_shadows_the_installation_is_named(shops: Shops) -> None:
    shop = shops("shadowed")
    sentence = "a secrets backend hides the connection in Airflow's database"
    with shadow(shop, extra={"app_conn_id": shop.app_conn_id}):
        tokens = shop.tokens(patience=5)
        tokens._read_connection = lambda _: SimpleNamespace(
            conn_id=shop.conn_id, login="", password="", extra='{"app_conn_id": "shadowed_app"}'
        )
        with pytest.raises(StripeAppError, match=sentence):
            tokens.get()
        form = shop.ann.installation(shop.conn_id).form("test", conn_id=shop.conn_id)
        test = shop.ann.post("/stripe-app/test", form)
        assert "secrets backend" in test.text
        assert "shadowed" in test.text
        again = shop.ann.install(shop.app_conn_id, shop.conn_id)
        assert again.status == 400
        assert "secrets backend" in again.text
    shop.stands()
