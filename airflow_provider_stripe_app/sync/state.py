"""What a run remembers between transactions, as JSON text in ``_stripe_sync_state``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_stripe_app.api.ranges import Range

FEED = "_events"
"""Name under which the change feed of an account keeps its state."""

ANY_RUN = "*"
"""In place of the run that began a load: any run may go on with it, since a cap has stopped it."""

Phase = Literal["load", "sweep", "live", "window"]

LISTED: Mapping[Phase, Phase] = {"load": "sweep", "window": "live"}
"""What follows a phase that lists, once nothing remains to be listed."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where one stream of one account stands.

    :param api_version: Stripe version of the rows; another one means a full re-list.
    :param phase: ``load`` (ranges remain), ``sweep`` (rows that the load has not seen are
        confirmed), ``live`` (fed by events) or ``window`` (live, and the newest objects are being
        listed).
    :param load_id: unix second at which the current or last full load began (its T0).
    :param load_run: the run that began the load, so that its retries resume instead of starting
        again.
    :param remaining: ``created`` ranges still to be listed.
    :param children: child streams that the load covers.
    :param start_date: objects created before this unix second are left out; ``None`` for no limit.
    :param complete_to: the table holds every change up to this unix second.
    :param relist: why the next run has to list everything again; empty if it need not.
    :param newest_at: unix second at which the newest objects were last listed, for a stream whose
        new objects no event tells of; ``None``: by the load.
    :param opened_at: unix second at which the open objects were last looked at; as above.
    """

    api_version: str
    phase: Phase
    load_id: int
    load_run: str = ""
    remaining: tuple[Range, ...] = ()
    children: tuple[str, ...] = ()
    start_date: int | None = None
    complete_to: int | None = None
    relist: str = ""
    newest_at: int | None = None
    opened_at: int | None = None

    def to_json(self) -> str:
        """Return the state as JSON text."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["remaining"] = [r.to_json() for r in self.remaining]
        data["children"] = list(self.children)
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> StreamState:
        """Read :meth:`to_json`'s text; keys of a newer writer are ignored."""
        data = _known(cls, json.loads(text))
        data["remaining"] = tuple(Range.from_json(r) for r in data.get("remaining", ()))
        data["children"] = tuple(data.get("children", ()))
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Since when the feed keeps obligations for a stream, and which objects it leaves out.

    :param since: unix second of registration.
    :param start_date: objects created before this unix second are dropped.
    """

    since: int
    start_date: int | None = None


@dataclass(frozen=True, slots=True)
class FeedState:
    """Where the change feed of one account stands.

    :param cursor: every event created up to this unix second, and visible then, has been seen.
    :param swept_at: unix second of the last deep sweep.
    :param streams: the streams that obligations are kept for.
    :param heard_at: ``created`` of the newest event seen, of whatever type, in unix seconds: when
        something was last known to happen in the account.
    :param passes: how many passes have been finished.
    :param group: whose the last one was, see :attr:`.SyncOptions.group`.
    :param ended_at: when it ended, unix seconds by that worker's clock.
    """

    cursor: int
    swept_at: int
    streams: dict[str, Coverage] = field(default_factory=dict)
    heard_at: int = 0
    passes: int = 0
    group: str = ""
    ended_at: float = 0.0

    def to_json(self) -> str:
        """Return the state as JSON text."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FeedState:
        """Read :meth:`to_json`'s text; keys of a newer writer are ignored."""
        data = _known(cls, json.loads(text))
        data["streams"] = {n: Coverage(**_known(Coverage, c)) for n, c in data["streams"].items()}
        return cls(**data)


def _known(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {f.name for f in dataclasses.fields(cls)}
    return {k: v for k, v in data.items() if k in names}
