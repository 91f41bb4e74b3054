"""Routes for tests under /_sandbox/: they need no key, are never logged and never fail on purpose."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox.calls import json_response
from jumpcloud_sandbox.errors import bad_request, not_found
from jumpcloud_sandbox.state import State

OK = {"ok": True}
Endpoint = Callable[[Request], Awaitable[Response]]


def _state(request: Request) -> State:
    state: State = request.app.state.sandbox
    return state


async def get_world(request: Request) -> Response:
    """The ground truth, with every edit so far."""
    return json_response(_state(request).world)


async def put_world(request: Request) -> Response:
    _state(request).load(msgspec.json.decode(await request.body()))
    return json_response(OK)


async def reset(request: Request) -> Response:
    _state(request).reset()
    return json_response(OK)


async def put_organization(request: Request) -> Response:
    row = msgspec.json.decode(await request.body())
    if row.get("id") != request.path_params["id"]:
        raise bad_request("the id in the path is not the id in the body")
    _state(request).put_organization(row)
    return json_response(OK)


async def post_events(request: Request) -> Response:
    if request.path_params["id"] not in _state(request).organizations:
        raise not_found()
    events = msgspec.json.decode(await request.body())
    _state(request).add_events(request.path_params["id"], events)
    return json_response({"added": len(events)})


async def get_requests(request: Request) -> Response:
    return json_response(_state(request).log.as_json())


async def delete_requests(request: Request) -> Response:
    _state(request).log.clear()
    return json_response(OK)


async def get_faults(request: Request) -> Response:
    return json_response(_state(request).faults.as_json())


async def put_faults(request: Request) -> Response:
    _state(request).faults.replace(msgspec.json.decode(await request.body()))
    return json_response(OK)


async def put_latency(request: Request) -> Response:
    _state(request).latency_ms = float(msgspec.json.decode(await request.body())["ms"])
    return json_response(OK)


async def delete_tokens(request: Request) -> Response:
    _state(request).expire_tokens()
    return json_response(OK)


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    """A world, organization, event or rule that is not one is the test's mistake: 400, with the reason."""

    async def checked(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ValueError, KeyError, TypeError, re.error) as error:
            raise bad_request(f"{type(error).__name__}: {error}") from error

    return Route(f"/_sandbox/{path}", checked, methods=[method])


ROUTES: list[Route] = [
    _route("GET", "world", get_world),
    _route("PUT", "world", put_world),
    _route("POST", "reset", reset),
    _route("PUT", "organizations/{id}", put_organization),
    _route("POST", "organizations/{id}/events", post_events),
    _route("GET", "requests", get_requests),
    _route("DELETE", "requests", delete_requests),
    _route("GET", "faults", get_faults),
    _route("PUT", "faults", put_faults),
    _route("PUT", "latency", put_latency),
    _route("DELETE", "tokens", delete_tokens),
]
