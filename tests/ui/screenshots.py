"""``make screenshots``: the pictures of docs/images, taken in a real browser.

They are made on purpose and not by each test run, because expiries in them are words of the moment.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(ROOT)]

from chromium import HOW_TO_GET_IT, find_chromium, launch  # noqa: E402
from furniture import Furniture  # noqa: E402
from plugin_server import Answer, Browser, PluginServer  # noqa: E402
from public_address import HOST, tls_front  # noqa: E402
from small_png import shrink  # noqa: E402
from visitor import Visitor  # noqa: E402

from airflow_provider_stripe_app.testing import SimulatedStripe  # noqa: E402

IMAGES = ROOT / "docs" / "images"
MOST = 150_000
"""Bytes of a picture."""

DESKTOP, PHONE = 1280, 390
APP = "stripe_app"
SHOPS = {
    "acme_france": ("acct_1PnAcmeFrance", "Acme France SAS"),
    "acme_germany": ("acct_1PmAcmeGermany", "Acme GmbH"),
    "acme_japan": ("acct_1PqAcmeJapan", "Acme K.K."),
}
FOUND = "acct_1Ps4HbKqYd7mNc3e"
"""Has installed the app from Stripe's side; Airflow does not know it yet."""


class InnerBrowser(Browser):
    """A browser behind the proxy, which sends secure cookies without TLS."""

    def _open(self, method: str, path: str, **options: object) -> Answer:
        for cookie in self.session.cookies:
            cookie.secure = False
        return super()._open(method, path, **options)


class PublicServer(PluginServer):
    """An Airflow that people reach as ``https://airflow.example.com``."""

    def __init__(self, home: Path, sim: SimulatedStripe) -> None:
        super().__init__(home, sim)
        self.url = f"http://127.0.0.1:{self.port}"
        self.env["AIRFLOW__API__BASE_URL"] = f"https://{HOST}"

    @property
    def redirect_uri(self) -> str:
        return f"https://{HOST}/stripe-app/callback"

    def browser(self, user: str | None = "ann") -> Browser:
        """Return one that is behind the proxy."""
        return InnerBrowser(self, user)


@dataclass
class Studio:
    """A furnished Airflow and the windows that look at it.

    :param server: the Airflow.
    :param browser: the browser.
    :param apps: what was uploaded at Stripe, by connection.
    """

    server: PublicServer
    browser: Any
    apps: dict[str, Any]
    _state: Any = field(default=None, init=False)

    def window(self, width: int = DESKTOP, height: int = 900, theme: str = "light") -> Visitor:
        """Open a window in which ann is logged in."""
        options = {
            "viewport": {"width": width, "height": height},
            "color_scheme": theme,
            "ignore_https_errors": True,
            "device_scale_factor": 1 if width == DESKTOP else 2,
        }
        visitor = Visitor(
            self.server, self.browser.new_context(**options, storage_state=self._state)
        )
        if self._state is None:
            visitor.page.goto(f"https://{HOST}/auth/login")
            visitor.log_in("ann")
            self._state = visitor.context.storage_state()
        return visitor

    def our_page(self, path: str, **window: Any) -> Any:
        """Open one of our pages and return it."""
        visitor = self.window(**window)
        visitor.page.goto(f"https://{HOST}/stripe-app/{path}")
        return visitor.page


@contextlib.contextmanager
def studio() -> Iterator[Studio]:
    """Start and furnish everything."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        raise SystemExit(HOW_TO_GET_IT)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stripe-app-pictures-")))
        sim = stack.enter_context(SimulatedStripe(seed=7))
        server = PublicServer(home, sim)
        stack.callback(server.stop)
        server.start()
        apps = furnish(server)
        port = stack.enter_context(tls_front(home, server.port))
        playwright = stack.enter_context(sync_playwright())
        rules = f"MAP {HOST} 127.0.0.1:{port}"
        browser = launch(playwright, path, rules)
        stack.callback(browser.close)
        yield Studio(server, browser, apps)


def furnish(server: PluginServer) -> dict[str, Any]:
    """Make what the pictures show; return the apps."""
    made = Furniture(server)
    app = made.app(APP, livemode=True, without=("subscription_read",), channel=None)
    for conn_id, (account, name) in SHOPS.items():
        made.install(app, APP, conn_id, account)
        # The first consented before the app asked for this one, too.
        server.sim.oauth.release(app.client_id, app.permissions | {"subscription_read"})
        made.named(conn_id, name)
        made.past(conn_id)
    made.synced("acme_germany")
    made.synced("acme_france", refused={"subscriptions": "subscription_read"})
    made.synced("acme_japan", minutes_ago=60 * 26)
    made.removed_by_owner(app, "acme_japan", SHOPS["acme_japan"][0])
    server.sim.account(FOUND, livemode=True)
    server.sim.oauth.install_from_stripe(FOUND, app.client_id)
    made.reconcile(APP)
    sandbox = made.app("stripe_app_sandbox")
    return {APP: app, "stripe_app_sandbox": sandbox}


# ---- the pictures


def connection_form(studio: Studio) -> Any:
    visitor = studio.window(height=760)
    visitor.page.goto(f"https://{HOST}/connections")
    app = studio.apps[APP]
    link = f"https://marketplace.stripe.com/oauth/v2/authorize?client_id={app.client_id}"
    visitor.add_connection(APP, link, app.secret_key)
    visitor.connection_form().get_by_label("Description").fill("Our Stripe App, live mode")
    return visitor.page


def connection_form_extra(studio: Studio) -> Any:
    page = connection_form(studio)
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    # Airflow gives these inputs no accessible name, so it is found by the words beside it.
    row = form.get_by_role("group").filter(has_text="App id").last
    row.get_by_role("textbox").fill(studio.apps[APP].app_id)
    return page


def consent(studio: Studio) -> Any:
    page = studio.our_page("", height=400)
    sandbox = page.get_by_role("listitem").filter(
        has=page.get_by_text("stripe_app_sandbox", exact=True)
    )
    sandbox.get_by_role("button", name="Install in Stripe", exact=True).click()
    page.get_by_label("Account").wait_for()
    return page


def installation_list(studio: Studio, **window: Any) -> Any:
    return studio.our_page("", **window)


def installation_detail(studio: Studio, **window: Any) -> Any:
    return studio.our_page("installation?conn_id=acme_germany", **window)


def lost_detail(studio: Studio) -> Any:
    return studio.our_page("installation?conn_id=acme_japan")


def manifest(studio: Studio, **window: Any) -> Any:
    return studio.our_page("manifest", **window)


def accounts(studio: Studio) -> Any:
    return studio.our_page(f"accounts?conn_id={APP}", height=440)


def uninstall(studio: Studio) -> Any:
    return studio.our_page("uninstall?conn_id=acme_germany", height=420)


PICTURES: dict[str, tuple[Callable[..., Any], dict[str, Any], bool]] = {
    # name → who opens it, in which window, whether the whole page is taken
    "connection-form": (connection_form, {}, False),
    "connection-form-extra": (connection_form_extra, {}, False),
    "list-light": (installation_list, {}, True),
    "list-dark": (installation_list, {"theme": "dark"}, True),
    "list-phone": (installation_list, {"width": PHONE, "height": 844}, False),
    "detail-light": (installation_detail, {}, True),
    "detail-dark": (installation_detail, {"theme": "dark"}, True),
    "detail-phone": (installation_detail, {"width": PHONE, "height": 844, "theme": "dark"}, False),
    "detail-reauthorize": (lost_detail, {}, False),
    "manifest": (manifest, {}, True),
    "manifest-dark": (manifest, {"theme": "dark"}, False),
    "accounts": (accounts, {}, False),
    "uninstall": (uninstall, {}, False),
    "consent": (consent, {}, False),
}


def main() -> int:
    """Take the pictures.

    :return: exit status.
    """
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--directory", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    unknown = set(arguments.names) - set(PICTURES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    too_big = False
    with studio() as ready:
        blank = ready.browser.new_page()
        for name, (open_page, window, whole) in PICTURES.items():
            if arguments.names and name not in arguments.names:
                continue
            page = open_page(ready, **window)
            page.wait_for_load_state("networkidle")
            page.evaluate("document.activeElement?.blur()")
            path = arguments.directory / f"{name}.png"
            taken = page.screenshot(full_page=whole, animations="disabled", caret="hide")
            path.write_bytes(shrink(blank, taken))
            size = path.stat().st_size
            too_big |= size > MOST
            print(f"{path} {size / 1000:.0f} kB" + (" TOO BIG" if size > MOST else ""), flush=True)
            page.context.close()
    return int(too_big)


if __name__ == "__main__":
    sys.exit(main())
