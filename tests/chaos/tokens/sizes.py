"""How much is done: a little in ``make test``, much in ``make chaos``."""

from __future__ import annotations

import os

LONG = bool({"CHAOS_KILLS", "CHAOS_SECONDS"} & set(os.environ))
"""Whether this is ``make chaos``."""

KILLS = int(os.environ.get("CHAOS_KILLS", "0"))
"""SIGKILLs of API servers for each setting; every step is met once at least."""

SECONDS = float(os.environ.get("CHAOS_SECONDS", "5"))
"""How long 50 workers work with tokens that live for seconds, for each setting."""

LANES = int(os.environ.get("CHAOS_LANES", "5"))
"""API servers that are killed side by side."""
