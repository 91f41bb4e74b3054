"""
### Example: act on users from a Dag of your own

Each evening, whoever the HR system says has left is suspended and taken out of a group. `JumpCloudHook` is all that is
needed; every method says in its docstring what it takes, what it returns and what it raises.

The connection `jumpcloud_acting` needs *Permission: read_and_act*. Unlike `jumpcloud_user_action`, a Dag of your own
asks nobody for an approval, and keeps no record in `user_actions`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

ORGANIZATION = "5f0a1c2e9d3b4a0011223301"
VPN_GROUP = "5f0a1c2e9d3b4a0011224401"


@dag(schedule="0 18 * * *", catchup=False, doc_md=__doc__, tags=["example"], default_args={"retries": 1})
def suspend_leavers() -> None:
    @task
    def list_leavers() -> list[str]:
        """The user names of those who have left; here a fixed list stands for the HR system."""
        return ["ada.lovelace", "grace.hopper"]

    @task(retry_delay=timedelta(minutes=5))
    def suspend(usernames: list[str]) -> int:
        """Suspend everybody who has left; return how many were changed."""
        # Here, and not above: a Dag file is read every few seconds, and must ask nobody.
        from jumpcloud_elt.errors import JumpCloudError
        from jumpcloud_elt.hook import JumpCloudHook

        changed, problems = 0, []
        with JumpCloudHook("jumpcloud_acting") as hook:
            for username in usernames:
                try:
                    for user in hook.iter_users(organization_id=ORGANIZATION, filter=f"username:$eq:{username}"):
                        # Both, whatever is so already: what a run that failed has left, the next one does.
                        is_new = user.get("state") != "SUSPENDED"
                        hook.suspend_user(user["_id"], organization_id=ORGANIZATION)
                        was_member = hook.remove_group_member(VPN_GROUP, user["_id"], organization_id=ORGANIZATION)
                        changed += is_new or was_member
                except JumpCloudError as error:
                    # One who cannot be suspended does not keep the others from being.
                    problems.append(f"- {username}: {error}")
        if problems:
            raise RuntimeError("\n".join(problems))
        return changed

    suspend(list_leavers())  # type: ignore[arg-type] # what a task returns is handed on


suspend_leavers()
