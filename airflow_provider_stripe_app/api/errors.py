"""What Stripe's error answers mean (https://docs.stripe.com/api/errors), as exceptions.

They carry ids and codes for support, and never a token: messages are scrubbed, URLs are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import StripeAppError

if TYPE_CHECKING:
    from airflow_provider_stripe_app.api.transport import Reply

_KEY = re.compile(r"\b((?:sk|rk|pk)_(?:live|test)_|rt_|ac_|whsec_)[A-Za-z0-9]{8,}")
_PERMISSION = re.compile(r"'(?:rak_)?([a-z][a-z0-9_]*_(?:read|write))'")
_PERMISSION_CODES = {"more_permissions_required", "more_permissions_required_for_application"}


def scrub(text: str) -> str:
    """Hide whatever looks like a key or token."""
    return _KEY.sub(r"\1***", text)


class StripeApiError(StripeAppError):
    """Stripe refused a request, or could not be understood.

    :param message: what is wrong and what to do.
    :param status: HTTP status, 0 if there was no answer.
    :param code: Stripe's error code.
    :param type: Stripe's error type.
    :param param: the parameter at fault.
    :param request_id: ``req_…``, which Stripe's support and Dashboard know.
    :param sent_at: lower bound of Stripe's time when the answer was made, see :class:`.Answer`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        sent_at: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.sent_at = sent_at


class PermissionMissing(StripeApiError):
    """The grant or key lacks a permission (HTTP 403).

    :param permission: its name in the app manifest, ``None`` if neither Stripe nor the caller said.
    """

    def __init__(self, message: str, *, permission: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.permission = permission


class RateLimited(StripeApiError):
    """HTTP 429, still after all retries.

    :param reason: the header ``Stripe-Rate-Limited-Reason``; ``None`` for a locked object.
    """

    def __init__(self, message: str, *, reason: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.reason = reason


class ObjectMissing(StripeApiError):
    """The object asked for does not exist (HTTP 404, ``resource_missing``).

    ``sent_at`` is always known; ``reply`` is the answer itself, for callers that allow it.
    """

    sent_at: int
    reply: Reply | None = None


class CursorDeleted(StripeApiError):
    """The object that a page begins after has been deleted (HTTP 400, ``resource_missing``)."""


class Unauthorized(StripeApiError):
    """Stripe refused the token, and another one too (HTTP 401)."""


class InvalidRequest(StripeApiError):
    """Stripe does not take the request as it is; a retry cannot mend it."""


class ServerTrouble(StripeApiError):
    """Stripe or the way to it failed, still after all retries."""


class NotStripe(StripeApiError):
    """Something that is not Stripe answered, a proxy for example."""


def looks_like_html(content_type: str | None, body: bytes) -> bool:
    """Tell whether an answer is a web page instead of the API's JSON."""
    return "html" in (content_type or "").lower() or body.lstrip()[:1] == b"<"


def not_stripe(status: int, host: str, body: bytes) -> NotStripe:
    """Build the error for an answer that is a web page."""
    title = re.search(rb"<title[^>]*>([^<]{1,80})", body[:4096], re.IGNORECASE)
    named = f" titled {title[1].decode('utf-8', 'replace').strip()!r}" if title else ""
    return NotStripe(
        f"{host} answered HTTP {status} with a web page{named} instead of JSON, so it is not "
        "Stripe's API but a proxy, a login page or another server: check [stripe_app] api_base and "
        "the proxy settings of this machine.",
        status=status,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _error_of(body: bytes) -> dict[str, Any]:
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {"message": str(error)}


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    what: str,
    permission: str | None = None,
    sent_at: int | None = None,
) -> StripeApiError:
    """Turn an error answer into the exception it means.

    :param status: HTTP status, not 2xx.
    :param headers: response headers, any case accepted by the mapping.
    :param what: method and operation for the message, without ids or parameters.
    :param permission: what the operation is known to need.
    :param sent_at: see :class:`StripeApiError`.
    """
    error = _error_of(body)
    code, param = _text(error.get("code")), _text(error.get("param"))
    said = scrub(_text(error.get("message")) or f"HTTP {status} without a message")
    request_id = headers.get("Request-Id")
    details: dict[str, Any] = {
        "status": status,
        "code": code,
        "type": _text(error.get("type")),
        "param": param,
        "request_id": request_id,
        "sent_at": sent_at,
    }
    marks = [f"HTTP {status}", *(m for m in (code, param and f"param {param}", request_id) if m)]
    facts = f"{what} ({', '.join(marks)}): {said}"
    if status == 403:
        named = _PERMISSION.search(said) if "permission" in said else None
        if named or code in _PERMISSION_CODES or (permission and not code):
            missing = named[1] if named else permission
            return PermissionMissing(
                _permission_text(missing, facts), permission=missing, **details
            )
    return _kinds(status, code, param, headers, facts, details)


def _kinds(
    status: int,
    code: str | None,
    param: str | None,
    headers: Mapping[str, str],
    facts: str,
    details: dict[str, Any],
) -> StripeApiError:
    if status == 429:
        reason = headers.get("Stripe-Rate-Limited-Reason")
        why = f" ({reason})" if reason else ""
        return RateLimited(
            f"Stripe limits the rate of requests{why}, still after retries. Run fewer tasks on "
            f"this account at once, or lower the rate. {facts}",
            reason=reason,
            **details,
        )
    if code == "resource_missing" and param in ("starting_after", "ending_before"):
        return CursorDeleted(f"The object that the page begins after is gone. {facts}", **details)
    if status == 404 and code == "resource_missing":
        return ObjectMissing(f"The object does not exist. {facts}", **details)
    if status == 401:
        return Unauthorized(
            "Stripe refused the access token and the one that replaced it. See the installation's "
            f"status on the Stripe App page and reauthorize it there. {facts}",
            **details,
        )
    if status >= 500 or status == 409:
        return ServerTrouble(
            f"Stripe could not answer, still after retries; try again later. {facts}", **details
        )
    return InvalidRequest(f"Stripe refuses the request. {facts}", **details)


def _permission_text(permission: str | None, facts: str) -> str:
    named = f"the permission {permission}" if permission else "a permission"
    return (
        f"Stripe does not allow this: {named} is missing. For a Stripe App add it to `permissions` "
        "in stripe-app.json, run `stripe apps upload`, and reauthorize the account on the Stripe "
        "App page (permissions are fixed when an account consents). For a restricted key edit the "
        f"key in the Stripe Dashboard. {facts}"
    )
