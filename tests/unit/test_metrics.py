"""Numbers reach the receiver that Airflow's section ``[metrics]`` names."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_provider_stripe_app.oauth import metrics


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(20)
        yield listener


def environment(receiver: socket.socket, **more: str) -> dict[str, str]:
    import os

    return {
        **os.environ,
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(receiver.getsockname()[1]),
        "AIRFLOW__METRICS__STATSD_PREFIX": "air",
        **more,
    }


EVERYTHING = """
from airflow_provider_stripe_app.oauth import metrics
metrics.refreshed("expiring")
metrics.failed("wrong key, of acct=1")
metrics.lost()
metrics.healed()
metrics.broker("token", 401)
metrics.ages(86400.4, -5.0, None)
metrics.installations("active", 3)
metrics.looked(0.25, 7)
metrics.look_failed()
metrics.reconciled("done")
"""


@pytest.mark.parametrize("tags", [True, False])
def test_every_number_is_sent_with_few_plain_tags(receiver: socket.socket, tags: bool) -> None:
    settings = environment(receiver, AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED=str(tags))
    subprocess.run([sys.executable, "-c", EVERYTHING], env=settings, check=True, timeout=120)
    expected = [
        ("token.refreshed", ",reason=expiring", "1|c"),
        ("token.refresh_failed", ",kind=wrong_key_of_acct_1", "1|c"),
        ("token.lost", "", "1|c"),
        ("token.healed", "", "1|c"),
        ("broker.requests", ",route=token,status=401", "1|c"),
        ("token.age_max", "", "86400|g"),
        ("token.access_left_min", "", "0|g"),
        ("installations", ",status=active", "3|g"),
        ("keepalive.duration", "", "250.000000|ms"),
        ("keepalive.due", "", "7|g"),
        ("keepalive.failed", "", "1|c"),
        ("reconcile.done", ",outcome=done", "1|c"),
    ]
    got = []
    while len(got) < len(expected):
        text = receiver.recv(4096).decode()
        if ".stripe_app." in text:  # Airflow may send numbers of its own
            got.append(text)
    assert got == [
        f"air.stripe_app.{name}{tag if tags else ''}:{value}" for name, tag, value in expected
    ]


def test_a_broken_receiver_is_nobodys_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no metrics here")

    monkeypatch.setattr(metrics, "_stats", fail)
    metrics.refreshed("expiring")
    metrics.looked(1.0, 2)


def test_with_airflows_metrics_off_nothing_is_sent(receiver: socket.socket) -> None:
    settings = environment(receiver, AIRFLOW__METRICS__STATSD_ON="False")
    subprocess.run([sys.executable, "-c", EVERYTHING], env=settings, check=True, timeout=120)
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(4096)
