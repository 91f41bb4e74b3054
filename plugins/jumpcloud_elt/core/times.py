"""Times as they are used everywhere: naive UTC, read from and written as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jumpcloud_elt.errors import ConfigurationError, LandingError

DAY = timedelta(days=1)


def utc_now() -> datetime:
    """Now, as a naive UTC time: the form in which every time is landed."""
    return datetime.now(UTC).replace(tzinfo=None)


def format_time(moment: datetime) -> str:
    """A naive UTC time in basic ISO form, microseconds only where there are any."""
    return moment.strftime("%Y%m%dT%H%M%S.%fZ" if moment.microsecond else "%Y%m%dT%H%M%SZ")


def parse_time(text: str) -> datetime:
    """The time that `format_time` wrote."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ" if "." in text else "%Y%m%dT%H%M%SZ")
    except ValueError as error:
        raise LandingError(f"{text!r} is not a time as landing writes it, such as 20261122T000000Z") from error


def midnight_before(moment: datetime) -> datetime:
    """The UTC midnight that a moment's day began with."""
    return datetime(moment.year, moment.month, moment.day)


def parse_moment(text: str, field: str) -> datetime:
    """An ISO 8601 time given by a person, as naive UTC; a time without offset is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigurationError(
            f"{field}: {text!r} given; allowed: an ISO 8601 time such as 2026-09-01T00:00:00Z"
        ) from error
