"""Parents with more lines than Stripe inlines: read by as few requests as their moment allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sync_lab import Lab, lab

NUMBER = 12
LINES = 15


class Drafts:
    """An account with draft invoices of more than ten lines, all on one page."""

    def __init__(self, one: Lab) -> None:
        self.lab = one
        customer = one.sim.create(one.account, "customer", {})["id"]
        self.ids = [
            one.sim.create(one.account, "invoice", {"customer": customer})["id"]
            for _ in range(NUMBER)
        ]
        for draft in self.ids:
            one.sim.add_lines(one.account, draft, [{"amount": n + 1} for n in range(LINES)])
        one.settle()

    def meddle_before_the_second_look(self, meddle: Any) -> None:
        """Do something when all lines are read and the page is about to be listed again."""
        self.lab.sim.before(r"/v1/invoices(\?|$)", meddle, method="GET", nth=2)

    def looks(self) -> int:
        """How many single invoices were asked for."""
        return len(self.lab.sim.requests(r"GET /v1/invoices/in_[^/?]+(\?|$)"))

    def equal_at_once(self) -> None:
        self.lab.sync()
        self.lab.assert_equal()


@pytest.fixture
def drafts(tmp_path: Path) -> Iterator[Drafts]:
    with lab(tmp_path, "sqlite") as one:
        yield Drafts(one)


def test_one_look_at_the_page_serves_all_its_parents(drafts: Drafts) -> None:
    summary = drafts.lab.sync()
    assert len(drafts.lab.sim.requests(r"/v1/invoices/[^/]+/lines")) == NUMBER
    assert len(drafts.lab.sim.requests(r"GET /v1/invoices(\?|$)")) == 2
    assert drafts.looks() == 0
    assert summary.requests["children:invoices"] == NUMBER + 1
    drafts.lab.assert_equal()


def test_a_parent_that_changed_silently_meanwhile_is_read_again(drafts: Drafts) -> None:
    sim, account = drafts.lab.sim, drafts.lab.account
    drafts.meddle_before_the_second_look(
        lambda _: sim.add_lines(account, drafts.ids[3], [{"amount": 7}], silent=True)
    )
    drafts.equal_at_once()
    assert drafts.looks() == 1


def test_a_parent_that_was_deleted_meanwhile_is_gone(drafts: Drafts) -> None:
    sim, account = drafts.lab.sim, drafts.lab.account
    drafts.meddle_before_the_second_look(lambda _: sim.delete(account, drafts.ids[3]))
    drafts.lab.sync()
    drafts.lab.settle()
    drafts.lab.sync()
    drafts.lab.assert_equal()
    assert drafts.looks() == 1


def test_a_parent_deleted_before_its_lines_were_read_is_gone(drafts: Drafts) -> None:
    sim, account, victim = drafts.lab.sim, drafts.lab.account, drafts.ids[5]
    sim.before(f"/v1/invoices/{victim}/lines", lambda _: sim.delete(account, victim))
    drafts.lab.sync()
    drafts.lab.settle()
    drafts.lab.sync()
    drafts.lab.assert_equal()


def test_a_parent_that_lost_its_many_lines_meanwhile_is_taken_as_it_is_now(drafts: Drafts) -> None:
    sim, account, draft = drafts.lab.sim, drafts.lab.account, drafts.ids[0]
    lines = [o["id"] for o in sim.objects(account, "line_item") if o["invoice"] == draft]
    drafts.meddle_before_the_second_look(
        lambda _: sim.remove_lines(account, draft, lines[3:], silent=True)
    )
    drafts.equal_at_once()
    assert drafts.looks() == 0


def test_parents_pushed_off_the_page_meanwhile_are_looked_at_by_themselves(drafts: Drafts) -> None:
    sim, account = drafts.lab.sim, drafts.lab.account
    customer = {"customer": sim.objects(account, "customer")[0]["id"]}
    drafts.meddle_before_the_second_look(
        lambda _: [sim.create(account, "invoice", customer) for _ in range(95)]
    )
    drafts.lab.sync()
    assert drafts.looks() > 0
    drafts.lab.settle()
    drafts.lab.sync()
    drafts.lab.assert_equal()


def test_a_failure_among_the_children_fails_the_stream_and_the_next_run_goes_on(
    drafts: Drafts,
) -> None:
    from airflow_provider_stripe_app.sync.summary import SyncFailed

    drafts.lab.sim.fail("status", f"/v1/invoices/{drafts.ids[2]}/lines", status=403)
    with pytest.raises(SyncFailed):
        drafts.lab.sync()
    drafts.lab.sim.faults.remove()
    drafts.lab.settle()
    drafts.equal_at_once()
