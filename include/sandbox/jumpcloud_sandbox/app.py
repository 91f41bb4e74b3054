"""The application: every route, behind the front layer."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.types import ASGIApp

from jumpcloud_sandbox import calls, console, console_write, control, graph, insights, oauth
from jumpcloud_sandbox.errors import ApiError
from jumpcloud_sandbox.front import Front
from jumpcloud_sandbox.state import State

API_ROUTES = [*console.ROUTES, *console_write.ROUTES, *graph.ROUTES, *insights.ROUTES, *oauth.ROUTES]


def create_app(state: State) -> ASGIApp:
    """An ASGI application around `state`. Needs uvicorn: see `front`."""
    app = Starlette(
        routes=[*API_ROUTES, *control.ROUTES],
        exception_handlers={
            ApiError: calls.on_api_error,
            404: calls.on_unknown_route,
            405: calls.on_unknown_route,
        },
    )
    app.state.sandbox = state
    return Front(app, state)
