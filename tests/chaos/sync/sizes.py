"""How much is done: a little in ``make test``, much in ``make chaos``."""

from __future__ import annotations

import os
import time

LONG = "CHAOS_SEEDS" in os.environ
"""Whether this is ``make chaos``, or the replay of a seed."""

STEPS = int(os.environ.get("CHAOS_STEPS", "30"))
"""What happens in one story: writes, weather, silence, runs."""

MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
"""After so many minutes no more stories are begun; 0: never."""

KILLS = int(os.environ.get("CHAOS_SYNC_KILLS", "2"))
"""Real SIGKILLs of a sync, for each kind of warehouse."""

SERVER_KILLS = int(os.environ.get("CHAOS_SERVER_KILLS", "1"))
"""Real SIGKILLs of the warehouse's server with all of its processes."""

EVERY = int(os.environ.get("CRASH_EVERY", "67"))
"""Every so many of all points at which a sync can die are tried; 1: every one."""

_BEGAN = time.monotonic()


def seeds(short: str, share: int = 1) -> list[int]:
    """Return the seeds to run, ``CHAOS_SEEDS`` (``7`` or ``1-1000``) or a few.

    :param short: the few, in the same spelling.
    :param share: of a range of more than ten, take every so many (slow warehouses).
    """
    first, _, last = os.environ.get("CHAOS_SEEDS", short).partition("-")
    wanted = range(int(first), int(last or first) + 1)
    return list(wanted[:: share if len(wanted) > 10 else 1])


def is_over() -> bool:
    """Tell whether the time for beginning stories is over."""
    return MINUTES > 0 and time.monotonic() - _BEGAN > MINUTES * 60
