"""Console lists: envelope or bare array, limits, sorting, filtering, projection, graph paths."""

from __future__ import annotations

import pytest

from support.sandbox_api import ALPHA, Api, oid

USERS = "/api/systemusers"
APP = f"/api/v2/applications/{oid('3', 0)}"


def test_v1_lists_give_ten_rows_unless_asked_for_more(api: Api) -> None:
    body = api.get(USERS).json()
    assert body["totalCount"] == 250
    assert len(body["results"]) == 10
    assert len(api.get(f"{USERS}?limit=100").json()["results"]) == 100


def test_a_limit_above_one_hundred_is_refused_as_observed(api: Api) -> None:
    answer = api.get(f"{USERS}?limit=101")
    assert answer.status_code == 400
    assert answer.json() == {
        "message": 'Bad Request: request parameter "limit" exceeds maximum value of 100',
    }


def test_a_v1_walk_returns_every_row_once(api: Api) -> None:
    seen: list[str] = []
    while rows := api.get(f"{USERS}?limit=100&sort=_id&skip={len(seen)}").json()["results"]:
        seen += [row["_id"] for row in rows]
    assert seen == [oid("1", n) for n in range(250)]


def test_past_the_end_the_total_stays_true(api: Api) -> None:
    assert api.get(f"{USERS}?skip=1000").json() == {"totalCount": 250, "results": []}


def test_v1_rows_carry_both_ids_and_only_the_fields_asked_for(api: Api) -> None:
    row = api.get(f"{USERS}?fields=username%20email&limit=1").json()["results"][0]
    assert set(row) == {"_id", "id", "username", "email"}
    assert row["_id"] == row["id"]


def test_v1_sorts_descending_and_by_several_fields(api: Api) -> None:
    rows = api.get(f"{USERS}?sort=department -username&limit=100&fields=username").json()["results"]
    assert rows[0]["username"] == "user248"
    assert api.get(f"{USERS}?sort=-_id&limit=1").json()["results"][0]["_id"] == oid("1", 249)


def test_v1_filters_by_operator_and_combination(api: Api) -> None:
    def total(query: str) -> int:
        return int(api.get(f"{USERS}?{query}").json()["totalCount"])

    assert total("filter=username:$eq:user007") == 1
    assert total("filter=username:$gte:user248") == 2
    assert total("filter[0]=username:$lt:user010&filter[1]=department:$eq:x") == 5
    assert total("filter[or][0]=username:$eq:user001&filter[or][1]=username:$eq:user002") == 2
    assert api.get(f"{USERS}?filter=username:eq:user007").status_code == 400


def test_applications_are_sorted_by_name_unless_asked(api: Api) -> None:
    names = [row["name"] for row in api.get("/api/applications").json()["results"]]
    assert names == ["aws", "aws", "zoom"]


@pytest.mark.parametrize("path", [USERS, "/api/applications"])
def test_an_unknown_id_is_404(api: Api, path: str) -> None:
    assert api.get(f"{path}/{oid('9', 9)}").status_code == 404


def test_v2_lists_are_bare_arrays_with_the_total_in_a_header(api: Api) -> None:
    path = f"/api/v2/usergroups/{oid('4', 0)}/members"
    answer = api.get(path)
    assert len(answer.json()) == 10
    assert answer.headers["x-total-count"] == "120"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    past = api.get(f"{path}?skip=500")
    assert (past.json(), past.headers["x-total-count"]) == ([], "120")
    assert api.get(f"{path}?limit=101").status_code == 400


def test_v2_sorts_filters_and_projects_with_commas(api: Api) -> None:
    rows = api.get("/api/v2/usergroups?sort=-name&fields=name,type").json()
    assert rows[0] == {"id": oid("4", 1), "name": "two", "type": "user_group"}
    assert [row["name"] for row in api.get("/api/v2/usergroups?filter=name:eq:one").json()] == ["one"]


def test_members_are_connections_and_membership_has_paths(api: Api) -> None:
    member = {"attributes": None, "to": {"attributes": None, "id": oid("1", 5), "type": "user"}}
    group = f"/api/v2/usergroups/{oid('4', 1)}"
    assert api.get(f"{group}/members").json() == [member]
    assert api.get(f"{group}/membership").json() == [
        {"id": oid("1", 5), "type": "user", "compiledAttributes": None, "paths": [[member]]}
    ]


def test_application_users_come_once_with_every_path(api: Api) -> None:
    answer = api.get(f"{APP}/users?limit=100")
    rows = {row["id"]: row for row in answer.json()}
    assert answer.headers["x-total-count"] == "121"
    both = rows[oid("1", 5)]
    assert [len(path) for path in both["paths"]] == [1, 2, 2]
    assert [path[0]["to"]["id"] for path in both["paths"][1:]] == [oid("4", 0), oid("4", 1)]
    assert all(path[-1]["to"]["id"] == oid("1", 5) for path in both["paths"])
    assert both["compiledAttributes"] == {"Hello": "World"}
    assert [len(path) for path in rows[oid("1", 200)]["paths"]] == [1]


def test_the_graph_agrees_from_both_ends(api: Api) -> None:
    user = oid("1", 5)
    assert [row["id"] for row in api.get(f"/api/v2/users/{user}/memberof").json()] == [
        oid("4", 0),
        oid("4", 1),
    ]
    assert [row["id"] for row in api.get(f"/api/v2/users/{user}/applications").json()] == [oid("3", 0)]
    assert [row["id"] for row in api.get(f"{APP}/usergroups").json()] == [oid("4", 0), oid("4", 1)]
    path = f"/api/v2/usergroups/{oid('4', 0)}/applications"
    assert [row["id"] for row in api.get(path).json()] == [oid("3", 0)]


def test_associations_are_direct_edges_and_need_targets(api: Api) -> None:
    direct = api.get(f"{APP}/associations?targets=user").json()
    assert [row["to"]["id"] for row in direct] == [oid("1", 5), oid("1", 200)]
    groups = api.get(f"{APP}/associations?targets=user_group").json()
    assert [row["to"]["type"] for row in groups] == ["user_group", "user_group"]
    assert api.get(f"{APP}/associations").status_code == 400
    assert api.get(f"{APP}/associations?targets=system").status_code == 400


def test_saas_pages_by_offset_and_says_when_it_is_not_licensed(api: Api) -> None:
    organization = api.sandbox.organization(ALPHA)
    organization["saas_applications"] = [{"id": str(n)} for n in range(15)]
    api.sandbox.set_organization(organization)
    body = api.get("/api/v2/saas-management/applications?offset=10").json()
    assert (body["totalCount"], len(body["results"])) == (15, 5)
    organization["saas_applications"] = None
    api.sandbox.set_organization(organization)
    assert api.get("/api/v2/saas-management/applications").status_code == 402
