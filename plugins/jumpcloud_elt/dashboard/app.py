"""The FastAPI app: its headers, its errors, its static files, and the check that stands before all of it.

Serves GET and HEAD only. Every route is one of the routers' below, or a static file of this package by its name.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from jumpcloud_elt.dashboard.pages import access as pages_access
from jumpcloud_elt.dashboard.pages import applications as pages_applications
from jumpcloud_elt.dashboard.pages import integrations as pages_integrations
from jumpcloud_elt.dashboard.pages import usage as pages_usage
from jumpcloud_elt.dashboard.pages import users as pages_users
from jumpcloud_elt.dashboard.refusal import refused
from jumpcloud_elt.dashboard.rendering import HERE, render
from jumpcloud_elt.dashboard.security import require_reader
from jumpcloud_elt.errors import JumpCloudError

log = logging.getLogger(__name__)

# Nothing from elsewhere, no script or style but the package's own files, shown in no frame but Airflow's.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    )
)

STATIC = {path.name: path for path in (HERE / "static").iterdir() if path.is_file()}
ASSET_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


def create_app() -> FastAPI:
    """The app, without a page that lists its routes."""
    app = FastAPI(
        title="JumpCloud", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(require_reader)]
    )
    for pages in (pages_integrations, pages_users, pages_applications, pages_access, pages_usage):
        app.include_router(pages.router)
    app.add_api_route("/static/{name}", _static, methods=["GET", "HEAD"])
    app.middleware("http")(_add_headers)
    app.add_exception_handler(StarletteHTTPException, refused)
    app.add_exception_handler(RequestValidationError, _incomplete)
    app.add_exception_handler(JumpCloudError, _unreadable)
    return app


def _static(name: str) -> FileResponse:
    path: Path | None = STATIC.get(name)
    if path is None:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(path, media_type=ASSET_TYPES[path.suffix], headers={"Cache-Control": "private, max-age=3600"})


async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        response = await call_next(request)
    except Exception:
        # Answered here: what answers outside of this would leave the headers out.
        log.exception("%s cannot be answered", request.url.path)
        detail = "Something went wrong; the log of Airflow's API server says what."
        response = render(request, "missing.html", status_code=500, detail=detail)
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _incomplete(request: Request, error: Exception) -> Response:
    """An address that lacks what its page is about."""
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    return render(request, "missing.html", status_code=400, detail=detail)


async def _unreadable(request: Request, error: Exception) -> Response:
    """There is no warehouse, or it cannot be read."""
    return render(request, "unreadable.html", status_code=503, message=str(error))


app = create_app()
