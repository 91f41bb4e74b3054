"""Templates, and how values are said: times, counts, and what is not known.

What JumpCloud does not say is *unknown*, never 0 and never *never*. Everything is escaped; templates mark nothing safe.
"""

from __future__ import annotations

import functools
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import jumpcloud_elt
from jumpcloud_elt.core.urls import URL_PREFIX
from jumpcloud_elt.dashboard.charts import TREND_HEIGHT, TREND_WIDTH, trend
from jumpcloud_elt.dashboard.coverage import since
from jumpcloud_elt.dashboard.lists import USAGE

HERE = Path(__file__).parent
STATUS_ORDER = ("active", "password_pending", "password_expired", "locked", "staged", "suspended", "deleted")
SOURCES = {"sso": "SSO", "user_portal": "User portal", "admin_portal": "Admin portal"}

USAGE_LABELS = {
    "used": "Used",
    "idle30": "Not used in 30 days",
    "idle60": "Not used in 60 days",
    "idle90": "Not used in 90 days",
    "never": "Never used",
    "unknown": "Unknown",
}


def render(request: Request, template: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    """A page. `context` must hold `built_at` where the page shows data."""
    root = str(request.scope.get("root_path", ""))
    text = (
        _environment()
        .get_template(template)
        .render(
            root=root,
            airflow=root.removesuffix(URL_PREFIX),
            version=jumpcloud_elt.__version__,
            **{"built_at": None, "page": "", **context},
        )
    )
    return HTMLResponse(text, status_code=status_code)


def text_of(template: str) -> str:
    """A template that needs no values, as a page includes it."""
    return _environment().get_template(template).render()


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": format_moment,
        "day": day,
        "count": count,
        "words": words,
        "source": lambda value: SOURCES.get(value, value),
        "trend": trend,
        "segment": lambda value: quote(str(value), safe=""),
    }
    environment.globals |= {
        "address": address,
        "since": since,
        "usage_labels": {name: USAGE_LABELS[name] for name in USAGE_LABELS if name in USAGE},
        "statuses": STATUS_ORDER,
        "trend_size": (TREND_WIDTH, TREND_HEIGHT),
    }
    return environment


def address(path: str, **parameters: Any) -> str:
    """An address relative to the dashboard; what is None or empty is left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return path + (f"?{urlencode(given)}" if given else "")


def format_moment(value: datetime | None) -> str:
    """A time (UTC, which each page says once), to the minute."""
    return f"{value:%Y-%m-%d %H:%M}" if value else ""


def day(value: date | None) -> str:
    """A day."""
    return f"{value:%Y-%m-%d}" if value else ""


def count(value: float | None) -> str:
    """A number, or that it is not known."""
    return "unknown" if value is None else f"{value:,}"


def words(value: str) -> str:
    """A word of the warehouse as people write it."""
    return value.replace("_", " ").capitalize()
