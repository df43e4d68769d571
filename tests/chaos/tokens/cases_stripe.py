"""Stripe, the way to it, and the clocks: in trouble, but nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.tokens.checks import NOWHERE, fails, works
from tests.chaos.tokens.proxy import Answer, Proxy, html, json_error, truncated
from tests.chaos.tokens.together import Cases, Scene

CASES = Cases()
BASE = "AIRFLOW__STRIPE_APP__API_BASE"
SPOILERS: dict[str, tuple[Callable[[Answer], Answer], bool, str]] = {
    # how the answer is spoilt, whether the request reaches Stripe, what is said
    "500": (json_error(500), False, "HTTP 500: An unknown error"),
    "429": (json_error(429, **{"Retry-After": "1"}), False, "HTTP 429"),
    "truncated": (truncated, True, "right now: (Stripe's answer|No answer)"),
    "html-502-before": (html(502), False, "HTTP 502"),
    "html-502-after": (html(502), True, "HTTP 502"),
    "html-200-after": (html(200), True, "cut off"),
}


@CASES.many("address", NOWHERE, "http://stripe.invalid")
def stripe_that_cannot_be_reached_costs_nothing(scene: Scene, address: str) -> None:
    one = scene.world.installed(sim=scene.honouring)
    server = one.server("unreachable", **{BASE: address})
    one.expire()
    text = fails(one, server, "TokenUnavailable.*right now: No answer from Stripe")
    row = one.row()
    assert (row.status, row.lease_until) == ("active", None), "it passes by itself"
    assert row.last_error
    server.restart(**one.env)
    works(one, server)
    server.kill()
    scene.say(f"Stripe at {address}: active, 1 refresh when it was back; said: {text[:150]}…")


@CASES.many("how", *SPOILERS)
def stripe_whose_answers_are_spoilt_costs_nothing(scene: Scene, how: str) -> None:
    spoil, forward, pattern = SPOILERS[how]
    one = scene.world.installed(sim=scene.honouring)
    proxy = Proxy(one.sim.url, spoil, forward=forward)
    server = one.server("spoilt", **{BASE: proxy.url})
    one.expire()
    text = fails(one, server, f"TokenUnavailable.*{pattern}")
    row = one.row()
    assert (row.status, row.lease_until) == ("active", None), "it passes by itself"
    assert row.last_error
    assert proxy.spoilt > 0
    proxy.spoil = None
    works(one, server)
    server.kill()
    proxy.stop()
    scene.say(f"Stripe answers {how}: active, 1 refresh when it was over; said: {text[:150]}…")


@CASES.case
def stored_500_is_not_repeated_for_a_day_and_one_after_the_effect_is_mended(scene: Scene) -> None:
    for effect in (False, True):
        one = scene.world.installed(sim=scene.honouring, mendable=effect)
        server = one.server("replayed")
        one.expire()

        def fail(one=one, effect=effect) -> None:
            one.sim.oauth.fail_next(status=500, effect=effect)

        one.before_refresh(fail)
        assert scene.world.tasks(one, [server.url], patience=60).failed == {}
        assert (one.row().status, one.mended, one.refreshes) == ("active", int(effect), 1)
        assert one.works()
        server.kill()
    scene.say("500 without effect: another key, works; 500 after the effect: mended")


@CASES.many("minutes", 10, -10)
def worker_whose_clock_is_wrong_loses_no_call(scene: Scene, minutes: int) -> None:
    one = scene.world.installed(sim=scene.ignoring)
    server = one.server("worker-clock")
    if minutes < 0:  # it believes in a copy that is over, here and at Stripe
        one.expire()
        one.sim.oauth.expire_access_tokens(one.account)
    else:  # it believes that a good copy is over
        one.expire(-300)
    done = scene.world.tasks(one, [server.url], patience=30, wrong=minutes * 60)
    assert done.failed == {}
    assert (one.refreshes, one.row().status) == (1 if minutes < 0 else 0, "active")
    server.kill()
    scene.say(f"a worker's clock {minutes:+d} minutes wrong: 0 failed calls, no refresh too many")


@CASES.many("minutes", 10, -10)
def api_server_whose_clock_is_wrong_costs_no_call(scene: Scene, minutes: int) -> None:
    one = scene.world.installed(sim=scene.ignoring)
    server, other = one.server("right"), one.server("wrong", wrong=minutes * 60)
    one.expire()
    done = scene.world.tasks(one, [server.url, other.url], 6, patience=60)
    assert done.failed == {}
    assert one.row().status == "active"
    assert one.works()
    server.kill()
    other.kill()
    scene.say(
        f"the clock of one of two API servers {minutes:+d} minutes wrong: 0 failed calls, "
        f"{one.refreshes} refreshes"
    )


@CASES.many("minutes", 10, -10)
def stripe_whose_clock_is_wrong_costs_no_call(scene: Scene, minutes: int) -> None:
    from tests.chaos.tokens.world import quiet_stripe

    with quiet_stripe(token_idempotency=False, revoke_after_refresh=0.0) as sim:
        sim.clock.advance(minutes * 60)
        one = scene.world.installed(sim=sim)
        server = one.server("stripes-clock")
        one.expire()
        works(one, server)
        server.kill()
    scene.say(f"Stripe's clock {minutes:+d} minutes from ours: 0 failed calls, 1 refresh")
