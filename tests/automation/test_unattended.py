"""Every page says that unattended work is stopped, late or failed; reviewers stop it, and admins start it."""

from __future__ import annotations

from pathlib import Path

from hf_gate import Hub
from hf_gate.automation.rows import begin_turn, write_turn_end
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.turns import TurnEnd, TurnRow
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, open_desk, parse_page


def _words(body: str) -> str:
    return " ".join(" ".join(parse_page(body).text).split())


def _end(desk: Desk, minutes: int, end: TurnEnd, problem: str | None = None) -> None:
    """A turn that began some minutes ago has ended so."""
    at = round((desk.app_state.now().timestamp() - 60 * minutes) * 1000)
    store = desk.app_state.workspace.store
    turn = TurnRow(id=begin_turn(store, at, None), started_at=at, ended_at=at + 1, end=end, problem=problem)
    with store.writing() as write:
        write_turn_end(write, turn)


def test_a_loop_that_died_is_named_after_half_an_hour(desk: Desk) -> None:
    _end(desk, 45, TurnEnd.OK)
    assert "Unattended work is late Last turn of `hf-gate run` 45 min ago:" in _words(desk.visitor().get("/queue").body)


def test_a_reviewer_stops_and_only_an_admin_of_all_repos_starts(desk: Desk) -> None:
    mia, lena = desk.reviewer(), desk.visitor()
    assert "Stop all unattended work" in mia.get("/settings").body
    assert mia.post("/unattended/stop").status == 303
    page = _words(mia.get("/queue").body)
    assert "Unattended work is stopped mia stopped all unattended work" in page
    assert "Start again" not in page
    assert mia.post("/unattended/start").status in {403, 404}
    bound = desk.visitor(Member(name="bea", role=MemberRole.ADMIN, repos=(str(desk.repo),)))
    assert "Start again" not in _words(bound.get("/queue").body)
    assert bound.post("/unattended/start").status == 403
    assert "Start again" in _words(lena.get("/queue").body)
    assert lena.post("/unattended/start", {"next": "/people"}).headers["location"] == "/people"
    assert "Unattended work" not in _words(lena.get("/queue").body)
    kinds = [row["kind"] for row in lena.get("/audit.json").json]
    assert (kinds.count("UnattendedStopped"), kinds.count("UnattendedStarted")) == (1, 1)


def test_the_banner_counts_the_ends_that_wait_while_all_is_stopped(desk: Desk) -> None:
    desk.ask([{"username": "ada"}, {"username": "bo"}], {"Purpose": GOOD})
    with Hub(desk.local.tokens["owner"], desk.local.url) as hub:
        hub.accept(desk.repo, "ada")
        hub.accept(desk.repo, "bo")
    desk.read(SyncKind.FULL)
    lena = desk.visitor()
    lena.post("/unattended/stop")
    assert "due to end" not in _words(lena.get("/queue").body)
    for name, said in (("ada", "1 grant that is due to end stays"), ("bo", "2 grants that are due to end stay")):
        with desk.app_state.workspace.store.writing() as write:
            write.db.run("UPDATE requests SET ends_at = 1000 WHERE id = ?", (desk.row(name).id,))
        assert f"{said} until unattended work starts again." in _words(lena.get("/queue").body)
    lena.post("/unattended/start")
    assert "due to end" not in _words(lena.get("/queue").body)


def test_viewers_cannot_stop_it(desk: Desk) -> None:
    vic = desk.viewer()
    assert "Stop all" not in vic.get("/settings").body
    assert vic.post("/unattended/stop").status in {403, 404}


def test_members_of_some_repos_do_not_read_the_text_of_an_error(tmp_path: Path) -> None:
    with open_desk(tmp_path, repos=2) as desk:
        _end(desk, 5, TurnEnd.FAILED, "secret/repo: gone")
        page = desk.reviewer("mia", str(desk.repo)).get("/queue").body
        assert "Unattended work failed Last turn of `hf-gate run` 5 min ago: failed." in _words(page)
        assert "secret/repo" not in page
