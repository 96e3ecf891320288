"""Why a caller is refused. Every text is a constant: none repeats a byte of what came.

The codes are OpenAI's where it has one, so that its clients raise what their users know.
"""

from __future__ import annotations

from serving.errors import RequestError

_GET_ONE = "Send one of the operator's tokens as the API key (Authorization: Bearer …)."


def token_missing() -> RequestError:
    """Refuse a request without a token."""
    return RequestError("missing_api_key", f"This service takes requests with a token alone. {_GET_ONE}", status=401)


def token_invalid() -> RequestError:
    """Refuse what none of the issuers signed; why, is not said: whoever forges shall not be guided."""
    return RequestError("invalid_api_key", f"The token is not valid for this service. {_GET_ONE}", status=401)


def token_expired() -> RequestError:
    """Refuse a genuine token whose time is over."""
    return RequestError("token_expired", "The token has expired. Ask the operator to renew it.", status=401)


def token_too_early() -> RequestError:
    """Refuse a genuine token that was issued in this machine's future."""
    return RequestError("token_not_yet_valid", "The token is not valid yet: a clock is wrong.", status=401)


def token_revoked() -> RequestError:
    """Refuse a genuine token from before the instant that the release names."""
    return RequestError(
        "token_revoked", "Tokens of that time are not taken any more. Ask the operator for a new one.", status=401
    )


def too_fast(seconds: int) -> RequestError:
    """Refuse a request above the token's rate; it may come again in so many seconds."""
    text = "The token's rate of requests is exceeded. Try again as Retry-After says."
    return RequestError("rate_limit_exceeded", text, status=429, retry_after=seconds)


def budget_held(seconds: int) -> RequestError:
    """Refuse a request that would fit if others of the same token were over."""
    text = "Requests that run hold the rest of the token's budget. Try again when they are over."
    return RequestError("rate_limit_exceeded", text, status=429, retry_after=seconds)


def budget_used_up(seconds: int) -> RequestError:
    """Refuse a request that the budget does not cover; in so many seconds the token is over as well."""
    text = "The token's budget does not cover this request. Set a lower max_tokens, or get a new token."
    return RequestError("insufficient_quota", text, status=429, retry_after=seconds)


def too_many_callers() -> RequestError:
    """Refuse a newcomer where there is no room to count for another: nobody else is forgotten for it."""
    return RequestError("too_many_callers", "Too many tokens are in use here. Try again later.", status=503)


def clock_wrong() -> RequestError:
    """Refuse everybody while this machine's clock is before the day on which its image was made."""
    return RequestError("clock_wrong", "The clock of this machine is wrong; no token can be judged.", status=503)
