"""The event feed of the API: members read what happened at their repos, without names and answers."""

from __future__ import annotations

from hf_gate.core.people.members import Member, MemberRole
from tests.kits.desk import Desk, Visitor


def test_a_member_of_some_repos_sees_their_entries_only(crowded: Desk) -> None:
    repos = crowded.app_state.workspace.store.repos()
    mine = str(repos[0].repo)
    mia = crowded.reviewer("mia", mine)
    found = []
    cursor = ""
    while True:
        page = mia.get(f"/api/v1/events?limit=100{cursor}").json
        found += page["events"]
        cursor = f"&after={page['next']}"
        if not page["has_more"]:
            break
    assert {event["repo"] for event in found} == {repos[0].repo.id}
    owners = crowded.visitor().get("/api/v1/events?limit=500").json["events"]
    assert {event["repo"] for event in owners} > {repos[0].repo.id}


def test_who_may_not_read_and_what_is_no_cursor(desk: Desk) -> None:
    assert Visitor(desk.app).get("/api/v1/events").status == 401
    assert desk.visitor(Member(name="vic", role=MemberRole.VIEWER)).get("/api/v1/events").status == 403
    lena = desk.visitor()
    for query in ("after=nonsense", "after=", "limit=0", "limit=501", f"after={'1' * 61}"):
        answer = lena.get(f"/api/v1/events?{query}")
        assert (answer.status, set(answer.json)) == (422, {"error", "hint"}), query
    gone = lena.get("/api/v1/events?after=abc-1-0000000000000000")
    assert gone.status == 410
    assert gone.json["hint"].startswith("Start again without `after`.")
