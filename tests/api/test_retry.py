"""Which failed requests are tried again, how often, and after which waits."""

from __future__ import annotations

import dataclasses
import email.utils
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jumpcloud_elt.errors import (
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from support.loopback import ORGANIZATION, USERS, cut_off, hang_up, reply

# ---- what is asked again --------------------------------------------------------------------------------------------

BROKEN = {
    "429": reply({"message": "Too Many Requests"}, 429),
    "408": reply({"message": "Request Timeout"}, 408),
    "500": reply({"message": "Technical difficulties processing your request"}, 500),
    "502 with HTML": reply(b"<html>Bad Gateway</html>", 502),
    "503": reply({"message": "Service Unavailable"}, 503),
    "504": reply(b"", 504),
    "521": reply(b"", 521),
    "529": reply(b"", 529),
    "dropped": hang_up,
    "truncated": cut_off,
    "HTML": reply(b"<html>Please try again later</html>", headers={"Content-Type": "text/html"}),
    "half of a JSON": reply(b'{"totalCount": 1, "results": [{"_id"'),
    "two JSONs": reply(b"{} {}"),
    "nothing": reply(b""),
    "not gzip": reply(b"{}", headers={"Content-Encoding": "gzip"}),
    "blocked": reply({"message": "Forbidden: your IP has been blocked due to suspected abuse"}, 403),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("method", ["get", "insights"])
def test_what_can_heal_is_asked_again(
    broken: Any, method: str, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    server = serve(broken, broken, reply({"healed": True}))
    if method == "get":
        answer = hook.get(USERS, organization_id=ORGANIZATION)
    else:
        answer = hook.insights("events", {"limit": 1}, organization_id=ORGANIZATION)
    assert answer.decode() == {"healed": True}
    assert len(server.received) == hook.request_count == 3
    assert [1 <= waits[0] <= 2, 2 <= waits[1] <= 3] == [True, True]


@pytest.mark.parametrize(
    ("name", "status"),
    [("429", 429), ("503", 503), ("502 with HTML", 502), ("HTML", 200), ("dropped", None), ("blocked", 403)],
)
def test_attempts_are_bounded_and_the_error_says_what_it_was(
    name: str, status: int | None, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    server = serve(BROKEN[name])
    with pytest.raises(TransientError, match="tried 4 times") as raised:
        hook.get(USERS, organization_id=ORGANIZATION)
    assert str(raised.value).startswith(f"GET {USERS} of organization {ORGANIZATION}: ")
    assert raised.value.status == status
    assert len(server.received) == 4
    assert len(waits) == 3


def test_waits_grow_up_to_the_maximum(serve: Any, hook: JumpCloudHook, waits: list[float]) -> None:
    serve(BROKEN["503"])
    hook.settings = dataclasses.replace(hook.settings, request_attempts=10, retry_wait_max_seconds=20.0)
    with pytest.raises(TransientError):
        hook.get(USERS)
    low = [1, 2, 4, 8, 16, 20, 20, 20, 20]
    assert [shortest <= wait <= min(shortest + 1, 20) for shortest, wait in zip(low, waits, strict=True)] == [True] * 9


@pytest.mark.parametrize("status", [429, 503, 403])
def test_retry_after_in_seconds_is_honoured(status: int, serve: Any, hook: JumpCloudHook, waits: list[float]) -> None:
    message = {"message": "blocked due to suspected abuse"}
    serve(reply(message, status, {"Retry-After": "17"}), reply(message, status, {"Retry-After": " 119 "}), reply())
    hook.get(USERS)
    assert waits == [17, 119]


def test_retry_after_as_a_date_is_honoured(serve: Any, hook: JumpCloudHook, waits: list[float]) -> None:
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    serve(reply(None, 429, {"Retry-After": moment}), reply())
    hook.get(USERS)
    [wait] = waits
    assert 50 < wait <= 60


@pytest.mark.parametrize("value", ["0", "-5", "soon", "nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct"])
def test_a_retry_after_that_asks_for_nothing_gives_the_usual_wait(
    value: str, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    serve(reply(None, 503, {"Retry-After": value}), reply())
    hook.get(USERS)
    [wait] = waits
    assert 1 <= wait <= 2


@pytest.mark.parametrize("is_date", [False, True])
def test_a_retry_after_beyond_the_maximum_fails_at_once(
    is_date: bool, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server = serve(reply({"message": "slow down"}, 429, {"Retry-After": moment if is_date else "121"}))
    with pytest.raises(TransientError, match=r"429 slow down \(Retry-After: \d+ s\)") as raised:
        hook.get(USERS)
    assert raised.value.status == 429
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 120
    assert len(server.received) == 1
    assert waits == []
