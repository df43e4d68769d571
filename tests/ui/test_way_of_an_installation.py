"""From no connection to installed to reauthorized, in Airflow's own forms and on our pages."""

from __future__ import annotations

import json
import re
from typing import Any

import page_checks
import pytest
from conftest import OTHER_ACCOUNT, Visit
from furniture import empty, expire, sql
from plugin_server import PERMISSIONS, PluginServer

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"


def test_a_person_goes_from_no_connection_to_installed_to_reauthorized(
    server: PluginServer, visit: Visit
) -> None:
    empty(server)
    app = server.sim.oauth.register_app(
        redirect_uris=[server.redirect_uri], permissions=PERMISSIONS
    )
    ann = visit(None)

    # The page asks for a login, leads to where one wanted to go, and says how to begin.
    ann.open("/stripe-app/")
    assert "/auth/login" in ann.page.url
    ann.log_in("ann")
    ann.page.get_by_role("heading", name="Nothing is installed yet").wait_for()
    found = page_checks.in_both_themes(ann.page)
    assert not found, "\n".join(found)
    ann.page.get_by_role("link", name="Add a connection").click()

    # The connection, in Airflow's own form; then the page, by Airflow's navigation.
    ann.add_connection("way", app.install_link, app.secret_key)
    ann.save_connection()
    ann.open_from_navigation()
    ann.sees("not installed", ann.item("way"))

    ann.press("Install in Stripe", ann.item("way"))
    ann.sees("customer_read", ann.page.locator("body"))
    ann.consent(SHOP)
    assert ann.notice() == "Installed: way is ready for your DAGs."
    ann.open_installation("way")
    ann.sees("healthy")
    ann.sees(SHOP)
    ann.press("Test")
    assert "way works" in ann.notice()

    # The account's owner removes the app: the next renewal finds out, and the page says what to do.
    server.sim.oauth.uninstall(SHOP, app.client_id)
    expire(server, "way")
    ann.expected.append("status of 400")
    ann.press("Test")
    ann.page.get_by_role("alert").wait_for()
    assert "reauthorize" in ann.page.get_by_role("alert").inner_text().lower()
    ann.open("/stripe-app/")
    ann.sees("Press Reauthorize", ann.row("way"))
    ann.press("Reauthorize", ann.row("way"))
    ann.consent(SHOP)
    assert "Installed" in ann.notice()
    ann.open_installation("way")
    ann.sees("healthy")
    ann.press("Test")
    assert "way works" in ann.notice()
    history = ann.page.get_by_role("table", name="History").inner_text()
    assert history.index("Grant lost") < history.rindex("Installed"), "the newest is first"
    assert history.count("Installed") == 2
    assert "by ann" in history


def test_saving_an_installed_connection_in_airflows_form_neither_shows_nor_loses_tokens(
    server: PluginServer, visit: Visit
) -> None:
    app: Any = server.app_connection("edited")
    ann = visit()
    ann.install("edited", SHOP)
    tokens = server.sim.oauth.current_tokens(SHOP, app.client_id)
    assert tokens
    secrets = [*tokens, app.secret_key]

    answers: list[str] = []
    ann.page.on("response", lambda answer: "/api/" in answer.url and answers.append(answer.text()))
    ann.open("/connections")
    ann.edit_connection("edited")
    form = ann.connection_form()
    form.get_by_role("textbox", name="Description").fill("Sales of the shop")
    shown = ann.page.content()
    for part in ("Extra Fields", "Extra Fields JSON"):
        form.get_by_role("button", name=part, exact=True).click()
        form.get_by_role("button", name=part, exact=True, expanded=True).wait_for()
        shown += ann.page.content()
    ann.save_connection()
    assert "broker_token" in shown, "the form was open"
    assert any('"edited"' in answer for answer in answers)
    assert not [one for one in secrets if one in shown or any(one in text for text in answers)]

    expire(server, "edited")
    ann.open_installation("edited")
    ann.press("Test")
    assert "edited works" in ann.notice()
    assert server.sim.oauth.current_tokens(SHOP, app.client_id) != tokens, "it was renewed"
    (row,) = sql(server, "SELECT description FROM connection WHERE conn_id = 'edited'")
    assert row == ("Sales of the shop",)


def test_another_account_is_asked_about_before_it_takes_a_place(
    server: PluginServer, visit: Visit
) -> None:
    server.app_connection("swapped")
    ann = visit()
    ann.install("swapped", SHOP)
    ann.open_installation("swapped")
    ann.press("Reauthorize")
    ann.consent(OTHER_ACCOUNT)
    ann.page.get_by_role("heading", name="Replace the account").wait_for()
    found = page_checks.in_both_themes(ann.page)
    assert not found, "\n".join(found)
    ann.page.get_by_role("link", name=f"Keep {SHOP}").click()
    ann.sees(SHOP, ann.row("swapped"))
    ann.open_installation("swapped")
    ann.press("Reauthorize")
    ann.consent(OTHER_ACCOUNT)
    ann.press(f"Replace {SHOP} by {OTHER_ACCOUNT}")
    assert "Installed" in ann.notice()
    ann.open("/stripe-app/")
    ann.sees(OTHER_ACCOUNT, ann.row("swapped"))


def test_an_installation_that_the_owner_denies_says_so(server: PluginServer, visit: Visit) -> None:
    server.app_connection("denied")
    ann = visit()
    ann.open("/stripe-app/")
    ann.press("Install in Stripe", ann.item("denied"))
    ann.expected.append("status of 400")
    ann.page.wait_for_url(f"{server.sim.url}/**")
    ann.page.get_by_role("button", name="Deny").click()
    ann.sees("denied", ann.page.get_by_role("alert"))
    ann.page.get_by_role("link", name="Open the Stripe App page").click()
    ann.sees("not installed", ann.item("denied"))


def test_a_second_account_of_an_app_gets_a_connection_of_its_own(
    server: PluginServer, visit: Visit
) -> None:
    server.app_connection("shops")
    ann = visit()
    ann.install("shops", SHOP, "shops_germany")
    ann.install("shops", OTHER_ACCOUNT, "shops_france")
    ann.open("/stripe-app/")
    ann.sees(SHOP, ann.row("shops_germany"))
    ann.sees(OTHER_ACCOUNT, ann.row("shops_france"))
    ann.sees("Installed as shops_france, shops_germany", ann.item("shops"))


def test_what_was_disconnected_can_be_installed_again(server: PluginServer, visit: Visit) -> None:
    app: Any = server.app_connection("left")
    ann = visit()
    ann.install("left", SHOP)
    ann.open_installation("left")
    ann.page.get_by_text("Disconnect").first.click()
    ann.press("Forget it here")
    assert "Forgotten" in ann.notice()
    assert server.sim.oauth.current_tokens(SHOP, app.client_id), "at Stripe it is still installed"
    ann.install("left", SHOP)
    assert "Installed" in ann.notice()


def test_who_may_see_no_connections_sees_a_sentence_instead(visit: Visit) -> None:
    vera = visit("vera")
    vera.expected.append("status of 403")
    vera.open("/stripe-app/")
    assert "your Airflow role may not see any" in vera.page.get_by_role("alert").inner_text()
    assert vera.page.locator("main").get_by_role("button").count() == 0


def test_the_list_is_searched_and_narrowed(server: PluginServer, visit: Visit) -> None:
    server.app_connection("found_app")
    ann = visit()
    ann.install("found_app", SHOP, "needle_one")
    ann.install("found_app", OTHER_ACCOUNT, "needle_two")
    ann.open("/stripe-app/")
    ann.page.get_by_role("searchbox").fill("needle")
    ann.page.keyboard.press("Enter")
    ann.page.wait_for_url("**?q=needle")
    rows = ann.page.get_by_role("table", name="Installations").get_by_role("rowheader")
    assert sorted(re.split(r"\s", text)[0] for text in rows.all_inner_texts()) == [
        "needle_one",
        "needle_two",
    ]
    ann.page.get_by_role("link", name=re.compile("healthy")).click()
    ann.page.wait_for_url("**health=healthy**")
    assert rows.count() == 2
    ann.page.get_by_role("link", name="Show all").click()
    ann.page.get_by_role("heading", name="Apps").wait_for()


def test_the_redirect_uri_is_copied_by_its_button(server: PluginServer, visit: Visit) -> None:
    ann = visit(permissions=["clipboard-read", "clipboard-write"])
    ann.open("/stripe-app/")
    ann.press("Copy")
    ann.page.get_by_role("button", name="Copied").wait_for()
    assert ann.page.evaluate("navigator.clipboard.readText()") == server.redirect_uri


def test_without_scripts_everything_works_but_the_copy_button(
    server: PluginServer, visit: Visit
) -> None:
    server.app_connection("scriptless")
    ann = visit(java_script_enabled=False)
    ann.install("scriptless", SHOP)
    assert "Installed" in ann.notice()
    ann.open_installation("scriptless")
    ann.press("Test")
    assert "scriptless works" in ann.notice()
    ann.open("/stripe-app/")
    assert ann.page.get_by_role("textbox", name="Redirect URI").input_value() == server.redirect_uri
    assert ann.page.get_by_role("button", name="Copy").count() == 0


def without_port_zero(route: Any) -> None:
    """Send what Airflow's UI sends, without the bug that it has in 3.3.1 and 3.3.2.

    It sends port 0 for a connection without a port, which the API takes for another destination and
    refuses, whatever the connection's type (apache/airflow#73298).
    """
    body = json.loads(route.request.post_data)
    route.continue_(post_data=json.dumps({**body, "port": body["port"] or None}))


def test_airflows_own_test_button_knows_an_installation(server: PluginServer, visit: Visit) -> None:
    server.app_connection("tried")
    ann = visit()
    ann.install("tried", SHOP)
    ann.open("/connections")
    ann.page.route("**/connections/test", without_port_zero)
    cell = ann.page.get_by_role("cell", name="tried", exact=True)
    row = ann.page.get_by_role("row").filter(has=cell)
    with ann.page.expect_response("**/connections/test") as answer:
        row.get_by_role("button", name="Test Connection").click()
    assert answer.value.json().get("status") is True, answer.value.text()
