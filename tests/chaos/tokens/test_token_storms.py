"""Many workers at once: one refresh for all of them, and no call that fails.

Workers are processes that have no way to the database: they read their connection through
Airflow's Execution API and ask the broker over HTTP, as a task does (see ``task.py``).
"""

from __future__ import annotations

import itertools
import math
import time

import pytest

from tests.chaos.tokens.replicas import Replicas
from tests.chaos.tokens.sizes import LONG, SECONDS
from tests.chaos.tokens.world import TOKEN, Installed, World

WORKERS = 200
LIFE = 6
"""Seconds that an access token lives; it is renewed when 3 are left."""

SETTINGS = [  # the first one in `make test`, all of them in `make chaos`
    # (Idempotency-Key honoured, seconds until the old access token is dead, name of the account)
    (False, 0.0, "account_id"),
    (True, 3.0, "stripe_user_id"),
    (False, None, "stripe_user_id"),
    (True, 0.0, "stripe_user_id"),
    (False, 3.0, "account_id"),
    (True, None, "account_id"),
]


def _all_at_once(world: World, one: Installed, urls: list[str], workers: int, say) -> None:
    one.expire()
    before, asked = one.refreshes, len(world.sim.requests(TOKEN))
    begun = time.monotonic()
    done = world.tasks(one, urls, workers, start_at=time.time() + 4, patience=120)
    assert done.failed == {}
    assert done.ok == workers
    assert one.refreshes - before == 1
    assert len(world.sim.requests(TOKEN)) - asked == 1, "nobody else even asked Stripe"
    slowest = max(result["slowest"] for result in done.results)
    say(
        f"{workers} workers, expired token, {world.metadata}, {len(urls)} API server(s): "
        f"1 refresh, 0 failed calls, slowest call {slowest:.1f} s, "
        f"{time.monotonic() - begun:.0f} s in all"
    )


def test_two_hundred_workers_with_an_expired_token_refresh_once_on_sqlite(sqlite_world, say):
    world = sqlite_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    server = world.server("storm")
    _all_at_once(world, world.installed(), [server.url], WORKERS, say)
    server.kill()


def test_workers_with_an_expired_token_refresh_once_over_real_api_servers(
    postgres_world: World, replicas: Replicas, say
):
    world = postgres_world
    world.sim.switches.set(token_idempotency=False, revoke_after_refresh=0.0)
    _all_at_once(world, world.installed(), replicas.urls, WORKERS if LONG else 10, say)


@pytest.mark.parametrize(("honoured", "grace", "name"), SETTINGS if LONG else SETTINGS[:1])
def test_fifty_workers_work_on_while_tokens_live_for_seconds(
    postgres_world: World, replicas: Replicas, say, honoured, grace, name
):
    world = postgres_world
    world.sim.switches.set(
        access_token_seconds=float(LIFE),
        expires_in=True,
        token_idempotency=honoured,
        revoke_after_refresh=grace,
        account_field=name,
    )
    one = world.installed()
    spent = world.sim.oauth.counts["spent_refresh"]
    asked = len(world.sim.requests(TOKEN))
    done = world.tasks(one, replicas.urls, 50, seconds=SECONDS, pause=0.5, patience=60)
    assert done.failed == {}
    assert world.sim.oauth.counts["spent_refresh"] == spent, "a spent token was used once more"
    row = one.row()
    assert (row.status, row.generation) == ("active", one.refreshes + 1)
    requests = world.sim.requests(TOKEN)[asked:]
    assert len(requests) == one.refreshes, "one request a refresh, without any repetition"
    gaps = [b.at - a.at for a, b in itertools.pairwise(requests)]
    assert min(gaps, default=LIFE) > LIFE - 3 - 1, "one refresh an expiry"
    assert one.refreshes >= math.floor(SECONDS / (LIFE + 2)), "tokens did expire"
    say(
        f"50 workers for {SECONDS:.0f} s, tokens of {LIFE} s, Idempotency-Key "
        f"{'honoured' if honoured else 'ignored'}, old token dead "
        f"{'at its end' if grace is None else f'after {grace:.0f} s'}, {name}: {done.ok} calls, "
        f"0 failed, {one.refreshes} refreshes, 0 spent refresh tokens sent"
    )
