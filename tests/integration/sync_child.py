"""One sync in a process of its own, so that a test can kill it.

Arguments: the simulation's URL, a key, the account, the kind of warehouse, its place, and JSON with
``streams``, ``options`` and ``kill_at`` (SIGKILL before that statement; 0 for never).
Prints the number of statements.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

from tests.integration.sync_lab import Lab


def main(url: str, key: str, account: str, kind: str, where: str, settings: str) -> None:
    wanted = json.loads(settings)
    made = 0

    def count(_: str) -> None:
        nonlocal made
        made += 1
        if made == wanted.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    sim: Any = SimpleNamespace(
        url=url,
        account=lambda: SimpleNamespace(id=account, livemode=False),
        secret_key=lambda _: key,
    )
    lab = Lab(sim, kind, where)
    warehouse: Any = lab.warehouse()
    warehouse.fault = count
    lab.sync(wanted["streams"], warehouse=warehouse, **wanted.get("options", {}))
    print(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
