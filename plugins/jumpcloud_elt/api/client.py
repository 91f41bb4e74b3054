"""`JumpCloudClient`: one pooled, retrying, masked session to one JumpCloud account.

Knows transport and routes. Does not know what a row means, where it lands, or which Dag is running.
"""

from __future__ import annotations

import base64
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

import msgspec
import requests
import tenacity
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from jumpcloud_elt.api.buffers import Buffer
from jumpcloud_elt.api.event_queries import events_body, read_count
from jumpcloud_elt.api.rate_limit import RateLimiter
from jumpcloud_elt.api.responses import (
    _T,
    ApiResponse,
    _detail,
    _raise_for_status,
    _read_answer,
    _transport_message,
)
from jumpcloud_elt.api.session import POOL_SIZE, SameOriginSession
from jumpcloud_elt.api.user_calls import Call
from jumpcloud_elt.api.users import UserWrites
from jumpcloud_elt.core.account import ORGANIZATION_ID, Account, read_account
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import ConfigurationError, CredentialError, JumpCloudError, RequestError, TransientError

TOKEN_RENEWAL_SECONDS = 60
TOKEN_SECONDS = 3600  # where the answer does not say: what JumpCloud's own client assumes
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


class AccessToken(msgspec.Struct):
    """What the token route answers."""

    access_token: Annotated[str, msgspec.Meta(min_length=1)]
    expires_in: float | None = None


class JumpCloudClient(UserWrites, HttpHook):
    """Interact with one JumpCloud account.

    :param jumpcloud_conn_id: id of an Airflow connection of type ``jumpcloud``.
    :param settings: time limits and retry bounds; the ``[jumpcloud_elt]`` section where None.

    Every method raises the errors of :mod:`jumpcloud_elt.errors`. One client is safe to share between threads.
    """

    conn_name_attr = "jumpcloud_conn_id"
    default_conn_name = "jumpcloud_default"
    conn_type = "jumpcloud"
    hook_name = "JumpCloud"

    def __init__(self, jumpcloud_conn_id: str = default_conn_name, settings: Settings | None = None) -> None:
        super().__init__(method="GET", http_conn_id=jumpcloud_conn_id)
        self.jumpcloud_conn_id = jumpcloud_conn_id
        self.settings = settings or read_settings()
        self.request_count = 0
        self.rate_limiter = RateLimiter()
        self._session: requests.Session | None = None
        self._account: Account | None = None
        self._token: tuple[str, float] | None = None
        self._lock = threading.RLock()

    @property
    def account(self) -> Account:
        """The connection, read and checked. Raises ConfigurationError naming every wrong field."""
        with self._lock:
            if self._account is None:
                try:
                    connection = self.get_connection(self.jumpcloud_conn_id)
                except AirflowNotFoundException as error:
                    raise ConfigurationError(
                        f"There is no connection {self.jumpcloud_conn_id!r}. Create it under Admin > Connections "
                        "(type JumpCloud, with an API key), or name another in [jumpcloud_elt] connections."
                    ) from error
                account = read_account(connection)
                mask_secret(account.secret)
                if account.client_id is not None:
                    mask_secret(_basic(account.client_id, account.secret))
                self._account = account
            return self._account

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> requests.Session:
        """Return the client's one session, pooled and authenticated for this account.

        With `headers`: a session of their own over the same connections, for the client's session is shared.
        `extra_options` are those of `HttpHook.run`; its time limits are the client's unless they say otherwise.
        """
        self.merged_extra = {"timeout": self._timeout, **(extra_options or {})}
        with self._lock:
            if self._session is None:
                self.base_url = self.account.console_url
                self._base_url_initialized = True
                self._session = SameOriginSession()
                # Retries are ours: urllib3's know nothing of a body that ends early or is not JSON.
                adapter = HTTPAdapter(pool_connections=4, pool_maxsize=POOL_SIZE, max_retries=0)
                self._session.mount("https://", adapter)
                self._session.mount("http://", adapter)
                self._session.headers.update({"Accept": "application/json", "User-Agent": "jumpcloud-elt"})
                self._session.auth = self._authenticate
            if not headers:
                return self._session
            session = SameOriginSession()
            session.adapters = self._session.adapters
            session.auth = self._session.auth
            session.headers.update({**self._session.headers, **headers})
            return session

    def close(self) -> None:
        """Close the pooled connections. The client opens new ones when it is used again."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def __enter__(self) -> JumpCloudClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- one request -------------------------------------------------------------------------------------

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, organization_id: str | None = None
    ) -> ApiResponse:
        """GET a console route such as ``/api/systemusers``; `path` begins with ``/api``.

        `organization_id` becomes `x-org-id`, except on the routes that refuse it.
        """
        return self._request("GET", self.account.console_url + path, path, organization_id, params=params)

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

        `buffer` is taken before the body of the answer is read, and the caller's to leave. `attempts` is how often the
        request is tried, where that is not what is configured.
        """
        url = f"{self.account.insights_url}{INSIGHTS_PATH}/{route}"
        path = f"{INSIGHTS_PATH}/{route}"
        return self._request("POST", url, path, organization_id, buffer=buffer, attempts=attempts, json=dict(body))

    def write(self, call: Call, *, organization_id: str, has_happened: Callable[[], bool]) -> ApiResponse | None:
        """Make one `call` that changes something; return its answer, None where the answer was lost.

        Where no answer came (no connection, no answer in time, a broken body, 5xx), `has_happened` is asked first,
        and the call is repeated only if it has not; it may ask JumpCloud. A refusal of a repeated call is looked into
        likewise: it may be about what the first one did. So is a redirect, which is not followed: what is found there
        would not be the answer. Errors say in `may_have_happened` whether an answer was lost. Raises
        ConfigurationError as `refuse_to_act` does.
        """
        account = self.account
        self.refuse_to_act(organization_id)
        if not ORGANIZATION_ID.fullmatch(organization_id):
            raise ConfigurationError(
                f"organization_id: {organization_id!r} given; allowed: an id of 24 hexadecimal digits"
            )
        arguments: dict[str, Any] = {} if call.body is None else {"json": dict(call.body)}
        if call.params:
            arguments["params"] = dict(call.params)
        once = self._once(
            call.method,
            account.console_url + call.path,
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
                self.log.info("%s %s: the answer was lost, the change has happened", call.method, call.path)
                return None
            try:
                return once()
            except RequestError as error:
                lost = lost or _says_nothing(error)
                raise

        try:
            try:
                return self._retrying(look_first)
            except RequestError:
                if lost and has_happened():
                    return None
                raise
        except JumpCloudError as error:
            error.may_have_happened = lost
            raise

    def refuse_to_act(self, organization_id: str) -> None:
        """Raise ConfigurationError unless the connection allows changes, and those of this organization."""
        account = self.account
        if not account.may_act:
            raise ConfigurationError(
                f"Permission: {account.permission!r} given in connection {account.connection_id!r}; allowed: "
                "read_and_act, to change anything"
            )
        if account.organization_ids and organization_id.lower() not in account.organization_ids:
            raise ConfigurationError(
                f"Organization ids of connection {account.connection_id!r} do not name {organization_id}; allowed: "
                f"{', '.join(account.organization_ids)}"
            )

    def count_events(self, organization_id: str, services: Sequence[str], start: datetime, end: datetime) -> int:
        """The API's own number of events from `start` to `end` (aware, UTC; both are taken as inclusive).

        Raises NotEnabledError (402) or PermissionDeniedError (403) where there is no Directory Insights.
        """
        return self.count_matching_events(events_body(services, start, end), organization_id=organization_id)

    def count_matching_events(self, body: Mapping[str, Any], *, organization_id: str) -> int:
        """The API's own number of events that a query such as `events_body`, with or without `search_term`, finds."""
        return read_count(self.insights("events/count", body, organization_id=organization_id))

    def _request(
        self,
        method: str,
        url: str,
        path: str,
        organization_id: str | None,
        *,
        attempts: int | None = None,
        **arguments: Any,
    ) -> ApiResponse:
        return self._retrying(self._once(method, url, path, organization_id, **arguments), attempts)

    def _once(
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
        """One try of a request; two where an access token has ended before its time."""
        headers = {}
        if organization_id and not path.startswith(ROUTES_WITHOUT_ORGANIZATION):
            headers["x-org-id"] = organization_id
        what = f"{method} {path}" + (f" of organization {organization_id}" if organization_id else "")

        sent = 0

        def once() -> ApiResponse:
            nonlocal sent
            with self._lock:
                self.request_count += 1
                token = self._token
            sent += 1
            try:
                answer = self._send(method, url, what, headers, arguments, buffer=buffer, expects_json=expects_json)
                return dataclasses.replace(answer, attempts=sent)
            except CredentialError:
                if token is None:
                    raise
            # A token can end before its time: secrets are rotated, and clocks stand still while a machine sleeps.
            with self._lock:
                self.request_count += 1
                self._token = None if self._token == token else self._token
            sent += 1
            answer = self._send(method, url, what, headers, arguments, buffer=buffer, expects_json=expects_json)
            return dataclasses.replace(answer, attempts=sent)

        return once

    @property
    def _timeout(self) -> tuple[float, float]:
        return self.settings.connect_timeout_seconds, self.settings.read_timeout_seconds

    def _send(
        self,
        method: str,
        url: str,
        what: str,
        headers: Mapping[str, str],
        arguments: Mapping[str, Any],
        *,
        buffer: Buffer | None,
        expects_json: bool,
    ) -> ApiResponse:
        with self.rate_limiter.turn() as began:
            try:
                response = self.get_conn().request(
                    method, url, headers=headers, timeout=self._timeout, stream=buffer is not None, **arguments
                )
                if not response.ok or response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                    # A streamed body may break here, too.
                    _ = response.content
                    _raise_for_status(response, what, self.account)
                if expects_json or "html" in response.headers.get("Content-Type", ""):
                    answer = _read_answer(response, buffer)
                else:
                    # Some writes answer with nothing, or with a word; a page is a proxy's and says nothing.
                    answer = ApiResponse(b"null", response.headers)
            except TransientError as error:
                if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                    # Whoever else asks now would be told the same; the waits of this request come on top.
                    self.rate_limiter.slow_down(began, self._pause(error))
                raise
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                raise TransientError(f"{what}: {_transport_message(error)}") from error
            except requests.exceptions.ContentDecodingError as error:
                raise TransientError(f"{what}: the body cannot be decompressed") from error
            except requests.RequestException as error:
                raise RequestError(f"{what}: {type(error).__name__}") from error
            except (msgspec.DecodeError, RecursionError) as error:
                raise TransientError(
                    f"{what}: status {response.status_code} with a body that is not JSON",
                    status=response.status_code,
                ) from error
        self.rate_limiter.succeeded()
        return answer

    def _pause(self, error: TransientError) -> float:
        """For how long nobody asks after a 429: as long as it says, unless that is not worth waiting for."""
        asked = self.settings.retry_wait_seconds if error.retry_after is None else error.retry_after
        return asked if asked <= self.settings.retry_wait_max_seconds else 0.0

    def _retrying(self, once: Callable[[], _T], attempts: int | None = None) -> _T:
        settings = self.settings
        jittered = tenacity.wait_exponential(
            multiplier=settings.retry_wait_seconds, max=settings.retry_wait_max_seconds
        ) + tenacity.wait_random(0, settings.retry_wait_seconds)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, TransientError) else None
            return max(asked or 0.0, min(jittered(state), settings.retry_wait_max_seconds))

        def is_worth_it(error: BaseException) -> bool:
            return isinstance(error, TransientError) and (error.retry_after or 0) <= settings.retry_wait_max_seconds

        def note(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self.log.warning("%s; attempt %d, next in %.1f s", error, state.attempt_number, state.upcoming_sleep)

        def give_up(state: tenacity.RetryCallState) -> NoReturn:
            error = state.outcome.exception() if state.outcome else None
            assert isinstance(error, TransientError)
            raise TransientError(
                f"{error}; tried {state.attempt_number} times",
                status=error.status,
                detail=error.detail,
                retry_after=error.retry_after,
            ) from error

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_it),
            stop=tenacity.stop_after_attempt(attempts or settings.request_attempts),
            wait=wait,
            before_sleep=note,
            retry_error_callback=give_up,
        )(once)

    # ---- credentials -------------------------------------------------------------------------------------

    def _authenticate(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.account.is_service_account:
            request.headers["Authorization"] = f"Bearer {self._access_token()}"
        else:
            request.headers["x-api-key"] = self.account.secret
        return request

    def _access_token(self) -> str:
        """The OAuth token of the service account, asked for once and renewed before it ends."""
        with self._lock:
            if self._token is None or time.monotonic() >= self._token[1]:
                self._token = self._fetch_token()
            return self._token[0]

    def _fetch_token(self) -> tuple[str, float]:
        account = self.account
        # A bare call, outside the session: its `auth` would ask for a token to fetch the token.
        what = "POST token for the service account"
        try:
            response = requests.post(
                account.token_url,
                data={"grant_type": "client_credentials", "scope": "api"},
                # As `auth`, not as a header: that would give way to an entry in the user's .netrc.
                auth=HTTPBasicAuth(str(account.client_id).encode(), account.secret.encode()),
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise TransientError(f"{what}: {_transport_message(error)}") from error
        if response.status_code in (400, 401, 403):
            # Never to be taken for "the role may not read this": it is the credentials that are refused.
            detail = _detail(response, account)
            raise CredentialError(
                f"{what}: {response.status_code} {detail}. Connection {self.jumpcloud_conn_id!r}: check the "
                "client id and the client secret, that the secret has not expired, and that the service account "
                "has a role.",
                status=response.status_code,
                detail=detail,
            )
        if response.status_code != 200:
            _raise_for_status(response, what, self.account)
        try:
            token = msgspec.json.decode(response.content, type=AccessToken, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TransientError(f"{what}: the answer holds no access token") from error
        mask_secret(token.access_token)
        seconds = TOKEN_SECONDS if token.expires_in is None else token.expires_in
        return token.access_token, time.monotonic() + max(seconds - TOKEN_RENEWAL_SECONDS, seconds / 2)


def _says_nothing(error: RequestError) -> bool:
    """Whether an error leaves open what became of a call: no answer, or an address. 429 is an answer: nothing was."""
    if isinstance(error, TransientError):
        return error.status != HTTPStatus.TOO_MANY_REQUESTS
    return error.status is not None and HTTPStatus.MULTIPLE_CHOICES <= error.status < HTTPStatus.BAD_REQUEST


def _basic(client_id: str, client_secret: str) -> str:
    return base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
