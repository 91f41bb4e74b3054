"""Being told: of what, how often, what of a notifier that fails, and that no secret is among it."""

from __future__ import annotations

import json
import logging
import smtplib
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import urllib3
from airflow.sdk import Connection

from jumpcloud_elt.alerts import notify, problems
from jumpcloud_elt.core.airflow_compat import AirflowException, AirflowNotFoundException, AirflowSkipException
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.tasks import alerts, common
from jumpcloud_sandbox.client import Sandbox
from support import recording
from support.connections import connection_json
from support.pipeline import run_directory, run_usage

ONE, TWO = "5f0a1c2e9d3b4a0011225701", "5f0a1c2e9d3b4a0011225702"
KEY = "jca_key_of_both"
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
RECORDING = {"class": "support.recording.RecordingNotifier"}
BROKEN = {"class": "support.recording.BrokenNotifier", "kwargs": {"message": "{{ jumpcloud.new | length }} new"}}

Json = dict[str, Any]
Told = list[tuple[str, str]]


def organization(identifier: str, name: str, users: int = 1, **others: Any) -> Json:
    rows = [
        {"_id": f"{number:024x}", "email": f"{number}@{name}.io", "username": f"u{number}"} for number in range(users)
    ]
    return {"id": identifier, "displayName": name, "users": rows, **others}


def refuse(status: int, message: str, organization_id: str = ONE, path: str = "/systemusers") -> Json:
    do = {"status": status, "body": {"message": message}}
    return {"match": {"organization_id": organization_id, "path_regex": path}, "do": do}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What people have been told: subject and text, since the list was last cleared."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([RECORDING]))
    monkeypatch.setattr("jumpcloud_elt.tasks.alerts.get_current_context", dict)
    monkeypatch.setattr(recording, "is_broken", False)
    recording.told.clear()
    yield recording.told
    recording.told.clear()


@pytest.fixture
def world(sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Json:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY))
    key = {"key": KEY, "organizations": [ONE, TWO], "is_multi_tenant": True}
    world = {"organizations": [organization(ONE, "Alpha"), organization(TWO, "Bravo")], "keys": [key]}
    sandbox.set_world(world)
    return world


def directory(name: str, **arguments: Any) -> None:
    """A directory run with its last task."""
    run_directory(name, **arguments)
    run_of = {"dag_id": "jumpcloud_directory", "run_id": name}
    only = arguments.get("only") or []
    listed = common.list_organizations(only, with_credentials=True)
    alerts.notify_of_directory(listed, run_of, is_restricted=bool(only))


def usage(name: str) -> None:
    """A usage run with its last task."""
    run_usage(name, TODAY - DAY, TODAY)
    alerts.notify_of_usage(common.list_organizations([]), {"dag_id": "jumpcloud_usage", "run_id": name})


def taken(told: Told) -> Told:
    """What has been told since this was last asked."""
    news = list(told)
    told.clear()
    return news


@pytest.mark.usefixtures("world")
def test_a_failure_is_told_once_over_three_runs_and_once_that_it_is_over(sandbox: Sandbox, told: Told) -> None:
    directory("fine")
    assert taken(told) == []
    sandbox.set_faults(refuse(403, "Forbidden"))
    directory("one")
    [(subject, message)] = taken(told)
    assert subject == "JumpCloud sync: 1 new problem"
    assert message.startswith("- Alpha could not be synced: GET /api/systemusers of organization")
    assert "the role of the key's administrator does not allow it" in message
    directory("two")
    directory("three")
    assert taken(told) == []
    sandbox.set_faults()
    directory("well")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Alpha (failed)")]
    directory("still well")
    assert taken(told) == []


@pytest.mark.usefixtures("world")
def test_several_problems_and_recoveries_are_one_message(sandbox: Sandbox, told: Told) -> None:
    sandbox.set_faults(refuse(403, "Forbidden"), refuse(403, "Forbidden", TWO))
    directory("both")
    [(subject, message)] = taken(told)
    assert subject == "JumpCloud sync: 2 new problems"
    assert [line.split(" could")[0] for line in message.splitlines()] == ["- Alpha", "- Bravo"]
    sandbox.set_faults(refuse(403, "Forbidden", path="/usergroups"))
    directory("one of them")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Bravo (failed)")]


def test_a_held_snapshot_is_told_with_how_to_accept_it_and_a_failure_after_it_is_told_anew(
    sandbox: Sandbox, world: Json, told: Told
) -> None:
    sandbox.set_world(world | {"organizations": [organization(ONE, "Alpha", 40), organization(TWO, "Bravo")]})
    directory("many")
    sandbox.set_world(world)
    directory("few")
    [(_, message)] = taken(told)
    assert (
        message.startswith("- Alpha is held back: 39 of 40 users (98%) are missing (1 listed now)")
        and "accept_drop" in message
    )
    sandbox.set_faults(refuse(403, "Forbidden"))
    directory("none")
    [(subject, message)] = taken(told)
    assert subject == "JumpCloud sync: 1 new problem" and message.startswith("- Alpha could not be synced")


def test_an_organization_that_goes_stale_is_told_by_unrestricted_runs_only_and_not_where_it_is_excluded(
    sandbox: Sandbox, world: Json, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory("both")
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"organizations": [ONE]}]})
    directory("only one", only=[ONE])
    assert taken(told) == []
    directory("gone")
    directory("gone again")
    [(_, message)] = taken(told)
    assert message.startswith("- Bravo is not synced any longer: No configured connection saw it")
    assert "[jumpcloud_elt] exclude" in message
    sandbox.set_world(world)
    directory("back")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Bravo (stale)")]
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", TWO)
    directory("on purpose")
    assert taken(told) == []


def test_a_connection_that_fails_is_one_problem_that_names_its_organizations(
    sandbox: Sandbox, world: Json, told: Told
) -> None:
    directory("both")
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"key": "replaced"}]})
    directory("refused")
    [(subject, message)] = taken(told)
    assert subject == "JumpCloud sync: 1 new problem"
    assert message.startswith("- Connection jumpcloud_default could not be synced: GET /api/organizations: 401")
    assert message.endswith("Affected: Alpha, Bravo.")
    sandbox.set_world(world)
    directory("accepted")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Connection jumpcloud_default (failed)")]


def test_a_key_that_is_about_to_end_is_told_once_and_that_it_was_replaced(
    sandbox: Sandbox, world: Json, told: Told
) -> None:
    ends = (datetime.now(UTC) + timedelta(days=20, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"expires_at": ends}]})
    directory("one")
    directory("two")
    [(_, message)] = taken(told)
    assert message.startswith(
        f"- Connection jumpcloud_default needs a new key: The key ends on {ends[:10]}, in 20 days."
    )
    # Not told today is neither well nor new.
    sandbox.set_faults({"match": {"path_regex": "/getSelf"}, "do": {"status": 503}})
    directory("not told")
    sandbox.set_faults()
    directory("told again")
    assert taken(told) == []
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"expires_at": "2099-01-01T00:00:00Z"}]})
    directory("renewed")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Connection jumpcloud_default (key ends)")]


def test_a_key_that_was_replaced_by_one_without_an_end_is_told_as_well(
    sandbox: Sandbox, world: Json, told: Told
) -> None:
    ends = (datetime.now(UTC) + timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"expires_at": ends}]})
    directory("one")
    assert len(taken(told)) == 1
    endless = {"_id": "1" * 24, "roleName": "Administrator", "apiKeyHash": {"prefix": KEY[:8], "expireAt": None}}
    sandbox.set_faults({"match": {"path_regex": "/getSelf"}, "do": {"status": 200, "body": endless}})
    directory("endless")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Connection jumpcloud_default (key ends)")]


def test_losing_directory_insights_is_told_and_never_having_had_them_is_not(
    sandbox: Sandbox, world: Json, told: Told
) -> None:
    without = organization(TWO, "Bravo", insights="not_enabled")
    sandbox.set_world(world | {"organizations": [organization(ONE, "Alpha"), without]})
    usage("one has them")
    assert taken(told) == []
    sandbox.set_world(world | {"organizations": [organization(ONE, "Alpha", insights="not_enabled"), without]})
    usage("none has them")
    usage("none has them still")
    [(_, message)] = taken(told)
    assert message.startswith("- Alpha has lost Directory Insights: Directory Insights is not enabled")
    assert "JumpCloud's account manager" in message and "Bravo" not in message
    sandbox.set_world(world | {"organizations": [organization(ONE, "Alpha"), without]})
    usage("one has them again")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- Alpha (Directory Insights lost)")]


@pytest.mark.usefixtures("world")
def test_usage_that_fails_is_told_beside_a_directory_that_does_not(sandbox: Sandbox, told: Told) -> None:
    sandbox.set_faults(refuse(400, "no such service", path="/insights/"))
    directory("directory")
    usage("one")
    usage("two")
    [(_, message)] = taken(told)
    assert message.startswith("- Usage of Alpha could not be synced: ")


def test_a_run_that_can_list_nothing_is_told_with_the_reason(
    world: Json, told: Told, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, ""))
    run_of = {"dag_id": "jumpcloud_directory", "run_id": "nothing"}
    alerts.notify_of_directory(None, run_of, is_restricted=False)
    alerts.notify_of_directory(None, run_of, is_restricted=False)
    [(_, message)] = taken(told)
    assert message.startswith("- JumpCloud could not be synced at all: No organization can be synced.")
    assert "API key: missing" in message
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY))
    directory("something")
    assert taken(told) == [("JumpCloud sync: 1 well again", "Well again:\n- JumpCloud (nothing synced)")]


@pytest.mark.usefixtures("world")
def test_a_notifier_that_fails_costs_nothing_shows_and_is_tried_again_and_the_others_are_not_told_twice(
    sandbox: Sandbox, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([BROKEN, RECORDING]))
    monkeypatch.setattr(recording, "is_broken", True)
    sandbox.set_faults(refuse(403, "Forbidden"))
    for name in ("one", "two"):
        with pytest.raises(AirflowSkipException, match=r"BrokenNotifier: ConnectionError$"):
            directory(name)
    assert len(taken(told)) == 1
    monkeypatch.setattr(recording, "is_broken", False)
    directory("three")
    assert taken(told) == [("JumpCloud sync: 1 new problem", "1 new")]


SECRET = "services/T000/B000/XXXXsecretXXXX"
WEBHOOK = f"https://hooks.example.com/{SECRET}"


def response(status: int) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer.url, answer.reason = status, WEBHOOK, "Not Found"
    return answer


def unreachable() -> None:
    # Nobody listens there.
    requests.post(f"http://127.0.0.1:9/{SECRET}", timeout=5)


def raises(error: Exception) -> Callable[[], None]:
    def send() -> None:
        raise error

    return send


def of_the_caller() -> None:
    try:
        unreachable()
    except requests.ConnectionError as error:
        raise AirflowException(f"{error} {Connection(conn_id='slack', conn_type='http', host=WEBHOOK)!r}") from error


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("send", "kind"),
    [
        (unreachable, "ConnectionError, caused by MaxRetryError, caused by NewConnectionError, caused by Connection"),
        (lambda: response(404).raise_for_status(), "HTTPError 404$"),
        (lambda: requests.post(WEBHOOK.removeprefix("https://"), timeout=5), "MissingSchema$"),
        (
            lambda: urllib3.PoolManager(retries=0).request("POST", f"http://127.0.0.1:9/{SECRET}"),
            "MaxRetryError, caused",
        ),
        (raises(smtplib.SMTPAuthenticationError(535, SECRET.encode())), "SMTPAuthenticationError 535$"),
        (raises(AirflowNotFoundException(f"The conn_id `{WEBHOOK}` isn't defined")), "AirflowNotFoundException$"),
        (of_the_caller, "AirflowException, caused by ConnectionError, caused by MaxRetryError"),
        (raises(FileNotFoundError(2, "No such file", SECRET)), "FileNotFoundError 2$"),
    ],
)
def test_the_address_of_a_notifier_that_fails_is_nowhere(
    send: Callable[[], None],
    kind: str,
    sandbox: Sandbox,
    settings: Settings,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recording, "is_broken", True)
    monkeypatch.setattr(recording, "send", send)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([BROKEN]))
    sandbox.set_faults(refuse(403, "Forbidden"))
    with caplog.at_level(logging.INFO), pytest.raises(AirflowSkipException, match=f"BrokenNotifier: {kind}") as raised:
        directory("one")
    seen = [*traceback.format_exception(raised.value), caplog.text, *capfd.readouterr()]
    seen += [path.read_text() for path in (settings.landing / "_notifications").iterdir()]
    assert not [text for text in seen if "secret" in text or "T000" in text or "hooks.example" in text]


@pytest.mark.usefixtures("world")
def test_a_notifier_that_hangs_is_given_up_and_the_others_are_told(
    sandbox: Sandbox, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = {"class": "support.recording.HangingNotifier"}
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([hanging, RECORDING]))
    monkeypatch.setattr("jumpcloud_elt.alerts.notify.NOTIFIER_SECONDS", 0.2)
    sandbox.set_faults(refuse(403, "Forbidden"))
    with pytest.raises(AirflowSkipException, match=r"HangingNotifier: not finished after 0\.2 s"):
        directory("one")
    assert len(taken(told)) == 1


@pytest.mark.usefixtures("world")
def test_who_is_named_later_is_told_what_is_wrong_already(
    sandbox: Sandbox, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(refuse(403, "Forbidden"))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", "")
    directory("nobody is named")
    assert taken(told) == []
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([RECORDING]))
    directory("somebody is")
    assert len(taken(told)) == 1


@pytest.mark.usefixtures("world", "told")
@pytest.mark.parametrize(
    ("notifier", "complaint"),
    [
        ({"class": "support.recording.NoSuchNotifier"}, "NoSuchNotifier"),
        ({"class": "no_such_module.Notifier"}, "No module named 'no_such_module'"),
        ({"class": "support.recording.RecordingNotifier", "kwargs": {"colour": "red"}}, "colour"),
        ({"class": "collections.Counter"}, "not an Airflow notifier"),
    ],
)
def test_a_notifier_that_cannot_be_made_shows_before_there_is_anything_to_tell(
    monkeypatch: pytest.MonkeyPatch, notifier: Json, complaint: str
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([notifier]))
    with pytest.raises(AirflowSkipException, match=complaint):
        directory("one")


@pytest.mark.parametrize("given", ["mail", '{"class": "a.B"}', '[{"kwargs": {}}]', '[{"class": "a.B", "args": 1}]'])
def test_notifiers_that_are_no_list_of_notifiers_are_refused_with_an_example_and_without_their_text(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", given)
    with pytest.raises(ConfigurationError, match="notifiers: cannot be read") as raised:
        read_settings()
    assert "allowed: a JSON list of objects with class" in str(raised.value) and given not in str(raised.value)


@pytest.mark.usefixtures("world")
def test_airflows_own_notifier_for_mail_gets_the_subject_and_the_text(
    sandbox: Sandbox, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its field `subject` has the name of what would be laid over a variable `subject` of ours."""
    from airflow.providers.smtp.notifications import smtp  # noqa: PLC0415 - slow to import

    sent: list[Json] = []

    class Hook:
        """Stands for a mail server."""

        default_conn_name = "smtp_default"
        from_email, subject_template, html_content_template = "airflow@example.com", None, None

        def __init__(self, **_: Any) -> None: ...

        def __enter__(self) -> Hook:
            return self

        def __exit__(self, *_: object) -> None: ...

        def send_email_smtp(self, **arguments: Any) -> None:
            sent.append(arguments)

    monkeypatch.setattr(smtp, "SmtpHook", Hook)
    kwargs = {
        "to": "it@example.com",
        "subject": "{{ jumpcloud.subject }}",
        "html_content": "<pre>{{ jumpcloud.message | e }}</pre>",
    }
    notifier = {"class": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "kwargs": kwargs}
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS", json.dumps([notifier]))
    sandbox.set_faults(refuse(403, "Forbidden"))
    directory("one")
    directory("two")
    [mail] = sent
    assert (mail["to"], mail["subject"]) == ("it@example.com", "JumpCloud sync: 1 new problem")
    assert mail["html_content"].startswith("<pre>- Alpha could not be synced: ")
    assert "key&#39;s administrator" in mail["html_content"]


@pytest.mark.usefixtures("world")
def test_no_secret_is_in_what_is_told_or_kept(sandbox: Sandbox, settings: Settings, told: Told) -> None:
    sandbox.set_faults(refuse(403, f"Forbidden for {KEY}"))
    directory("one")
    [(_, message)] = taken(told)
    assert "Forbidden for ***" in message
    for path in (settings.landing / "_notifications").iterdir():
        assert KEY not in path.read_text()


@pytest.mark.usefixtures("settings")
def test_runs_that_end_beside_each_other_tell_once(told: Told) -> None:
    """As those of a backfill do."""
    problem = problems.Problem("failed", "Usage of Alpha", "no answer in time.")
    view = problems.View({f"organization {ONE}": problem})
    settings = read_settings()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: notify.notify(settings, "jumpcloud_usage", view, {}), range(24)))
    assert taken(told) == [("JumpCloud sync: 1 new problem", f"- {problem}")]


def login(identifier: str, at: datetime) -> Json:
    stamp = f"{at.isoformat()}Z"
    return {"id": identifier, "event_type": "user_login_attempt", "service": "directory", "timestamp": stamp}


def scheduled(name: str, number: int = 1) -> None:
    """A scheduled usage run over the day that began so many days ago, with its last task."""
    run_usage(name, TODAY - number * DAY, TODAY - (number - 1) * DAY, run_type="scheduled")
    alerts.notify_of_usage(common.list_organizations([]), {"dag_id": "jumpcloud_usage", "run_id": name})


def test_an_incomplete_unit_is_told_once_and_once_more_before_it_leaves_retention(
    sandbox: Sandbox, world: Json, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    world["organizations"][0]["events"] = [login("one", TODAY - 3 * DAY + DAY / 2)]
    sandbox.set_world(world)
    day = TODAY - 3 * DAY
    count = {"organization_id": ONE, "path_regex": "/events/count$", "body_regex": f'"start_time": ?"{day:%Y-%m-%d}'}
    sandbox.set_faults({"match": count, "do": {"wrong_total": 3}})
    scheduled("first", 3)
    [(_, message)] = taken(told)
    assert message.startswith(
        f"- Usage of Alpha, {day} to {day + DAY}, is incomplete: 1 distinct ids received, 4 counted by JumpCloud"
    )
    scheduled("again")
    assert taken(told) == []
    extra = {"usage_retention_days": 5}
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY, extra=extra))
    scheduled("leaving")
    [(_, message)] = taken(told)
    assert f"Usage of Alpha, {day} to {day + DAY}, is about to be lost: incomplete" in message
    assert "usage_count_tolerance" in message
    scheduled("leaving still")
    assert taken(told) == []
    sandbox.set_faults()
    scheduled("well")
    [(subject, message)] = taken(told)
    assert subject == "JumpCloud sync: 2 well again"
    assert "(incomplete)" in message and "(leaving)" in message


def test_what_leaves_retention_unread_is_told_once(
    sandbox: Sandbox, world: Json, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"usage_retention_days": 4}
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY, extra=extra))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_CATCH_UP_MINUTES", "0.000001")
    scheduled("first")
    [(subject, message)] = taken(told)
    assert subject == "JumpCloud sync: 4 new problems"
    assert message.count("is about to be lost: not read, and within three days") == 4
    scheduled("second")
    assert taken(told) == []
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_CATCH_UP_MINUTES", "60")
    scheduled("third")
    [(subject, _)] = taken(told)
    assert subject == "JumpCloud sync: 4 well again"


def test_a_retention_that_is_longer_than_the_plans_is_told(sandbox: Sandbox, world: Json, told: Told) -> None:
    match = {"path_regex": "/events", "body_regex": f'"start_time": ?"{TODAY - DAY:%Y-%m-%d}'}
    sandbox.set_faults({"match": match, "do": {"status": 402, "body": {"message": "plan"}}})
    usage("old")
    [(_, message)] = taken(told)
    assert message == (
        "- Connection jumpcloud_default is configured with too long a retention: JumpCloud answers 402 plan for this "
        "range only; usage_retention_days of the connection (90) is too long"
    )
    usage("old again")
    assert taken(told) == []
