"""Deployments that the cases share, sizes of the short and the long version, and the figures."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.processes import REPOSITORY
from tests.chaos.tokens.replicas import Replicas
from tests.chaos.tokens.world import World, quiet_stripe

for _name in ("checks", "cases_leases", "cases_people", "cases_stripe", "lanes"):
    pytest.register_assert_rewrite(f"tests.chaos.tokens.{_name}")

LINES: list[str] = []
FIGURES = Path(os.environ.get("CHAOS_FIGURES", REPOSITORY / ".work" / "chaos"))


@pytest.fixture(scope="session")
def say() -> Any:
    """Print a line below the tests' results and keep it in ``.work/chaos``."""

    def line(text: str) -> None:
        LINES.append(text)

    return line


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if LINES:
        terminalreporter.section("token safety")
        for line in LINES:
            terminalreporter.write_line(line)
        FIGURES.mkdir(parents=True, exist_ok=True)
        name = time.strftime("tokens-%Y%m%d-%H%M%S.json")
        (FIGURES / name).write_text(json.dumps(LINES, indent=1))


@pytest.fixture(scope="session")
def sqlite_world() -> Iterator[World]:
    with quiet_stripe() as sim, World("sqlite", sim) as world:
        yield world


@pytest.fixture(scope="session")
def postgres_world() -> Iterator[World]:
    with quiet_stripe() as sim, World("postgres", sim) as world:
        yield world


@pytest.fixture(scope="session")
def replicas(postgres_world: World) -> Iterator[Replicas]:
    """Real ``airflow api-server`` processes on one PostgreSQL."""
    with Replicas(postgres_world) as started:
        yield started


@pytest.fixture(autouse=True)
def default_stripe(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give every case a Stripe without yesterday's failures and switches."""
    yield
    if "running" in request.fixturenames:
        return
    for name in ("sqlite_world", "postgres_world"):
        if name in request.fixturenames:
            sim = request.getfixturevalue(name).sim
            sim.faults.remove()
            sim.switches.reset()
            sim.switches.set(rate_limits=False)
            sim.clock.reset()
