"""Somebody at a real browser, and all that the browser complained about meanwhile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from plugin_server import PASSWORD, PluginServer

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request

PATIENCE = 30_000
"""Milliseconds that anything may take; the build machine has two cores."""

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  reportViolation(`${event.violatedDirective}: ${event.blockedURI} at ${event.documentURI}`));
"""


@dataclass
class Visitor:
    """A browser with cookies of its own.

    :param server: the Airflow that is visited, and its simulated Stripe.
    :param context: the browser's profile.
    """

    server: PluginServer
    context: BrowserContext
    problems: list[str] = field(default_factory=list)
    """Errors in the console of our pages, broken policies, requests to strangers."""
    hosts: set[str] = field(default_factory=set)
    expected: list[str] = field(default_factory=list)
    """Regular expressions of complaints that a test provokes."""
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(PATIENCE)
        self.context.expose_function("reportViolation", self._violation)
        self.context.add_init_script(REPORT_VIOLATIONS)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self._problem(f"script: {error.error}"))
        self.context.on("request", self._request)
        self.page = self.context.new_page()

    # -- complaints

    def _problem(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in self.expected):
            self.problems.append(text)

    def _violation(self, text: str) -> None:
        self._problem(f"policy: {text}")

    def _console(self, message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        where = message.page.url if message.page else place
        # Airflow's own pages complain by themselves, for example before the login.
        if message.type in {"error", "warning"} and (self.is_ours(place) or self.is_ours(where)):
            self._problem(f"console: {message.text} ({place})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"http", "https", "ws", "wss"}:
            return
        self.hosts.add(parts.netloc)
        if parts.netloc not in {
            urlsplit(self.server.url).netloc,
            urlsplit(self.server.sim.url).netloc,
        }:
            self._problem(f"stranger: {request.url}")

    def is_ours(self, url: str) -> bool:
        """Return whether an address is one of the plugin's pages or the simulated Stripe's."""
        return url.startswith((f"{self.server.url}/stripe-app", self.server.sim.url))

    # -- Airflow's own pages

    def log_in(self, user: str, password: str = PASSWORD) -> None:
        """Fill in Airflow's login page, which must be the one shown."""
        self.page.get_by_label("Username").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/auth/login" not in url)

    def take_session(self, tokens: dict[str, str], user: str) -> None:
        """Be logged in without the form.

        :param tokens: those that are known, by user; gets this one's.
        """
        if user not in tokens:
            tokens[user] = self.server.browser(user).session.cookies["_token"]
        cookie = {"name": "_token", "value": tokens[user], "url": f"{self.server.url}/"}
        self.context.add_cookies([{**cookie, "httpOnly": True}])

    def open(self, path: str) -> None:
        """Open an address of this Airflow."""
        self.page.goto(f"{self.server.url}{path}")

    def open_connections(self) -> None:
        """Go to Admin › Connections as one does with the mouse."""
        self.page.get_by_role("button", name="Admin", exact=True).click()
        self.page.get_by_role("menuitem", name="Connections", exact=True).click()
        self.page.get_by_role("button", name="Add Connection").wait_for()

    def connection_form(self) -> Locator:
        """Return Airflow's form of a connection, which must be open."""
        return self.page.get_by_role("dialog")

    def add_connection(self, conn_id: str, link: str, key: str) -> None:
        """Fill in Airflow's form for a new connection of our type, and leave it open."""
        self.page.get_by_role("button", name="Add Connection").click()
        form = self.connection_form()
        form.get_by_label("Connection ID").fill(conn_id)
        form.get_by_role("combobox", name="Connection Type").fill("Stripe App")
        self.page.get_by_role("option", name="Stripe App", exact=True).click()
        form.get_by_role("textbox", name="Install link", exact=True).fill(link)
        form.get_by_role("textbox", name="Secret key or restricted key").fill(key)

    def edit_connection(self, conn_id: str) -> None:
        """Open Airflow's form of an existing connection, from the list of connections."""
        row = self.page.get_by_role("row").filter(
            has=self.page.get_by_role("cell", name=conn_id, exact=True)
        )
        row.get_by_role("button", name="Edit Connection").click()
        self.connection_form().get_by_label("Connection ID").wait_for()

    def save_connection(self) -> None:
        """Save Airflow's form and wait until it is closed."""
        form = self.connection_form()
        form.get_by_role("button", name="Save").click()
        form.wait_for(state="hidden")

    # -- ours

    def open_from_navigation(self) -> None:
        """Find the Stripe App page by Airflow's navigation and go on in its tab."""
        self.page.get_by_role("button", name="Admin", exact=True).click()
        with self.context.expect_page() as opened:
            self.page.get_by_role("menuitem", name="Stripe App").click()
        self.page = opened.value
        self.page.wait_for_load_state()

    def consent(self, account: str, decision: str = "Authorize") -> None:
        """Decide on the simulated Stripe's consent page, which must be the one shown."""
        self.page.wait_for_url(f"{self.server.sim.url}/oauth/**")
        self.page.get_by_label("Account").select_option(account)
        self.page.get_by_role("button", name=decision, exact=True).click()
        self.page.wait_for_url(f"{self.server.url}/stripe-app/**")

    def row(self, conn_id: str) -> Locator:
        """Return the row of an installation in the list, which must be the page shown."""
        link = self.page.get_by_role("link", name=conn_id, exact=True)
        return self.page.get_by_role("row").filter(has=link)

    def item(self, conn_id: str) -> Locator:
        """Return the item of an app, or of another connection, in the list."""
        name = self.page.get_by_text(conn_id, exact=True)
        return self.page.get_by_role("listitem").filter(has=name)

    def press(self, name: str, within: Locator | None = None) -> None:
        """Press the button with exactly this name, of which there must be one."""
        (within or self.page.locator("main")).get_by_role("button", name=name, exact=True).click()

    def sees(self, text: str | re.Pattern[str], within: Locator | None = None) -> None:
        """Wait until a text is shown."""
        (within or self.page.locator("main")).get_by_text(text).first.wait_for()

    def notice(self) -> str:
        """Return what the page says above everything else."""
        return self.page.get_by_role("status").inner_text()

    def open_installation(self, conn_id: str) -> None:
        """Open the page of an installation from the list."""
        self.open("/stripe-app/")
        self.page.get_by_role("link", name=conn_id, exact=True).click()
        self.page.get_by_role("heading", name=conn_id, level=1).wait_for()

    def install(self, app_conn_id: str, account: str, conn_id: str = "") -> None:
        """Install an app as one does with the mouse.

        :param conn_id: a connection of its own for the installation; empty takes the suggestion.
        """
        self.open("/stripe-app/")
        item = self.item(app_conn_id)
        if conn_id:
            item.locator("summary").click()
            item.get_by_label("Connection for the installation").fill(conn_id)
            item = item.locator("details")
        self.press("Install in Stripe", item)
        self.consent(account)
