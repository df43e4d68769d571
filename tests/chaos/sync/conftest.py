"""The figures of all processes, printed below the results and kept in ``.work/chaos``."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from demo.processes import REPOSITORY
from tests.chaos.sync.figures import TALLY, lines

for _name in ("judge", "story", "points"):
    pytest.register_assert_rewrite(f"tests.chaos.sync.{_name}")

FIGURES = Path(os.environ.get("CHAOS_FIGURES", REPOSITORY / ".work" / "chaos"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["sync_chaos"] = dict(TALLY)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    TALLY.update(Counter(getattr(node, "workeroutput", {}).get("sync_chaos", {})))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TALLY:
        return
    terminalreporter.section("tables equal to Stripe")
    for line in lines(TALLY):
        terminalreporter.write_line(line)
    FIGURES.mkdir(parents=True, exist_ok=True)
    name = time.strftime("sync-%Y%m%d-%H%M%S.json")
    (FIGURES / name).write_text(json.dumps(dict(TALLY), indent=1))
