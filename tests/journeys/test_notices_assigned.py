"""Notices to staff say how many of the named requests are assigned, and to whom where names are allowed."""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.domain.members import Member, MemberRole
from hf_gate.hub.local_hub_headers import get_world_id
from hf_gate.store.members import Members
from hf_gate.store.opening import open_store
from tests.contract.notice_kit import Hook

from .console import DATASET, Console, fill
from .notices_kit import NOTIFY, POLICY, configure, console, hook, run_once

__all__ = ["console", "hook"]


def configure_team(console: Console, folder: Path) -> None:
    """Two members can decide, and requests are due after two days."""
    url, hub = f"sqlite:///{folder / 'desk.db'}", console.hub.url
    with open_store(url, endpoint=hub, world=get_world_id(hub)) as store:
        for name in ("mia", "kim"):
            Members(store).invite(Member(name=name, role=MemberRole.REVIEWER), f"{name} secret", "owner", 1)
    text = POLICY.replace("then: human", "then: human, due: 2d")
    (folder / "policies" / "starter.yaml").write_text(text, "utf-8")


def assign_one_of_two(console: Console, folder: Path, member: str, after: str) -> None:
    """Two people ask after the first turn, and the request of bob is assigned."""
    configure_team(console, folder)
    run_once(console)
    console.hub.clock.advance(after)
    fill(console.hub, ["bob", "cy"], DATASET)
    run_once(console)
    assert console.run("assign", f"bob@{DATASET}", "--to", member).code == 0


@pytest.mark.parametrize("personal", [False, True])
def test_a_digest_says_how_many_are_assigned_and_to_whom_only_where_names_are_allowed(
    console: Console, hook: Hook, tmp_path: Path, personal: bool
) -> None:
    configure(tmp_path, f"{NOTIFY}    personal: {str(personal).lower()}\n")
    assign_one_of_two(console, tmp_path, "mia", "1h")
    console.hub.clock.advance("24h")
    run_once(console)
    assert hook.texts == [f"2 new requests at {DATASET}, 1 of them assigned."]
    (item,) = hook.calls[0].document["items"]
    assert item["assigned"] == 1
    assert ("mia" in hook.calls[0].body.decode()) is personal
    named = {one["user"]: one["assigned_to"] for one in item["requests"] or ()}
    assert named == ({"bob": "mia", "cy": None} if personal else {})
    jsonschema.validate(hook.calls[0].document, console.run("schema", "notice").json)


def test_old_and_overdue_requests_say_how_many_are_assigned_now(console: Console, hook: Hook, tmp_path: Path) -> None:
    configure(tmp_path, f"{NOTIFY}    personal: true\n    events: {{ageing: immediate, overdue: immediate}}\n")
    assign_one_of_two(console, tmp_path, "kim", "1m")
    console.hub.clock.advance("6d")
    run_once(console)
    late = f"3 requests at {DATASET} are past the due date, 1 of them assigned: hf-gate ls {DATASET} --query due:over"
    assert f"3 requests at {DATASET} are older than 5 days, 1 of them assigned." in hook.texts
    assert late in hook.texts
    assert console.run("assign", DATASET, "bob", "cy", "ada-l", "--to", "nobody").code == 0
    console.hub.clock.advance("25h")
    run_once(console)
    assert late.replace("1 of them", "none of them") in hook.texts


def test_a_line_about_decided_requests_says_nothing_about_assignment(
    console: Console, hook: Hook, tmp_path: Path
) -> None:
    configure_team(console, tmp_path)
    run_once(console)
    console.hub.clock.advance("1h")
    fill(console.hub, ["bob"], DATASET)
    run_once(console)
    assert console.run("accept", f"bob@{DATASET}").code == 0
    console.hub.clock.advance("24h")
    run_once(console)
    assert hook.texts == [f"1 new request at {DATASET}."]
