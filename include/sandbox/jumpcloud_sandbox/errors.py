"""The error answers of the API, body for body.

"observed": pasted by users of the real API. "spec": status and meaning are published, the wording is
not. "inferred": neither is known; clients must not lean on the wording.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer other than success. `body` is sent as JSON."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('message')}")
        self.status = status
        self.body = body


def bad_key() -> ApiError:
    """Observed. A key that is unknown, regenerated, or missing (the last is inferred)."""
    return ApiError(401, {"error": "Unauthorized", "message": "Unauthorized: api key user not found"})


def bad_token() -> ApiError:
    """Inferred wording."""
    return ApiError(401, {"error": "Unauthorized", "message": "Unauthorized: invalid access token"})


def no_organization_selected() -> ApiError:
    """Observed on V2 and Directory Insights."""
    return ApiError(401, {"message": "Unauthorized: no organization selected"})


def organization_header_refused() -> ApiError:
    """Observed: `x-org-id` on a route that spans organizations."""
    message = "Forbidden: organization selection not allowed via header"
    return ApiError(403, {"message": message, "error": message})


def forbidden() -> ApiError:
    """Spec: the role of the key does not reach this route. Inferred wording."""
    return ApiError(403, {"message": "Forbidden", "error": "Forbidden"})


def malformed_organization_id() -> ApiError:
    """Spec. Inferred wording."""
    return ApiError(400, {"message": "Bad Request: invalid organization id"})


def organization_not_found() -> ApiError:
    """Spec. Inferred wording."""
    return ApiError(404, {"message": "Not Found: organization not found"})


def not_found() -> ApiError:
    """Spec. Inferred wording."""
    return ApiError(404, {"message": "Not Found", "error": "Not Found"})


def limit_too_high(maximum: int) -> ApiError:
    """Observed on V1; inferred for V2."""
    message = f'Bad Request: request parameter "limit" exceeds maximum value of {maximum}'
    return ApiError(400, {"message": message})


def bad_request(message: str) -> ApiError:
    """Gateway shape, used by V1, V2 and Directory Insights."""
    return ApiError(400, {"message": message})


def invalid_argument(message: str, details: list[dict[str, Any]] | None = None) -> ApiError:
    """Spec: `ErrorDetails` of the V1 write routes."""
    body: dict[str, Any] = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
    return ApiError(400, body | ({"details": details} if details else {}))


def conflict(message: str) -> ApiError:
    """Observed for duplicate group members ("Already Exists"); spec for managers that are deleted."""
    return ApiError(409, {"message": message})


def insights_not_enabled() -> ApiError:
    """Spec of 2021, which gives the status and the sentence."""
    return ApiError(402, {"message": "Directory Insights is not enabled for your organization"})


def not_offered(what: str) -> ApiError:
    """Not JumpCloud's: the sandbox says so rather than answering something wrong."""
    return ApiError(501, {"message": f"The sandbox does not offer {what}"})
