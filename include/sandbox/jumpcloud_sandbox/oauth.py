"""The OAuth token route: client credentials in a Basic header, an access token out."""

from __future__ import annotations

import base64
import binascii
import secrets
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox.calls import json_response
from jumpcloud_sandbox.errors import ApiError
from jumpcloud_sandbox.state import State


async def issue_token(request: Request) -> Response:
    """The error codes are those of OAuth 2.0; JumpCloud's own bodies are not known."""
    state: State = request.app.state.sandbox
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    if form.get("grant_type") != ["client_credentials"]:
        raise ApiError(400, {"error": "unsupported_grant_type"})
    if form.get("scope") != ["api"]:
        raise ApiError(403, {"error": "invalid_scope"})
    client_id, client_secret = _basic(request.headers.get("authorization", ""))
    for account in state.world["service_accounts"]:
        if state.has_passed(account["expires_at"]):
            continue
        if account["client_id"] == client_id and secrets.compare_digest(
            account["client_secret"].encode(), client_secret.encode()
        ):
            return json_response(
                {
                    "access_token": state.issue_token(account),
                    "expires_in": account["token_seconds"],
                    "scope": "api",
                    "token_type": "bearer",
                }
            )
    raise ApiError(401, {"error": "invalid_client"})


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, _, client_secret = decoded.partition(":")
    return client_id, client_secret


ROUTES: list[Route] = [Route("/oauth2/token", issue_token, methods=["POST"])]
