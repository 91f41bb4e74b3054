"""The hook's writing methods against the sandbox: success, refusal, every documented error, lost answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.log import redact

from jumpcloud_elt.api import user_calls
from jumpcloud_elt.api.user_state import is_mfa_reset
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import (
    ConfigurationError,
    ConflictError,
    CredentialError,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    BOB,
    CYD,
    DAN,
    EMPTY,
    EVE,
    FAY,
    ORGANIZATION,
    OTHER,
    STAFF,
    allow,
    members_of,
    user_of,
    world,
)
from support.acting import writes as all_writes

Json = dict[str, Any]
OF = {"organization_id": ORGANIZATION}
NEW = {"username": "new.one", "email": "new.one@x.example", "department": "Sales"}
Write = Callable[[JumpCloudHook], object]
# Every write, the user whom it changes, and how that shows.
WRITES: dict[str, tuple[Write, Callable[[Sandbox], bool]]] = {
    "create": (
        lambda hook: hook.create_user(NEW, **OF),
        lambda sandbox: any(user["username"] == "new.one" for user in sandbox.organization(ORGANIZATION)["users"]),
    ),
    "activate": (lambda hook: hook.activate_user(DAN, **OF), lambda sandbox: state(sandbox, DAN) == "ACTIVATED"),
    "suspend": (lambda hook: hook.suspend_user(BOB, **OF), lambda sandbox: state(sandbox, BOB) == "SUSPENDED"),
    "unsuspend": (lambda hook: hook.unsuspend_user(CYD, **OF), lambda sandbox: state(sandbox, CYD) == "ACTIVATED"),
    "update": (
        lambda hook: hook.update_user(BOB, {"department": "Law"}, **OF),
        lambda sandbox: field(sandbox, BOB, "department") == "Law",
    ),
    "unlock": (lambda hook: hook.unlock_user(EVE, **OF), lambda sandbox: not field(sandbox, EVE, "account_locked")),
    "expire": (
        lambda hook: hook.force_password_reset(BOB, **OF),
        lambda sandbox: bool(field(sandbox, BOB, "password_expired")),
    ),
    "reset_mfa": (lambda hook: hook.reset_mfa(FAY, **OF), lambda sandbox: not field(sandbox, FAY, "totp_enabled")),
    "add": (lambda hook: hook.add_group_member(EMPTY, BOB, **OF), lambda sandbox: BOB in members_of(sandbox, EMPTY)),
    "remove": (
        lambda hook: hook.remove_group_member(STAFF, BOB, **OF),
        lambda sandbox: BOB not in members_of(sandbox, STAFF),
    ),
    "delete": (lambda hook: hook.delete_user(BOB, **OF), lambda sandbox: user_of(sandbox, BOB) is None),
}
every_write = pytest.mark.parametrize("name", WRITES)


def state(sandbox: Sandbox, user: str) -> str:
    return str(field(sandbox, user, "state"))


def field(sandbox: Sandbox, user: str, name: str) -> Any:
    found = user_of(sandbox, user)
    assert found is not None
    return found.get(name)


@pytest.fixture
def hook(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> JumpCloudHook:
    sandbox.set_world(world())
    allow(monkeypatch, sandbox)
    return JumpCloudHook("jumpcloud_default", settings)


def on_writes(*, times: int = 99, **do: Any) -> list[Json]:
    """A fault that befalls every write, and no read."""
    path = "^/api/(systemusers|v2/usergroups)"
    return [
        {"match": {"method": method, "path_regex": path, "times": times}, "do": do}
        for method in ("POST", "PUT", "DELETE")
    ]


@every_write
def test_a_write_changes_the_user_with_one_call(name: str, hook: JumpCloudHook, sandbox: Sandbox) -> None:
    write, has_happened = WRITES[name]
    assert not has_happened(sandbox)
    answer = write(hook)
    assert has_happened(sandbox)
    assert len(all_writes(sandbox)) == 1
    if name in ("create", "update", "suspend", "unsuspend"):
        assert isinstance(answer, dict) and answer["_id"]
    else:
        assert answer is (True if name in ("add", "remove", "delete") else None)


@every_write
@pytest.mark.parametrize(("permission", "given"), [("read", "read"), ("", "read")])
def test_nothing_is_called_unless_the_connection_may_act(
    name: str,
    permission: str,
    given: str,
    hook: JumpCloudHook,
    sandbox: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow(monkeypatch, sandbox, permission)
    with pytest.raises(ConfigurationError, match=f"Permission: '{given}' given .* allowed: read_and_act"):
        WRITES[name][0](JumpCloudHook("jumpcloud_default", settings))
    assert sandbox.requests() == []


def test_nothing_is_called_without_an_organization(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    for given in ("", "Acme"):
        with pytest.raises(ConfigurationError, match=r"organization_id: .* allowed: an id of 24 hexadecimal digits"):
            hook.delete_user(BOB, organization_id=given)
    assert sandbox.requests() == []


@pytest.mark.parametrize("name", [name for name in WRITES if name != "create"])
def test_a_user_of_another_organization_is_not_found(name: str, hook: JumpCloudHook, sandbox: Sandbox) -> None:
    before = sandbox.organization(ORGANIZATION)
    writes: dict[str, Write] = {
        "activate": lambda hook: hook.activate_user(DAN, organization_id=OTHER),
        "suspend": lambda hook: hook.suspend_user(BOB, organization_id=OTHER),
        "unsuspend": lambda hook: hook.unsuspend_user(CYD, organization_id=OTHER),
        "update": lambda hook: hook.update_user(BOB, {"department": "Law"}, organization_id=OTHER),
        "unlock": lambda hook: hook.unlock_user(EVE, organization_id=OTHER),
        "expire": lambda hook: hook.force_password_reset(BOB, organization_id=OTHER),
        "reset_mfa": lambda hook: hook.reset_mfa(FAY, organization_id=OTHER),
        "add": lambda hook: hook.add_group_member(EMPTY, BOB, organization_id=OTHER),
        "remove": lambda hook: hook.remove_group_member(STAFF, BOB, organization_id=OTHER),
    }
    if name == "delete":
        assert hook.delete_user(BOB, organization_id=OTHER) is False
    else:
        with pytest.raises(NotFoundError):
            writes[name](hook)
    assert sandbox.organization(ORGANIZATION) == before


@every_write
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestError),
        (401, CredentialError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (412, RequestError),
        (422, RequestError),
    ],
)
def test_every_documented_refusal_is_raised_at_once_in_the_apis_own_words(
    name: str, status: int, error: type[RequestError], hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    sandbox.set_faults(*on_writes(status=status, body={"message": "words of its own"}))
    if (name, status) == ("delete", 404):
        assert WRITES[name][0](hook) is False
    else:
        with pytest.raises(error, match=f"{status} words of its own") as raised:
            WRITES[name][0](hook)
        assert type(raised.value) is error
    assert len(all_writes(sandbox)) == 1
    assert not WRITES[name][1](sandbox)


@every_write
@pytest.mark.parametrize(
    "lost",
    [
        {"drop_connection": True},
        {"drop_connection": True, "acted": True},
        {"status": 503},
        {"status": 504, "acted": True},
        {"html_body": True, "acted": True},
        {"html_body": True},
        {"truncate_body": True},
    ],
    ids=lambda do: " ".join(f"{name}={value}" for name, value in do.items()),
)
def test_a_lost_answer_is_looked_for_before_the_call_is_repeated(
    name: str, lost: Json, hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    write, has_happened = WRITES[name]
    sandbox.set_faults(*on_writes(times=1, **lost))
    answer = write(hook)
    assert has_happened(sandbox)
    has_acted = lost.get("acted") or "truncate_body" in lost
    made = [(method, path) for method, path, _ in all_writes(sandbox)]
    assert len(made) == (1 if has_acted else 2), made
    requests = [one["method"] for one in sandbox.requests()]
    # Half of an empty answer is the answer.
    assert requests[1:2] in (["GET"], [] if "truncate_body" in lost else None)
    if name == "create":
        assert isinstance(answer, dict) and answer["username"] == "new.one"
        users = sandbox.organization(ORGANIZATION)["users"]
        assert [user["username"] for user in users].count("new.one") == 1
    if name in ("add", "remove", "delete"):
        assert answer is True


@every_write
@pytest.mark.parametrize("acted", [True, False])
@pytest.mark.parametrize("status", [302, 303, 304, 307])
def test_a_redirect_is_not_followed_but_looked_into(
    name: str, status: int, acted: bool, hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    write, has_happened = WRITES[name]
    # There, a GET would answer 200.
    sandbox.set_faults(*on_writes(status=status, redirect_to=f"{sandbox.url}/api/systemusers/{ADA}", acted=acted))
    if acted:
        write(hook)
    else:
        with pytest.raises(RequestError, match=str(status)) as raised:
            write(hook)
        assert raised.value.may_have_happened
    assert has_happened(sandbox) == acted
    assert [found for _, _, found in all_writes(sandbox)] == [status]


@every_write
def test_a_lost_answer_is_remembered_whatever_is_answered_afterwards(
    name: str, hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    write, has_happened = WRITES[name]
    for status, error in ((429, TransientError), (403, PermissionDeniedError), (401, CredentialError)):
        sandbox.set_faults(*on_writes(times=1, status=504), *on_writes(status=status))
        with pytest.raises(error) as raised:
            write(hook)
        assert raised.value.may_have_happened, status
        sandbox.set_faults(*on_writes(status=status))
        with pytest.raises(error) as raised:
            write(hook)
        assert not raised.value.may_have_happened, status
    assert not has_happened(sandbox)


def test_a_look_that_fails_after_a_lost_answer_leaves_it_open(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    lost = on_writes(times=1, status=504, acted=True)
    sandbox.set_faults(*lost, {"match": {"method": "GET"}, "do": {"status": 401}})
    with pytest.raises(CredentialError) as raised:
        hook.suspend_user(BOB, **OF)
    assert raised.value.may_have_happened


def test_days_without_a_second_factor_are_compared_before_they_are_taken_for_given(
    hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["mfa"] = {"configured": False, "exclusion": True, "exclusionDays": 1}
    sandbox.set_organization(organization)
    sandbox.set_faults(*on_writes(times=1, drop_connection=True))
    hook.reset_mfa(BOB, exclusion_days=30, **OF)
    assert field(sandbox, BOB, "mfa")["exclusionDays"] == 30
    assert len(all_writes(sandbox)) == 2


@pytest.mark.parametrize(
    ("user", "days", "is_so"),
    [
        ({}, None, True),
        ({"totp_enabled": True}, None, False),
        ({}, 3, False),
        ({"mfa": {"exclusion": True, "exclusionDays": 3}}, 3, True),
        ({"mfa": {"exclusion": True, "exclusionDays": 1}}, 3, False),
        ({"mfa": {"exclusion": False, "exclusionDays": 3}}, 3, False),
        ({"totp_enabled": True, "mfa": {"exclusion": True, "exclusionDays": 3}}, 3, False),
        ({"mfa": {"exclusion": True, "exclusionDays": 3, "exclusionUntil": "2026-01-04T00:00:00Z"}}, 3, True),
        ({"mfa": {"exclusion": True, "exclusionUntil": "2026-01-03T01:00:00Z"}}, 3, True),
        # Given two days ago: one is left of them.
        ({"mfa": {"exclusion": True, "exclusionDays": 3, "exclusionUntil": "2026-01-02T00:00:00Z"}}, 3, False),
        ({"mfa": {"exclusion": True, "exclusionDays": 30, "exclusionUntil": "2026-01-31T00:00:00Z"}}, 3, False),
    ],
)
def test_a_second_factor_is_reset_when_nothing_is_left_to_reset_or_to_give(
    user: Json, days: int | None, is_so: bool
) -> None:
    assert is_mfa_reset(user, days, datetime(2026, 1, 1, tzinfo=UTC)) is is_so


@every_write
def test_429_is_an_answer_and_the_call_is_repeated_without_looking(
    name: str, hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    sandbox.set_faults(*on_writes(times=2, status=429))
    WRITES[name][0](hook)
    assert WRITES[name][1](sandbox)
    assert [one["method"] for one in sandbox.requests()].count("GET") == 0
    assert [status for _, _, status in all_writes(sandbox)][:2] == [429, 429]


@every_write
def test_without_any_answer_the_last_word_is_a_look(name: str, hook: JumpCloudHook, sandbox: Sandbox) -> None:
    write, has_happened = WRITES[name]
    sandbox.set_faults(*on_writes(status=503))
    with pytest.raises(TransientError, match=f"503 .*tried {hook.settings.request_attempts} times"):
        write(hook)
    assert not has_happened(sandbox)
    assert len(all_writes(sandbox)) == hook.settings.request_attempts
    # Of the last try the answer is lost too, and it has acted.
    last = hook.settings.request_attempts
    sandbox.clear_requests()
    sandbox.set_faults(
        *[
            {**rule, "match": {**rule["match"], "nth": last}, "do": {"status": 503, "acted": True}}
            for rule in on_writes()
        ],
        *on_writes(status=503),
    )
    write(hook)
    assert has_happened(sandbox)


def test_a_create_that_is_answered_too_late_creates_one_user(
    settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_world(world())
    allow(monkeypatch, sandbox)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__READ_TIMEOUT_SECONDS", "0.2")
    late = {"match": {"method": "POST", "path_regex": "^/api/systemusers$", "times": 1}, "do": {"latency_ms": 600}}
    # The look comes before the late one has acted, the second try after it: 400, "exists", and it is ours.
    look = {"match": {"method": "GET", "path_regex": "^/api/systemusers$", "times": 1}, "do": {"latency_ms": 150}}
    sandbox.set_faults(late, look)
    hook = JumpCloudHook("jumpcloud_default")
    assert hook.create_user(NEW, **OF)["username"] == "new.one"
    users = sandbox.organization(ORGANIZATION)["users"]
    assert [user["username"] for user in users].count("new.one") == 1


def test_two_who_write_the_same_at_once_do_no_harm(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    for name, (write, has_happened) in WRITES.items():
        sandbox.set_world(world())
        sandbox.set_latency(20)
        refused: list[int | None] = []
        threads = [threading.Thread(target=_write_into, args=[write, hook, refused]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert has_happened(sandbox), name
        # Of two the second is told so; the Dag's `look` takes it for what it is.
        assert refused == ([400] if name in ("create", "activate") else []), name


def _write_into(write: Write, hook: JumpCloudHook, refused: list[int | None]) -> None:
    try:
        write(hook)
    except RequestError as error:
        refused.append(error.status)


def test_members_are_added_and_removed_once_and_say_so(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    assert hook.add_group_member(STAFF, BOB, **OF) is False
    assert hook.remove_group_member(EMPTY, BOB, **OF) is False
    assert [status for _, _, status in all_writes(sandbox)] == [409, 404]
    with pytest.raises(NotFoundError):
        hook.add_group_member("d" * 24, BOB, **OF)
    with pytest.raises(NotFoundError):
        hook.remove_group_member(STAFF, "d" * 24, **OF)


def test_a_manager_is_deleted_only_with_word_on_the_reports(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    with pytest.raises(ConflictError, match="409"):
        hook.delete_user(ADA, **OF)
    assert hook.delete_user(ADA, cascade_manager=EVE, **OF) is True
    assert field(sandbox, BOB, "manager") == EVE
    assert hook.delete_user(EVE, cascade_manager="null", **OF) is True
    assert "manager" not in (user_of(sandbox, BOB) or {})
    assert hook.delete_user(EVE, **OF) is False


def test_a_user_who_exists_is_refused_as_jumpcloud_says_it(hook: JumpCloudHook) -> None:
    with pytest.raises(RequestError, match="400 User already exists"):
        hook.create_user({"username": "bob", "email": "b@x.example"}, **OF)


def test_what_the_methods_take_beyond_the_user_is_sent(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    hook.reset_mfa(FAY, exclusion_days=3, **OF)
    assert field(sandbox, FAY, "mfa") == {"configured": False, "exclusion": True, "exclusionDays": 3}
    created = hook.create_user({**NEW, "state": "STAGED", "password": "c0rrect-horse"}, **OF)
    assert (created["state"], created["activated"]) == ("STAGED", True)
    hook.activate_user(created["_id"], email=False, **OF)
    assert state(sandbox, created["_id"]) == "ACTIVATED"


def test_a_password_reaches_neither_error_nor_log_nor_description(
    hook: JumpCloudHook, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {**NEW, "password": "s3cret-passw0rd"}
    assert "s3cret-passw0rd" not in repr(user_calls.create(fields).describe())
    sandbox.set_faults(*on_writes(status=503))
    with pytest.raises(TransientError) as raised, caplog.at_level("DEBUG"):
        hook.create_user(fields, **OF)
    assert "s3cret-passw0rd" not in str(raised.value) + caplog.text
    assert redact("x s3cret-passw0rd y") == "x *** y"


def test_users_are_read_found_and_filtered(hook: JumpCloudHook) -> None:
    assert hook.get_user(ADA, **OF)["username"] == "ada"
    assert hook.find_user("d" * 24, **OF) is None
    assert [user["_id"] for user in hook.iter_users(filter="department:$eq:Research", **OF)] == [EVE]
    assert len(list(hook.iter_users(**OF))) == 6
    assert [group["name"] for group in hook.iter_groups(**OF)] == ["Staff", "Empty"]
    assert (hook.is_member(STAFF, ADA, **OF), hook.is_member(EMPTY, ADA, **OF)) == (True, False)
