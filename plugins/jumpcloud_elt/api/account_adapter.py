"""Lets a plain `requests.Session` keep the client's rules: what `JumpCloudHook.run` and `get_conn` send.

The rules stand in the adapter because every request of a session goes through it, and every hop of a redirect.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase

from jumpcloud_elt.api.client import INSIGHTS_PATH, JumpCloudClient
from jumpcloud_elt.api.responses import error_of
from jumpcloud_elt.api.retry import is_outcome_unknown
from jumpcloud_elt.api.session import SameOriginSession, open_session, origin
from jumpcloud_elt.api.transport import transport_errors
from jumpcloud_elt.errors import ConfigurationError, RequestError

READING_METHODS = ("GET", "HEAD", "OPTIONS")
# Directory Insights takes its queries as POST.
INSIGHTS_QUERIES = tuple(f"{INSIGHTS_PATH}/events{which}" for which in ("", "/count", "/distinct", "/interval"))


class AccountAdapter(BaseAdapter):
    """Sends over a client's connections: signed, counted, limited in rate, with its time limits and retries.

    Refuses with ConfigurationError every address outside the account, and a change that the connection does not
    permit. Retries what the client retries, but not the body's syntax, and a change only after a 429: where its answer
    was lost, nobody can tell whether it has happened. The last answer is returned whatever its status; without one,
    RequestError is raised.
    """

    def __init__(self, client: JumpCloudClient) -> None:
        super().__init__()
        self._client = client

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        client = self._client
        is_change = self._refuse(request)
        what = f"{request.method} {urlsplit(str(request.url)).path}"
        answer: requests.Response | None = None

        def send() -> None:
            nonlocal answer
            answer = None
            with client.turn(), transport_errors(what):
                # Signed anew each time: an access token may end while a retry waits.
                received = client.pool.send(
                    client.authenticator(request),
                    stream=stream,
                    timeout=timeout or client.timeout,
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
                if not stream:
                    _ = received.content
                answer = received
                if not received.ok:
                    raise error_of(received, what, client.account)

        # A body that is read from a file or a generator cannot be sent twice.
        attempts = None if request.body is None or isinstance(request.body, str | bytes) else 1
        try:
            client.retry_policy.call(
                functools.partial(client.authenticator.call, send), attempts, repeats_unknown=not is_change
            )
        except RequestError as error:
            if answer is None:
                error.may_have_happened = is_change and is_outcome_unknown(error)
                raise
        assert answer is not None
        return answer

    def close(self) -> None:
        """Nothing: the connections are the client's."""

    def _refuse(self, request: requests.PreparedRequest) -> bool:
        """Raise ConfigurationError for what may not be sent; return whether the request changes something."""
        account, url = self._client.account, str(request.url)
        if origin(url) not in (origin(account.console_url), origin(account.insights_url)):
            raise ConfigurationError(
                f"URL: {origin(url)} given; allowed: {origin(account.console_url)}, {origin(account.insights_url)}. "
                f"The key of connection {account.connection_id!r} is sent nowhere else."
            )
        is_query = origin(url) == origin(account.insights_url) and urlsplit(url).path in {
            urlsplit(account.insights_url + path).path for path in INSIGHTS_QUERIES
        }
        is_change = request.method not in READING_METHODS and not (request.method == "POST" and is_query)
        if is_change:
            self._client.refuse_to_act(request.headers.get("x-org-id"))
        return is_change


class _SignedByAdapter(AuthBase):
    """Adds nothing, and keeps requests from adding what the user's .netrc says."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        return r


def open_account_session(client: JumpCloudClient, headers: Mapping[str, str] | None = None) -> SameOriginSession:
    """Return a session over the client's connections that keeps its rules (`AccountAdapter`)."""
    session = open_session(AccountAdapter(client), _SignedByAdapter())
    session.headers.update(headers or {})
    return session
