"""Airflow's approval, saying who answered it and how: also where the answer is no.

Asks and waits as the operator of the standard provider does. What an approval is for, `action_tasks` knows.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

ANSWER = "answer"


class AnsweredApproval(ApprovalOperator):
    """An `ApprovalOperator` that leaves its answer in XCom, under the key ``answer``.

    That one raises when it is rejected, to skip what follows, and what it would have returned is lost. The answer has
    `chosen_options` (``["Approve"]`` or ``["Reject"]``) and `responded_by_user` (`id` and `name`); there is none where
    nobody answered in time.
    """

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        if "error" not in event:
            user = event.get("responded_by_user")
            answer = {
                "chosen_options": list(event["chosen_options"]),
                "responded_by_user": dict(user) if user else None,
            }
            context["ti"].xcom_push(key=ANSWER, value=answer)
        return super().execute_complete(context, event)
