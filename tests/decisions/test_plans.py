"""A plan shows whom it hits by which rule, loses whom somebody leaves out, and is let go once, by a yes as strong as it is large."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.approvals.rows.plans import delete_plans
from hf_gate.base.ids import parse_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events.events import GrantDated, LedgerEntry
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.runs.runs import create_run
from hf_gate.desk.decisions import plan
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, POLICY, Desk, open_desk, text_of
from tests.kits.desk_actions import create_plan, wait_for_run

PEOPLE = [
    {"username": "ada", "email": "ada@ethz.ch"},
    {"username": "bob"},
    {"username": "cyd"},
    {"username": "dee", "email": "dee@mit.edu"},
]


@pytest.fixture
def asked(desk: Desk) -> Desk:
    """Two that an academic address lets in, and two who wrote nothing of use."""
    desk.ask([PEOPLE[0], PEOPLE[3]], {"Purpose": GOOD})
    desk.ask(PEOPLE[1:3], {"Purpose": "test"})
    return desk


def test_a_plan_says_whom_it_hits_by_which_rule_and_what_they_read(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    answer = lena.get(create_plan(asked, lena))
    said = text_of(answer.body)
    assert "Plan: 4 changes" in said
    assert "2 people get access, 2 are sent back." in said
    assert "university address" in said
    assert "Accept when university address. house/academic" in said
    assert re.search(r"Send back when nothing [a-z ]*written about use\. house/say-more", said)
    assert GOOD in said, "the answers of a few people show whether the rule is right"
    assert "They will read (differs for some): Please say" in said.replace(" :", ":")
    assert "Please say what you will use it for, bob" in said
    assert {"ada", "bob", "cyd", "dee"} <= set(said.split())
    assert asked.count_writes() == before


def test_the_same_store_and_policies_give_plans_that_stand_in_the_list(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    said = text_of(lena.get("/plans").body)
    assert place.rpartition("/")[2][:8] in said
    assert "2 people get access, 2 are sent back" in said
    assert "not applied" in said


def test_a_plan_that_is_let_go_is_carried_once(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    place = create_plan(asked, lena)
    first = lena.post(place, {"do": "apply"})
    wait_for_run(asked, first.headers["location"])
    assert asked.row("ada").state.status == "accepted"
    assert asked.row("bob").state.status == "reset"
    writes = asked.count_writes()
    assert writes > before
    again = lena.post(place, {"do": "apply"})
    assert again.headers["location"] == first.headers["location"]
    assert asked.count_writes() == writes
    assert "State of its run: ended" in text_of(lena.get(place).body)


def test_whoever_is_left_out_is_not_hit_and_the_first_plan_stays(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    page = lena.get(f"{place}?group=all").body
    numbers = dict(re.findall(r'name="n" value="(\d+)">\s*<span class="vh">Leave out <bdi>(\w+)', page))
    n = next(n for n, name in numbers.items() if name == "bob")
    part = lena.post(place, {"do": "exclude", "n": n}).headers["location"]
    assert part != place
    said = text_of(lena.get(part).body)
    assert "Plan: 3 changes" in said
    assert "lena-brandt left out 1 change" in said
    assert "Plan: 4 changes" in text_of(lena.get(place).body)
    wait_for_run(asked, lena.post(part, {"do": "apply"}).headers["location"])
    assert (asked.row("bob").state.status, asked.row("cyd").state.status) == ("pending", "reset")


def test_nobody_ticked_makes_no_other_plan(asked: Desk) -> None:
    lena = asked.visitor()
    assert lena.post(create_plan(asked, lena), {"do": "exclude"}).status == 422


def test_a_plan_whose_policies_changed_is_not_let_go(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    place = create_plan(asked, lena)
    folder = asked.app_state.workspace.location.folder
    assert folder is not None
    text = (folder / "policies" / "house.yaml").read_text()
    (folder / "policies" / "house.yaml").write_text(text.replace("email.academic", "email.present"))
    asked.app_state.policies.expire()
    answer = lena.post(place, {"do": "apply"})
    assert answer.status == 409
    assert "policies have changed" in text_of(answer.body)
    assert asked.count_writes() == before


def test_a_plan_that_is_thrown_away_is_gone_with_the_names_in_it(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    assert lena.post(place, {"do": "discard"}).headers["location"] == "/plans"
    assert lena.get(place).status == 404
    assert asked.app_state.workspace.store.plan(place.rpartition("/")[2]) is None


def test_a_plan_that_was_begun_is_not_thrown_away(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    wait_for_run(asked, lena.post(place, {"do": "apply"}).headers["location"])
    assert lena.post(place, {"do": "discard"}).headers["location"].startswith("/runs/")
    assert delete_plans(asked.app_state.workspace.store, [place.rpartition("/")[2]]) == 0
    assert lena.get(place).status == 200


def test_a_rule_with_its_own_sentence_is_shown_by_it_until_the_policy_changes(tmp_path: Path) -> None:
    policy = POLICY.replace("when: email.academic", "when: email.academic\n    says: Universities are let in.")
    with open_desk(tmp_path, policy=policy) as desk:
        desk.ask(PEOPLE[:1], {"Purpose": GOOD})
        lena = desk.visitor()
        place = create_plan(desk, lena)
        assert "Universities are let in. house/academic" in text_of(lena.get(place).body)
        (tmp_path / "policies" / "house.yaml").write_text(
            policy.replace("email.academic\n", "email.present\n"), "utf-8"
        )
        desk.app_state.policies.expire()
        said = text_of(lena.get(place).body)
        assert "house/academic" in said
        assert "Universities are let in" not in said, "the rule of today is not the one of the plan"


def test_limits_that_a_plan_does_not_touch_are_not_shown(asked: Desk) -> None:
    lena = asked.visitor()
    said = text_of(lena.get(create_plan(asked, lena)).body)
    limits = said.partition("Limits above a limit you type the number")[2].partition("As a file")[0]
    assert limits.split() == ["2", "get", "access", "limit", "50", "2", "are", "sent", "back", "limit", "20"]


def test_a_plan_without_changes_says_so_and_leads_to_who_waits_for_a_person(desk: Desk) -> None:
    lena = desk.visitor()
    empty = lena.get(create_plan(desk, lena))
    assert "Policies have nothing to do." in text_of(empty.body)
    assert "Open queue" not in text_of(empty.body), "nobody waits"
    desk.ask([{"username": "eve", "email": "eve@mail.example"}], {"Purpose": GOOD})
    said = text_of(lena.get(create_plan(desk, lena)).body)
    assert "Policies have nothing to do. 1 needs review." in said
    assert "Open queue" in said
    assert "cannot be applied" not in said
    assert "1 needs review" in text_of(lena.get("/plans").body)


def test_an_undo_without_changes_does_not_speak_of_policies(asked: Desk) -> None:
    lena = asked.visitor()
    run = lena.post(create_plan(asked, lena), {"do": "apply"}).headers["location"]
    wait_for_run(asked, run)
    back = lena.post(run, {"do": "undo"}).headers["location"]
    assert "To undo" not in text_of(lena.get(back).body)
    numbers = re.findall(r'name="n" value="(\d+)"', lena.get(f"{back}?group=all").body)
    assert len(numbers) == 4
    body = "&".join(["do=exclude", *(f"n={n}" for n in numbers)]).encode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    rest = lena.ask("POST", back, body, form).headers["location"]
    said = text_of(lena.get(rest).body)
    assert "There is nothing to undo." in said
    assert "Policies have nothing" not in said
    assert "Open queue" not in said


def test_a_member_of_some_repos_reads_no_totals_of_others(tmp_path: Path) -> None:
    with open_desk(tmp_path, repos=2) as desk:
        other = next(line for line in desk.local.repos if line["repo"] != desk.repo.id)
        there = parse_repo(other["repo"], other["repo_type"])
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        desk.ask([{"username": name} for name in ("eve", "fay")], {"Purpose": GOOD}, there)
        place = create_plan(desk, desk.visitor())
        assert "1 person gets access, 2 need review." in text_of(desk.visitor().get(place).body)
        said = text_of(desk.reviewer("mia", str(desk.repo)).get(place).body)
        assert "1 person gets access." in said
        assert "need review" not in said


# ---- many ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """700 who all wrote too little."""
    with open_desk(tmp_path_factory.mktemp("full")) as desk:
        desk.ask([{"username": f"p{n:03}"} for n in range(700)], {"Purpose": "test"})
        desk.read(SyncKind.FULL)
        yield desk


@pytest.fixture(scope="module")
def planned(full: Desk) -> str:
    return create_plan(full, full.visitor())


def test_many_need_their_number_typed(full: Desk, planned: str) -> None:
    lena, before = full.visitor(), full.count_writes()
    assert "To confirm, type " in text_of(lena.get(planned).body)
    for typed in ("", "7", "0700x"):
        answer = lena.post(planned, {"do": "apply", "count": typed})
        assert answer.status == 422
        assert "700" in text_of(answer.body)
    assert full.count_writes() == before
    assert full.app_state.workspace.store.run_of_plan(planned.rpartition("/")[2]) is None


def test_all_changes_come_page_by_page_and_each_once(full: Desk, planned: str) -> None:
    lena, path, found = full.visitor(), f"{planned}?group=all", []
    while path:
        body = lena.get(path).body
        found += re.findall(r"Leave out <bdi>(\w+)", body)
        following = re.search(r'href="([^"]+)" rel="next"', body)
        path = following[1].replace("&amp;", "&") if following else ""
    assert found == sorted(found)
    assert len(set(found)) == 700


def test_a_plan_is_a_file_that_the_command_line_applies(full: Desk, planned: str) -> None:
    lena = full.visitor()
    document = lena.get(f"{planned}.json").json
    assert document["plan"]["digest"] == planned.rpartition("/")[2]
    assert len(document["changes"]) == 700
    lines = list(csv.DictReader(io.StringIO(lena.get(f"{planned}.csv").body)))
    assert [line["user"] for line in lines] == [change["user"] for change in document["changes"]]
    assert len(lena.get(f"{planned}.jsonl").body.splitlines()) == 700
    assert lena.get(f"{planned}.exe").status == 404


def test_who_is_alone_lets_a_large_plan_go_alone(full: Desk, planned: str) -> None:
    assert "second person" not in text_of(full.visitor().get(planned).body).lower()


def test_where_there_are_two_admins_both_look_at_a_large_plan(full: Desk, planned: str) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    try:
        assert "second person must agree" in text_of(lena.get(planned).body)
        refused = lena.post(planned, {"do": "apply", "count": "700"})
        assert refused.status == 409
        assert lena.post(planned, {"do": "approve", "count": "700"}).status == 303
        assert lena.post(planned, {"do": "apply", "count": "700"}).status == 409
        assert noor.post(planned, {"do": "approve", "count": "7"}).status == 422
        assert noor.post(planned, {"do": "approve", "count": "700"}).status == 303
        assert "second person must agree" not in text_of(lena.get(planned).body)
        full.visitor(Member(name="kim", role=MemberRole.ADMIN))
        full.remove("noor")
        assert "second person must agree" in text_of(lena.get(planned).body), "whoever agreed was put out"
    finally:
        full.remove("kim")


# ---- who sees it ---------------------------------------------------------------------------------------------------------


def test_a_viewer_and_a_reviewer_read_a_plan_and_apply_nothing(asked: Desk) -> None:
    place = create_plan(asked, asked.visitor())
    vic, mia = asked.viewer(), asked.reviewer("mia")
    said = text_of(vic.get(place).body)
    assert "2 people are sent back" in said
    assert "house/say-more" in said
    assert "bob" in said
    assert vic.get(f"{place}.json").status == 200
    assert vic.post(place, {"do": "apply"}).status == 403
    assert "bob" in text_of(mia.get(place).body)
    assert mia.post(place, {"do": "apply"}).status == 403
    assert mia.post("/plans").status == 403
    assert asked.app_state.workspace.store.run_of_plan(place.rpartition("/")[2]) is None


def test_a_reviewer_sees_the_changes_at_their_own_repos(tmp_path: Path) -> None:
    with open_desk(tmp_path, requests=60, repos=2) as desk:
        lena = desk.visitor()
        place = create_plan(desk, lena)
        document = lena.get(f"{place}.json").json
        repos = sorted({(change["repo_type"], change["repo"]) for change in document["changes"]})
        assert len(repos) > 1
        mine = repos[0]
        glob = mine[1] if mine[0] == "model" else f"datasets/{mine[1]}"
        mia = desk.reviewer("mia", glob)
        lines = [line.split(",") for line in mia.get(f"{place}.csv").body.splitlines()[1:]]
        assert {(line[2], line[1]) for line in lines} == {mine}
        assert len(lines) == sum((c["repo_type"], c["repo"]) == mine for c in document["changes"])
        assert mia.get(f"{place}.json").status == 404
        assert desk.reviewer("ola", "no/such").get(place).status == 404


def test_hostile_text_is_text(desk: Desk) -> None:
    desk.ask(
        [{"username": "eve", "fullname": "<img src=x onerror=alert(1)>"}], {"Purpose": "<script>alert(1)</script>"}
    )
    lena = desk.visitor()
    place = create_plan(desk, lena)
    for path in (place, f"{place}?group=all", f'{place}?group="><script>alert(1)</script>', "/plans"):
        body = lena.get(path).body
        assert "<script>alert" not in body
        assert "<img" not in body


def test_without_a_desk_nothing_is_planned(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        assert desk.app_state.workspace.location.folder is not None
        (desk.app_state.workspace.location.folder / "policies" / "house.yaml").write_text("policy: [", "utf-8")
        desk.app_state.policies.expire()
        answer = desk.visitor().post("/plans")
        assert answer.status == 422
        assert "house.yaml" in answer.body


def test_a_plan_of_another_process_has_a_page_too(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    digest = place.rpartition("/")[2]
    with asked.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE plans SET about = NULL WHERE digest = ?", (digest,))
    plan._recent_plans.clear()
    assert "Plan: 4 changes" in text_of(lena.get(place).body)
    assert "from a file" in text_of(lena.get("/plans").body)
    assert to_ms(asked.app_state.now())


def _over(desk: Desk, name: str, days: int) -> int:
    """Somebody's access ended so many days ago; the moment."""
    desk.app_state.workspace.hub.accept(desk.repo, name)
    desk.read()
    row, at = desk.row(name), to_ms(desk.app_state.now())
    until = at - days * 86_400_000 - 1000
    event = GrantDated(until=until)
    entry = LedgerEntry(event=event, at=at, actor="lena-brandt", request=row.id, person=row.person.id)
    with desk.app_state.workspace.store.writing() as write:
        write.append(row.repo, [entry])
    return until


def test_an_end_that_has_come_is_told_in_words(asked: Desk) -> None:
    lena = asked.visitor()
    day = format_last_day(from_ms(_over(asked, "ada", 99)), asked.app_state.workspace.zone)
    page = text_of(lena.get(create_plan(asked, lena)).body)
    assert f"access ended on {day}, 99 days ago" in page
    assert "until <= now" not in page


@pytest.mark.parametrize("is_ours", [True, False], ids=["made here", "made by a command"])
def test_a_plan_of_a_clock_that_is_wrong_says_that_it_ends_nothing(asked: Desk, *, is_ours: bool) -> None:
    lena = asked.visitor()
    _over(asked, "ada", 1)
    asked.local.clock.advance("70m")
    asked.app_state.workspace.hub.gate(asked.repo)
    place = create_plan(asked, lena)
    if not is_ours:
        with asked.app_state.workspace.store.writing() as write:
            write.db.run("UPDATE plans SET about = NULL WHERE digest = ?", (place.rpartition("/")[2],))
    page = text_of(lena.get(place).body)
    assert re.search(r"This plan ends no access: this machine's clock is (69|70) min behind the Hub's\.", page)
    assert "access ended on" not in page


def test_a_plan_of_an_unattended_run_says_so(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    digest = place.rpartition("/")[2]
    app_state = asked.app_state
    create_run(
        app_state.workspace.store,
        plan.read_plan(app_state, digest),
        run_id="r_turn",
        kind=RunKind.AUTO,
        actor="policy",
        now=app_state.now(),
    )
    with app_state.workspace.store.writing() as write:
        write.db.run("UPDATE plans SET about = NULL WHERE digest = ?", (digest,))
    listed = text_of(lena.get("/plans").body)
    assert "by hf-gate run" in listed
    assert "from a file" not in listed
