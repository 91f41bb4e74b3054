"""What an error means to whoever connects an account: the cause in a sentence, and what to do about it.

Words only: asks nothing. What JumpCloud answers when is in the errors' own docstrings; where its answer leaves
several causes open, all are named, the likeliest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from jumpcloud_elt.core.account import Account
from jumpcloud_elt.errors import (
    ConfigurationError,
    CredentialError,
    JumpCloudError,
    NotEnabledError,
    NotFoundError,
    OrganizationHeaderError,
    PermissionDeniedError,
    RedirectRefusedError,
    RequestError,
    ResponseError,
    TransientError,
)

REGIONS = "us, eu or in"


@dataclass(frozen=True)
class Cause:
    """Why something does not work (`what`), and what to do about it (`next_step`), in whole sentences."""

    what: str
    next_step: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.next_step}".strip()


def explain(error: JumpCloudError, account: Account, subject: str) -> Cause:
    """The cause of `error`, raised when `subject` (users, Directory Insights, …) was asked for."""
    if isinstance(error, RequestError):
        return _explain_refusal(error, account, subject)
    if isinstance(error, ResponseError):
        return Cause(
            f"What was answered about {subject} is not what JumpCloud answers: {_sentence(error)}",
            "Check Base URL.",
        )
    assert isinstance(error, ConfigurationError), error
    return Cause(str(error))


def _explain_refusal(  # noqa: PLR0911 - one return for each error of the tree
    error: RequestError, account: Account, subject: str
) -> Cause:
    words = error.detail.lower()
    answer = f"({error.status} {error.detail})".replace(" )", ")")
    if isinstance(error, CredentialError | PermissionDeniedError):
        if "expired" in words:
            return Cause(
                f"The {account.secret_name} has expired {answer}.",
                f"Make a new one in JumpCloud and enter it as {_field(account)}.",
            )
        if "api" in words and any(one in words for one in ("disabled", "not allowed", "not enabled", "switched off")):
            return Cause(
                f"API access is switched off for the key's administrator {answer}.",
                "Somebody with the role Administrator With Billing has to switch it on for that administrator.",
            )
    match error:
        case CredentialError():
            return _explain_credentials(account, answer)
        case OrganizationHeaderError(status=401):
            return Cause(
                f"The key sees several organizations and has to be told which {answer}.",
                "Enter their ids as Organization ids.",
            )
        case OrganizationHeaderError():
            return Cause(
                f"JumpCloud does not let this key choose an organization when asked for {subject} {answer}.",
                "Use a key of an administrator of that organization.",
            )
        case NotEnabledError():
            return Cause(
                f"{subject} is not enabled for this organization ({error.status}).",
                "Whoever looks after your JumpCloud plan can ask JumpCloud's account manager to enable it.",
            )
        case PermissionDeniedError():
            return Cause(
                f"The role of the key's administrator does not allow reading {subject} {answer}, or the account does "
                f"not live in Region {account.region}.",
                "Give the administrator a role that does (Read Only reads the directory), or correct Region "
                f"({REGIONS}).",
            )
        case NotFoundError():
            return Cause(
                f"JumpCloud does not know the organization, or does not show it to this key {answer}.",
                "Correct Organization ids.",
            )
        case RedirectRefusedError():
            return Cause(_sentence(error), "")
        case TransientError():
            return Cause(
                f"JumpCloud could not be asked for {subject}: {_sentence(error)}",
                "Try again later; if it stays so, check Base URL, and that this machine may reach JumpCloud.",
            )
    if error.status in (None, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
        # It says itself what to do.
        return Cause(f"JumpCloud could not be asked for {subject}: {_sentence(error)}")
    return Cause(f"JumpCloud refused to answer about {subject}: {_sentence(error)}", "Check Base URL and Region.")


def _explain_credentials(account: Account, answer: str) -> Cause:
    if account.is_service_account:
        return Cause(
            f"JumpCloud does not accept the client id and client secret {answer}: one of them is incomplete, the "
            "secret was replaced or has expired, or the service account has no role.",
            "Make a new client secret in JumpCloud and enter it as API key, with the client id as Service account "
            "client id.",
        )
    return Cause(
        f"JumpCloud does not know this API key {answer}: it is incomplete, was replaced or has expired; its "
        "administrator is gone, suspended or has no API access; or the account does not live in Region "
        f"{account.region}.",
        f"Check Region ({REGIONS}), then make a new key in JumpCloud and enter it as API key.",
    )


def _field(account: Account) -> str:
    return "API key, beside the client id" if account.is_service_account else "API key"


def _sentence(error: JumpCloudError) -> str:
    return str(error).rstrip(".") + "."
