"""Airflow notifiers for the tests: one that notes what it is told, one that fails until it is mended."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier

told: list[tuple[str, str]] = []
is_broken = False


def send() -> None:
    """What a broken notifier does instead of telling anybody."""
    raise ConnectionError("the mail server does not answer")


class RecordingNotifier(BaseNotifier):
    """Notes its subject and its text, rendered as Airflow renders them."""

    template_fields = ("subject", "message")

    def __init__(self, subject: str = "{{ jumpcloud.subject }}", message: str = "{{ jumpcloud.message }}") -> None:
        super().__init__()
        self.subject = subject
        self.message = message

    def notify(self, context: Any) -> None:
        told.append((self.subject, self.message))


class FileNotifier(RecordingNotifier):
    """Appends a line of JSON to a file: for the processes of a scheduler. `run` is rendered from Airflow's context."""

    template_fields = ("subject", "message", "run", "path")

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.run = "{{ dag.dag_id }} {{ run_id }}"

    def notify(self, context: Any) -> None:
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": self.run, "subject": self.subject, "message": self.message}) + "\n")


class HangingNotifier(RecordingNotifier):
    """Does not come to an end."""

    def notify(self, context: Any) -> None:
        time.sleep(600)


class BrokenNotifier(RecordingNotifier):
    """Raises while `is_broken`."""

    def notify(self, context: Any) -> None:
        if is_broken:
            send()
        super().notify(context)
