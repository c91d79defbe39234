"""Why a request gets an error, in no dialect's words: each dialect renders them.

The status is HTTP's usual one; a dialect may answer with another.

Source  RFC 9110, 15; RFC 6750, 3.1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum


class HttpError(Exception):
    """A request that is answered with an error."""

    status = 500

    def __init__(self, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Make it.

        message  for the caller; may be empty
        headers  that the answer has in every dialect
        """
        self.message = message
        self.headers = dict(headers or {})
        super().__init__(message or type(self).__name__)


class BadRequest(HttpError):
    """It cannot be understood, or asks for something impossible."""

    status = 400


class NotJson(BadRequest):
    """Its body is no JSON."""


class MissingParameter(BadRequest):
    """It lacks parameters that it cannot be without."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(f"{name}: missing" for name in names))
        self.names = list(names)


class BadParameter(BadRequest):
    """A parameter has a type or a value that it cannot have."""


class NotFound(HttpError):
    """Nothing has that path."""

    status = 404


class MethodNotAllowed(HttpError):
    """The path has other methods."""

    status = 405


class Unexpected(HttpError):
    """The fault is ours, or has no class of its own."""


class Login(Enum):
    """What is wrong with a login."""

    MISSING = "missing"
    WRONG = "wrong"
    EXPIRED = "expired"  # a token that was good
    GONE = "gone"  # its peer has left: nobody gets the answer


class Unauthorized(HttpError):
    """The caller has not shown who it is."""

    status = 401

    def __init__(self, why: Login, message: str = "", *, challenge: str = "") -> None:
        """Make it; ``challenge`` is the WWW-Authenticate header."""
        super().__init__(message, {"WWW-Authenticate": challenge} if challenge else None)
        self.why = why


class Forbidden(HttpError):
    """The caller is known, and may not do that."""

    status = 403


class Throttled(HttpError):
    """Too many logins have failed before, or wait to be judged."""

    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, {"Retry-After": str(retry_after_s)})
        self.retry_after_s = retry_after_s


_BY_STATUS = {each.status: each for each in (BadRequest, NotFound, MethodNotAllowed)}


def error_of(status: int, headers: Mapping[str, str] | None = None) -> HttpError:
    """Return the error of a status that the router found."""
    made = _BY_STATUS.get(status, Unexpected)("", headers)
    made.status = status
    return made
