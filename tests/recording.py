"""Airflow notifiers for the tests: one that notes what it is told, one that fails until it is mended."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseNotifier

told: list[tuple[str, str]] = []
is_broken = False


class RecordingNotifier(BaseNotifier):
    """Notes its subject and its text, rendered as Airflow renders them."""

    template_fields = ("subject", "message")

    def __init__(self, subject: str = "{{ jumpcloud.subject }}", message: str = "{{ jumpcloud.message }}") -> None:
        super().__init__()
        self.subject = subject
        self.message = message

    def notify(self, context: Any) -> None:
        told.append((self.subject, self.message))


class BrokenNotifier(RecordingNotifier):
    """Raises while `is_broken`."""

    def notify(self, context: Any) -> None:
        if is_broken:
            raise ConnectionError("the mail server does not answer")
        super().notify(context)
