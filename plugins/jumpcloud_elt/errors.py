"""What can go wrong, as a tree.

    JumpCloudError
    ├── ConfigurationError            a connection or a setting is missing or wrong; names every field
    ├── RequestError                  JumpCloud could not be asked, or refused; carries the status
    │   ├── TransientError            429, 5xx, transport, broken bodies: retried, then raised
    │   ├── CredentialError           401: the key or secret is wrong, expired or revoked
    │   ├── OrganizationHeaderError   401 / 403 about `x-org-id`, told apart by message
    │   ├── NotEnabledError           402: the organization's plan lacks the feature
    │   ├── PermissionDeniedError     403: the administrator's role may not do this
    │   ├── NotFoundError             404
    │   ├── ConflictError             409: what is there does not allow it, or is so already
    │   └── RedirectRefusedError      a redirect to another origin: the key goes nowhere else
    ├── ResponseError                 an answer that cannot be true
    │   ├── PageShapeError            not the page that was asked for
    │   ├── RepeatedCursorError       paging would never end
    │   └── IncompleteListingError    rows received and the API's own count disagree
    ├── LandingError                  landing holds something that cannot be read
    └── WarehouseError                the warehouse cannot be built or read
        ├── NotPublishedError         nothing has been published yet
        └── CheckFailedError          a built warehouse failed its checks and was not published

Only those of `CAN_HEAL` can heal by themselves; they are retried where they occur, a bounded number of times, and then
Airflow tries the task again. No message ever holds a key, a token or a payload.
"""

from __future__ import annotations


class JumpCloudError(Exception):
    """Anything this package raises on purpose.

    `may_have_happened`: it was raised by a call that changes something, and an answer to it was lost.
    """

    may_have_happened = False


class ConfigurationError(JumpCloudError):
    """A connection or a setting is missing or wrong."""


class RequestError(JumpCloudError):
    """JumpCloud could not be asked, or refused.

    `status` is the HTTP status (None where there was no answer), `detail` the API's own message.
    """

    def __init__(self, message: str, *, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class TransientError(RequestError):
    """Can heal by waiting. `retry_after` is the wait in seconds that the API asked for, if it did."""

    def __init__(
        self, message: str, *, status: int | None = None, detail: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status, detail=detail)
        self.retry_after = retry_after


class CredentialError(RequestError):
    """The key or secret is wrong, expired or revoked."""


class OrganizationHeaderError(RequestError):
    """The request named no organization where one is needed, or one where none is allowed."""


class NotEnabledError(RequestError):
    """The organization's plan lacks the feature."""


class PermissionDeniedError(RequestError):
    """The administrator's role may not do this."""


class NotFoundError(RequestError):
    """There is no such object, or the key does not see it."""


class ConflictError(RequestError):
    """What is there does not allow it, or is so already."""


class RedirectRefusedError(RequestError):
    """The API redirected to another origin."""


class ResponseError(JumpCloudError):
    """An answer that cannot be true."""


class PageShapeError(ResponseError):
    """Not the page that was asked for."""


class RepeatedCursorError(ResponseError):
    """The API handed out a cursor for the second time: paging would never end."""


class IncompleteListingError(ResponseError):
    """Rows received and the API's own count disagree."""


class LandingError(JumpCloudError):
    """Landing holds something that cannot be read."""


class WarehouseError(JumpCloudError):
    """The warehouse cannot be built or read."""


class NotPublishedError(WarehouseError):
    """Nothing has been published yet."""


class CheckFailedError(WarehouseError):
    """A built warehouse failed its checks and was not published."""


CAN_HEAL = (TransientError, IncompleteListingError)
