"""The browser of these tests: Debian's Chromium or any Chrome; Playwright brings none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The same as in ``scripts/install_chromium.sh``."""

HOW_TO_GET_IT = (
    "no Chromium for the tests of the pages: `make chromium` installs Debian's, or say "
    "STRIPE_APP_CHROMIUM=/path/to/chrome"
)


def find_chromium() -> str | None:
    """Return the path of a browser, None if there is none."""
    named = os.environ.get("STRIPE_APP_CHROMIUM")
    if named:
        return named if os.access(named, os.X_OK) else None
    return next((path for path in map(shutil.which, NAMES) if path), None)


def is_required() -> bool:
    """Return whether a missing browser is a failure: on build machines it is."""
    names = ("STRIPE_APP_REQUIRE_CHROMIUM", "CI")
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes"} for name in names)


def launch(playwright: Playwright, executable: str, hosts: str = "") -> Browser:
    """Start the browser; names of hosts lead nowhere, so only 127.0.0.1 can be reached.

    :param hosts: rules for names that lead somewhere: ``MAP name 127.0.0.1:port``.
    """
    rules = [hosts, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
    arguments = [f"--host-resolver-rules={', '.join(filter(None, rules))}"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to start as root with it
    if not _shared_memory_is_enough():
        arguments.append("--disable-dev-shm-usage")
    return playwright.chromium.launch(executable_path=executable, args=arguments)


def _shared_memory_is_enough() -> bool:
    """Return whether /dev/shm has more than the 64 MB that containers get by default."""
    shm = Path("/dev/shm")
    return shm.exists() and shutil.disk_usage(shm).total > 128 * 2**20
