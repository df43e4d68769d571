"""One account that has installed an app: what Stripe, the database and the disk say of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.oauth import parse_basic
from tests.chaos.tokens.orders import Server

if TYPE_CHECKING:
    from tests.chaos.tokens.world import World

TOKEN = "/v1/oauth/token"


@dataclass
class Installed:
    """One installed account.

    :param app: the app at the simulated Stripe.
    """

    world: World
    sim: SimulatedStripe
    conn_id: str
    app_conn_id: str
    account: str
    app: Any

    @property
    def env(self) -> dict[str, str]:
        """What makes any process talk to its Stripe."""
        return {
            "AIRFLOW__STRIPE_APP__API_BASE": self.sim.url,
            "AIRFLOW__STRIPE_APP__MARKETPLACE_BASE": self.sim.url,
        }

    def server(self, name: str, wrong: float = 0.0, **env: str) -> Server:
        """Start an API server that talks to its Stripe."""
        return self.world.server(f"{self.conn_id}-{name}", wrong, **{**self.env, **env})

    def before_refresh(self, act: Callable[[], object]) -> None:
        """Do something when its next renewal reaches Stripe, before the tokens are rolled."""
        self.sim.before(TOKEN, self._once(act), nth=None)

    def after_refresh(self, act: Callable[[], object]) -> None:
        """Do something when its tokens were rolled, before Stripe answers."""
        self.sim.after(TOKEN, self._once(act), nth=None)

    def _once(self, act: Callable[[], object]) -> Callable[[Any], object]:
        """Return a hook that knows its own requests by the app's key."""
        done: list[bool] = []

        def run(request: Any) -> object:
            user, _ = parse_basic(request.headers.get("authorization")) or ("", "")
            if done or user != self.app.secret_key:
                return None
            done.append(True)
            return act()

        return run

    def code(self, account: str | None = None) -> str:
        place = self.sim.install(self.app.client_id, self.sim.account(account or self.account))
        return parse_qs(urlsplit(place).query)["code"][0]

    def install(self, account: str | None = None) -> int:
        """Install or reinstall it; return the generation."""
        code = self.code(account)
        generation: int = self.world.orders.call(
            "install",
            env=self.env,
            conn_id=self.conn_id,
            app_conn_id=self.app_conn_id,
            code=code,
            change=account is not None,
        )
        return generation

    def row(self) -> Any:
        """Return the installation's row as it is."""
        return self.world.one(
            "SELECT * FROM stripe_app_installation WHERE conn_id=:c", c=self.conn_id
        )

    def expire(self, since: float = 1) -> None:
        """Let the token be over, here and in the copy that workers read.

        :param since: seconds ago; a negative number is life that is left.
        """
        self.world.execute(
            "UPDATE stripe_app_installation SET access_expires_at=:t WHERE conn_id=:c",
            t=time.time() - since,
            c=self.conn_id,
        )
        self.world.orders.call("expire_copy", conn_id=self.conn_id)

    def use_and_expire(self) -> None:
        """As :meth:`expire`, for one whose token was asked for a moment ago."""
        self.world.execute(
            "UPDATE stripe_app_installation SET last_used_at=:t WHERE conn_id=:c",
            t=time.time(),
            c=self.conn_id,
        )
        self.expire()

    def mend_now(self) -> None:
        """Let the pause between two tries to mend be over; it is a minute at first."""
        self.world.execute(
            "UPDATE stripe_app_installation SET heal_after=0 "
            "WHERE conn_id=:c AND heal_after IS NOT NULL",
            c=self.conn_id,
        )

    @property
    def mended(self) -> int:
        """How often it was mended by the Install API."""
        query = "SELECT count(*) FROM stripe_app_history WHERE conn_id=:c AND event='healed'"
        return int(self.world.one(query, c=self.conn_id)[0])

    @property
    def refreshes(self) -> int:
        """How often Stripe rolled its tokens."""
        return self.sim.oauth.counts[f"refresh:{self.account}"]

    @property
    def spool_files(self) -> list[Path]:
        prefix = hashlib.sha256(self.conn_id.encode()).hexdigest()[:24]
        return list((self.world.home / "stripe_app_spool").glob(f"{prefix}-*.json"))

    def works(self) -> bool:
        """Whether a process with the database gets a token that Stripe takes."""
        found = self.world.orders.call("live_token", env=self.env, conn_id=self.conn_id)
        return "token" in found and hasattr(
            self.sim.oauth.authenticate(found["token"]), "account_id"
        )

    def history(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.world.orders.call("history", conn_id=self.conn_id)
        return lines
