"""Every behaviour of the simulated Stripe that a test may change, in one documented place.

Where ``STRIPE.md`` marks a fact as seen in the field or inferred, there is a switch here.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.testing.oauth_model import OAuthSwitches

Range = tuple[float, float]
"""Lowest and highest value; each use draws one between them from the seeded generator."""


@dataclass
class Switches(OAuthSwitches):
    """What may differ between one simulated Stripe and another; changed at any time by :meth:`set`.

    The switches of OAuth come from :class:`.OAuthSwitches`.

    Speed and limits (real time, not the simulation's):

    :param rate_limits: whether 429 is ever answered by the token buckets.
    :param account_rate_live: requests per second and account in live mode.
    :param account_rate_test: the same in test mode and sandboxes.
    :param endpoint_rate: requests per second for each named operation of an account.
    :param files_rate: the same for the operations on files (STRIPE.md §2).
    :param rate_burst_seconds: how many seconds' worth of requests a full bucket holds.
    :param concurrency_limit: most requests of one account in flight at once; 0 means no limit. They
        are in flight during their ``latency``.
    :param rate_limit_reason: whether 429 has the header ``Stripe-Rate-Limited-Reason``.
    :param latency: seconds that every API answer is delayed.

    Lists and objects (EQUALITY §10):

    :param stale_lists: list pages are served from the state as it was this many seconds ago.
    :param created_early: ``created`` of a new object lies this many seconds before its appearance.
    :param reuse_ids: probability that a new object takes the id of a deleted one of its type.
    :param volatile_urls: ``hosted_invoice_url`` and ``invoice_pdf`` differ at every read.
    :param test_clocks_hidden: objects on a test clock are left out of lists (they stay in events).
    :param delete_cursor_every: after every n-th list page its last object is deleted; 0: never.
    :param silent_changes: probability that a change emits no event.
    :param linked_objects: what Stripe makes or marks together is (an invoice's payment leaves a
        payment intent, a charge, an invoice payment, a balance transaction; a refund, dispute or
        review marks its charge); else objects stand alone.
    :param embedded_prices: a changed price shows in the subscription items that carry it, silently.

    Events:

    :param event_delay: seconds from an event's ``created`` until lists show it.
    :param late_events: probability that an event comes later than any overlap.
    :param late_event_delay: seconds from ``created`` until such an event shows.
    :param event_retention: seconds after which an event is gone (30 days).
    :param event_shuffle: whether events of one second come in an order of chance.
    :param event_api_version: version in which event payloads are rendered (the account's default
        version on Stripe); payloads before 2025-03-31 have the older shape.

    :param event_permissions: events show only what the caller may read besides ``event_read``.

    Form and strictness:

    :param pretty_json: indent answers as Stripe does; off by default because it costs speed.

    :param default_api_version: version of answers to requests without ``Stripe-Version``.
    :param require_version: refuse requests without ``Stripe-Version`` (Stripe does not).
    :param expand_refused: ``expand[]`` with an app's token is answered with 403.
    :param account_needs_permission: ``GET /v1/account`` needs ``connected_account_read``.
    :param permission_answer: what a 403 for a missing permission says: ``application`` (for apps
        the code ``more_permissions_required_for_application`` [field], and the permission),
        ``shared`` (the code that restricted keys get) or ``bare`` (no code and no name).
    """

    rate_limits: bool = True
    account_rate_live: float = 100.0
    account_rate_test: float = 25.0
    endpoint_rate: float = 25.0
    files_rate: float = 20.0
    rate_burst_seconds: float = 1.0
    concurrency_limit: int = 0
    rate_limit_reason: bool = True
    latency: Range = (0.0, 0.0)

    stale_lists: Range = (0.0, 0.0)
    created_early: Range = (0.0, 0.0)
    reuse_ids: float = 0.0
    volatile_urls: bool = False
    test_clocks_hidden: bool = True
    delete_cursor_every: int = 0
    silent_changes: float = 0.0
    linked_objects: bool = False
    embedded_prices: bool = True

    event_delay: Range = (0.0, 0.0)
    late_events: float = 0.0
    late_event_delay: Range = (60.0, 600.0)
    event_retention: float = 30 * 86400.0
    event_shuffle: bool = True
    event_api_version: str = API_VERSION
    event_permissions: bool = True

    pretty_json: bool = False
    default_api_version: str = API_VERSION
    require_version: bool = False
    expand_refused: bool = False
    account_needs_permission: bool = True
    permission_answer: Literal["application", "shared", "bare"] = "application"

    def set(self, **values: Any) -> None:
        """Change switches, all of them or none.

        :param values: new values by name; a range may be given as one number (lowest = highest).
        :raises ValueError: for an unknown name or a value of the wrong type.
        """
        checked = {name: self._checked(name, value) for name, value in values.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Set every switch to its default."""
        for name, value in dataclasses.asdict(Switches()).items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return all switches by name."""
        return dataclasses.asdict(self)

    def _checked(self, name: str, value: Any) -> Any:
        kinds = {field.name: str(field.type) for field in dataclasses.fields(self)}
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"There is no switch {name!r}{hint}")
        kind = kinds[name]
        if kind == "Range":
            return _as_range(name, value)
        if kind.startswith("Literal"):
            allowed = json.loads(kind.removeprefix("Literal").replace("'", '"'))
            if value not in allowed:
                raise ValueError(f"Switch {name} takes one of {allowed}, not {value!r}")
            return value
        if value is None and "None" in kind:
            return None
        return _as_scalar(name, kind.split(" ")[0], value)


def parse_switch(text: str) -> tuple[str, Any]:
    """Read ``name=value`` as given on a command line.

    :param text: the value is JSON where it can be, text otherwise.
    :return: name and value.
    :raises ValueError: if there is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"A switch is given as name=value, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _as_range(name: str, value: Any) -> Range:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value), float(value))
    if isinstance(value, (list, tuple)) and len(value) == 2:
        low, high = value
        if all(isinstance(x, (int, float)) for x in value) and low <= high:
            return (float(low), float(high))
    raise ValueError(f"Switch {name} takes a number or [lowest, highest], not {value!r}")


def _as_scalar(name: str, kind: str, value: Any) -> Any:
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    types = {"bool": bool, "int": int, "str": str}
    if type(value) is not types.get(kind):
        raise ValueError(f"Switch {name} takes a {kind}, not {value!r}")
    return value
