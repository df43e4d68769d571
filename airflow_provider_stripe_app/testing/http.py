"""The HTTP side: an ASGI application without a framework, and uvicorn with reach to the transport.

Failure injection has to do what no web framework offers: reset a connection, send half of a body.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airflow_provider_stripe_app.testing.faults import Fault
from airflow_provider_stripe_app.testing.messages import Request, Response

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.service import Service

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_TRANSPORT = "stripe_sim.transport"
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with its transport in ``scope["extensions"]``."""

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


class Application:
    """The ASGI application.

    :param service: returns what answers requests; another one after a reset.
    """

    def __init__(self, service: Callable[[], Service]) -> None:
        self._service = service
        self._stopping: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if self._stopping is None:
            self._stopping = asyncio.Event()
        service = self._service()
        request = await _read(scope, receive)
        if request.path.startswith("/_sim/"):
            await self._send(send, await asyncio.to_thread(service.control, request))
            return
        for hook in service.faults.hooks(request, "before"):
            await asyncio.to_thread(hook.run, request)
        fault = service.faults.draw(request)
        exchange = service.begin(request, fault)
        await self._sleep(exchange.wait + _stall(fault, "before"))
        response = service.carry_out(exchange)
        await self._sleep(_stall(fault, "after"))
        for hook in service.faults.hooks(request, "after"):
            await asyncio.to_thread(hook.run, request)
        await self._answer(scope, receive, send, response, fault)

    def stop(self) -> None:
        """Wake up all that wait. Called in the server's loop."""
        if self._stopping is not None:
            self._stopping.set()

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0 or self._stopping is None:
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, response: Response, fault: Fault | None
    ) -> None:
        action = fault.action if fault else ""
        if action not in ("reset", "truncate"):
            await self._send(send, response)
            return
        transport = scope["extensions"][_TRANSPORT]["transport"]
        if fault is not None and action == "truncate":
            cut = max(0, min(len(response.body) - 1, int(len(response.body) * fault.keep)))
            await send(self._head(response))
            part = response.body[:cut]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            transport.close()
        else:
            reset(transport)
        while (await receive())["type"] != "http.disconnect":
            pass

    def _head(self, response: Response) -> dict[str, Any]:
        headers = [
            (b"date", self._service().clock.http_date()),
            (b"content-type", response.content_type.encode()),
            (b"content-length", b"%d" % len(response.body)),
        ]
        headers += [(name.lower().encode(), value.encode()) for name, value in response.headers]
        return {"type": "http.response.start", "status": response.status, "headers": headers}

    async def _send(self, send: Send, response: Response) -> None:
        await send(self._head(response))
        await send({"type": "http.response.body", "body": response.body})


def _stall(fault: Fault | None, when: str) -> float:
    """Return how long a rule holds a request up at a stage, in seconds."""
    stalls = fault is not None and fault.action == "stall" and fault.when == when
    return fault.seconds if fault is not None and stalls else 0.0


def reset(transport: Any) -> None:
    """Break a connection with RST, as a crashed proxy does."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


async def _read(scope: Scope, receive: Receive) -> Request:
    body = b""
    while scope["method"] not in ("GET", "HEAD"):
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        headers,
        body,
    )
