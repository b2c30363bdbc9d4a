"""Admins see in the settings which notices died, and send them again; the desk sends what waits; metrics count it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.letters.messages import Delivery, DeliveryKind, MessageState, retry_wait
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.decisions.background_worker import BackgroundWorker
from hf_gate.desk.formatting import format_time
from hf_gate.messages.rows import outbox
from hf_gate.messages.service.notifications import store_destinations
from hf_gate.store.store import Store
from tests.kits.desk import Desk, open_desk, parse_page
from tests.kits.message_servers import HOOK_KEY, Hook, open_hook

DESK = "notify: [{name: team, webhook: env:HOOK, key: env:HOOK_KEY}]\n"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with open_hook() as found:
        monkeypatch.setenv("HOOK", found.url)
        monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
        yield found


@pytest.fixture
def told(hook: Hook, tmp_path: Path) -> Iterator[Desk]:
    """A desk with a destination that refused one message; another one waits behind it."""
    assert hook.calls == []
    with open_desk(tmp_path, repos=2, config=DESK) as desk:
        store, now = desk.app_state.workspace.store, to_ms(desk.app_state.now())
        store_destinations(desk.app_state.workspace)
        for event in (e.UnattendedStopped(), e.UnattendedStarted()):
            with store.writing() as write:
                write.append(None, [e.LedgerEntry(event=event, at=now, actor="lena")])
        row = outbox.claim_notice(store, "team", "w", now)
        assert row is not None
        outbox.settle_message(store, row, "w", Delivery(DeliveryKind.REFUSED, "<b>no</b>"), now)
        yield desk


def states(store: Store) -> list[MessageState]:
    return [row.state for row in outbox.read_messages(store, list(MessageState), 10)][::-1]


def test_an_admin_sends_a_dead_letter_again(told: Desk) -> None:
    lena, store = told.visitor(), told.app_state.workspace.store
    body = lena.get("/settings").body
    words = " ".join(" ".join(parse_page(body).text).split())
    assert "All unattended work is stopped." in words
    assert "<b>no</b>" in words
    assert "<b>no" not in body
    (dead,) = outbox.read_messages(store, [MessageState.BOUNCED], 10)
    assert lena.post("/notices/retry", {"id": dead.id}).status == 303
    assert states(store) == [MessageState.WAITING, MessageState.WAITING]
    assert lena.post("/notices/retry", {"id": dead.id}).status == 422


def test_the_settings_say_when_an_undelivered_message_is_tried_next(told: Desk) -> None:
    store, now = told.app_state.workspace.store, to_ms(told.app_state.now())
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=e.UnattendedStopped(), at=now, actor="lena")])
    assert _attempts(told) == ["", "after the previous message", "at the next turn"]
    row = outbox.claim_notice(store, "team", "w", now)
    assert row is not None
    outbox.settle_message(store, row, "w", Delivery(DeliveryKind.FAILED, "down"), now + 600_000)
    due = from_ms(now + 600_000 + retry_wait(1, is_alarm=False))
    words = format_time(due, told.app_state.workspace.zone, told.app_state.now())
    assert _attempts(told) == ["", "after the previous message", words]


def _attempts(desk: Desk) -> list[str]:
    """The next attempt of each undelivered message on the page of settings."""
    table = desk.visitor().get("/settings").body.partition('<caption class="vh">Undelivered messages')[2]
    rows = table.partition("</table>")[0].split("<tr ")[2:]
    return [re.findall(r"<td [^>]*>([^<]*)</td>", row)[2] for row in rows]


def test_nobody_else_sees_or_sends_notices(told: Desk) -> None:
    bound = told.visitor(Member(name="bea", role=MemberRole.ADMIN, repos=(str(told.repo),)))
    for visitor in (told.reviewer(), told.viewer(), bound):
        assert "Notices to the team" not in visitor.get("/settings").body
        assert visitor.post("/notices/retry").status in {403, 404}
        assert "hf_gate_outbox" not in bound.get("/metrics").body
    assert states(told.app_state.workspace.store)[0] is MessageState.BOUNCED


def test_an_open_desk_follows_the_file(told: Desk, hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrived = threading.Event()
    with open_hook() as other:
        other.on_call = arrived.set
        monkeypatch.setenv("OTHER", other.url)
        config_file = tmp_path / "hf-gate.yaml"
        config_file.write_text(config_file.read_text("utf-8").replace("env:HOOK,", "env:OTHER,"), "utf-8")
        worker = BackgroundWorker(told.app_state, list)
        worker.start()
        try:
            assert arrived.wait(60)
        finally:
            worker.stop()
    assert (len(other.calls), len(hook.calls)) == (1, 0)


def test_the_settings_say_how_to_name_a_destination(desk: Desk) -> None:
    assert "There is no destination." in desk.visitor().get("/settings").body


def test_metrics_count_what_waits_and_what_died(told: Desk) -> None:
    text = told.visitor().get("/metrics").body
    assert 'hf_gate_outbox_messages{destination="team",state="waiting"} 1\n' in text
    assert 'hf_gate_outbox_messages{destination="team",state="dead"} 1\n' in text
    assert 'hf_gate_outbox_oldest_seconds{destination="team"}' in text
    assert 'hf_gate_guard{guard="accept",what="limit"} 20000\n' in text


def test_an_open_desk_sends_what_waits(told: Desk, hook: Hook) -> None:
    arrived = threading.Event()
    hook.on_call = arrived.set
    worker = BackgroundWorker(told.app_state, list)
    worker.start()
    try:
        assert arrived.wait(60)
    finally:
        worker.stop()
    assert hook.texts == ["Unattended work may run again."]
    assert states(told.app_state.workspace.store) == [MessageState.BOUNCED, MessageState.SENT]
