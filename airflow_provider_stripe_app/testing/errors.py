"""Refusals in Stripe's words (https://docs.stripe.com/api/errors)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_stripe_app.exceptions import StripeAppError


class ApiError(StripeAppError):
    """An error answer of the simulated Stripe.

    :param status: HTTP status.
    :param message: Stripe's sentence.
    :param type: ``invalid_request_error``, ``api_error`` or ``idempotency_error``.
    :param code: Stripe's error code, if it has one.
    :param param: the parameter at fault.
    :param headers: more response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error: dict[str, Any] = {"message": message, "type": type}
        if code:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.error["param"] = param

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body, with the link to the request's log."""
        log = f"https://dashboard.stripe.com/test/logs/{request_id}?t=0"
        return {"error": dict(sorted({**self.error, "request_log_url": log}.items()))}


def missing(kind: str, id_: str, param: str = "id", status: int = 404) -> ApiError:
    """Build ``resource_missing``: 404 for what was asked for, 400 for what a parameter names."""
    text = f"No such {kind}: '{id_}'"
    return ApiError(status, text, code="resource_missing", param=param)


def unknown_param(name: str) -> ApiError:
    """Build ``parameter_unknown``."""
    text = f"Received unknown parameter: {name}"
    return ApiError(400, text, code="parameter_unknown", param=name)


def missing_param(name: str) -> ApiError:
    """Build ``parameter_missing``."""
    return ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Build a 400 for a value that Stripe does not take."""
    return ApiError(400, message, param=param, code=code)


def invalid_integer(name: str, value: str) -> ApiError:
    """Build ``parameter_invalid_integer``."""
    return invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")


def rate_limited(reason: str | None) -> ApiError:
    """Build a 429 of the rate limiter, with the header that says why.

    :param reason: ``global-rate``, ``endpoint-rate``, ``global-concurrency``…; ``None`` for no
        header.
    """
    text = (
        "Request rate limit exceeded. Learn more about rate limits "
        "https://stripe.com/docs/rate-limits."
    )
    headers = {"Stripe-Should-Retry": "true"}
    if reason is not None:
        headers["Stripe-Rate-Limited-Reason"] = reason
    return ApiError(429, text, code="rate_limit", headers=headers)


def lock_timeout() -> ApiError:
    """Build a 429 for a locked object; it has no reason header."""
    text = (
        "This object cannot be accessed right now because another API request or Stripe process "
        "is currently accessing it. If you see this error intermittently, retry the request."
    )
    return ApiError(429, text, code="lock_timeout", headers={"Stripe-Should-Retry": "true"})


def permission_missing(
    permission: str, account_id: str, key: str, *, app: bool, answer: str = "application"
) -> ApiError:
    """Build the 403 for a permission that a key or app does not have.

    :param permission: name as in the app manifest.
    :param key: the masked key.
    :param app: an app's access token rather than a restricted key.
    :param answer: see the switch ``permission_answer``.
    """
    if answer == "bare":
        return ApiError(403, "This request is not allowed.")
    text = (
        f"The provided key '{key}' does not have the required permissions for this endpoint on "
        f"account '{account_id}'. Having the '{permission}' permission would allow this request "
        "to continue."
    )
    own = app and answer == "application"
    code = "more_permissions_required_for_application" if own else "more_permissions_required"
    return ApiError(403, text, code=code)
