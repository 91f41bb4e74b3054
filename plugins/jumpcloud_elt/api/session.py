"""The pooled HTTP session, whose redirects stay on the same origin."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import requests

from jumpcloud_elt.errors import RedirectRefusedError

POOL_SIZE = 64  # as many threads as may be configured


class SameOriginSession(requests.Session):
    """A session whose redirects stay at home: requests would carry `x-api-key` to any other host."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and _origin(urljoin(resp.url, target)) != _origin(resp.url):
            resp.close()
            raise RedirectRefusedError(
                f"{_origin(resp.url)} redirected to {_origin(urljoin(resp.url, target))}; the key is sent "
                "nowhere else. Check the connection's Region and Base URL.",
                status=resp.status_code,
            )
        return target


def _origin(url: str) -> str:
    parts = urlsplit(url)
    netloc = parts.netloc.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ""))
    return f"{parts.scheme}://{netloc}".lower()
