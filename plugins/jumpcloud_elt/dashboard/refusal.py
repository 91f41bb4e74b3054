"""What is shown instead of a page: to people who are not signed in or may not look, and for what is not there.

The first kind needs no file of this package, for those are for readers, too: its style and its script stand in the
page, and its policy allows exactly these two.
"""

from __future__ import annotations

import base64
import hashlib
from typing import cast

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from jumpcloud_elt.dashboard.rendering import render, text_of
from jumpcloud_elt.dashboard.security import NotAllowedError


async def refused(request: Request, error: Exception) -> Response:
    """401, 403, 404 and the like as a page."""
    error = cast(HTTPException, error)
    # Airflow says 403 of a token that another secret has signed; signing in is what helps.
    is_nobody = error.status_code == 401 or (error.status_code == 403 and not isinstance(error, NotAllowedError))
    if is_nobody or error.status_code == 403:
        here = str(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
        status = 401 if is_nobody else 403
        response = render(request, "refused.html", status_code=status, status=status, detail=error.detail, here=here)
        response.headers["Content-Security-Policy"] = _policy()
    else:
        response = render(request, "missing.html", status_code=error.status_code, detail=error.detail)
    response.headers.update(error.headers or {})
    return response


def _policy() -> str:
    style, script = (f"'sha256-{_digest(name)}'" for name in ("refused.css", "refused.js"))
    return f"default-src 'none'; style-src {style}; script-src {script}; frame-ancestors 'self'; base-uri 'none'"


def _digest(name: str) -> str:
    return base64.b64encode(hashlib.sha256(text_of(name).encode()).digest()).decode()
