"""The visitor notices what the other tests rely on it to notice."""

from __future__ import annotations

import pytest
from conftest import Visit
from visitor import Visitor

pytestmark = pytest.mark.airflow


@pytest.fixture
def ann(visit: Visit) -> Visitor:
    visitor = visit()
    visitor.open("/stripe-app/")
    assert visitor.problems == []
    return visitor


def noticed(visitor: Visitor, kind: str) -> bool:
    """Return whether there was a complaint of this kind, and forget all of them."""
    visitor.page.wait_for_timeout(100)
    found = any(one.startswith(kind) for one in visitor.problems)
    visitor.problems.clear()
    return found


def test_a_broken_policy_is_noticed(ann: Visitor) -> None:
    ann.page.evaluate("document.body.setAttribute('style', 'color: red')")
    assert noticed(ann, "policy: style-src")
    ann.page.evaluate("document.body.append(document.createElement('iframe'))")
    assert not noticed(ann, "policy"), "an empty frame breaks none"


def test_an_error_in_the_console_is_noticed(ann: Visitor) -> None:
    ann.page.evaluate("console.error('oh no')")
    assert noticed(ann, "console: oh no")
    ann.page.evaluate("setTimeout(() => { throw new Error('thrown'); })")
    assert noticed(ann, "script: ")


def test_a_request_to_a_stranger_is_noticed(ann: Visitor) -> None:
    with ann.page.expect_event("requestfailed"):
        ann.page.evaluate("location.href = 'https://stranger.example/'")
    assert noticed(ann, "stranger: https://stranger.example/")
    assert "stranger.example" in ann.hosts
