"""From a function over a `Call` to a route: keys, rights and tenancy are settled before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox import tenancy
from jumpcloud_sandbox.errors import ApiError, bad_request
from jumpcloud_sandbox.state import State
from jumpcloud_sandbox.tenancy import Principal
from jumpcloud_sandbox.world import Organization

JSON_TYPE = "application/json; charset=utf-8"


class Scope(Enum):
    """What a route makes of `x-org-id`."""

    ORGANIZATION = "needs exactly one organization"
    ORGANIZATIONS = "takes one or several organizations"
    ACCOUNT = "spans organizations and refuses the header"
    CALLER = "is about the caller and ignores the header"


@dataclass(frozen=True)
class Call:
    """One authenticated request."""

    state: State
    principal: Principal
    organizations: list[Organization]
    path: dict[str, str]
    query: QueryParams
    headers: Headers
    raw_body: bytes

    @property
    def organization(self) -> Organization:
        return self.organizations[0]

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; an empty body is an empty object. Raises ApiError 400."""
        try:
            body = msgspec.json.decode(self.raw_body or b"{}")
        except msgspec.DecodeError as error:
            raise bad_request(f"Bad Request: {error}") from error
        if not isinstance(body, dict):
            raise bad_request("Bad Request: the body must be a JSON object")
        return body


Handler = Callable[[Call], Response]


def json_response(body: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """`body` as JSON, or bytes that are JSON already."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(content, status, {"content-type": JSON_TYPE, **(headers or {})})


def route(
    method: str, path: str, handler: Handler, scope: Scope = Scope.ORGANIZATION, *, is_write: bool = False
) -> Route:
    """A Starlette route that answers with `handler`."""

    async def endpoint(request: Request) -> Response:
        state: State = request.app.state.sandbox
        principal = tenancy.authenticate(request.headers, state)
        tenancy.check_route(principal, request.url.path, is_write=is_write)
        organizations: list[Organization] = []
        if scope is Scope.ACCOUNT:
            tenancy.refuse_header(request.headers)
        elif scope is not Scope.CALLER:
            organizations = tenancy.select_organizations(principal, request.headers, state)
            if scope is Scope.ORGANIZATION and len(organizations) > 1:
                raise bad_request("Bad Request: several organization ids")
        return handler(
            Call(
                state=state,
                principal=principal,
                organizations=organizations,
                path=request.path_params,
                query=request.query_params,
                headers=request.headers,
                raw_body=await request.body(),
            )
        )

    return Route(path, endpoint, methods=[method])


def on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return json_response(error.body, status=error.status)


def on_unknown_route(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the API's clothes."""
    status = getattr(error, "status_code", 404)
    message = "Method Not Allowed" if status == 405 else "Not Found"
    return json_response({"message": message}, status=status)
