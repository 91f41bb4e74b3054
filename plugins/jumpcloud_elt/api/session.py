"""The pooled HTTP session of one client: its connections, its headers, and where redirects may lead."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase

from jumpcloud_elt.api.deadline import DeadlineAdapter
from jumpcloud_elt.errors import CredentialError, RedirectRefusedError

POOL_SIZE = 64  # as many threads as may be configured
LOGIN_PATH = re.compile(r"/(log|sign)[-_]?in(/|$)", re.IGNORECASE)


class SameOriginSession(requests.Session):
    """A session that follows redirects within one origin only: requests would send `x-api-key` to any other host."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        is_elsewhere = origin(urljoin(resp.url, target)) != origin(resp.url)
        if is_login_page(target) and (not is_elsewhere or _is_jumpclouds(target)):
            resp.close()
            raise dead_session(resp.url)
        if is_elsewhere:
            resp.close()
            raise RedirectRefusedError(
                f"{origin(resp.url)} redirected to {origin(urljoin(resp.url, target))}; the key is sent "
                "nowhere else. Check the connection's Region and Base URL.",
                status=resp.status_code,
            )
        return target


def open_session(adapter: BaseAdapter, auth: AuthBase) -> SameOriginSession:
    """Return a session that sends everything through `adapter`, signed by `auth`."""
    session = SameOriginSession()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers.update({"Accept": "application/json", "User-Agent": "jumpcloud-elt"})
    session.auth = auth
    return session


def open_pool(deadline_seconds: float) -> DeadlineAdapter:
    """Return the pooled connections that all sessions of one client share."""
    # urllib3 must not retry: it cannot know of a body that ends early or is not JSON. `RetryPolicy` does.
    return DeadlineAdapter(deadline_seconds, pool_connections=4, pool_maxsize=POOL_SIZE, max_retries=0)


def is_login_page(url: str) -> bool:
    """Whether a redirect leads to a page for people to log in."""
    return LOGIN_PATH.search(urlsplit(url).path) is not None


def dead_session(url: str) -> CredentialError:
    """Return the error for a redirect to the log-in page, JumpCloud's other way to say 401: it has that status."""
    return CredentialError(
        f"{origin(url)} redirected to its log-in page: it does not accept the key or secret any more. Check that it is "
        "complete and current, that its administrator still exists and has API access, and that Region is where the "
        "account lives.",
        status=401,
        detail="redirected to the log-in page",
    )


def _is_jumpclouds(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith(".jumpcloud.com")


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in lower case and without the scheme's default port."""
    parts = urlsplit(url)
    netloc = parts.netloc.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ""))
    return f"{parts.scheme}://{netloc}".lower()
