"""An acceptance by hand ends as the rules say: the button names the day, and what is not known is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events.events import GrantDated, decode_event
from hf_gate.core.people.access_end import AccessEnd, HandTerms, TermsKind
from hf_gate.core.stored_rows import RepoRow
from hf_gate.decisions.service.bulk_decisions import BulkDecision, BulkEnds, create_bulk_run
from hf_gate.decisions.service.plans.planning import make_plan
from hf_gate.desk.requests.selection import MAX_IN_TRAY
from hf_gate.grants.service.ends.terms_reader import TermsReader
from hf_gate.store.rows.tray import (
    list_failed_decisions,
    list_waiting_decisions,
    schedule_decisions,
    undo_waiting_decisions,
)
from hf_gate.verdicts.service.evaluation import RepoPolicies
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk
from tests.kits.desk_actions import TERMS_PEOPLE, TERMS_POLICY
from tests.kits.manual_clock import ManualClock


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, TERMS_POLICY.replace("UNTIL", "1y")) as desk:
        desk.ask(TERMS_PEOPLE, {"Purpose": GOOD})
        yield desk


def _write_end(desk: Desk, until: str) -> None:
    _write_policy(desk, TERMS_POLICY.replace("UNTIL", until))


def _write_policy(desk: Desk, text: str) -> None:
    folder = desk.app_state.workspace.location.folder
    assert folder is not None
    (folder / "policies" / "house.yaml").write_text(text, "utf-8")
    desk.app_state.policies.expire()


def _key(desk: Desk, name: str) -> str:
    return desk.row(name).state.hub_request or ""


def _button(desk: Desk, visitor: Visitor, name: str) -> str:
    """The value of the button of a row."""
    found = re.search(rf'name="accept" value="(n{desk.row(name).id}:[^"]+)"', visitor.get("/queue").body)
    assert found is not None
    return found[1]


def _press(desk: Desk, visitor: Visitor, name: str) -> Answer:
    return visitor.post("/tray", {"accept": _button(desk, visitor, name), "next": "/queue"})


def _dated(desk: Desk, name: str) -> list[tuple[str, str | None, str | None]]:
    """The ends in the audit log: by whom, by which rule, as written."""
    entries = desk.app_state.workspace.store.entries(request=desk.row(name).id, limit=20)
    events = [(one.link.actor, decode_event(one.link.body)) for one in entries]
    return [(actor, event.rule, event.written) for actor, event in events if isinstance(event, GrantDated)]


def test_without_an_accept_rule_that_holds_the_access_has_no_end(desk: Desk) -> None:
    lena = desk.visitor()
    assert 'aria-label="Accept bob"' in lena.get("/queue").body
    assert _press(desk, lena, "bob").status == 303
    desk.send_due()
    assert (desk.row("bob").state.status, desk.row("bob").state.until) == ("accepted", None)


def test_an_unknown_end_is_asked_and_never_guessed(desk: Desk) -> None:
    lena, row = desk.visitor(), desk.row("cyd")
    key, queue = _key(desk, "cyd"), lena.get("/queue").body
    assert f'href="/requests/n{row.id}/until#decide"' in queue
    assert 'aria-label="Accept cyd: choose the end"' in queue
    sheet = lena.get(f"/requests/{key}/until", hx_request="true").body
    assert "not known: number of public models" in sheet
    assert "checked" not in sheet
    assert 'id="leaves"' in lena.get(f"/requests/{key}/until").body, "without a script too"
    version = re.search(r'name="version" value="([^"]+)"', sheet)
    assert version is not None
    values = {"verb": "accept", "key": key, "version": version[1], "next": "/queue"}
    assert lena.post("/tray", values).status == 422
    assert lena.post("/tray", {"accept": f"{key}:{row.version.token}"}).status == 409, "the terms were not shown"
    assert list_waiting_decisions(desk.app_state.workspace.store) == []
    assert lena.post("/tray", {**values, "until": "none"}).status == 303
    assert lena.post("/tray/undo", {"key": key}).status == 303
    assert lena.post("/tray", {**values, "until": "30d"}).status == 303
    desk.send_due()
    assert _dated(desk, "cyd") == [("lena-brandt", "direct", "30d")]


def test_another_end_can_be_chosen(desk: Desk) -> None:
    lena, key = desk.visitor(), _key(desk, "ada")
    assert "Another end…" in lena.get(f"/requests/{key}").body
    sheet = lena.get(f"/requests/{key}/until", hx_request="true").body
    assert "by the rule <code>house/academic</code>, then rejected" in sheet
    version = re.search(r'name="version" value="([^"]+)"', sheet)
    assert version is not None
    lena.post("/tray", {"verb": "accept", "key": key, "version": version[1], "until": "none"})
    desk.send_due()
    assert (desk.row("ada").state.status, desk.row("ada").state.until) == ("accepted", None)
    assert _dated(desk, "ada") == []


def _advance(desk: Desk, hours: float) -> None:
    clock = desk.app_state.workspace.clock
    assert isinstance(clock, ManualClock)
    clock.advance(hours * 3600)


def _failure(desk: Desk) -> tuple[str | None, str | None, str]:
    """The outcome of the failed decision with its reason, and the status of its request."""
    (failed,) = list_failed_decisions(desk.app_state.workspace.store, desk.app_state.membership.owner_member.id)
    return failed.outcome, failed.row.why, desk.row("ada").state.status


def test_what_was_shown_is_what_is_sent_and_a_rule_that_changed_is_named_with_its_version(desk: Desk) -> None:
    lena, first = desk.visitor(), desk.app_state.policies.current
    assert first is not None
    pressed = _button(desk, lena, "ada")
    _write_end(desk, "30d")
    version = first.policies[0].digest[:8]
    answer = lena.post("/tray", {"accept": pressed}, hx_request="true")
    assert f"Rule house/academic@{version} changed after its end was shown." in answer.headers["hx-trigger"]
    _write_end(desk, "60d")
    desk.send_due()
    assert _dated(desk, "ada") == [("lena-brandt", "house/academic", "1y")]
    page = lena.get(f"/requests/{_key(desk, 'ada')}").body
    assert f"by version {version} of rule house/academic, which changed after it was shown" in page


@pytest.mark.parametrize(
    "text",
    [
        TERMS_POLICY.replace("mode: enforce", "mode: shadow"),
        TERMS_POLICY.replace('["*/*", "datasets/*/*"]', '["other/*"]'),
        TERMS_POLICY.replace("policy: house", "policy: other"),
    ],
)
def test_an_end_of_a_policy_that_no_longer_applies_is_refused(desk: Desk, text: str) -> None:
    lena = desk.visitor()
    pressed = _button(desk, lena, "ada")
    _press(desk, lena, "ada")
    _write_policy(desk, text.replace("UNTIL", "1y"))
    desk.send_due()
    outcome, why, status = _failure(desk)
    assert (outcome in {"stale", "refused"}, status) == (True, "pending")
    assert "no longer applies" in (why or "")
    answer = lena.post("/tray", {"accept": pressed})
    assert (answer.status, "would end at a different time" in answer.body) == (409, True)


def test_an_end_that_passed_before_it_was_sent_is_refused(desk: Desk) -> None:
    lena, day = desk.visitor(), desk.app_state.now().date()
    _write_end(desk, day.isoformat())
    _press(desk, lena, "ada")
    _advance(desk, 23.9)
    desk.send_due()
    assert _failure(desk) == ("stale", f"the end {day} had passed when the decision was due", "pending")


def test_after_24_hours_an_acceptance_is_sent_only_if_it_would_still_end_as_shown(desk: Desk) -> None:
    lena = desk.visitor()
    for name in ("ada", "bob"):
        _press(desk, lena, name)
    lena.post("/tray/hold")
    _advance(desk, 25)
    desk.send_due()
    assert _dated(desk, "ada") == [("lena-brandt", "house/academic", "1y")]
    assert desk.row("bob").state.status == "accepted"


@pytest.mark.parametrize("hours", [1, 25])
def test_an_acceptance_that_is_due_while_the_policies_cannot_be_read_waits(desk: Desk, hours: float) -> None:
    lena = desk.visitor()
    for name in ("ada", "bob"):
        _press(desk, lena, name)
    lena.post("/tray/hold")
    _advance(desk, hours)
    _write_policy(desk, "version: [")
    desk.send_due()
    waiting = {one.request: one.is_being_sent for one in list_waiting_decisions(desk.app_state.workspace.store)}
    assert waiting.get(desk.row("ada").id) is False
    assert "cannot be read" in (desk.app_state.tray_service.problem or "")
    _write_end(desk, "1y")
    desk.send_due()
    assert _dated(desk, "ada") == [("lena-brandt", "house/academic", "1y")]
    assert desk.row("bob").state.status == "accepted"
    assert desk.app_state.tray_service.problem is None


def test_an_acceptance_that_is_undone_while_it_is_prepared_is_not_sent(desk: Desk) -> None:
    lena = desk.visitor()
    _press(desk, lena, "ada")
    service = desk.app_state.tray_service

    def undo(row: RepoRow) -> RepoPolicies | None:
        undo_waiting_decisions(
            desk.app_state.workspace.store,
            [one.run.id for one in list_waiting_decisions(desk.app_state.workspace.store)],
        )
        return service.terms.policies_of(row)

    terms = TermsReader(desk.app_state.workspace, undo, service.terms.shown)
    schedule_decisions(
        desk.app_state.workspace.store,
        [one.run.id for one in list_waiting_decisions(desk.app_state.workspace.store)],
        to_ms(desk.app_state.now()),
    )
    replace(service, terms=terms).send_due(desk.app_state.now())
    assert (desk.row("ada").state.status, list_waiting_decisions(desk.app_state.workspace.store)) == ("pending", [])


def test_after_24_hours_an_acceptance_with_another_end_than_shown_is_not_sent(desk: Desk) -> None:
    lena = desk.visitor()
    _press(desk, lena, "ada")
    lena.post("/tray/hold")
    _advance(desk, 25)
    _write_end(desk, "30d")
    desk.send_due()
    assert _failure(desk) == ("stale", "its access would end at a different time than shown", "pending")


def test_a_page_that_was_opened_more_than_24_hours_ago_decides_nothing_with_another_end(desk: Desk) -> None:
    lena = desk.visitor()
    pressed = _button(desk, lena, "ada")
    _advance(desk, 25)
    _write_end(desk, "30d")
    answer = lena.post("/tray", {"accept": pressed})
    assert (answer.status, "would end at a different time" in answer.body) == (409, True)


def test_terms_of_another_request_are_not_taken(desk: Desk) -> None:
    """The version of a form names what was shown about one request only."""
    lena = desk.visitor()
    shown = _button(desk, lena, "bob").rpartition(".")[2]
    version = f"{desk.row('ada').version.token}.{shown}"
    assert lena.post("/tray", {"accept": f"{_key(desk, 'ada')}:{version}"}).status == 409
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


@pytest.mark.parametrize(("until", "is_sent"), [("1y", True), ("30d", False)])
def test_a_decision_that_was_shown_at_an_unknown_time_is_sent_if_its_terms_are_the_same(
    desk: Desk, until: str, *, is_sent: bool
) -> None:
    lena = desk.visitor()
    _press(desk, lena, "ada")
    lena.post(
        "/tray", {"verb": "accept", "key": _key(desk, "bob"), "version": _version(lena, desk, "bob"), "until": "30d"}
    )
    _forget_when_shown(desk, "ada")
    _forget_when_shown(desk, "bob")
    _write_end(desk, until)
    desk.send_due()
    assert desk.row("ada").state.status == ("accepted" if is_sent else "pending")
    assert _dated(desk, "bob") == [("lena-brandt", "direct", "30d")]


def test_a_chosen_end_that_was_shown_at_an_unknown_time_keeps_the_conditions_of_the_rule(desk: Desk) -> None:
    lena = desk.visitor()
    _write_policy(desk, TERMS_POLICY.replace("UNTIL", "1y\n    keep_while: email.academic"))
    version = _version(lena, desk, "ada")
    lena.post("/tray", {"verb": "accept", "key": _key(desk, "ada"), "version": version, "until": "30d"})
    _forget_when_shown(desk, "ada")
    desk.send_due()
    assert desk.row("ada").state.terms is not None
    assert _dated(desk, "ada") == [("lena-brandt", "house/academic", "30d")]


def _forget_when_shown(desk: Desk, name: str) -> None:
    """Store the waiting decision without the time at which its end was shown."""
    (item,) = (
        one for one in list_waiting_decisions(desk.app_state.workspace.store) if one.request == desk.row(name).id
    )
    assert item.change.end is not None
    unknown = replace(item.change, end=replace(item.change.end, shown_at=0))
    with desk.app_state.workspace.store.writing() as write:
        write.replace_changes(item.run.id, [(1, msgspec.json.encode(unknown))])


def _version(visitor: Visitor, desk: Desk, name: str) -> str:
    return _button(desk, visitor, name).partition(":")[2]


def test_policies_that_cannot_be_read_leave_the_end_to_the_person(desk: Desk) -> None:
    lena = desk.visitor()
    _write_end(desk, "soon")
    assert 'aria-label="Accept ada: choose the end"' in lena.get("/queue").body
    assert "the policies, which cannot be read" in lena.get(f"/requests/{_key(desk, 'ada')}/until?verb=until").body


# ---- many at once --------------------------------------------------------------------------------------------------------


def _open(lena: Visitor) -> tuple[str, Answer]:
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    path = lena.post("/bulk", {"verb": "accept"}).headers["location"]
    return path.partition("?")[0], lena.get(path)


def _field(page: Answer, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.body)
    assert found is not None
    return found[1]


def _values(page: Answer, **more: str) -> dict[str, str]:
    return {"do": "send", "verb": "accept", "count": _field(page, "count"), "terms": _field(page, "terms"), **more}


def test_the_page_of_many_says_how_many_get_which_end_and_asks_for_the_others(desk: Desk) -> None:
    lena = desk.visitor()
    path, page = _open(lena)
    words = re.sub(r"<[^>]+>|\s+", " ", page.body)
    assert re.search(r"1 until \d+ \w+ 20\d\d by the rule house/academic", re.sub(r"\s+", " ", words))
    assert "without an end" in page.body
    assert "not known: number of public models" in page.body
    assert "Choose an end for 1" in page.body
    missing = lena.post(path, _values(page))
    assert missing.status == 422
    assert "Choose an end for 1 request:" in missing.body
    assert lena.post(path, _values(page, until="30d")).status == 303
    desk.send_due()
    rules = {name: desk.row(name).state.until_rule for name in ("ada", "bob", "cyd")}
    assert rules == {"ada": "house/academic", "bob": None, "cyd": "direct"}
    assert {desk.row(name).state.status for name in rules} == {"accepted"}


def test_the_page_of_very_many_says_that_its_ends_are_those_of_the_last_evaluation(tmp_path: Path) -> None:
    with open_desk(tmp_path, TERMS_POLICY.replace("UNTIL", "1y"), requests=2_400) as desk:
        lena = desk.visitor()
        lena.post("/selection", {"do": "all", "q": "status:pending"})
        path = lena.post("/bulk", {"verb": "accept"}).headers["location"]
        count = int(_field(lena.get(path), "count"))
        assert count > MAX_IN_TRAY
        assert "These ends come from the last evaluation" in lena.get(path).body
    assert "the last evaluation" not in _few(tmp_path / "few")


def _few(folder: Path) -> str:
    folder.mkdir()
    with open_desk(folder, TERMS_POLICY.replace("UNTIL", "1y")) as desk:
        desk.ask(TERMS_PEOPLE, {"Purpose": GOOD})
        return _open(desk.visitor())[1].body


def test_a_page_of_many_that_is_too_old_is_shown_again(desk: Desk) -> None:
    lena = desk.visitor()
    path, page = _open(lena)
    _advance(desk, 25)
    _write_end(desk, "30d")
    answer = lena.post(path, _values(page, until="none"))
    assert answer.status == 409
    assert "would end at a different time" in answer.body
    assert list_waiting_decisions(desk.app_state.workspace.store) == []
    assert lena.post(path, _values(answer, until="none")).status == 303
    desk.send_due()
    assert _dated(desk, "ada") == [("lena-brandt", "house/academic", "30d")]


def test_a_run_for_very_many_leaves_out_those_whose_end_changed_since_the_last_evaluation(desk: Desk) -> None:
    store, state = desk.app_state.workspace.store, desk.app_state
    bundle = state.policies.current
    assert bundle is not None
    make_plan(state.workspace, bundle, state.policies.pool(bundle).evaluate, profile_budget=0)
    rows = [desk.row(name) for name in ("ada", "bob", "cyd")]
    now = state.now()
    ends = BulkEnds(chosen="30d", read=lambda rows: state.terms_reader.read_terms(rows, now), now=now)
    order = BulkDecision("r_one", "lena-brandt", "accepted", None, 3, ends=ends)
    create_bulk_run(store, order, [[row.id for row in rows]], now)
    made = [msgspec.json.decode(row.change, type=Change) for row in store.changes("r_one")]
    assert {(each.user, each.until, each.end and each.end.rule) for each in made} == {
        ("ada", "1y", "house/academic"), ("bob", None, None), ("cyd", "30d", "direct"),
    }  # fmt: skip
    _write_end(desk, "60d")
    run = create_bulk_run(store, replace(order, run_id="r_two"), [[row.id for row in rows]], now)
    assert [(row.state, row.why) for row in store.changes("r_two") if row.request == rows[0].id] == [
        ("unsent", "its access would end at a different time than shown; look at it again")
    ]
    assert (run.total, dict(run.verbs)) == (3, {"accept": 2})


@pytest.mark.parametrize(
    ("chosen", "ends"),
    [
        ("30d", {"ada": "30d", "bob": "30d", "cyd": "30d"}),
        ("none", {"ada": "1y", "bob": None, "cyd": None}),
        (None, {}),
    ],
)
def test_a_run_for_very_many_gives_those_that_nothing_evaluated_no_later_end_than_was_chosen(
    desk: Desk, chosen: str | None, ends: dict[str, str | None]
) -> None:
    store, state = desk.app_state.workspace.store, desk.app_state
    rows, now = [desk.row(name) for name in ("ada", "bob", "cyd")], state.now()
    assert {row.state.verdict for row in rows} == {None}
    given = BulkEnds(chosen=chosen, read=lambda rows: state.terms_reader.read_terms(rows, now), now=now)
    order = BulkDecision("r_one", "lena-brandt", "accepted", None, 3, ends=given)
    create_bulk_run(store, order, [[row.id for row in rows]], now)
    made = [msgspec.json.decode(row.change, type=Change) for row in store.changes("r_one", ["planned"])]
    assert {each.user: each.until for each in made} == ends


def test_the_terms_are_stored_with_the_verdict(desk: Desk) -> None:
    state = desk.app_state
    bundle = state.policies.current
    assert bundle is not None
    make_plan(state.workspace, bundle, state.policies.pool(bundle).evaluate, profile_budget=0)
    stored = {name: desk.row(name).state.hand_terms for name in ("ada", "bob", "cyd")}
    assert stored["bob"] is None
    assert (stored["ada"], stored["cyd"]) == (
        HandTerms(TermsKind.END, AccessEnd("1y", "reject", "house/academic")),
        HandTerms(TermsKind.UNKNOWN, missing=("person.models",)),
    )
    assert desk.row("ada").state.verdict == ("human", "house", "vip", bundle.policies[0].digest)
