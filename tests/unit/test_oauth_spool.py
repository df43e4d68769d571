"""Tokens on disk while the database does not have them yet."""

from __future__ import annotations

import errno
import os

import pytest

from airflow_provider_stripe_app.oauth import spool as module
from airflow_provider_stripe_app.oauth.spool import Spool, Spooled
from airflow_provider_stripe_app.oauth.token_endpoint import Granted

ENTRY = Spooled("acme", 3, "ab" * 8, Granted("ak_1", "rt_1", "acct_1", False, 1e9))


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def test_tokens_can_be_found_before_a_slow_disk_has_them(spool, monkeypatch):
    seen = []
    real = os.fsync

    def fsync(handle):
        seen.extend(entry for _, entry in spool.find("acme"))
        real(handle)

    monkeypatch.setattr(module.os, "fsync", fsync)
    path = spool.put(ENTRY)
    assert seen == [ENTRY]
    assert spool.find("acme") == [(path, ENTRY)]


def test_disk_that_cannot_sync_keeps_the_tokens_and_says_so(spool, monkeypatch, caplog):
    def fsync(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.os, "fsync", fsync)
    with caplog.at_level("WARNING"):
        assert spool.put(ENTRY) is not None
    assert "Input/output error" in caplog.text
    assert [entry for _, entry in spool.find("acme")] == [ENTRY]


def test_full_disk_leaves_no_half_file_and_says_so(spool, monkeypatch, caplog):
    def seal(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "seal", seal)
    with caplog.at_level("WARNING"):
        assert spool.put(ENTRY) is None
    assert "No space left on device" in caplog.text
    assert list(spool._directory.iterdir()) == []
