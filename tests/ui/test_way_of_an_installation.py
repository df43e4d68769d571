"""From no connection to installed to reauthorized, in Airflow's own forms and on our pages."""

from __future__ import annotations

import re

import pytest
from plugin_server import PERMISSIONS, PluginServer

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"


def card(visitor, conn_id: str):
    """Return the part of the page that shows a connection."""
    heading = visitor.page.get_by_role("heading", name=conn_id, exact=True)
    return visitor.page.get_by_role("article").filter(has=heading)


def sql(server: PluginServer, statement: str, *values: object) -> list[tuple]:
    import sqlite3

    with sqlite3.connect(server.home / "airflow.db", timeout=20) as database:
        return database.execute(statement, values).fetchall()


def expire(server: PluginServer, conn_id: str) -> None:
    """Let the stored access token be over, so that the next use has to refresh."""
    statement = "UPDATE stripe_app_installation SET access_expires_at = 1 WHERE conn_id = ?"
    sql(server, statement, conn_id)


def test_a_person_goes_from_no_connection_to_installed_to_reauthorized(server, visit) -> None:
    app = server.sim.oauth.register_app(
        redirect_uris=[server.redirect_uri], permissions=PERMISSIONS
    )
    ann = visit(None)

    # The page asks for a login, and leads to where one wanted to go.
    ann.open("/stripe-app/")
    assert "/auth/login" in ann.page.url
    ann.log_in("ann")
    ann.page.get_by_role("heading", name="Stripe App", level=1).wait_for()
    ann.page.get_by_text("no connection of type Stripe App").wait_for()

    # The connection, in Airflow's own form.
    ann.open("/")
    ann.open_connections()
    ann.add_connection("stripe_ui", app.install_link, app.secret_key)
    ann.save_connection()

    # Install.
    ann.open_from_navigation()
    one = card(ann, "stripe_ui")
    one.get_by_text("not installed", exact=True).wait_for()
    one.get_by_role("button", name="Install").click()
    ann.page.get_by_text("customer_read").wait_for()
    ann.consent(SHOP)
    ann.page.get_by_text("Installed: stripe_ui").wait_for()
    one = card(ann, "stripe_ui")
    one.get_by_text("healthy", exact=True).wait_for()
    one.get_by_text(SHOP).wait_for()

    one.get_by_role("button", name="Test", exact=True).click()
    ann.page.get_by_text("stripe_ui works").wait_for()

    # The account's owner removes the app: the next renewal finds out, and the page says what to do.
    server.sim.oauth.uninstall(SHOP, app.client_id)
    expire(server, "stripe_ui")
    ann.expected.append("status of 400")
    card(ann, "stripe_ui").get_by_role("button", name="Test", exact=True).click()
    ann.page.get_by_text(re.compile("reauthorize", re.IGNORECASE)).first.wait_for()
    ann.open("/stripe-app/")
    one = card(ann, "stripe_ui")
    one.get_by_text("Press Reauthorize").wait_for()
    one.get_by_role("button", name="Reauthorize").click()
    ann.consent(SHOP)
    card(ann, "stripe_ui").get_by_text("healthy", exact=True).wait_for()
    card(ann, "stripe_ui").get_by_role("button", name="Test", exact=True).click()
    ann.page.get_by_text("stripe_ui works").wait_for()


def test_saving_an_installed_connection_in_airflows_form_neither_shows_nor_loses_tokens(
    server, visit
) -> None:
    app = server.app_connection("edited_ui")
    ann = visit()
    ann.open("/stripe-app/")
    card(ann, "edited_ui").get_by_role("button", name="Install").click()
    ann.consent(SHOP)
    tokens = server.sim.oauth.current_tokens(SHOP, app.client_id)
    secrets = [*tokens, app.secret_key]

    ann.open("/connections")
    answers: list[str] = []
    ann.page.on("response", lambda answer: "/api/" in answer.url and answers.append(answer.text()))
    ann.edit_connection("edited_ui")
    form = ann.connection_form()
    form.get_by_role("textbox", name="Description").fill("Sales of the shop")
    for part in ("Extra Fields", "Extra Fields JSON"):
        form.get_by_role("button", name=part, exact=True).click()
        shown = ann.page.content()
        assert not [one for one in secrets if one in shown]
    ann.save_connection()
    assert not [one for one in secrets for answer in answers if one in answer]

    expire(server, "edited_ui")
    ann.open("/stripe-app/")
    card(ann, "edited_ui").get_by_role("button", name="Test", exact=True).click()
    ann.page.get_by_text("edited_ui works").wait_for()
    (row,) = sql(server, "SELECT description FROM connection WHERE conn_id = 'edited_ui'")
    assert row == ("Sales of the shop",)
    assert server.sim.oauth.current_tokens(SHOP, app.client_id) != tokens, "it was renewed"
