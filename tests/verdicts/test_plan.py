"""Plans are ordered, limited and protected by a digest: equal inputs give equal bytes, and a changed plan is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.changes import Change, ChangeReason
from hf_gate.core.people.access_end import AccessEnd
from hf_gate.errors import Guarded, UsageError
from hf_gate.verdicts.plan import guards, render
from hf_gate.verdicts.plan.model import Plan, build_plan, decode_plan, digest_plan, encode_plan
from hf_gate.verdicts.service.evaluated_parts import PlanBuffer
from tests.kits.plans import make_change

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def plan_of(changes: list[Change], most: int = 100_000) -> Plan:
    return build_plan(
        changes, policy_digest="p", endpoint="http://h", now=NOW, summary={"human": 3}, guards=[], most=most
    )


changes_of = st.lists(
    st.builds(
        make_change,
        st.integers(1, 10_000),
        after=st.sampled_from(["accepted", "rejected", "reset"]),
        before=st.sampled_from(["pending", "accepted"]),
        user=st.one_of(st.none(), st.text(max_size=20)),
        reason=st.one_of(st.none(), st.text(max_size=40)),
    ),
    max_size=12,
    unique_by=lambda one: one.row,
)


@given(changes_of, st.randoms(use_true_random=False))
def test_the_order_in_which_changes_are_found_does_not_change_the_plan(changes: list[Change], chance: Random) -> None:
    by_row = list({c.sort_key: c for c in changes}.values())
    shuffled = list(by_row)
    chance.shuffle(shuffled)
    assert encode_plan(plan_of(by_row)) == encode_plan(plan_of(shuffled))


@given(changes_of)
def test_a_plan_that_is_written_and_read_is_the_same(changes: list[Change]) -> None:
    plan = plan_of(changes)
    assert decode_plan(encode_plan(plan), "plan.json") == plan


@given(changes_of.filter(bool), st.data())
def test_any_other_value_in_the_file_is_refused_and_another_layout_is_not(
    changes: list[Change], data: st.DataObject
) -> None:
    document = json.loads(encode_plan(plan_of(changes)))
    relaid = json.dumps(dict(reversed(document.items())), indent=7).encode()
    assert decode_plan(relaid, "plan.json").digest == document["plan"]["digest"]
    victim = data.draw(st.sampled_from(document["changes"]))
    key = data.draw(st.sampled_from(["user", "to", "asked_at", "answers_digest", "rule", "repo"]))
    victim[key] = f"{victim[key]}x"
    with pytest.raises(Guarded, match="was changed after the plan was made"):
        decode_plan(json.dumps(document).encode(), "plan.json")


def test_a_key_that_was_added_by_hand_is_a_change_too() -> None:
    document = json.loads(encode_plan(plan_of([make_change()])))
    document["changes"][0]["note"] = "looks harmless"
    with pytest.raises(Guarded):
        decode_plan(json.dumps(document).encode(), "plan.json")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"after": "banished"}, "'banished' is not a status"),
        ({"before": ""}, "'' is not a status"),
        ({"answers_digest": "abc"}, "'abc' is not a digest"),
        ({"identity_digest": "no digest"}, "'no digest' is not a digest"),
        ({"end": AccessEnd("soon")}, "until 'soon'"),
        ({"end": AccessEnd("30d,0d")}, "until '30d,0d'"),
        ({"end": AccessEnd("30d", "accept")}, "at_end 'accept'"),
        ({"repo": "../../x"}, "'../../x' is not a repo id"),
        ({"repo_type": "datasets"}, "'datasets' is not a repo type"),
        ({"asked_at": "lately"}, "asked_at 'lately'"),
    ],
)
def test_a_plan_with_invalid_values_is_refused(other: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=r"is not a plan of hf-gate") as told:
        decode_plan(encode_plan(plan_of([msgspec.structs.replace(make_change(), **other)])), "plan.json")
    assert words in str(told.value)


def test_a_plan_with_two_changes_of_one_request_is_refused() -> None:
    with pytest.raises(UsageError, match="two changes for one request"):
        decode_plan(encode_plan(plan_of([make_change(1), make_change(1, after="rejected")])), "plan.json")


@pytest.mark.parametrize("key", ["made_at", "expires_at"])
@pytest.mark.parametrize("moment", ["yesterday", "2026-11-25T12:00:00"])
def test_a_plan_with_an_invalid_timestamp_is_refused(key: str, moment: str) -> None:
    plan = plan_of([])
    plan = msgspec.structs.replace(plan, plan=msgspec.structs.replace(plan.plan, **{key: moment}))
    plan = msgspec.structs.replace(plan, plan=msgspec.structs.replace(plan.plan, digest=digest_plan(plan)))
    with pytest.raises(UsageError, match=f"{key} '{moment}'"):
        decode_plan(encode_plan(plan), "plan.json")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"plan": 1}', b"[" * 100_000, b"null"])
def test_an_invalid_plan_file_gives_one_line_with_the_next_step(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"is not a plan of hf-gate") as told:
        decode_plan(text, "plan.json")
    assert "hf-gate plan --out" in told.value.hint


def test_a_plan_holds_the_oldest_and_says_how_many_remain() -> None:
    plan = plan_of([make_change(n, asked_at=f"2026-01-01T00:00:{n:02d}.000Z") for n in range(1, 31)], most=10)
    assert plan.summary["remaining"] == 20
    assert [c.row for c in plan.changes] == list(range(1, 11))
    assert digest_plan(plan) == plan.digest


# ---- brakes ------------------------------------------------------------------------------------------------------------

LADDER = [
    (0, 0, 100, guards.Confirmation.NONE),
    (1, 0, 100, guards.Confirmation.NONE),
    (0, 1, 100, guards.Confirmation.NONE),
    (2, 0, 100, guards.Confirmation.CONFIRM),
    (50, 0, 100, guards.Confirmation.CONFIRM),
    (51, 0, 100, guards.Confirmation.TYPED),
    (51, 0, 1000, guards.Confirmation.CONFIRM),
    (101, 0, 1000, guards.Confirmation.TYPED),
    (0, 20, 1000, guards.Confirmation.CONFIRM),
    (0, 21, 10_000, guards.Confirmation.TYPED),
]


@pytest.mark.parametrize(("accepts", "resets", "waiting", "wanted"), LADDER)
def test_the_ladder_of_the_contract(accepts: int, resets: int, waiting: int, wanted: guards.Confirmation) -> None:
    changes = [make_change(n) for n in range(accepts)] + [make_change(n, after="reset") for n in range(resets)]
    assert guards.plan_confirmation(changes, waiting) is wanted


@given(changes_of, st.integers(0, 5), st.integers(0, 8))
def test_a_budget_takes_the_oldest_and_defers_the_rest(changes: list[Change], limit: int, used: int) -> None:
    room = dict.fromkeys(("reset", "reject", "remove"), limit) | {"accept": limit - used}
    take, deferred = guards.apply_budgets(changes, room)
    assert sorted(map(repr, take + deferred)) == sorted(map(repr, changes))
    for verb in room:
        taken = [c.asked_at for c in take if c.verb == verb]
        left = [c.asked_at for c in deferred if c.verb == verb]
        assert len(taken) <= max(0, room[verb])
        assert not (taken and left) or max(taken) <= min(left)


def test_protected_people_are_let_in_and_never_put_out() -> None:
    is_protected = guards.protection_check(["eval-robot"])
    assert not is_protected(make_change(1, user="Eval-Robot"))
    assert is_protected(make_change(2, user="Eval-robot", before="accepted", after="reset"))


def first_cycle(changes: list[Change], acting: set[str]) -> tuple[list[int], dict[guards.PolicyStart, int]]:
    """Who goes, by the rows of their requests, and who is held."""
    doors = guards.FirstTurnHold(lambda start: start[1] in acting)
    go = [each for each in changes if doors.allows(each)]
    return sorted(each.row for each in (*go, *doors.small_starts())), dict(doors.held_counts)


def test_a_version_begins_with_few_and_one_that_acts_already_with_many() -> None:
    fifty = [make_change(n) for n in range(1, 51)]
    assert first_cycle(fifty, set()) == (list(range(1, 51)), {})
    one_more = [*fifty, make_change(51)]
    start = (str(fifty[0].policy), str(fifty[0].policy_digest), str(fifty[0].repo_ref))
    assert first_cycle(one_more, set()) == ([], {start: 51})
    assert first_cycle(one_more, {start[1]}) == (list(range(1, 52)), {})
    ends = [make_change(n, policy=None, policy_digest=None, rule="until") for n in range(1, 61)]
    assert first_cycle(ends, set()) == (list(range(1, 61)), {})


def test_held_and_protected_changes_take_no_room_in_a_plan() -> None:
    waiting = [make_change(n, user="robot", before="accepted", after="reset") for n in range(1, 10)]
    held = [make_change(n, policy="new", policy_digest="f" * 64) for n in range(10, 100)]
    others = [make_change(n) for n in range(100, 106)]
    doors = guards.FirstTurnHold(lambda start: start[0] != "new")
    room = PlanBuffer(limit=5, filter=doors, is_protected=guards.protection_check(["robot"]))
    for each in (*waiting, *held, *others):
        room.offer(each)
    assert [each.row for each in room.fill()] == [100, 101, 102, 103, 104]
    assert (room.dropped, room.protected, sum(doors.held_counts.values())) == (1, 9, 90)


def test_the_words_of_a_plan_make_hostile_text_visible() -> None:
    plan = plan_of([make_change(1, user="bob\x1b[2J\u202e", reason="no\nway", after="reset")])
    text = "\n".join(render.render_plan(plan, UTC))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "1 to send back" in text


def test_an_empty_plan_says_that_there_are_no_changes() -> None:
    assert list(render.render_plan(plan_of([]), UTC))[-1] == "Plan: no changes."


def test_a_plan_without_brakes_has_no_line_for_them_and_one_call_is_one() -> None:
    said = list(render.render_plan(plan_of([make_change(1)]), UTC, calls=1))
    assert not [line for line in said if line.startswith("Guards")]
    assert said[-1].endswith("About 1 call.")


@pytest.mark.parametrize(("count", "title", "listed"), [(50, "Changes", 50), (51, "Examples", 1)])
def test_a_plan_of_up_to_50_changes_lists_everybody(count: int, title: str, listed: int) -> None:
    lines = list(render.render_plan(plan_of([make_change(n, user=f"person-{n}") for n in range(count)]), UTC))
    assert title in lines
    assert sum("person-" in line for line in lines) == listed


def test_a_plan_says_who_stays_and_which_limits_it_touches() -> None:
    reasons = [ChangeReason(expr="email.academic", value=True, facts={"email.academic": True})]
    plan = build_plan(
        [make_change(1, because=reasons), make_change(2, because=reasons)], policy_digest="p", endpoint="http://h", now=NOW,
        summary={"human": 974, "wait": 2}, guards=guards.guard_report([make_change(1), make_change(2)], 100, 0),
    )  # fmt: skip
    lines = list(render.render_plan(plan, UTC))
    assert lines[0] == "2 people get access, 974 need review."
    assert "    needs review    974   are for you to decide" in lines
    assert not [line for line in lines if line.split()[:1] == ["human"]]
    assert "Limits     accept 2" in lines, "limits at 0 are left out"
    assert any(line.endswith(": university address") for line in lines), "an example says in words why"


def test_a_plan_names_the_number_that_its_confirmation_asks_for() -> None:
    changes = [
        *(make_change(n) for n in range(110)),
        *(make_change(n, after="reset", reason="No.") for n in range(110, 131)),
    ]
    plan = build_plan(
        changes, policy_digest="p", endpoint="http://h", now=NOW, summary={},
        guards=guards.guard_report(changes, 100, 0),
    )  # fmt: skip
    lines = list(render.render_plan(plan, UTC))
    assert lines[-1] == "Plan: 131 changes (110 to accept, 21 to send back)."
    (limits,) = [line for line in lines if line.startswith("Limits")]
    assert "accept 110 (above 50)" in limits
    assert limits.endswith(". To confirm, type the total: 131")


def test_the_validity_is_shown_in_hours_then_minutes() -> None:
    plan = plan_of([])
    assert render.format_validity(plan, NOW).endswith("valid 24h")
    assert render.format_validity(plan, NOW + timedelta(hours=23, minutes=30)).endswith("valid 30 min")


def test_rules_without_a_policy_of_their_version_have_no_sentence() -> None:
    made = plan_of([make_change(1)])
    assert "Rules" not in list(render.render_plan(made, UTC))
