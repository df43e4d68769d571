"""Accounts that Stripe knows, leaving Stripe, another deployment, a grant that mends itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import OTHER_ACCOUNT, Visit
from furniture import Furniture, expire, sql
from plugin_server import PluginServer

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"


@pytest.fixture(scope="module")
def furniture(server: PluginServer) -> Furniture:
    return Furniture(server)


def test_an_account_that_installed_the_app_at_stripe_is_adopted(
    server: PluginServer, furniture: Furniture, visit: Visit
) -> None:
    app = furniture.app("known")
    server.sim.oauth.install_from_stripe(OTHER_ACCOUNT, app.client_id)
    ann = visit()
    ann.open("/stripe-app/")
    ann.item("known").get_by_role("link", name="Accounts at Stripe").click()
    ann.page.get_by_role("heading", name="known", level=1).wait_for()
    ann.press("Look again")
    row = ann.page.get_by_role("row").filter(has_text=OTHER_ACCOUNT)
    ann.sees("installed", row)
    row.get_by_role("textbox").fill("known_france")
    ann.press("Adopt", row)
    assert "known_france is ready for your DAGs" in ann.notice()
    ann.open_installation("known_france")
    ann.sees(OTHER_ACCOUNT)
    ann.press("Test")
    assert "known_france works" in ann.notice()
    ann.sees("by ann", ann.page.get_by_role("table", name="History"))


def test_uninstalling_at_stripe_asks_first_and_then_does_it(
    server: PluginServer, furniture: Furniture, visit: Visit
) -> None:
    app = furniture.app("leaving")
    furniture.install(app, "leaving", "leaving", SHOP)
    ann = visit()
    ann.open_installation("leaving")
    ann.page.get_by_role("link", name="Uninstall").click()
    ann.page.get_by_role("heading", name="Uninstall the app", level=1).wait_for()
    ann.page.get_by_role("link", name="Keep it").click()
    ann.page.get_by_role("heading", name="leaving", level=1).wait_for()
    assert server.sim.oauth.current_tokens(SHOP, app.client_id)

    ann.page.get_by_role("link", name="Uninstall").click()
    ann.press("Uninstall at Stripe")
    assert "Uninstalled at Stripe" in ann.notice()
    assert server.sim.oauth.current_tokens(SHOP, app.client_id) is None
    ann.sees("not installed", ann.item("leaving"))


def test_a_lost_grant_mends_itself_and_the_history_says_so(
    server: PluginServer, furniture: Furniture, visit: Visit
) -> None:
    app = furniture.app("mended")
    furniture.install(app, "mended", "mended", SHOP)
    server.sim.oauth.kill_grant(SHOP, app.client_id)
    expire(server, "mended")
    ann = visit()
    ann.open_installation("mended")
    ann.press("Test")
    assert "mended works" in ann.notice()
    ann.sees("healthy")
    ann.sees("Mended", ann.page.get_by_role("table", name="History"))


def test_tokens_of_another_deployment_are_taken_over_by_a_person(
    server: PluginServer, furniture: Furniture, visit: Visit
) -> None:
    app = furniture.app("copied")
    furniture.install(app, "copied", "copied", SHOP)
    other = "UPDATE stripe_app_installation SET deployment_id = ? WHERE conn_id = 'copied'"
    sql(server, other, "https://airflow.of.production.example")
    ann = visit()
    ann.open("/stripe-app/")
    ann.sees("held elsewhere", ann.row("copied"))
    ann.open_installation("copied")
    ann.sees("https://airflow.of.production.example")
    ann.press("Take over")
    assert "Taken over" in ann.notice()
    ann.sees("healthy")


def test_the_manifest_of_the_ticked_streams_is_downloaded(
    server: PluginServer, visit: Visit, tmp_path: Path
) -> None:
    ann = visit(accept_downloads=True)
    ann.open("/stripe-app/")
    ann.page.get_by_role("link", name="Manifest", exact=True).click()
    for stream in ("subscriptions", "subscription_items"):
        ann.page.get_by_role("checkbox", name=re.compile(rf"^{stream}\b")).uncheck()
    ann.page.get_by_label("Name", exact=True).fill("Acme warehouse")
    ann.page.get_by_label("Id", exact=True).fill("com.acme.warehouse")
    ann.press("Make the file")
    ann.sees("com.acme.warehouse")
    with ann.page.expect_download() as download:
        ann.page.get_by_role("link", name="Download stripe-app.json").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "stripe-app.json"
    manifest: dict[str, Any] = json.loads(path.read_text())
    names = {one["permission"] for one in manifest["permissions"]}
    assert names == {"customer_read", "event_read", "invoice_read"}
    assert manifest["name"] == "Acme warehouse"
    assert manifest["allowed_redirect_uris"] == [server.redirect_uri]
    shown = ann.page.locator("pre").first.inner_text()
    assert json.loads(shown) == manifest, "the page shows the file"
    ann.sees("stripe apps upload")


def test_what_is_wrong_with_a_manifest_is_said_beside_the_field(visit: Visit) -> None:
    ann = visit()
    ann.open("/stripe-app/manifest")
    name = ann.page.get_by_label("Name", exact=True)
    name.fill("My Stripe App")
    ann.press("Make the file")
    ann.page.get_by_role("alert").wait_for()
    assert name.get_attribute("aria-invalid") == "true"
    assert name.input_value() == "My Stripe App"
    described = ann.page.locator(f"#{name.get_attribute('aria-describedby')}").inner_text()
    assert "Stripe" in described
    assert ann.page.get_by_role("link", name="Download stripe-app.json").count() == 0
