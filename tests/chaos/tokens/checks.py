"""What the cases look at when a refresh was disturbed."""

from __future__ import annotations

import re

from tests.chaos.tokens.world import Installed, Server

NOWHERE = "http://127.0.0.1:1"


def fails(one: Installed, server: Server, pattern: str, patience: float = 3) -> str:
    """Let a worker fail; return its one message."""
    done = one.world.tasks(one, [server.url], patience=patience)
    return says(one, done.failed, pattern)


def says(one: Installed, failed: dict[str, int], pattern: str) -> str:
    """Return the one message that a call failed with; it names the connection and no secret."""
    (text,) = failed
    assert re.search(pattern, text, re.DOTALL), text
    assert one.conn_id in text
    assert not re.search(r"\b(rt|sk|ak|ac|uk)_\w{8}", text), "a secret in a message"
    return text


def works(one: Installed, server: Server, refreshes: int = 1) -> None:
    """Assert that all is well, and that Stripe rolled the tokens so often."""
    done = one.world.tasks(one, [server.url], patience=60)
    assert done.failed == {}
    row = one.row()
    assert (row.status, row.last_error) == ("active", None)
    assert one.refreshes == refreshes
    assert one.works()
    assert one.spool_files == []
