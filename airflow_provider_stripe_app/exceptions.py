"""The errors that users of this provider meet. Every message says what is wrong and what to do."""

from __future__ import annotations


class StripeAppError(Exception):
    """Base of every error this provider raises on purpose. Never carries a secret."""


class ConfigurationError(StripeAppError):
    """A connection, option or argument is wrong; a retry cannot mend it."""


class ReauthorizationRequired(StripeAppError):
    """The grant of an installation is lost; a person has to install the app again."""


class TokenUnavailable(StripeAppError):
    """No live access token can be had right now (broker or Stripe unreachable); a retry may
    mend it.
    """
