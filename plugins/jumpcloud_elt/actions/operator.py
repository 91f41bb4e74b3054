"""Airflow's approval, saying who answered what, when and how: also where the answer is no.

Asks and waits as the operator of the standard provider does. What an approval is for, `action_tasks` knows.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk.definitions.param import ParamsDict

from jumpcloud_elt.actions.approval import digest
from jumpcloud_elt.core.airflow_compat import AirflowFailException

ANSWER = "answer"
QUESTION = "question"
# Standard provider 1.12.3. Before it `execution_timeout` is the time limit of the answer.
HAS_RESPONSE_TIMEOUT = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters


class AnsweredApproval(ApprovalOperator):
    """An `ApprovalOperator` that leaves its answer in XCom, under the key ``answer``.

    That one raises when it is rejected, to skip what follows, and what it would have returned is lost. The answer has
    `chosen_options` (``["Approve"]`` or ``["Reject"]``), `responded_by_user` (`id` and `name`), `responded_at` (ISO)
    and `question`, the digest of what was asked; there is none where nobody answered in time.

    It asks once: when the task is cleared, Airflow goes on showing the question of the first try.
    """

    def __init__(self, *, response_timeout: timedelta, **kwargs: Any) -> None:
        name = "response_timeout" if HAS_RESPONSE_TIMEOUT else "execution_timeout"
        super().__init__(**{**kwargs, name: response_timeout})
        self.response_timeout = response_timeout

    def validate_params(self) -> None:
        """An approval asks for no params. Airflow 3.1 hands on those of the Dag, which have no values yet."""
        self.params = ParamsDict()

    def execute(self, context: Any) -> Any:
        if context["ti"].try_number > 1:
            raise AirflowFailException(
                "Airflow shows the question of the first try to whoever answers, whatever is asked by now. Start a new "
                "run."
            )
        # Subject and body are rendered anew once there is an answer, from what the plan is by then.
        context["ti"].xcom_push(key=QUESTION, value=digest(str(self.subject), str(self.body)))
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        if "error" not in event:
            user = event.get("responded_by_user")
            answer = {
                "chosen_options": list(event["chosen_options"]),
                "responded_by_user": dict(user) if user else None,
                "responded_at": event["responded_at"].isoformat(),
                "question": context["ti"].xcom_pull(task_ids=self.task_id, key=QUESTION),
            }
            context["ti"].xcom_push(key=ANSWER, value=answer)
        return super().execute_complete(context, event)
