"""Templates, and how values are said: times, counts, and what is not known.

What JumpCloud does not say is *unknown*, never 0 and never *never*. Everything is escaped; templates mark nothing safe.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import jumpcloud_elt
from jumpcloud_elt.dashboard.lists import USAGE
from jumpcloud_elt.plugin import URL_PREFIX

HERE = Path(__file__).parent
STATUSES = ("active", "password_pending", "password_expired", "locked", "staged", "suspended", "deleted")
SOURCES = {"sso": "SSO", "user_portal": "User portal", "admin_portal": "Admin portal"}
USAGE_LABELS = {
    "used": "Used",
    "idle30": "Not used in 30 days",
    "idle60": "Not used in 60 days",
    "idle90": "Not used in 90 days",
    "never": "Never used",
    "unknown": "Unknown",
}
TREND_WIDTH, TREND_HEIGHT = 84, 20
TREND_DASH = 5
HEAT_LEVELS = 4


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
        "moment": moment,
        "day": day,
        "count": count,
        "words": words,
        "source": lambda value: SOURCES.get(value, value),
        "trend": trend,
        "segment": lambda value: quote(str(value), safe=""),
    }
    environment.globals |= {
        "address": address,
        "usage_labels": {name: USAGE_LABELS[name] for name in USAGE_LABELS if name in USAGE},
        "statuses": STATUSES,
        "trend_size": (TREND_WIDTH, TREND_HEIGHT),
    }
    return environment


def address(path: str, **parameters: Any) -> str:
    """An address relative to the dashboard; what is None or empty is left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return path + (f"?{urlencode(given)}" if given else "")


def moment(value: datetime | None) -> str:
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


def trend(values: Sequence[int | None]) -> list[str]:
    """The points of a line over the weeks, as SVG wants them; a line ends where a week is not known."""
    top = max((value for value in values if value is not None), default=0) or 1
    step = TREND_WIDTH / max(1, len(values) - 1)
    lines: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            lines.append([])
        else:
            lines[-1].append((index * step, TREND_HEIGHT - 1 - value / top * (TREND_HEIGHT - 2)))
    for line in lines:
        if len(line) == 1:
            # A week alone is a dash, and not nothing; within the picture, for the newest stands at its end.
            ((x, y),) = line
            start = min(max(x - TREND_DASH / 2, 0), TREND_WIDTH - TREND_DASH)
            line[:] = [(start, y), (start + TREND_DASH, y)]
    return [" ".join(f"{x:.1f},{y:.1f}" for x, y in line) for line in lines if line]


def heat_map(first: date, last: date, values: Mapping[date, int], states: Mapping[date, str]) -> dict[str, Any]:
    """Days as a grid of weeks, Monday first: each with its level from 0 to 4, or the state that says why it has none.

    `states` holds days that are not wholly known: `unknown` or `partly`.
    """
    monday = first - timedelta(days=first.weekday())
    top = max((value for one, value in values.items() if first <= one <= last), default=0)
    cells, months = [], []
    for number in range((last - first).days + 1):
        one = first + timedelta(days=number)
        week = (one - monday).days // 7
        value, state = values.get(one, 0), states.get(one, "known")
        level = 0 if not value else min(HEAT_LEVELS, 1 + value * HEAT_LEVELS // (top + 1))
        cells.append(
            {"day": one, "week": week, "weekday": one.weekday(), "value": value, "level": level, "state": state}
        )
        if one.day == 1:
            months.append({"week": week + (1 if one.weekday() else 0), "label": f"{one:%b}"})
    return {"cells": cells, "months": months, "weeks": (last - monday).days // 7 + 1}
