"""A Stripe of a few dozen lines, whose objects change with or without an event, as a test likes.

It is for what events do not tell; the simulated Stripe is for everything else. It refuses what
Stripe would refuse: parameters that a list does not have, a cursor that is gone.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS

DAY = 86_400
START = 1_790_000_000


class StubStripe:
    """What the account has.

    :ivar now: Stripe's clock, unix seconds.
    :ivar asked: path → requests.
    :ivar refused: paths that are answered with a missing permission.
    """

    def __init__(self) -> None:
        self.now = START
        self.url = ""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            stream.path: {} for stream in STREAMS.values() if stream.parent is None
        }
        self.events: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.refused: set[str] = set()
        self._ids = itertools.count(1)

    def put(self, stream_name: str, **fields: Any) -> dict[str, Any]:
        """Make an object, silently; its ``created`` is now unless it has none."""
        stream = STREAMS[stream_name]
        one: dict[str, Any] = {
            "id": f"{stream_name}_{next(self._ids):06d}",
            "object": stream.object,
        }
        if stream.dated:
            one[stream.created_field or "created"] = self.now
        one.update(fields)
        self.objects[stream.path][one["id"]] = one
        return one

    def tell(self, event_type: str, about: dict[str, Any]) -> None:
        """Make an event now."""
        self.events.append(
            {
                "id": f"evt_{next(self._ids):06d}",
                "object": "event",
                "type": event_type,
                "created": self.now,
                "api_version": API_VERSION,
                "data": {"object": json.loads(json.dumps(about))},
            }
        )

    def pass_time(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    def wait(self, seconds: float) -> None:
        """Let time pass instead of sleeping."""
        self.now += int(seconds) + 1

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and body of a GET."""
        self.asked[path] += 1
        if path in self.refused:
            return 403, _error("more_permissions_required_for_application")
        if path == "/v1/events":
            return self._list(self.events, query, {"created"}, path)
        if path in self.objects:
            stream = next(s for s in STREAMS.values() if s.path == path)
            field = stream.created_field
            allowed = {"created"} if field else set()
            allowed |= set(stream.params)
            return self._list(list(self.objects[path].values()), query, allowed, path, field)
        folder, _, object_id = path.rpartition("/")
        found = self.objects.get(folder, {}).get(unquote(object_id))
        return (200, found) if found else (404, _error("resource_missing"))

    def _list(
        self,
        objects: list[dict[str, Any]],
        query: dict[str, str],
        allowed: set[str],
        path: str,
        field: str | None = "created",
    ) -> tuple[int, dict[str, Any]]:
        unknown = {name.partition("[")[0] for name in query} - allowed - {"limit", "starting_after"}
        if unknown:
            return 400, _error("parameter_unknown", f"Received unknown parameters: {unknown}")
        at = field or "created"
        chosen = sorted(objects, key=lambda one: (one.get(at, 0), one["id"]), reverse=True)
        low, high = int(query.get("created[gte]", 0)), int(query.get("created[lt]", 1 << 40))
        chosen = [one for one in chosen if low <= one.get(at, 0) < high]
        if after := query.get("starting_after"):
            ids = [one["id"] for one in chosen]
            if after not in ids:
                return 400, _error("resource_missing", param="starting_after")
            chosen = chosen[ids.index(after) + 1 :]
        limit = int(query.get("limit", 10))
        page = {"object": "list", "url": path, "data": chosen[:limit]}
        return 200, {**page, "has_more": len(chosen) > limit}


def _error(code: str, message: str = "no", **more: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "code": code, "message": message, **more}}


@contextmanager
def stub_stripe() -> Iterator[StubStripe]:
    """Serve a stub on a port of this machine."""
    stripe = StubStripe()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = stripe.answer(parts.path, dict(parse_qsl(parts.query)))
            data = json.dumps(body).encode()
            self.send_response_only(status)
            self.send_header("Date", formatdate(stripe.now, usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stripe.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stripe
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
