"""A live access token, and the one opaque string it travels in inside the connection's extra."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass, field


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
        values = [
            self.access_token,
            self.expires_at,
            self.generation,
            self.account_id,
            self.livemode,
        ]
        return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()

    @classmethod
    def from_copy(cls, text: str) -> AccessGrant | None:
        """Return the grant that a copy holds, ``None`` for anything else: a copy may be damaged.

        :param text: what the connection's extra says.
        """
        if not text:
            return None
        try:
            values = json.loads(base64.urlsafe_b64decode(text.encode()))
        except ValueError:
            return None
        if not isinstance(values, list) or len(values) != 5:
            return None
        token, expires_at, generation, account_id, livemode = values
        sound = (
            isinstance(token, str)
            and bool(token)
            and isinstance(expires_at, (int, float))
            and not isinstance(expires_at, bool)
            and math.isfinite(expires_at)
            and isinstance(generation, int)
            and isinstance(account_id, str)
            and isinstance(livemode, bool)
        )
        return cls(token, float(expires_at), generation, account_id, livemode) if sound else None
