"""Every page in light and dark, wide and on a phone, read, reached and pressed by anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import page_checks
import pytest
from conftest import OTHER_ACCOUNT
from furniture import Furniture
from plugin_server import PluginServer

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"
LONG = "revenue_of_the_north_american_subsidiary_including_puerto_rico_and_hawaii_2026"
MARKUP = "<img src=x onerror='owned = 1'><script>owned = 2</script>"
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def furniture(server: PluginServer) -> Furniture:
    """What the pages can show, at its worst: long names, missing rights, lost grants."""
    made = Furniture(server)
    app = made.app("looks")
    made.install(app, "looks", "looks_ok", SHOP)
    made.named("looks_ok", "Acme GmbH")
    made.past("looks_ok")
    made.synced("looks_ok")
    narrow = made.app("looks_narrow", without=("subscription_read",))
    made.install(narrow, "looks_narrow", LONG, OTHER_ACCOUNT)
    made.named(
        LONG, MARKUP + " Donaudampfschifffahrtselektrizitätenhauptbetriebswerk GmbH & Co. KG " * 2
    )
    made.synced(LONG, minutes_ago=0, refused={"payouts": "payout_read"})
    made.app("looks_not_installed")
    lost = made.app("looks_lost")
    made.install(lost, "looks_lost", "looks_lost", SHOP)
    made.removed_by_owner(lost, "looks_lost", SHOP)
    server.connection("looks_unfinished", login="https://example.com/no/install/link")
    server.connection("looks_key", password="rk_test_1234567890")
    return made


PAGES = {
    "list": "/stripe-app/",
    "search": "/stripe-app/?q=looks",
    "detail": "/stripe-app/installation?conn_id=looks_ok",
    "detail of a long name": f"/stripe-app/installation?conn_id={LONG}",
    "detail of a lost grant": "/stripe-app/installation?conn_id=looks_lost",
    "manifest": "/stripe-app/manifest",
    "accounts": "/stripe-app/accounts?conn_id=looks",
    "uninstall": "/stripe-app/uninstall?conn_id=looks_ok",
    "not found": "/stripe-app/installation?conn_id=nobody",
    "message": "/stripe-app/callback?code=ac_unknown",
}


@pytest.fixture(scope="module")
def readers(
    server: PluginServer, browser: Any, tokens: dict[str, str], furniture: Furniture
) -> Iterator[Any]:
    """One window for each theme, logged in."""
    from visitor import Visitor

    opened = {theme: Visitor(server, browser.new_context(color_scheme=theme)) for theme in THEMES}
    for reader in opened.values():
        reader.take_session(tokens, "ann")
    yield opened
    for reader in opened.values():
        reader.context.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_reachable_and_fits(name: str, theme: str, readers: Any) -> None:
    reader = readers[theme]
    before = len(reader.problems)
    refused = name in {"message", "not found"}
    reader.expected = [r"status of 40[04]"] if refused else []
    reader.open(PAGES[name])
    assert reader.page.get_by_role("heading", level=1).count() == 1, reader.page.content()
    assert refused == (reader.page.get_by_role("alert").count() > 0)
    found = page_checks.on_all_screens(reader.page) + reader.problems[before:]
    assert not found, "\n".join(found)


def test_markup_in_an_accounts_name_stays_text(readers: Any) -> None:
    reader = readers["light"]
    for page in ("list", "detail of a long name"):
        reader.open(PAGES[page])
        reader.sees(MARKUP)
        assert reader.page.evaluate("window.owned") is None
        assert reader.page.locator("main img, main script").count() == 0


def test_the_theme_that_one_chose_in_airflow_is_the_pages_too(visit: Any) -> None:
    ann = visit(color_scheme="light")
    ann.open("/connections")
    ann.page.get_by_role("button", name="User", exact=True).click()
    ann.page.get_by_role("menuitem", name="Appearance").hover()
    ann.page.get_by_role("menuitemradio", name="Dark Mode").click()
    ann.open("/stripe-app/")
    assert page_checks.brightness(ann.page) == "dark"
    # As that menu does it for the light one, on a desktop that is dark.
    ann.page.evaluate("localStorage.setItem('theme', 'light')")
    ann.page.emulate_media(color_scheme="dark")
    ann.page.reload()
    assert page_checks.brightness(ann.page) == "light"


def test_without_a_choice_the_theme_is_the_systems(visit: Any) -> None:
    ann = visit(color_scheme="dark")
    ann.open("/stripe-app/")
    assert page_checks.brightness(ann.page) == "dark"
    ann.page.emulate_media(color_scheme="light")
    assert page_checks.brightness(ann.page) == "light"
