"""Desks on several machines with one PostgreSQL: each says whether its policies are those of the loop that leads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from hf_gate import __version__
from hf_gate.base.ids import parse_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.config import Flags, read_settings
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.stored_rows import ProcessRow, RequestRow
from hf_gate.decisions.service.tray import DecisionRequest
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.app_state import AppState
from hf_gate.desk.decisions.background_worker import BackgroundWorker
from hf_gate.desk.members.hub_sign_in_pages import SignInAttempts
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.errors import Guarded
from hf_gate.members.rows.one_time_links import read_desk_key
from hf_gate.messages.service.notifications import store_destinations
from hf_gate.store.database.schema import list_revisions
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.rows.processes import read_processes
from hf_gate.store.rows.tray import list_waiting_decisions, undo_decisions_of
from hf_gate.store.sql import without_password
from hf_gate.store.write_lock import Holder, Work
from hf_gate.testing import LocalHub
from hf_gate.verdicts.service.policy_watcher import require_common_files
from hf_gate.workspace.service import bootstrap
from tests.kits.approvals import promote_files
from tests.kits.desk import GOOD, HOST, POLICY, Desk, Visitor, run_desk_program, write_desk
from tests.kits.invariants import list_moves
from tests.kits.key_calls import give_key
from tests.kits.manual_clock import ManualClock
from tests.kits.stores import new_schema


@dataclass
class Balanced:
    """Desks behind a balancer that ends TLS, each with its own files."""

    hub: LocalHub
    folder: Path
    url: str
    opened: ExitStack

    def open(self, name: str, policy: str = POLICY, more: str = "") -> Desk:
        folder = self.folder / name
        write_desk(folder, self.hub, policy, f"store: {self.url}\n{more}")
        settings = read_settings(
            Flags(endpoint=self.hub.url, token=self.hub.tokens["owner"], workspace=str(folder)), {}, folder
        )
        connection = self.opened.enter_context(bootstrap.Connection(settings))
        location = bootstrap.read_location(settings)
        workspace = bootstrap.connect_workspace(connection, location, lends=True, command="hf-gate ui")
        self.opened.enter_context(workspace)
        workspace.clock = ManualClock(from_ms(to_ms(workspace.clock.now())))
        app_state = AppState(workspace, "lena-brandt", 10.0, f"https://{HOST}", owner_id=workspace.hub.whoami().id)
        door = Authenticator(app_state, "desk", is_https=True)
        self.opened.callback(app_state.close)
        line = self.hub.repos[0]
        app = build_desk_app(app_state, door, frozenset({HOST}))
        return Desk(self.hub, app_state, app, door, parse_repo(line["repo"], line["repo_type"]))

    def lead(self, digest: str, host: str = "gate-1") -> LeaseKeeper:
        """A loop of another machine that leads."""
        keeper = self.opened.enter_context(closing(LeaseKeeper(self.url, Holder(7, host, "hf-gate run"))))
        keeper.announce(lambda: ProcessRow(role="loop", digest=digest, token="t"))
        assert keeper.try_acquire(Work.LOOP)
        return keeper


@pytest.fixture
def balanced(tmp_path: Path, postgres_uri: str) -> Iterator[Balanced]:
    with LocalHub(requests=0, repos=1) as hub, ExitStack() as opened:
        yield Balanced(hub, tmp_path, new_schema(postgres_uri), opened)


def _count_evaluated(desk: Desk) -> int:
    return desk.app_state.workspace.store.reads.count("SELECT count(*) FROM requests WHERE verdict_id IS NOT NULL")


def test_a_desk_with_the_files_of_the_leader_evaluates_and_says_nothing(balanced: Balanced) -> None:
    desk = balanced.open("a")
    bundle = desk.app_state.policies.current
    assert bundle is not None
    balanced.lead(bundle.files_digest)
    assert "uses other files" not in desk.visitor().get("/queue").body
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    BackgroundWorker(desk.app_state, lambda: [desk.repo]).sync_repos()
    assert _count_evaluated(desk) == 1


def test_a_desk_with_other_files_says_so_and_evaluates_and_saves_nothing(balanced: Balanced) -> None:
    desk = balanced.open("a", more="desk: {may_write_tables: true}\n")
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    keeper = balanced.lead("1a2b3c4d" * 8)
    page = desk.visitor().get("/queue").body
    assert "Unattended work uses other files" in page
    assert f"The loop {keeper.id}, which leads, uses other policies or tables (1a2b3c4d) than this desk" in page
    worker = BackgroundWorker(desk.app_state, lambda: [desk.repo])
    worker.sync_repos()
    assert _count_evaluated(desk) == 0
    refused = desk.visitor().post("/plans")
    assert (refused.status, "No plan was made." in refused.body) == (409, True)
    with pytest.raises(Guarded, match=r"Nothing was saved\."):
        require_common_files(desk.app_state.workspace, desk.app_state.policies.current)
    keeper.close()
    assert "uses other files" not in desk.visitor().get("/queue").body
    worker.sync_repos()
    assert _count_evaluated(desk) == 1


def test_where_two_machines_run_a_desk_saves_only_in_a_folder_that_they_share(balanced: Balanced) -> None:
    desk = balanced.open("a", more="desk: {may_write_tables: true}\n")
    bundle = desk.app_state.policies.current
    assert bundle is not None
    desk.app_state.announce()
    require_common_files(desk.app_state.workspace, bundle)
    balanced.lead(bundle.files_digest)
    with pytest.raises(Guarded, match="2 machines use this store"):
        require_common_files(desk.app_state.workspace, bundle)
    shared = balanced.open("b", more="desk: {may_write_tables: true, shared: true}\n")
    require_common_files(shared.app_state.workspace, shared.app_state.policies.current)


def test_processes_are_listed_while_they_live_and_share_the_calls_of_their_token(balanced: Balanced) -> None:
    desk = balanced.open("a")
    desk.app_state.announce()
    store = desk.app_state.workspace.store
    keeper = balanced.lead("d" * 64)
    assert [(one.role, one.host, one.is_leading) for one in read_processes(store)] == [
        ("loop", "gate-1", True),
        ("desk", read_processes(store)[1].host, False),
    ]
    assert store.sharers == 1, "another token"
    other = balanced.open("b")
    other.app_state.announce()
    desk.app_state.announce()
    assert (store.sharers, other.app_state.workspace.store.sharers) == (2, 2)
    keeper.close()
    assert [one.role for one in read_processes(store)] == ["desk", "desk"]
    with store.writing(is_short=True) as write:
        write.db.run("UPDATE processes SET seen_at = seen_at - 20000")
    assert read_processes(store) == []


# ---- behind a balancer -------------------------------------------------------------------------------------------------


def _move(visitor: Visitor, desk: Desk) -> Visitor:
    """The same browser; the balancer leads it to another desk."""
    return Visitor(desk.app, visitor.cookies)


def _send_due(desk: Desk) -> None:
    """As the thread of the desk does it: while no other process works."""
    with desk.app_state.workspace.store.hold_write_lock():
        desk.send_due()


def test_who_signs_in_at_one_desk_acts_at_the_other(balanced: Balanced) -> None:
    one, two = balanced.open("a"), balanced.open("b")
    one.ask([{"username": "ada"}], {"Purpose": GOOD})
    link = one.authenticator.make_link()
    browser = Visitor(two.app)
    assert browser.get(f"/sign-in?t={link}").status == 303
    assert _move(browser, one).get(f"/sign-in?t={link}").status == 401, "a link signs in once, at any desk"
    page = _move(browser, one).get("/queue")
    assert "ada" in page.body
    wish = {"verb": "accept", "key": page.rows[0], "version": one.row("ada").version.token}
    assert _move(browser, two).post("/tray", wish).status == 303
    _send_due(one)
    assert one.row("ada").state.status == "accepted"
    assert two.row("ada").state.status == "accepted"


def test_two_clicks_at_once_at_two_desks_make_one_decision(balanced: Balanced) -> None:
    one, two = balanced.open("a"), balanced.open("b")
    names = [f"p{n}" for n in range(12)]
    one.ask([{"username": name} for name in names], {"Purpose": GOOD})
    lena = one.visitor()
    mia = one.reviewer()
    before = one.count_writes()
    rows = [one.row(name) for name in names]

    def click(visitor: Visitor, row: RequestRow) -> int:
        wish = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token}
        return visitor.post("/tray", wish).status

    with ThreadPoolExecutor(2) as pool:
        for row in rows:
            list(pool.map(lambda browser, row=row: click(browser, row), (_move(lena, one), _move(mia, two))))
    assert len(list_waiting_decisions(one.app_state.workspace.store)) == len(names)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_send_due, (one, two)))
    moves = list_moves(balanced.hub.journal())
    assert sorted(move["user"] for move in moves) == sorted(names)
    assert one.count_writes() - before <= 2, "one call for each person who clicked"
    assert list_waiting_decisions(two.app_state.workspace.store) == []


def test_a_sign_in_with_the_hub_ends_at_another_desk(balanced: Balanced) -> None:
    one, two = balanced.open("a"), balanced.open("b")
    key = read_desk_key(one.app_state.workspace.store)
    assert key is not None
    assert key == read_desk_key(two.app_state.workspace.store)
    cookie, attempt = SignInAttempts(key, lambda: 1000.0).begin()
    assert SignInAttempts(key, lambda: 990.0).take(cookie, attempt.state) == attempt
    assert SignInAttempts(key, lambda: 2000.0).take(cookie, attempt.state) is None


def test_a_desk_with_other_files_sends_no_acceptance(balanced: Balanced) -> None:
    """The rule of the leader needs two people; that of an earlier copy of the policies does not."""
    desk = balanced.open("a", POLICY.replace("then: human", "then: human\n    reviewers: 2"))
    other = balanced.open("b")
    desk.ask([{"username": "ada"}, {"username": "bob"}], {"Purpose": GOOD})
    bundle = desk.app_state.policies.current
    assert bundle is not None
    balanced.lead(bundle.files_digest)
    promote_files(desk.app_state.workspace)
    now = desk.app_state.now()
    owner = desk.app_state.membership.owner_member
    rows = {name: desk.row(name) for name in ("ada", "bob")}
    for one, verb, name in ((desk, "accept", "ada"), (other, "reset", "bob")):
        row = rows[name]
        wish = DecisionRequest(verb, {row.id: row.version.token}, owner, until="none" if verb == "accept" else None)
        assert one.app_state.tray_service.queue_decisions(wish, now, 0.0).count == 1
    for minute in (1, 2):
        with other.app_state.workspace.store.hold_write_lock():
            other.app_state.tray_service.send_due(now + timedelta(minutes=minute))
    assert (desk.row("ada").state.status, desk.row("bob").state.status) == ("pending", "reset")
    assert "uses other policies or tables" in (other.app_state.tray_service.problem or "")
    with desk.app_state.workspace.store.hold_write_lock():
        desk.app_state.tray_service.send_due(now + timedelta(minutes=3))
    assert desk.row("ada").state.status == "pending"
    assert list_waiting_decisions(desk.app_state.workspace.store) == [], "one of two"


def test_a_desk_with_an_older_file_ends_no_destination_of_the_leader(balanced: Balanced) -> None:
    follow = "notify: [{name: shop, webhook: env:SHOP, key: env:KEY, events: {audit_log: immediate}}]\n"
    newer, older = balanced.open("a", more=follow), balanced.open("b")
    assert store_destinations(newer.app_state.workspace)
    store = newer.app_state.workspace.store
    followed = "SELECT name, ledger_id FROM notice_destinations WHERE ledger_id IS NOT NULL"
    (before,) = store.reads.rows(followed)
    keeper = balanced.lead("1a2b3c4d" * 8)
    newer.ask([{"username": "ada"}], {"Purpose": GOOD})
    assert not store_destinations(older.app_state.workspace)
    assert store.reads.rows(followed) == [before], "it misses no event"
    keeper.close()
    assert store_destinations(older.app_state.workspace)
    assert store.reads.rows(followed) == []


def test_a_desk_that_is_too_old_for_the_store_ends_and_says_why(tmp_path: Path, balanced: Balanced) -> None:
    write_desk(tmp_path, balanced.hub, POLICY, f"store: {balanced.url}\n")
    with run_desk_program(tmp_path, balanced.hub) as program:
        with psycopg.connect(balanced.url) as newer:
            newer.execute("UPDATE about SET value = '9999' WHERE key IN ('schema', 'oldest')")
        assert program.process.wait(60) == 1
    said = (tmp_path / "ui.err").read_text().splitlines()
    known = f"version {__version__}, schema 9999; this is version {__version__}, schema {list_revisions()[-1]}"
    error = f"Error: {without_password(balanced.url)} was made by a newer hf-gate ({known}). It was not changed."
    assert [line for line in said if line.startswith("Error")] == [error], said
    assert "Traceback" not in "".join(said)


def test_the_tray_forgets_what_went_wrong_when_it_works_again(balanced: Balanced) -> None:
    desk = balanced.open("a")
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    service = desk.app_state.tray_service
    worker = BackgroundWorker(desk.app_state, list)
    with closing(LeaseKeeper(balanced.url, Holder(7, "gate-1", "hf-gate run"))) as other:
        other.acquire(Work.STORE, 1.0, "")
        lena = Member(name="lena-brandt", role=MemberRole.ADMIN, id="m_1")
        row = desk.row("ada")
        service.queue_decisions(
            DecisionRequest("reject", {row.id: row.version.token}, lena, "No."), desk.app_state.now(), 0.0
        )
        worker.start()
        try:
            _wait_for(lambda: service.problem is not None)
            undo_decisions_of(desk.app_state.workspace.store, lena.id)
            _wait_for(lambda: service.problem is None)
        finally:
            worker.stop()


def test_members_and_keys_do_not_wait_for_the_work_of_another_process(balanced: Balanced) -> None:
    desk = balanced.open("a")
    secret = give_key(desk)
    with closing(LeaseKeeper(balanced.url, Holder(7, "gate-1", "hf-gate run"))) as other:
        other.acquire(Work.STORE, 1.0, "")
        membership = desk.app_state.membership
        mara = desk.add_member(Member(name="mara", role=MemberRole.REVIEWER))
        assert membership.find_key(secret) is not None
        assert membership.revoke_key("billing", "lena-brandt")
        assert membership.find_key(secret) is None, "a key that leaked ends at once"
        membership.remove(mara, "lena-brandt")
        assert [one.name for one in desk.app_state.workspace.store.members() if one.is_active] == []


def _wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)
