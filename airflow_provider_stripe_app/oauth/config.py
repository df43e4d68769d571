"""The options of section ``[stripe_app]`` of ``airflow.cfg``, written down once.

The same table is the provider's metadata (``CONFIG_SECTION``, so that ``airflow config list`` knows
the options) and the fallback when an option is not set. The Stripe address is an option of the
deployment and never a field of a connection: whoever may edit a connection could otherwise have the
app's secret key sent to a server of their own (DESIGN §2.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_stripe_app.exceptions import ConfigurationError

SECTION = "stripe_app"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


@dataclass(frozen=True)
class Option:
    """One option: what Airflow's metadata says about it, and its default."""

    name: str
    type: str
    default: str
    description: str
    example: str | None = None
    sensitive: bool = False


OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option(
            "api_base",
            "string",
            "https://api.stripe.com",
            "Address of Stripe's API. Change it only to use the simulated Stripe.",
            "http://127.0.0.1:12111",
        ),
        Option(
            "marketplace_base",
            "string",
            "",
            "Address of Stripe's consent pages. Empty means the host of the pasted install link. "
            "Change it only to use the simulated Stripe.",
            "http://127.0.0.1:12111",
        ),
        Option(
            "broker_url",
            "string",
            "",
            "Address under which workers reach an API server that runs this plugin, for example "
            "http://airflow-api:8080. Empty means [api] base_url.",
            "http://airflow-api:8080",
        ),
        Option(
            "keepalive",
            "boolean",
            "True",
            "Whether API servers renew tokens in the background before workers need them.",
        ),
        Option(
            "keep_all_fresh",
            "boolean",
            "False",
            "Whether the background renewal keeps the tokens of all installations alive, not only "
            "of those that were used within two hours. For workers that reach no API server with "
            "this plugin: nobody sees when they use an installation.",
        ),
        Option(
            "deployment_id",
            "string",
            "",
            "Name of this Airflow deployment, the same in all its components. Tokens that were "
            "installed under another name (a copied metadata database) are not renewed here until "
            "somebody takes them over, because that would take them away from the original. Empty "
            "means [api] base_url.",
            "production",
        ),
        Option(
            "self_heal",
            "boolean",
            "True",
            "Whether a lost grant is mended by Stripe's Install API, as long as the account still "
            "has the app installed. Needs the app's id (app_…) in the app's connection.",
        ),
        Option(
            "refresh_margin",
            "integer",
            "300",
            "Seconds of life an access token must have left; one with less is renewed.",
        ),
        Option(
            "worker_margin",
            "integer",
            "60",
            "Seconds of life below which a worker asks for a new token instead of using the one it "
            "read from its connection. Keep it below refresh_margin.",
        ),
        Option(
            "min_token_age",
            "integer",
            "10",
            "Seconds after a renewal during which a refused token does not cause another one. It "
            "keeps a wave of false 401 answers from revoking one good token after the other.",
        ),
        Option(
            "max_refreshes_per_hour",
            "integer",
            "20",
            "How many renewals an hour refused tokens may cause for one installation.",
        ),
        Option(
            "lease_seconds",
            "integer",
            "60",
            "How long one process may hold the right to renew an installation's token.",
        ),
        Option(
            "token_timeout",
            "integer",
            "20",
            "Seconds that one call to Stripe's token endpoint may take in all. It must be well "
            "below lease_seconds.",
        ),
        Option(
            "wait_seconds",
            "integer",
            "45",
            "How long a request for a token waits while another process renews it.",
        ),
        Option(
            "lost_after",
            "integer",
            "180",
            "Seconds to wait, after Stripe refused a refresh token that another process was using "
            "as well, before the installation counts as lost.",
        ),
        Option(
            "store_seconds",
            "integer",
            "120",
            "How long to keep trying to store tokens that Stripe has already handed out while the "
            "metadata database does not answer.",
        ),
        Option(
            "rate_limit_url",
            "string",
            "",
            "Address of a Redis server through which all tasks on all workers share the requests "
            "per second that Stripe allows an account. Needs the package's extra redis on workers. "
            "Empty: each task paces itself, and slows down when Stripe answers 429.",
            "redis://:password@redis.internal:6379/3",
            sensitive=True,
        ),
    )
}

CONFIG_SECTION: dict[str, Any] = {
    SECTION: {
        "description": "Options of the Stripe App provider.",
        "options": {
            option.name: {
                "description": option.description,
                "version_added": "0.1.0",
                "type": option.type,
                "example": option.example,
                "default": option.default,
                **({"sensitive": True} if option.sensitive else {}),
            }
            for option in OPTIONS.values()
        },
    }
}
"""The value of key ``config`` of the provider info."""


def read(name: str) -> str:
    """Return an option as text.

    :param name: name of the option, a key of ``OPTIONS``.
    :return: what ``airflow.cfg`` or the environment says, else the default.
    """
    from airflow.providers.common.compat.sdk import conf

    value = conf.get(SECTION, name, fallback=OPTIONS[name].default)
    return str(OPTIONS[name].default if value is None else value).strip()


def _seconds(name: str) -> int:
    text = read(name)
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigurationError(
            f"Option [{SECTION}] {name} is {text!r}, but must be a whole number that is not "
            "negative."
        )
    return number


def _flag(name: str) -> bool:
    text = read(name).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ConfigurationError(f"Option [{SECTION}] {name} is {text!r}, but must be True or False.")


def _address(name: str) -> str:
    text = read(name).rstrip("/")
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username is not None:
        raise ConfigurationError(
            f"Option [{SECTION}] {name} is not an address like {OPTIONS[name].example}: "
            "give scheme, host and port, and no user name."
        )
    return text


def api_base() -> str:
    """Return the address of Stripe's API, without a slash at the end."""
    return _address("api_base") or OPTIONS["api_base"].default


def marketplace_base() -> str:
    """Return the address of the consent pages, or ``""`` for the pasted link's own host."""
    return _address("marketplace_base")


def broker_url() -> str:
    """Return the API server's address for workers as configured for this provider, or ``""``."""
    return _address("broker_url")


def deployment_id() -> str:
    """Return the name of this deployment: the option, else Airflow's public address."""
    from airflow.providers.common.compat.sdk import conf

    own = read("deployment_id")
    base = str(conf.get("api", "base_url", fallback="") or "").strip().rstrip("/").lower()
    return (own or base or "http://localhost:8080")[:255]


def rate_limit_url() -> str:
    """Return the address of the Redis server that holds the shared rate budgets, or ``""``."""
    return read("rate_limit_url")


def keepalive() -> bool:
    """Return whether API servers renew tokens in the background."""
    return _flag("keepalive")


def keep_all_fresh() -> bool:
    """Return whether the tokens of all installations are kept alive, in use or not."""
    return _flag("keep_all_fresh")


def worker_margin() -> int:
    """Return the seconds of life below which a worker asks for a new token."""
    return _seconds("worker_margin")


@dataclass(frozen=True)
class TokenPolicy:
    """The numbers behind the rules of ``store.py``, in seconds unless they are counts."""

    refresh_margin: float = 300
    min_token_age: float = 10
    max_refreshes_per_hour: int = 20
    lease_seconds: float = 60
    token_timeout: float = 20
    wait_seconds: float = 45
    lost_after: float = 180
    store_seconds: float = 120
    self_heal: bool = True
    heal_pause: float = 60

    def __post_init__(self) -> None:
        if self.token_timeout * 2 > self.lease_seconds:
            raise ConfigurationError(
                f"Option [{SECTION}] token_timeout ({self.token_timeout:g} s) must be at most half "
                f"of lease_seconds ({self.lease_seconds:g} s): otherwise a slow answer outlives "
                "the lease."
            )


def token_policy() -> TokenPolicy:
    """Return the policy that this deployment's options make.

    :raises ConfigurationError: if an option is not a number or the lease is too short.
    """
    return TokenPolicy(
        refresh_margin=_seconds("refresh_margin"),
        min_token_age=_seconds("min_token_age"),
        max_refreshes_per_hour=_seconds("max_refreshes_per_hour"),
        lease_seconds=_seconds("lease_seconds"),
        token_timeout=_seconds("token_timeout"),
        wait_seconds=_seconds("wait_seconds"),
        lost_after=_seconds("lost_after"),
        store_seconds=_seconds("store_seconds"),
        self_heal=_flag("self_heal"),
    )
