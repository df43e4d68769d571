"""A real Chromium, a real Airflow below a path, a simulated Stripe; one server for all tests."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

from chromium import HOW_TO_GET_IT, find_chromium, is_required, launch  # noqa: E402
from plugin_server import PluginServer, plugin_server  # noqa: E402
from visitor import Visitor  # noqa: E402

FAILURES = HERE.parents[1] / ".work" / "ui-failures"
OTHER_ACCOUNT = "acct_1AnotherShop"

Visit = Callable[..., Visitor]


def _skipped(report: Any) -> bool:
    return isinstance(report.longrepr, tuple) and HOW_TO_GET_IT in report.longrepr[2]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Generator[None, Any, Any]:
    """Say at the very end of the run, where one looks, that the pages were not tested."""
    result = yield
    skipped = [one for one in terminalreporter.stats.get("skipped", []) if _skipped(one)]
    if skipped:
        text = f"WARNING: {len(skipped)} tests of the pages DID NOT RUN: {HOW_TO_GET_IT}"
        terminalreporter.write_line(text, red=True, bold=True)
    return result


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = find_chromium()
    if path and importlib.util.find_spec("playwright"):
        return path
    if is_required():
        pytest.fail(f"{HOW_TO_GET_IT}. It is required here (CI or STRIPE_APP_REQUIRE_CHROMIUM).")
    pytest.skip(HOW_TO_GET_IT)


@pytest.fixture(scope="session")
def server(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginServer]:
    """One server for all files here; each test has connections of its own."""
    with plugin_server(tmp_path_factory.mktemp("airflow-ui")) as running:
        running.sim.account(OTHER_ACCOUNT)
        yield running


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    """The browser. Not for the whole session: Playwright occupies the thread's event loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = launch(playwright, chromium_path)
        yield running
        running.close()


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    """Airflow's tokens by user: one test logs in with the form, the others need not."""
    return {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep a picture of what the browser shows when a test fails, and name it in the report."""
    report = yield
    if report.when == "call" and report.failed:
        for number, visitor in enumerate(getattr(item, "visitors", ())):
            with contextlib.suppress(Exception):
                FAILURES.mkdir(parents=True, exist_ok=True)
                picture = FAILURES / f"{item.name}-{number}.png"
                visitor.page.screenshot(path=picture)
                shown = visitor.page.locator("body").aria_snapshot()
                text = f"{visitor.page.url}\n{picture}\n{shown}\n" + "\n".join(visitor.problems)
                report.sections.append(("what the browser shows", text))
    return report


@pytest.fixture
def visit(
    server: PluginServer, browser: Any, tokens: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Visit]:
    """Make visitors; at the end, none of their browsers may have complained."""
    visitors: list[Visitor] = []
    request.node.visitors = visitors

    def make(
        user: str | None = "ann", width: int = 1280, height: int = 900, **more: Any
    ) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        visitors.append(Visitor(server, context))
        if user is not None:
            visitors[-1].take_session(tokens, user)
        return visitors[-1]

    yield make
    problems = [problem for one in visitors for problem in one.problems]
    for one in visitors:
        one.context.close()
    assert not problems, "\n".join(problems)
