"""Trend lines and heat maps as data for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

TREND_WIDTH, TREND_HEIGHT = 84, 20
TREND_DASH = 5
HEAT_LEVELS = 4


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
