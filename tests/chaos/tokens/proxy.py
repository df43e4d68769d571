"""What can stand between an API server and Stripe: a proxy that is broken as long as it is told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], bytes]

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def json_error(status: int, **headers: str) -> Callable[[Answer], Answer]:
    """Return a way to spoil answers: Stripe's own words for a failure, before any effect."""
    body = b'{"error": {"type": "api_error", "message": "An unknown error occurred"}}'
    return lambda _: (status, {"Content-Type": "application/json", **headers}, body)


def html(status: int) -> Callable[[Answer], Answer]:
    """Return a way to spoil answers: a page of a proxy's in place of the answer."""
    return lambda _: (status, {"Content-Type": "text/html"}, HTML)


def truncated(real: Answer) -> Answer:
    """Return half of an answer under the length of the whole."""
    status, headers, body = real
    return status, {**headers, "Content-Length": str(len(body))}, body[: len(body) // 2]


class Proxy:
    """Forwards requests, spoils answers.

    :param target: address of the simulated Stripe.
    :param spoil: makes another answer out of the real one; ``None`` leaves it.
    :param forward: whether spoilt requests reach Stripe at all.
    """

    def __init__(
        self, target: str, spoil: Callable[[Answer], Answer] | None, *, forward: bool
    ) -> None:
        self.spoil = spoil
        self.spoilt = 0
        host = urlsplit(target).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._serve()

            def do_GET(self) -> None:
                self._serve()

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                spoil = proxy.spoil
                real: Answer = (0, {}, b"")
                if spoil is None or forward:
                    headers = dict(self.headers.items())
                    real = _ask(host, self.command, self.path, headers, body)
                if spoil is not None:
                    proxy.spoilt += 1
                    real = spoil(real)
                status, answer_headers, answer = real
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **answer_headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _ask(host: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        kept = {
            name: value
            for name, value in response.getheaders()
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}
        }
        return response.status, kept, response.read()
    finally:
        connection.close()
