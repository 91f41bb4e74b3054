"""How requests are signed: with the API key, or with the access token of a service account."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from jumpcloud_elt.api.responses import error_of, error_words
from jumpcloud_elt.api.transport import transport_errors
from jumpcloud_elt.core.account import Account
from jumpcloud_elt.errors import CredentialError, RequestError, TransientError

TOKEN_RENEWAL_SECONDS = 60
TOKEN_SECONDS = 3600  # where the answer does not say: what JumpCloud's own client assumes

_T = TypeVar("_T")


class AccessToken(msgspec.Struct):
    """The answer of the token route."""

    access_token: Annotated[str, msgspec.Meta(min_length=1)]
    expires_in: float | None = None


class Authenticator(AuthBase):
    """Signs requests. An access token is fetched once for all threads, and renewed shortly before it ends.

    :param pool: the connections of the token request.
    :param timeout: seconds to connect and to read, of the token request.
    :param mask_secret: called with every new access token, to keep it out of logs.
    """

    def __init__(
        self,
        account: Account,
        pool: BaseAdapter,
        timeout: tuple[float, float],
        mask_secret: Callable[[str], None],
    ) -> None:
        self._account = account
        # A session of its own: the client's `auth` would fetch a token to fetch the token.
        self._session = requests.Session()
        self._session.mount("https://", pool)
        self._session.mount("http://", pool)
        self._timeout = timeout
        self._mask_secret = mask_secret
        self._token: tuple[str, float] | None = None
        self._lock = threading.Lock()

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._account.is_service_account:
            r.headers["Authorization"] = f"Bearer {self._access_token()}"
        else:
            r.headers["x-api-key"] = self._account.secret
        return r

    def call(self, send: Callable[[], _T]) -> _T:
        """Return the result of `send`; call it a second time where its access token has ended early.

        That happens when a secret is rotated, or when the clock stood still while the machine slept.
        """
        used = self._token
        try:
            return send()
        except RequestError as error:
            # Whoever says 401: a new token is one request, and the second answer stands.
            if used is None or error.status != HTTPStatus.UNAUTHORIZED:
                raise
        with self._lock:
            # Another thread may have replaced it already.
            self._token = None if self._token == used else self._token
        return send()

    def _access_token(self) -> str:
        with self._lock:
            if self._token is None or time.monotonic() >= self._token[1]:
                self._token = self._fetch_token()
            return self._token[0]

    def _fetch_token(self) -> tuple[str, float]:
        """Return a new access token and when to renew it, by the monotonic clock."""
        account = self._account
        what = "POST token for the service account"
        with transport_errors(what):
            response = self._session.post(
                account.token_url,
                data={"grant_type": "client_credentials", "scope": "api"},
                # As `auth`, not as a header: that would give way to an entry in the user's .netrc.
                auth=HTTPBasicAuth(str(account.client_id).encode(), account.secret.encode()),
                timeout=self._timeout,
                allow_redirects=False,
            )
        if response.status_code != HTTPStatus.OK:
            error = error_of(response, what, account)
            is_refused = response.status_code in (400, 401, 403) and error_words(response) is not None
            if not is_refused or isinstance(error, TransientError):
                raise error
            # Always about the credentials, never about what the role may read.
            raise CredentialError(
                f"{what}: {response.status_code} {error.detail}. Connection {account.connection_id!r}: check the "
                "client id and the client secret, that the secret has not expired, and that the service account "
                "has a role.",
                status=response.status_code,
                detail=error.detail,
            )
        try:
            token = msgspec.json.decode(response.content, type=AccessToken, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TransientError(f"{what}: the answer holds no access token") from error
        self._mask_secret(token.access_token)
        seconds = TOKEN_SECONDS if token.expires_in is None else token.expires_in
        return token.access_token, time.monotonic() + max(seconds - TOKEN_RENEWAL_SECONDS, seconds / 2)
