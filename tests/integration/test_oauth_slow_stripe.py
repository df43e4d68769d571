"""A call to the token endpoint ends in time, however Stripe, or what is in front of it, drags."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from airflow_provider_stripe_app.oauth import key_client
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, TokenEndpoint, Trouble


def _drip(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.05)


def _endless(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def _silent(connection):
    connection.recv(65536)
    time.sleep(3)


def _redirect(connection):
    connection.recv(65536)
    connection.sendall(
        b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    )


def _granted(connection):
    connection.recv(65536)
    body = b'{"access_token": "ak_1", "refresh_token": "rt_2", "stripe_user_id": "acct_1"}'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def test_answer_that_was_there_while_the_process_was_stopped_is_not_thrown_away(monkeypatch):
    """As after SIGSTOP or a suspended machine: time is over when the first byte is read."""
    times = iter([0.0])
    clock = SimpleNamespace(monotonic=lambda: next(times, 100.0), time=time.time)
    monkeypatch.setattr(key_client, "time", clock)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            _granted(connection)

    threading.Thread(target=serve, daemon=True).start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    outcome = TokenEndpoint("sk_test_x", api_base=base, timeout=1.0).refresh("rt_1", "key")
    listener.close()
    assert isinstance(outcome, Granted)
    assert outcome.refresh_token == "rt_2"


@pytest.mark.parametrize("answer", [_drip, _endless, _silent, _redirect])
def test_call_ends_within_its_timeout_and_follows_nobody(answer):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            try:
                answer(connection)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    started = time.monotonic()
    outcome = TokenEndpoint("sk_test_x", api_base=base, timeout=1.0).refresh("rt_secret", "key")
    assert time.monotonic() - started < 1.0 + key_client.LATE_SECONDS + 1.0
    listener.close()
    assert isinstance(outcome, Trouble)
    assert not outcome.received
    assert "rt_secret" not in outcome.message
    assert "sk_test_x" not in outcome.message
