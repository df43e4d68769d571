"""Installing, testing and leaving without a mouse."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Visit
from plugin_server import PluginServer
from visitor import Visitor

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"
FOCUSED = """() => {
  const one = document.activeElement;
  return `${one.localName}: ${(one.innerText || one.id || one.name || "").trim()}`;
}"""


def tab_to(visitor: Visitor, wanted: Any) -> None:
    """Press Tab until a control has the focus, as somebody without a mouse does."""
    seen = []
    for _ in range(80):
        visitor.page.keyboard.press("Tab")
        if wanted.evaluate("(one) => one === document.activeElement"):
            return
        seen.append(visitor.page.evaluate(FOCUSED))
    raise AssertionError(f"never reached; Tab went to {seen}")


def test_an_app_is_installed_tested_and_disconnected_by_keyboard_alone(
    server: PluginServer, visit: Visit
) -> None:
    server.app_connection("keys")
    ann = visit()
    keyboard = ann.page.keyboard
    ann.open("/stripe-app/")
    install = ann.item("keys").get_by_role("button", name="Install in Stripe", exact=True)
    tab_to(ann, install)
    keyboard.press("Enter")

    ann.page.wait_for_url(f"{server.sim.url}/oauth/**")
    tab_to(ann, ann.page.get_by_label("Account"))
    keyboard.type(SHOP)
    tab_to(ann, ann.page.get_by_role("button", name="Authorize"))
    keyboard.press("Enter")
    ann.page.wait_for_url(f"{server.url}/stripe-app/**")
    assert "Installed" in ann.notice()

    ann.open("/stripe-app/")
    tab_to(ann, ann.page.get_by_role("link", name="keys", exact=True))
    keyboard.press("Enter")
    ann.page.get_by_role("heading", name="keys", level=1).wait_for()
    tab_to(ann, ann.page.get_by_role("button", name="Test", exact=True))
    keyboard.press("Enter")
    ann.sees("keys works")
    assert "keys works" in ann.notice()

    # What needs a second thought is folded away: Enter opens it, the next Tab is inside.
    tab_to(ann, ann.page.locator("summary").filter(has_text="Disconnect"))
    keyboard.press("Enter")
    keyboard.press("Tab")
    assert "Forget it here" in ann.page.evaluate(FOCUSED)
    keyboard.press("Enter")
    ann.sees("Forgotten")
    assert "Forgotten" in ann.notice()


def test_the_first_tab_leads_past_the_navigation(visit: Visit) -> None:
    ann = visit()
    ann.open("/stripe-app/")
    ann.page.keyboard.press("Tab")
    assert "Skip" in ann.page.evaluate(FOCUSED)
    ann.page.keyboard.press("Enter")
    ann.page.wait_for_url("**#main")
    ann.page.keyboard.press("Tab")
    inside = "document.querySelector('main').contains(document.activeElement)"
    assert ann.page.evaluate(inside), ann.page.evaluate(FOCUSED)
