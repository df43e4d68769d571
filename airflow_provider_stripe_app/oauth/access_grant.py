"""A live access token, and the one opaque string it travels in inside the connection's extra."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field


def fingerprint(token: str) -> str:
    """Return what may be said of a token in requests, logs and rows: 16 digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class AccessGrant:
    """One access token of an installation.

    :param access_token: the bearer token.
    :param expires_at: unix seconds at which it dies.
    :param generation: grows with every renewal of the installation.
    :param account_id: Stripe account ``acct_…``.
    :param livemode: live or test.
    """

    access_token: str = field(repr=False)
    expires_at: float
    generation: int
    account_id: str
    livemode: bool

    @property
    def fingerprint(self) -> str:
        """Return the token's fingerprint."""
        return fingerprint(self.access_token)

    def fresh(self, now: float, margin: float) -> bool:
        """Return whether the token lives for more than ``margin`` seconds after ``now``."""
        return self.expires_at - now > margin

    def to_copy(self) -> str:
        """Return the grant as one opaque string.

        One string, because Airflow's connection form merges masked values back field by field:
        several fields could come back from different generations (AIRFLOW.md).
        """
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @classmethod
    def from_copy(cls, text: str) -> AccessGrant | None:
        """Return the grant that a copy holds, ``None`` for anything else: a copy may be damaged.

        :param text: what the connection's extra says.
        """
        if not text:
            return None
        try:
            return cls.from_values(json.loads(base64.urlsafe_b64decode(text.encode())))
        except (ValueError, RecursionError):
            return None

    @classmethod
    def from_values(cls, values: object) -> AccessGrant | None:
        """Return the grant that decoded JSON holds, ``None`` if anything about it is wrong.

        :param values: an object with this class's fields; other keys are ignored.
        """
        if not isinstance(values, dict):
            return None
        token, expires_at = values.get("access_token"), values.get("expires_at")
        generation, account_id = values.get("generation"), values.get("account_id")
        livemode = values.get("livemode")
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            return None
        if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)):
            return None
        if not (isinstance(generation, int) and isinstance(account_id, str)):
            return None
        if not isinstance(livemode, bool) or not math.isfinite(expires_at):
            return None
        return cls(token, float(expires_at), generation, account_id, livemode)
