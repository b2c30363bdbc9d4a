"""The answers of the local Hub: the recorded vectors, the transition table, the order of its checks."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from hf_gate.domain.ids import RepoType
from hf_gate.localhub.wire import Answered, View, json_answer
from tests.contract.local_hub_kit import ACCESS, T0, Bench, error

NOT_FOUND = (404, "No access request found matching your criteria", None)
NO_RIGHT = (403, "You have read access but not the required permissions for this operation", None)
BAD_LOGIN = (401, "Invalid username or password.", None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- recorded vectors ---------------------------------------------------------------------------------------------------


def test_bodies_carry_the_etags_that_were_recorded(bench: Bench) -> None:
    assert json_answer({}).headers["ETag"] == 'W/"2-vyGp6PvFo4RvsFtPoIWeCReyIC8"'
    assert json_answer([]).headers["ETag"] == 'W/"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w"'
    bench.ask("bea")
    bench.decide("bea", "accepted")
    again = bench.decide("bea", "accepted")
    assert len(again.body) == 58
    assert again.headers["ETag"] == 'W/"3a-lRayqK6BTL+ovmtG7oHR+hkUoeE"'


def test_a_listed_request_shows_its_person_its_times_and_who_granted(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "sleep"})
    (row,) = bench.listed("pending")
    assert list(row) == ["requestId", "user", "timestamp", "status", "fields"]
    assert list(row["user"]) == ["_id", "avatarUrl", "isPro", "fullname", "user", "type", "verifiedOrgNames", "email"]
    assert (row["user"]["user"], row["user"]["type"], row["fields"]) == ("bea", "user", {"Purpose": "sleep"})
    bench.decide("BEA", "accepted")
    (accepted,) = bench.listed("accepted")
    assert accepted["timestamp"] == row["timestamp"]
    assert accepted["reviewedAt"] > row["timestamp"]
    assert list(accepted["grantedBy"]) == ["_id", "avatarUrl", "isPro", "fullname", "user", "type"]
    assert accepted["grantedBy"]["user"] == "ona"


def test_a_status_that_does_not_exist_is_refused_in_the_validators_words(bench: Bench) -> None:
    refused = bench.decide("bea", "maybe")
    wanted = '✖ Invalid option: expected one of "accepted"|"rejected"|"pending"|"reset"\n  → at status'
    assert error(refused) == (400, wanted, None)
    copy = '* Invalid option: expected one of "accepted"|"rejected"|"pending"|"reset" * at status'
    assert refused.headers["X-Error-Message"] == copy


def test_a_batch_answers_in_order_and_echoes_what_was_sent(bench: Bench) -> None:
    bench.ask("bea")
    body = {"status": "pending", "requests": [{"user": "Bea"}, {"user": "nope"}, {"user": "dan"}]}
    answered = bench.call("POST", f"{ACCESS}/batch", body)
    assert json.loads(answered.body) == [
        {"user": "Bea", "ok": True},
        {"user": "nope", "ok": False, "error": "user_not_found"},
        {"user": "dan", "ok": False, "error": "request_not_found"},
    ]


def test_a_second_grant_is_refused(bench: Bench) -> None:
    assert bench.call("POST", f"{ACCESS}/grant", {"user": "bea"}).body == b"{}"
    again = bench.call("POST", f"{ACCESS}/grant", {"user": "bea"})
    assert error(again) == (400, "That user already has access to the repo", None)


def test_an_ungated_repo_still_lists_but_decides_nothing(bench: Bench) -> None:
    bench.ask("bea")
    answered = bench.call("PUT", "/api/models/acme/model/settings", {"gated": False})
    assert answered.body == b'{"gated":false}'
    not_gated = (400, "model acme/model is not gated", "RepoNotGated")
    assert error(bench.call("POST", f"{ACCESS}/grant", {"user": "nobody"})) == not_gated
    assert error(bench.decide("bea", "accepted")) == not_gated
    assert error(bench.call("POST", f"{ACCESS}/batch", {})) == not_gated
    assert len(bench.listed("pending")) == 1


def test_a_pending_request_can_be_taken_back_once(bench: Bench) -> None:
    bench.ask("bea")
    assert bench.call("POST", f"{ACCESS}/cancel", by="bea").body == b'{"ok":true}'
    refused = (404, "No pending access request found for this repo and this user", None)
    assert error(bench.call("POST", f"{ACCESS}/cancel", by="bea")) == refused
    assert bench.listed("pending") == []
    assert json.loads(bench.call("GET", "/acme/model/user-access-report").body) == []


def test_the_report_has_its_own_names_and_no_etag(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "sleep"})
    bench.decide("bea", "accepted")
    answered = bench.call("GET", "/acme/model/user-access-report")
    (line,) = json.loads(answered.body)
    assert list(line) == ["fullname", "user", "email", "time", "reviewedAt", "status", "grantedBy"]
    assert line["grantedBy"] == {"fullname": "Ona", "user": "ona"}
    assert answered.headers == {
        "Content-Type": "application/json",
        "Content-Disposition": "attachment; filename=user-access-report-acme-model.json",
    }


def test_a_bad_token_is_401_with_a_challenge(bench: Bench) -> None:
    answered = bench.call("GET", "/api/whoami-v2", by="nobody")
    assert error(answered) == BAD_LOGIN
    assert answered.headers["WWW-Authenticate"] == 'Bearer realm="Authentication required", charset="UTF-8"'


def test_info_shows_the_gate_and_the_card(bench: Bench) -> None:
    answered = bench.call("GET", "/api/models/acme/model?expand[]=gated&expand[]=cardData", by=None)
    shown = json.loads(answered.body)
    assert list(shown) == ["_id", "id", "gated", "cardData"]
    assert (shown["gated"], shown["cardData"]) == ("manual", {"license": "mit"})


# ---- the transition table -----------------------------------------------------------------------------------------------

WALKS = {"pending": [], "accepted": ["accepted"], "rejected": ["rejected"], "reset": ["reset"]}


@pytest.mark.parametrize("before", WALKS)
@pytest.mark.parametrize("after", WALKS)
def test_handle_moves_to_every_other_status_and_takes_staying_for_missing(
    bench: Bench, before: str, after: str
) -> None:
    bench.ask("bea")
    for step in WALKS[before]:
        bench.decide("bea", step)
    (old,) = bench.listed(before)
    answered = bench.decide("bea", after)
    if before == after:
        assert error(answered) == NOT_FOUND
        assert bench.listed(before) == [old]
        return
    assert (answered.status, answered.body) == (200, b"{}")
    (new,) = bench.listed(after)
    assert bench.listed(before) == []
    assert (new["timestamp"], new["requestId"]) == (old["timestamp"], old["requestId"])
    assert ("reviewedAt" in new) == (after != "pending")
    assert ("grantedBy" in new) == (after == "accepted")


@pytest.mark.parametrize("after", WALKS)
def test_handle_without_a_request_or_a_person(bench: Bench, after: str) -> None:
    assert error(bench.decide("dan", after)) == NOT_FOUND
    assert error(bench.decide("nope", after)) == (404, "User not found", None)
    assert error(bench.decide("acme", after)) == (404, "User not found", None)


def test_batch_leaves_a_request_of_that_status_as_it_was(bench: Bench) -> None:
    bench.ask("bea")
    bench.decide("bea", "accepted")
    before = bench.listed("accepted")
    body = {"status": "accepted", "requests": [{"userId": bench.world.names["bea"].id.upper()}]}
    assert json.loads(bench.call("POST", f"{ACCESS}/batch", body, by="ada").body)[0]["ok"] is True
    assert bench.listed("accepted") == before


def test_a_grant_without_a_request_has_no_email_and_one_with_keeps_the_answers(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "sleep"})
    for name in ("bea", "dan"):
        bench.call("POST", f"{ACCESS}/grant", {"user": name})
    dan, bea = bench.listed("accepted")
    assert "email" not in dan["user"]
    assert dan["timestamp"] == dan["reviewedAt"]
    assert bea["user"]["email"] == "bea@example.org"
    assert bea["fields"] == {"Purpose": "sleep"}


def test_asking_again_changes_nothing_until_it_was_reset(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "first"})
    (row,) = bench.listed("pending")
    for status in ("accepted", "rejected"):
        bench.decide("bea", status)
        answered = bench.ask("bea", {"Purpose": "second"})
        assert (answered.status, answered.headers["Location"]) == (303, "http://hub.test/acme/model")
        (row,) = bench.listed(status)
        assert row["fields"] == {"Purpose": "first"}
    bench.decide("bea", "reset", resetReason="say more")
    bench.ask("bea", {"Purpose": "second"})
    (new,) = bench.listed("pending")
    assert new["fields"] == {"Purpose": "second"}
    assert new["timestamp"] > row["timestamp"]
    assert "reviewedAt" not in new
    assert [mail["kind"] for mail in bench.world.outbox] == ["new_request", "reset", "new_request"]


def test_auto_mode_lets_people_in_at_once_and_moves_nobody_who_waits(bench: Bench) -> None:
    bench.ask("bea")
    bench.call("PUT", "/api/models/acme/model/settings", {"gated": "auto"})
    bench.ask("dan", {})
    (dan,) = bench.listed("accepted")
    assert dan["reviewedAt"] == dan["timestamp"]
    assert "grantedBy" not in dan
    assert [row["user"]["user"] for row in bench.listed("pending")] == ["bea"]


def test_a_form_may_be_sent_as_a_form(bench: Bench) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    bench.call("POST", "/acme/model/ask-access", b"Purpose=to+sleep&csrf=x&I+agree=on", by="bea", headers=headers)
    assert bench.listed("pending")[0]["fields"] == {"Purpose": "to sleep", "I agree": "on"}


# ---- who may ------------------------------------------------------------------------------------------------------------


def test_checks_come_in_the_order_of_the_hub(bench: Bench) -> None:
    handle, missing = f"{ACCESS}/handle", "/api/models/acme/none/user-access-request/handle"
    assert error(bench.call("POST", missing, {}, by="nobody")) == BAD_LOGIN
    assert error(bench.call("POST", missing, {}, by=None)) == BAD_LOGIN
    assert error(bench.call("POST", missing, {}, by="rosa")) == (404, "Repository not found", "RepoNotFound")
    bench.gated.gated = False
    assert error(bench.call("POST", handle, {}, by="rosa")) == NO_RIGHT
    assert error(bench.call("POST", handle, {}, by="wim"))[2] == "RepoNotGated"
    bench.gated.gated = "manual"
    assert error(bench.call("POST", handle, {"user": "nope", "status": "?"}, by="wim"))[0] == 400


@pytest.mark.parametrize(
    ("holder", "role", "permissions", "may_list", "may_decide"),
    [
        ("wim", "write", [], True, True),
        ("wim", "read", [], False, False),
        ("kit", "write", [], False, False),
        ("rosa", "write", [], False, False),
        ("bea", "write", [], False, False),
        ("ona", "fineGrained", ["repo.write"], True, True),
        ("ona", "fineGrained", ["repo.access.read"], True, False),
        ("ona", "fineGrained", ["repo.content.read"], False, False),
    ],
)
def test_who_may_review(
    bench: Bench, holder: str, role: str, permissions: list[str], *, may_list: bool, may_decide: bool
) -> None:
    bench.ask("dan")
    bench.token(holder, role, *permissions, label="tried")
    for path in (f"{ACCESS}/pending", "/acme/model/user-access-report"):
        assert bench.call("GET", path, by="tried").status == (200 if may_list else 403)
    decided = bench.call("POST", f"{ACCESS}/handle", {"user": "dan", "status": "accepted"}, by="tried")
    assert decided.status == (200 if may_decide else 403)


def test_a_private_repo_is_missing_to_others(bench: Bench) -> None:
    bench.call("PUT", "/api/models/acme/model/settings", {"private": True})
    assert error(bench.call("GET", "/api/models/acme/model", by=None)) == BAD_LOGIN
    assert error(bench.call("GET", "/api/models/acme/model", by="bea"))[2] == "RepoNotFound"
    assert bench.call("GET", "/api/models/acme/model", by="rosa").status == 200


# ---- the gate -----------------------------------------------------------------------------------------------------------


def _gate(bench: Bench, by: str | None, path: str = "/acme/model/resolve/main/config.json") -> Answered:
    return bench.call("GET", path, by=by)


def test_the_gate_says_what_the_caller_can_do(bench: Bench) -> None:
    what = "model acme/model"
    visit = "Visit https://huggingface.co/acme/model"
    words = {
        None: f"Access to {what} is restricted. You must have access to it and be authenticated to access it. Please log in.",
        "bea": f"Access to {what} is restricted and you are not in the authorized list. {visit} to ask for access.",
    }
    for by, text in words.items():
        answered = _gate(bench, by)
        assert (answered.status, answered.headers["X-Error-Code"]) == (401 if by is None else 403, "GatedRepo")
        assert answered.body.decode() == answered.headers["X-Error-Message"] == text
    bench.ask("bea")
    assert (
        _gate(bench, "bea").body.decode()
        == f"Your request to access {what} is awaiting a review from the repo authors."
    )
    bench.decide("bea", "rejected")
    assert (
        _gate(bench, "bea").body.decode() == f"Your request to access {what} has been rejected by the repo's authors."
    )
    bench.decide("bea", "reset")
    reset = f"Your request to access {what} has been reset by the repo's authors. {visit} to submit a new request."
    assert error(_gate(bench, "bea", "/api/models/acme/model/auth-check")) == (403, reset, "GatedRepo")
    bench.decide("bea", "accepted")
    assert _gate(bench, "bea").body == b"{}"
    assert _gate(bench, "bea", "/api/models/acme/model/auth-check").body == b"OK"


def test_the_gate_comes_before_the_question_whether_the_file_exists(bench: Bench) -> None:
    assert _gate(bench, "bea", "/acme/model/resolve/nowhere/none.bin").status == 403
    assert _gate(bench, None, "/acme/model/resolve/main/README.md").status == 200
    assert _gate(bench, None, "/acme/model/raw/main/README.md").status == 401
    missing = _gate(bench, None, "/acme/model/resolve/main/LICENSE")
    assert (missing.status, missing.body, missing.headers["X-Error-Code"]) == (404, b"Entry not found", "EntryNotFound")
    assert _gate(bench, None, "/acme/model/resolve/main/readme.md").status == 401


def test_members_pass_unless_they_are_gated_too(bench: Bench) -> None:
    assert _gate(bench, "rosa").status == 200
    bench.call("PUT", "/api/models/acme/model/settings", {"orgMembersGated": True})
    assert _gate(bench, "rosa").status == 403
    assert _gate(bench, "ada").status == 200


def test_a_dataset_speaks_of_itself(bench: Bench) -> None:
    bench.add_repo(RepoType.DATASET, "eeg")
    answered = bench.call("GET", "/datasets/acme/eeg/resolve/main/config.json", by="bea")
    assert "dataset acme/eeg" in answered.body.decode()
    assert "https://huggingface.co/datasets/acme/eeg to ask" in answered.body.decode()
    assert bench.ask("bea", repo="datasets/acme/eeg").headers["Location"] == "http://hub.test/datasets/acme/eeg"


# ---- the lists ----------------------------------------------------------------------------------------------------------


def _next(answered: Answered) -> str | None:
    link = answered.headers.get("Link")
    return None if link is None else link.partition(">")[0].removeprefix("<http://hub.test")


def _pages(bench: Bench, path: str, view: View) -> list[list[dict[str, Any]]]:
    pages, there = [], path
    while there:
        answered = bench.call("GET", there, view=view)
        pages.append(json.loads(answered.body))
        there = _next(answered) or ""
    return pages


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_pages_hold_everybody_once(bench: Bench, *, tied: bool, shuffled: bool) -> None:
    rows = bench.crowd(45, tied=tied)
    pages = _pages(bench, f"{ACCESS}/pending?limit=10", View(shuffled=shuffled))
    assert [len(page) for page in pages] == [10, 10, 10, 10, 5]
    seen = [row["requestId"] for page in pages for row in page]
    assert sorted(seen) == sorted(row.id for row in rows)
    if not shuffled:
        times = [row["timestamp"] for page in pages for row in page]
        assert all(a >= b for a, b in pairwise(times))


def test_a_decision_between_two_pages_neither_skips_nor_repeats_the_others(bench: Bench) -> None:
    bench.crowd(30)
    first = bench.call("GET", f"{ACCESS}/pending?limit=10")
    for row in json.loads(first.body):
        bench.decide(row["user"]["user"], "accepted")
    second = json.loads(bench.call("GET", str(_next(first))).body)
    assert [row["user"]["user"] for row in second] == [f"person-{n:04}" for n in range(19, 9, -1)]


def test_times_are_exclusive_and_q_is_a_prefix_of_the_username(bench: Bench) -> None:
    bench.crowd(20)
    bench.now_ms += 60_000
    bench.ask("Cleo")
    names = [row["user"]["user"] for row in bench.listed("pending", "?before=2026-09-21T14:13:23.000Z")]
    assert names == ["person-0002", "person-0001", "person-0000"]
    names = [row["user"]["user"] for row in bench.listed("pending", "?after=2026-09-21T14:13:37.000Z&q=PERSON")]
    assert names == ["person-0019", "person-0018"]
    assert [row["user"]["user"] for row in bench.listed("pending", "?q=cL")] == ["Cleo"]
    assert bench.listed("pending", "?q=leo") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=5", "✖ Too small: expected number to be >=10\n  → at limit"),
        ("limit=1001", "✖ Too big: expected number to be <=1000\n  → at limit"),
        ("limit=x", "✖ Invalid input: expected number, received NaN\n  → at limit"),
        ("before=yesterday", "✖ Invalid ISO datetime\n  → at before"),
        ("cursor=%21", "✖ Invalid cursor\n  → at cursor"),
        (f"q={'x' * 251}", "✖ Too big: expected string to have <=250 characters\n  → at q"),
    ],
)
def test_a_wrong_query_is_named(bench: Bench, query: str, message: str) -> None:
    assert error(bench.call("GET", f"{ACCESS}/pending?{query}")) == (400, message, None)


def test_a_repo_can_hide_who_asks(bench: Bench) -> None:
    bench.ask("bea")
    bench.gated.hide_emails = True
    assert "email" not in bench.listed("pending")[0]["user"]
    bench.gated.hide_usernames = True
    (row,) = bench.listed("pending")
    assert "user" not in row
    assert bench.call("POST", f"{ACCESS}/handle", {"requestId": row["requestId"], "status": "accepted"}).status == 200


def test_a_hub_of_august_knows_no_reset_no_request_id_and_no_q(bench: Bench) -> None:
    bench.world.protocol = "2026-08"
    bench.ask("bea")
    (row,) = bench.listed("pending", "?q=zzz")
    assert "requestId" not in row
    wanted = '✖ Invalid option: expected one of "accepted"|"rejected"|"pending"\n  → at status'
    assert error(bench.decide("bea", "reset")) == (400, wanted, None)
    assert bench.call("GET", f"{ACCESS}/reset").status == 400
    neither = "✖ Either userId or user must be provided, but not both"
    answered = bench.call("POST", f"{ACCESS}/handle", {"requestId": "a" * 24, "status": "accepted"})
    assert error(answered) == (400, neither, None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "✖ Invalid JSON"),
        (b"", "✖ Invalid input: expected object, received undefined"),
        ({"status": "accepted"}, "✖ Either userId or user must be provided, but not both"),
        (
            {"status": "accepted", "user": "a", "userId": "a" * 24},
            "✖ Either userId or user must be provided, but not both",
        ),
        ({"status": "accepted", "user": 7}, "✖ Invalid input: expected string, received number\n  → at user"),
        (
            {"status": "rejected", "user": "bea", "rejectionReason": "x" * 201},
            "✖ Too big: expected string to have <=200 characters\n  → at rejectionReason",
        ),
        (
            {"status": "rejected", "user": "bea", "rejectionReason": "😀" * 101},
            "✖ Too big: expected string to have <=200 characters\n  → at rejectionReason",
        ),
    ],
)
def test_a_wrong_body_is_named(bench: Bench, body: Any, message: str) -> None:
    assert error(bench.call("POST", f"{ACCESS}/handle", body)) == (400, message, None)


def test_a_batch_takes_one_to_a_hundred(bench: Bench) -> None:
    for size, word in (
        (0, "Too small: expected array to have >=1 items"),
        (101, "Too big: expected array to have <=100 items"),
    ):
        body = {"status": "accepted", "requests": [{"user": "bea"}] * size}
        assert error(bench.call("POST", f"{ACCESS}/batch", body)) == (400, f"✖ {word}\n  → at requests", None)


# ---- repos, files, accounts ---------------------------------------------------------------------------------------------


def test_a_commit_on_a_parent_that_is_no_more_is_refused(bench: Bench) -> None:
    def commit(parent: str) -> Answered:
        lines = [
            {"key": "header", "value": {"summary": "s", "parentCommit": parent}},
            {"key": "file", "value": {"path": "a.txt", "content": "aGk=", "encoding": "base64"}},
        ]
        body = "\n".join(map(json.dumps, lines)).encode()
        return bench.call("POST", "/api/models/acme/model/commit/main", body)

    parent = bench.gated.head.oid
    made = json.loads(commit(parent).body)
    assert made["commitOid"] == bench.gated.head.oid
    assert bench.call("GET", "/acme/model/resolve/main/a.txt").body == b"hi"
    assert commit(parent).status == 412
    assert bench.call("GET", f"/acme/model/resolve/{parent}/a.txt").status == 404


def test_a_file_can_be_fetched_from_the_middle(bench: Bench) -> None:
    answered = bench.call("GET", "/acme/model/resolve/main/sub/a.bin", headers={"range": "bytes=1-"})
    assert (answered.status, answered.body, answered.headers["Content-Range"]) == (206, b"23", "bytes 1-2/3")
    assert answered.headers["X-Repo-Commit"] == bench.gated.head.oid


def test_the_tree_shows_one_level_or_all(bench: Bench) -> None:
    flat = json.loads(bench.call("GET", "/api/models/acme/model/tree/main").body)
    assert [(e["type"], e["path"]) for e in flat] == [
        ("file", "README.md"),
        ("file", "config.json"),
        ("directory", "sub"),
    ]
    deep = json.loads(bench.call("GET", "/api/models/acme/model/tree/main?recursive=true").body)
    assert [e["path"] for e in deep] == ["README.md", "config.json", "sub", "sub/a.bin"]


def test_gated_repos_of_an_owner_are_listed(bench: Bench) -> None:
    bench.add_repo(RepoType.MODEL, "open").gated = False
    query = "author=ACME&gated=true&limit=1000&expand[]=gated"
    listed = json.loads(bench.call("GET", f"/api/models?{query}").body)
    assert [(repo["id"], repo["gated"]) for repo in listed] == [("acme/model", "manual")]


def test_a_repo_is_made_once_and_where_one_may(bench: Bench) -> None:
    assert bench.call("POST", "/api/repos/create", {"name": "new", "organization": "acme"}, by="wim").status == 200
    assert bench.call("POST", "/api/repos/create", {"name": "new", "organization": "acme"}, by="wim").status == 409
    assert bench.call("POST", "/api/repos/create", {"name": "x", "organization": "acme"}, by="rosa").status == 403
    assert bench.call("POST", "/api/repos/create", {"name": "x", "type": "space"}, by="bea").status == 400


def test_an_account_is_as_old_as_its_id_says(bench: Bench) -> None:
    shown = json.loads(bench.call("GET", "/api/users/BEA/overview", by=None).body)
    assert int(shown["_id"][:8], 16) * 1000 == T0 - 10**10
    assert shown["createdAt"] == "2026-05-28T20:26:40.000Z"
    assert "email" not in shown
    assert bench.call("GET", "/api/users/acme/overview", by=None).status == 404


def test_roles_are_shown_to_members_only(bench: Bench) -> None:
    roles = [
        line.get("role") for line in json.loads(bench.call("GET", "/api/organizations/acme/members", by="rosa").body)
    ]
    assert sorted(map(str, roles)) == ["admin", "admin", "contributor", "read", "write"]
    assert all(
        "role" not in line for line in json.loads(bench.call("GET", "/api/organizations/acme/members", by="bea").body)
    )


@pytest.mark.parametrize(
    "path", ["/api/agent-harnesses", "/api/spaces/acme/s/user-access-request/pending", "/acme/model"]
)
def test_anything_else_is_not_here(bench: Bench, path: str) -> None:
    assert bench.call("GET", path).status == 404


def test_a_name_that_cannot_be_one_is_refused(bench: Bench) -> None:
    for name in ("../x", "a/b", "", "x--y"):
        assert bench.call("POST", "/api/repos/create", {"name": name}).status == 400


def test_hostile_text_never_breaks_a_header(bench: Bench) -> None:
    answered = bench.call("GET", "/acme/model/resolve/%1b%5b2J%0d%0aX-Evil:%201%e2%80%ae/config.json", by="ona")
    assert answered.headers["X-Error-Message"] == "Invalid rev id: *[2J X-Evil: 1*"
