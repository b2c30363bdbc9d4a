"""What a change of a table shows before it is saved is what the next turn makes of it, for people waiting and for grants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.grants.service.tables.own_tables import (
    TableDraft,
    draft_removal,
    draft_row,
    find_own_table,
    save_table_draft,
)
from hf_gate.grants.service.tables.table_effects import TableEffect, iterate_effects, read_bundle
from hf_gate.grants.service.tables.table_imports import prepare_import
from hf_gate.grants.service.tables.table_records import describe_effect, describe_held_ends, table_effect_record
from tests.kits.grant_workspaces import GONE, KEPT, OTHERS, SIGNED, GrantWorkspace, make_grant_workspace, policy

GRACE = "\ngrace: 14d"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GrantWorkspace]:
    made = make_grant_workspace(tmp_path)
    yield made
    made.close()


def day(scene: GrantWorkspace, days: int) -> str:
    return f"{scene.now + timedelta(days=days):%Y-%m-%d}"


def draft(scene: GrantWorkspace, name: str, *, replaces: bool = True, **cells: str) -> TableDraft:
    own = find_own_table(scene.workspace, "dua")
    return draft_row(own, {"user_id": scene.id_of(name), **cells}, replaces=replaces)


def effects(scene: GrantWorkspace, made: TableDraft) -> dict[str | None, TableEffect]:
    found = iterate_effects(scene.workspace, made, read_bundle(scene.workspace))
    return {effect.row.person.identity.username: effect for effect in found}


def write_table(scene: GrantWorkspace, *rows: str, header: str = "user_id,from,expires") -> None:
    others = [f"{n:024x},,2099-12-31" for n in range(OTHERS)]
    table = scene.folder / "tables" / "dua.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join([header, *others, *rows]) + "\n")
    scene.load()


def save_and_turn(scene: GrantWorkspace, made: TableDraft) -> None:
    save_table_draft(scene.workspace, made, "lena")
    scene.load()
    scene.turn()


# ---- grants ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [3, 30, 200])
@pytest.mark.parametrize("name", ["ada", "bo"])
def test_a_new_date_shows_the_end_that_the_next_turn_gives(scene: GrantWorkspace, days: int, name: str) -> None:
    scene.let_in({"ada": 100, "bo": 100}, SIGNED)
    made = draft(scene, name, expires=day(scene, days))
    found = effects(scene, made)
    assert list(found) == [name]
    assert found[name].before.ends_at == scene.row(name).state.ends_at
    shown = found[name].after.ends_at
    save_and_turn(scene, made)
    ends_at = scene.row(name).state.ends_at
    assert shown is not None
    assert ends_at is not None
    # a turn lasts some seconds, and an end that is near is one in 7 days
    assert abs(ends_at - shown) <= (60_000 if days == 3 else 0)
    assert (from_ms(shown) - scene.now).days in {3: (6, 7), 30: (30,), 200: (200,)}[days]


def test_a_condition_that_turns_false_shows_the_end_after_its_grace(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": None}, KEPT + GRACE)
    made = draft_removal(find_own_table(scene.workspace, "dua"), [scene.id_of("ada")])
    effect = effects(scene, made)["ada"]
    assert (effect.before.state, effect.after.state, effect.before.ends_at) == ("valid", "missing", None)
    save_and_turn(scene, made)
    assert abs((scene.row("ada").state.ends_at or 0) - (effect.after.ends_at or 0)) <= 60_000


def test_a_row_that_expires_earlier_shows_from_when_its_condition_is_false(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, KEPT + GRACE)
    effect = effects(scene, draft(scene, "ada", expires=day(scene, 30)))["ada"]
    assert effect.starts_at is not None
    assert (from_ms(effect.starts_at) - scene.now).days == 30
    assert (effect.before.state, effect.after.state) == ("valid", "expired")
    assert effect.after.ends_at == to_ms(from_ms(effect.starts_at) + timedelta(days=14))
    words = describe_effect(table_effect_record(effect), lambda moment: moment[:10])
    assert words.startswith("listed becomes expired; access ends ")
    assert words.endswith(f", from {day(scene, 31)} on")


def test_a_date_that_moves_nothing_affects_nobody(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, "until: 30d")
    assert effects(scene, draft(scene, "ada", expires=day(scene, 90))) == {}


# ---- people waiting --------------------------------------------------------------------------------------------------


def test_somebody_waiting_is_shown_with_the_verdict_and_the_end_that_the_next_turn_gives(scene: GrantWorkspace) -> None:
    scene.set_rows({"ada": GONE})
    scene.set_policy(policy(SIGNED))
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"
    made = draft(scene, "ada", replaces=False, expires=day(scene, 40))
    effect = effects(scene, made)["ada"]
    assert (effect.before.state, effect.after.state) == ("missing", "valid")
    assert (effect.before.verdict, effect.after.verdict) == ("human by wishes/rest", "accept by wishes/signed")
    save_and_turn(scene, made)
    assert scene.status_on_hub("ada") == "accepted"
    assert scene.row("ada").state.ends_at == effect.after.ends_at


def test_an_earlier_date_of_somebody_waiting_is_shown(scene: GrantWorkspace) -> None:
    """Two people must accept, so the request waits; its end is that of an acceptance now."""
    scene.set_rows({"ada": 100})
    scene.set_policy(policy(SIGNED, "reviewers: 2"))
    scene.ask(["ada"])
    scene.turn()
    effect = effects(scene, draft(scene, "ada", expires=day(scene, 30)))["ada"]
    assert effect.before.verdict == effect.after.verdict == "human by wishes/signed"
    ends = [from_ms(each.ends_at or 0) - scene.now for each in (effect.before, effect.after)]
    assert [each.days for each in ends] == [100, 30]


def test_a_row_that_begins_tomorrow_shows_what_the_turn_of_tomorrow_does(scene: GrantWorkspace) -> None:
    write_table(scene)
    scene.set_policy(policy(SIGNED))
    scene.ask(["ada"])
    scene.turn()
    made = draft(scene, "ada", replaces=False, **{"from": day(scene, 1), "expires": day(scene, 50)})
    effect = effects(scene, made)["ada"]
    assert effect.starts_at is not None
    assert timedelta() < from_ms(effect.starts_at) - scene.now <= timedelta(days=1)
    assert (effect.before.verdict, effect.after.verdict) == ("human by wishes/rest", "accept by wishes/signed")
    save_and_turn(scene, made)
    assert scene.status_on_hub("ada") == "pending"
    scene.wait(1)
    scene.load()
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    assert scene.row("ada").state.ends_at == effect.after.ends_at


def test_a_new_username_counts_as_after_its_look_up(scene: GrantWorkspace) -> None:
    scene.ask(["ada"])
    (scene.folder / "tables").mkdir(exist_ok=True)
    (scene.folder / "tables" / "dua.csv").write_text(
        "username,expires\n" + "".join(f"other-{n},\n" for n in range(OTHERS))
    )
    scene.set_policy(policy(SIGNED).replace("key: user_id", "key: username"))
    scene.turn()
    own = find_own_table(scene.workspace, "dua")
    effect = effects(scene, draft_row(own, {"username": "ada", "expires": day(scene, 40)}, replaces=False))["ada"]
    assert (effect.after.state, effect.after.verdict) == ("valid", "accept by wishes/signed")


def test_somebody_removed_from_an_add_only_roster_is_shown_as_unknown(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": None}, KEPT + GRACE)
    text = policy(KEPT + GRACE).replace("key: user_id}", "key: user_id, roster: add-only}")
    scene.set_policy(text)
    scene.turn()
    made = draft_removal(find_own_table(scene.workspace, "dua"), [scene.id_of("ada")])
    effect = effects(scene, made)["ada"]
    assert (effect.after.state, effect.after.ends_at) == ("unknown", None)
    save_and_turn(scene, made)
    assert scene.row("ada").state.ends_at is None


def test_without_readable_policies_the_entries_in_the_table_are_compared(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100}, SIGNED)
    made = draft_removal(find_own_table(scene.workspace, "dua"), [scene.id_of("ada")])
    (found,) = iterate_effects(scene.workspace, made, None)
    assert (found.before.state, found.after.state, found.after.verdict) == ("valid", "missing", None)


def test_more_than_twenty_earlier_ends_are_said_to_wait_for_a_person(scene: GrantWorkspace) -> None:
    names = [f"p{n:02}" for n in range(21)]
    scene.let_in(dict.fromkeys(names, 100), SIGNED)
    own = find_own_table(scene.workspace, "dua")
    text = "user_id,expires\n" + "".join(f"{scene.id_of(name)},{day(scene, 30)}\n" for name in names)
    made = prepare_import(scene.workspace, own, text.encode(), is_json=False, replaces=False).draft
    found = [table_effect_record(one) for one in effects(scene, made).values()]
    assert (
        describe_held_ends(found)
        == "21 end dates move to an earlier time; these are more than 20, so a person must confirm them"
    )
    assert describe_held_ends(found[1:]) == ""
    save_table_draft(scene.workspace, made, "lena")
    scene.load()
    assert scene.turn().planned.ends.held_count == 21
