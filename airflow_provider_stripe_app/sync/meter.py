"""Counts what a run asks of Stripe, keeps it in the warehouse, and stops the run at the cap."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.sync import budget
from airflow_provider_stripe_app.warehouse.base import Transaction


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction has written and read.

    :param new: purpose → requests that it added.
    :param spent: all that is kept, with them.
    """

    new: Counter[str]
    spent: Mapping[tuple[str, str], int]


class Meter:
    """The requests of one run, among all requests of its account.

    What other runs make meanwhile is known as of this run's last transaction, so parallel runs may
    exceed a cap by what they make between two commits.

    :param client: its ``gate`` is this meter from now on.
    :param cap: requests that the account may make on a UTC day, ``None`` for any number.
    """

    def __init__(
        self, client: StripeClient, account_id: str, livemode: bool, cap: int | None
    ) -> None:
        self._client = client
        self._account_id = account_id
        self._livemode = livemode
        self._cap = cap
        self._began = client.counted()
        self._written = Counter(self._began)
        self._spent: Mapping[tuple[str, str], int] | None = None
        self._lock = threading.Lock()
        self._let_through = 0  # requests that are not among those spent yet
        client.gate = self.admit

    @property
    def own(self) -> Mapping[str, int]:
        """Purpose → requests that this run has made."""
        return self._client.counted() - self._began

    def today(self) -> str:
        """Return the day by Stripe's clock; before its first answer, by this machine's."""
        at = self._client.date
        return budget.day_of(int(time.time()) if at is None else at)

    def admit(self, purpose: str) -> None:
        """Let a request pass.

        :raises RequestCapReached: if the cap does not allow it.
        """
        with self._lock:
            if self._cap is not None and not budget.always(purpose):
                today, spent = self.today(), self._spent or {}
                made = budget.on(spent, today) + self._let_through
                kept = budget.reserve(spent, today, self._cap)
                if made + kept >= self._cap:
                    raise budget.reached(self._account_id, self._cap, made, kept)
            self._let_through += 1

    def write(self, tx: Transaction) -> Written:
        """Add what was made since the last commit to what is kept.

        :return: what was written; give it to :meth:`committed`.
        """
        new = self._client.counted() - self._written
        account, today = (self._account_id, self._livemode), self.today()
        if new:
            tx.spend(*account, today, new)
        if self._spent is None:
            return Written(new, tx.spent(*account, ""))
        spent = dict(self._spent)
        if self._cap is not None and new:
            spent = {key: n for key, n in spent.items() if key[0] != today}
            spent |= tx.spent(*account, today)
        else:
            for purpose, number in new.items():
                spent[today, purpose] = spent.get((today, purpose), 0) + number
        return Written(new, spent)

    def committed(self, written: Written) -> None:
        """Take note of a commit."""
        with self._lock:
            self._written += written.new
            self._spent = written.spent
            self._let_through -= written.new.total()

    @property
    def unwritten(self) -> bool:
        """Whether requests were made that are not kept yet."""
        return self._client.counted() != self._written

    def reads(self, read_budget: int | None) -> budget.Reads:
        """Return what the account's reads have cost, with all that this run has made.

        :param read_budget: how many there may be, ``None`` for what Stripe allots at least.
        """
        today, spent = self.today(), dict(self._spent or {})
        for purpose, number in (self._client.counted() - self._written).items():
            spent[today, purpose] = spent.get((today, purpose), 0) + number
        own = self.own
        return budget.reads(spent, today, sum(own.values()), read_budget)
