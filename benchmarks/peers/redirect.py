"""Run a peer's own entry point against the simulated Stripe: ``redirect.py MODULE:FUNCTION …``.

Neither Airbyte's source nor tap-stripe has a setting for Stripe's address. So the address is
changed where ``requests`` sends: the peer itself, and what it thinks it talks to, stays as it is.
Runs inside the peer's environment; ``STRIPE_URL`` names the simulated Stripe.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from requests.adapters import HTTPAdapter

STRIPE = "https://api.stripe.com/"


def redirect(url: str) -> None:
    """Send what goes to Stripe to another base URL."""
    send = HTTPAdapter.send

    def elsewhere(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.url.startswith(STRIPE):
            request.url = f"{url}/{request.url.removeprefix(STRIPE)}"
        return send(self, request, *args, **kwargs)

    HTTPAdapter.send = elsewhere  # type: ignore[method-assign]


def main() -> None:
    """Redirect, then be the peer."""
    module, _, function = sys.argv[1].partition(":")
    redirect(os.environ["STRIPE_URL"])
    sys.argv = [module, *sys.argv[2:]]
    sys.exit(getattr(importlib.import_module(module), function)())


if __name__ == "__main__":
    main()
