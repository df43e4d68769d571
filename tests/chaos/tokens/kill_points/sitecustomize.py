"""Kills a process at one named step of a refresh, without a line of production code for it.

Python imports a module of this name at its start from ``PYTHONPATH``. It wraps functions of the
provider as soon as they are imported; each wrapper looks whether the file that ``CHAOS_KILL_FILE``
names asks for its step, takes that file away (one kill an order, whoever of several processes comes
first) and ends its own process with SIGKILL, or with SIGTERM for steps that begin with ``term:``.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import threading
import time

IN_FLIGHT_SECONDS = float(os.environ.get("CHAOS_IN_FLIGHT_SECONDS", "0.12"))


def _wanted() -> str:
    try:
        with open(os.environ["CHAOS_KILL_FILE"]) as file:
            return file.read().strip()
    except (KeyError, OSError):
        return ""


def _claim() -> bool:
    """Take the order; of several processes one gets it."""
    path = os.environ["CHAOS_KILL_FILE"]
    try:
        os.rename(path, f"{path}.{os.getpid()}.done")
    except OSError:
        return False
    return True


def reached(step: str) -> None:
    """End this process if this step was ordered."""
    wanted = _wanted()
    if wanted == f"term:{step}" and _claim():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.0)  # the main thread shuts the server down around this one
    elif wanted == step and _claim():
        os.kill(os.getpid(), signal.SIGKILL)


def any_moment() -> None:
    """End this process at a moment of chance from now on, if that was ordered."""
    if _wanted() == "any moment" and _claim():

        def end() -> None:
            time.sleep(random.uniform(0, IN_FLIGHT_SECONDS))
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=end, daemon=True).start()


def _around(owner, name, before="", after="", only=lambda *a, **k: True):
    """Wrap a function; a name that is gone is an error, for its step could not be tested."""
    raw = vars(owner)[name]
    real = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw

    @functools.wraps(real)
    def wrapped(*args, **kwargs):
        mine = only(*args, **kwargs)
        if mine and before:
            reached(before)
        result = real(*args, **kwargs)
        if mine and after:
            reached(after)
        return result

    setattr(owner, name, staticmethod(wrapped) if isinstance(raw, staticmethod) else wrapped)


def _renewal(module):
    _around(module.Renewal, "_take", "before the lease", "after the lease")


def _adoption(module):
    _around(module.Adoption, "keep", "answer read")
    _around(module.Adoption, "adopt", "before the transaction")
    _around(module, "update_copy", "after the commit")


def _endpoint(module):
    real = module.TokenEndpoint.refresh

    @functools.wraps(real)
    def refresh(*args, **kwargs):
        reached("before the call")
        any_moment()
        return real(*args, **kwargs)

    module.TokenEndpoint.refresh = refresh
    _around(module.TokenEndpoint, "exchange", after="code spent")


def _client(module):
    _around(module.KeyClient, "_read", "answer arriving")


def _spool(module):
    _around(module.Spool, "put", "before the spool")
    _around(module.Spool, "_sync", "spooled, not synced")
    _around(module.Spool, "remove", "before the spool is emptied")
    # The file is there, but not yet written and not yet under its name.
    _around(module, "seal", "spool half written")


def _healing(module):
    _around(module.Healing, "_try", "before mending")


def _installs(module):
    _around(module.InstallsApi, "reinstall", after="reinstalled")


def _rows(module):
    tokens = ("refreshed", "recovered", "healed")
    _around(
        module,
        "record",
        "before the commit",
        only=lambda session, conn_id, event, *a, **k: event in tokens,
    )


def _broker(module):
    _around(module, "answer_token_request", after="before the worker's answer")


PACKAGE = "airflow_provider_stripe_app.oauth."
WRAPPERS = {
    f"{PACKAGE}renewal": _renewal,
    f"{PACKAGE}adoption": _adoption,
    f"{PACKAGE}token_endpoint": _endpoint,
    f"{PACKAGE}key_client": _client,
    f"{PACKAGE}spool": _spool,
    f"{PACKAGE}rows": _rows,
    f"{PACKAGE}healing": _healing,
    f"{PACKAGE}installs_api": _installs,
    f"{PACKAGE}broker_server": _broker,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps a module's functions right after it was imported."""

    def find_spec(self, name, path=None, target=None):
        if name not in WRAPPERS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return spec
        real = spec.loader.exec_module

        def exec_module(module):
            real(module)
            WRAPPERS[name](module)

        spec.loader.exec_module = exec_module
        return spec


if "CHAOS_KILL_FILE" in os.environ:
    sys.meta_path.insert(0, _Finder())
