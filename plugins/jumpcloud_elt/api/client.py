"""`JumpCloudClient`: requests to one JumpCloud account, retried, limited in rate, and refused where not permitted.

Knows the console's routes, Directory Insights and `x-org-id`. Does not know Airflow: `connections.client` opens one
from an Airflow connection.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, Self

from jumpcloud_elt.api.auth import Authenticator
from jumpcloud_elt.api.buffers import Buffer
from jumpcloud_elt.api.event_queries import events_body, read_count
from jumpcloud_elt.api.rate_limit import RateLimiter
from jumpcloud_elt.api.responses import ApiResponse, read_response
from jumpcloud_elt.api.retry import RetryPolicy, is_outcome_unknown
from jumpcloud_elt.api.session import open_pool, open_session
from jumpcloud_elt.api.transport import transport_errors
from jumpcloud_elt.api.user_calls import Call
from jumpcloud_elt.api.users import UserMethods
from jumpcloud_elt.core.account import ORGANIZATION_ID, Account
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import ConfigurationError, JumpCloudError, RequestError, TransientError

log = logging.getLogger(__name__)

INSIGHTS_PATH = "/insights/directory/v1"

# JumpCloud answers 403 when these are asked with `x-org-id`.
ROUTES_WITHOUT_ORGANIZATION = (
    "/api/organizations",
    "/api/search/organizations",
    "/api/v2/organizations",
    "/api/v2/providers",
    "/api/v2/administrators",
    "/api/v2/integrations",
)


class JumpCloudClient(UserMethods):
    """One account's requests, over pooled connections. Safe to share between threads.

    :param account: where the account is, its secret, and what may be changed.
    :param settings: time limits and retry bounds.
    :param mask_secret: called with each access token and each password sent, to keep them out of logs. The account's
        own secret is masked by whoever read it.

    Every method raises the errors of :mod:`jumpcloud_elt.errors`.
    """

    def __init__(self, account: Account, settings: Settings, mask_secret: Callable[[str], None]) -> None:
        self.account = account
        self.settings = settings
        self.request_count = 0
        self.timeout = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        self.rate_limiter = RateLimiter()
        self.retry_policy = RetryPolicy(settings, self.pause)
        self.pool = open_pool(settings.request_deadline_seconds)
        self.authenticator = Authenticator(account, self.pool, self.timeout, mask_secret)
        self._session = open_session(self.pool, self.authenticator)
        self._mask_secret = mask_secret
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def close(self) -> None:
        """Close the pooled connections. The client opens new ones when it is used again."""
        self._session.close()

    def pause(self, seconds: float) -> None:
        """Wait so many seconds. Raises InterruptedError once the task is being ended."""
        self._is_over.wait(seconds)
        self._refuse_if_over()

    @contextmanager
    def ending_with_task(self) -> Iterator[None]:
        """Where Airflow ends the task within the block, let no thread wait for this client or ask it for anything more.

        Airflow raises that in the main thread, as no `Exception`; the others would go on through all their attempts.
        """
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._is_over.set()
            self.rate_limiter.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, organization_id: str | None = None
    ) -> ApiResponse:
        """GET a console route such as ``/api/systemusers``; `path` begins with ``/api``.

        `organization_id` becomes `x-org-id`, except on the routes that refuse it.
        """
        return self.retry_policy.call(
            self._sender("GET", self.account.console_url + path, path, organization_id, params=params)
        )

    def insights(
        self,
        route: str,
        body: Mapping[str, Any],
        *,
        organization_id: str,
        buffer: Buffer | None = None,
        attempts: int | None = None,
    ) -> ApiResponse:
        """POST `body` to a Directory Insights route: ``events``, ``events/count``, ``events/interval``.

        `buffer` is taken before the body of the answer is read; the caller releases it. `attempts` replaces the
        configured number of attempts.
        """
        path = f"{INSIGHTS_PATH}/{route}"
        url = self.account.insights_url + path
        return self.retry_policy.call(
            self._sender("POST", url, path, organization_id, buffer=buffer, json=dict(body)), attempts
        )

    def write(self, call: Call, *, organization_id: str, has_happened: Callable[[], bool]) -> ApiResponse | None:
        """Make one `call` that changes something; return its answer, None where the answer was lost.

        Where no answer came (no connection, no answer in time, a broken body, 5xx), `has_happened` is asked before
        the call is repeated; it may ask JumpCloud. So it is after a repeated call was refused, which may be because
        the first one had succeeded, and after a redirect, which is not followed. Errors say in `may_have_happened`
        whether an answer was lost. Raises ConfigurationError as `refuse_to_act` does.
        """
        self.refuse_to_act(organization_id)
        if not ORGANIZATION_ID.fullmatch(organization_id):
            raise ConfigurationError(
                f"organization_id: {organization_id!r} given; allowed: an id of 24 hexadecimal digits"
            )
        arguments: dict[str, Any] = {} if call.body is None else {"json": dict(call.body)}
        if call.params:
            arguments["params"] = dict(call.params)
        password = (call.body or {}).get("password")
        if isinstance(password, str):
            self._mask_secret(password)
        send = self._sender(
            call.method,
            self.account.console_url + call.path,
            call.path,
            organization_id,
            **arguments,
            expects_json=call.answers_json,
            allow_redirects=False,
        )
        lost = False

        def look_first() -> ApiResponse | None:
            nonlocal lost
            if lost and has_happened():
                log.info("%s %s: the answer was lost, the change has happened", call.method, call.path)
                return None
            try:
                return send()
            except RequestError as error:
                lost = lost or is_outcome_unknown(error)
                raise

        try:
            try:
                return self.retry_policy.call(look_first)
            except RequestError:
                if lost and has_happened():
                    return None
                raise
        except JumpCloudError as error:
            error.may_have_happened = lost
            raise

    def refuse_to_act(self, organization_id: str | None) -> None:
        """Raise ConfigurationError unless the connection allows changes, and those of this organization.

        None is for a request that names no organization: refused where the connection is limited to some.
        """
        account = self.account
        if not account.may_act:
            raise ConfigurationError(
                f"Permission: {account.permission!r} given in connection {account.connection_id!r}; allowed: "
                "read_and_act, to change anything"
            )
        if account.organization_ids and (organization_id or "").lower() not in account.organization_ids:
            told = (
                f"Organization ids of connection {account.connection_id!r} do not name {organization_id}"
                if organization_id
                else f"organization_id: missing, in a change with connection {account.connection_id!r}"
            )
            raise ConfigurationError(f"{told}; allowed: {', '.join(account.organization_ids)}")

    def count_events(self, organization_id: str, services: Sequence[str], start: datetime, end: datetime) -> int:
        """The API's own number of events from `start` to `end` (aware, UTC; both are taken as inclusive).

        Raises NotEnabledError (402) or PermissionDeniedError (403) where there is no Directory Insights.
        """
        return self.count_matching_events(events_body(services, start, end), organization_id=organization_id)

    def count_matching_events(self, body: Mapping[str, Any], *, organization_id: str) -> int:
        """The API's own number of events that a query such as `events_body`, with or without `search_term`, finds."""
        return read_count(self.insights("events/count", body, organization_id=organization_id))

    def _refuse_if_over(self) -> None:
        if self._is_over.is_set():
            raise InterruptedError("the task is being ended")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count one request and wait for its turn; where it raises a 429, slow down all others of this client."""
        with self._lock:
            self.request_count += 1
        with self.rate_limiter.turn() as began:
            self._refuse_if_over()
            try:
                yield
            except TransientError as error:
                if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                    # On top of the waits between this request's own attempts.
                    self.rate_limiter.slow_down(began, self.retry_policy.pause(error))
                raise
        self.rate_limiter.succeeded()

    def _sender(
        self,
        method: str,
        url: str,
        path: str,
        organization_id: str | None,
        *,
        buffer: Buffer | None = None,
        expects_json: bool = True,
        **arguments: Any,
    ) -> Callable[[], ApiResponse]:
        """Return a function that makes one attempt of a request; two where an access token has ended early."""
        headers = organization_header(path, organization_id)
        what = f"{method} {path}" + (f" of organization {organization_id}" if organization_id else "")
        sent = 0

        def send() -> ApiResponse:
            nonlocal sent
            sent += 1
            with self.turn(), transport_errors(what):
                response = self._session.request(
                    method, url, headers=headers, timeout=self.timeout, stream=buffer is not None, **arguments
                )
                answer = read_response(response, what, self.account, buffer=buffer, expects_json=expects_json)
            return dataclasses.replace(answer, attempts=sent)

        return functools.partial(self.authenticator.call, send)


def organization_header(path: str, organization_id: str | None) -> dict[str, str]:
    """Return the header that names the organization of a request; empty on the routes that refuse it."""
    if not organization_id or path.startswith(ROUTES_WITHOUT_ORGANIZATION):
        return {}
    return {"x-org-id": organization_id}
