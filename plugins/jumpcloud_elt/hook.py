"""`JumpCloudHook`: JumpCloud for Dags of your own, as Airflow's hooks are, and the Test button of a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import requests
from airflow.providers.http.hooks.http import HttpHook

from jumpcloud_elt.api.account_adapter import open_account_session
from jumpcloud_elt.api.client import INSIGHTS_PATH, JumpCloudClient, organization_header
from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.api.user_calls import Call
from jumpcloud_elt.api.users import UserMethods
from jumpcloud_elt.connections import check
from jumpcloud_elt.connections import report as reports
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.account import Account
from jumpcloud_elt.core.settings import Settings, read_settings

TESTED_ORGANIZATIONS = 5


class JumpCloudHook(UserMethods, HttpHook):
    """Interact with one JumpCloud account. One hook is safe to share between threads, but for `run`.

    :param jumpcloud_conn_id: id of an Airflow connection of type ``jumpcloud``; it is read when it is first needed.
    :param settings: time limits and retry bounds; the ``[jumpcloud_elt]`` section where None.
    :param method: HTTP method of :meth:`run`.

    Every method raises the errors of :mod:`jumpcloud_elt.errors`; :meth:`run` raises AirflowException where the
    status of an answer is 400 or more, as every HttpHook does.
    """

    conn_name_attr = "jumpcloud_conn_id"
    default_conn_name = "jumpcloud_default"
    conn_type = "jumpcloud"
    hook_name = "JumpCloud"

    def __init__(
        self,
        jumpcloud_conn_id: str = default_conn_name,
        settings: Settings | None = None,
        *,
        method: str = "GET",
    ) -> None:
        super().__init__(method=method, http_conn_id=jumpcloud_conn_id)
        self.jumpcloud_conn_id = jumpcloud_conn_id
        self.settings = settings or read_settings()
        self._client: JumpCloudClient | None = None
        self._session: requests.Session | None = None
        self._lock = threading.RLock()

    @property
    def client(self) -> JumpCloudClient:
        """The client that makes the requests. Raises ConfigurationError naming every wrong field."""
        with self._lock:
            if self._client is None:
                self._client = open_client(self.jumpcloud_conn_id, self.settings)
            return self._client

    @property
    def account(self) -> Account:
        """The connection, read and checked. Raises ConfigurationError naming every wrong field."""
        return self.client.account

    @property
    def request_count(self) -> int:
        """How many requests have been sent, retries included."""
        return 0 if self._client is None else self._client.request_count

    def close(self) -> None:
        """Close the pooled connections. The hook opens new ones when it is used again."""
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the client's requests -----------------------------------------------------------------------------

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, organization_id: str | None = None
    ) -> ApiResponse:
        """GET a console route such as ``/api/systemusers``: see :meth:`JumpCloudClient.get`."""
        return self.client.get(path, params, organization_id=organization_id)

    def insights(self, route: str, body: Mapping[str, Any], *, organization_id: str) -> ApiResponse:
        """POST `body` to a Directory Insights route such as ``events``: see :meth:`JumpCloudClient.insights`."""
        return self.client.insights(route, body, organization_id=organization_id)

    def count_events(self, organization_id: str, services: Sequence[str], start: datetime, end: datetime) -> int:
        """JumpCloud's own number of events: see :meth:`JumpCloudClient.count_events`."""
        return self.client.count_events(organization_id, services, start, end)

    def count_matching_events(self, body: Mapping[str, Any], *, organization_id: str) -> int:
        """The same for any query: see :meth:`JumpCloudClient.count_matching_events`."""
        return self.client.count_matching_events(body, organization_id=organization_id)

    def write(self, call: Call, *, organization_id: str, has_happened: Callable[[], bool]) -> ApiResponse | None:
        """Make one call that changes something: see :meth:`JumpCloudClient.write`."""
        return self.client.write(call, organization_id=organization_id, has_happened=has_happened)

    def refuse_to_act(self, organization_id: str | None) -> None:
        """Raise ConfigurationError unless the connection allows changes: see :meth:`JumpCloudClient.refuse_to_act`."""
        self.client.refuse_to_act(organization_id)

    # ---- as on any HttpHook --------------------------------------------------------------------------------

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> requests.Session:
        """Return a session that keeps the client's rules: see :class:`.AccountAdapter`.

        Without `headers` it is always the same one. URLs are absolute, see :meth:`url_from_endpoint`. `extra_options`
        are those of :meth:`run`.
        """
        client = self.client
        self.merged_extra = {"timeout": client.timeout, **(extra_options or {})}
        if headers:
            return open_account_session(client, headers)
        with self._lock:
            if self._session is None:
                self._session = open_account_session(client)
            return self._session

    def run(
        self,
        endpoint: str | None = None,
        data: dict[str, Any] | str | None = None,
        headers: dict[str, Any] | None = None,
        extra_options: dict[str, Any] | None = None,
        *,
        organization_id: str | None = None,
        **request_kwargs: Any,
    ) -> Any:
        """Send a request with the hook's `method`; return the `requests.Response`, whatever its body is.

        :param endpoint: a path such as ``/api/v2/systemgroups``.
        :param organization_id: becomes the header `x-org-id`, except on the routes that refuse it.
        :param extra_options: ``check_response``, ``timeout`` and ``allow_redirects``.

        A method that changes something is refused with ConfigurationError unless the connection says
        ``read_and_act``, and is not sent again when its answer was lost: the methods for users look first, this one
        cannot.
        """
        headers = {**(headers or {}), **organization_header(_path(endpoint), organization_id)}
        return super().run(endpoint, data, headers, extra_options, **request_kwargs)

    def url_from_endpoint(self, endpoint: str | None) -> str:
        """The console's URL of a path, or that of Directory Insights for its paths."""
        account, path = self.account, _path(endpoint)
        return (account.insights_url if path.startswith(INSIGHTS_PATH) else account.console_url) + path

    def test_connection(self) -> tuple[bool, str]:
        """Airflow's Test button: whether every organization can be synced, and what the key can and cannot do.

        Checks the first TESTED_ORGANIZATIONS only, because a person is waiting; jumpcloud_check_connection checks all.
        """
        report = check.inspect_connection(
            self.jumpcloud_conn_id,
            check.patient_for_seconds(self.settings),
            datetime.now(UTC).replace(tzinfo=None),
            at_most=TESTED_ORGANIZATIONS,
        )
        # The form tests under a temporary id, which would mean nothing to anybody.
        message = reports.summarise(report).replace(f"onnection {self.jumpcloud_conn_id!r}", "onnection")
        return report.works, message


def _path(endpoint: str | None) -> str:
    return f"/{(endpoint or '').lstrip('/')}"
