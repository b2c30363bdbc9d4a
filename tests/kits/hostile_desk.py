"""A desk whose texts from outside are all hostile: people, repos and policies, one for each turn of the payloads."""

from __future__ import annotations

import csv
import dataclasses
import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, auto
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.events.events import LedgerEntry, StatusMoved
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import UsageError
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import Desk, Visitor, open_desk
from tests.kits.desk_actions import create_plan, wait_for_run
from tests.kits.hostile_texts import CLASSES, payload
from tests.kits.outboxes import leave_dead_letters

TURNS: Final = range(len(CLASSES))


class Field(IntEnum):
    """Where text from outside comes in."""

    USERNAME = 0
    FULLNAME = auto()
    EMAIL = auto()
    ANSWER_TEXT = auto()
    ANSWER_SELECT = auto()
    ANSWER_COUNTRY = auto()
    ANSWER_DATE = auto()
    ANSWER_LABEL = auto()
    NOTE = auto()
    POLICY_REASON = auto()
    DESK_TEXT = auto()
    GRANTER = auto()
    TRAY_WHY = auto()
    CHANGE_WHY = auto()
    CARD_HEADING = auto()
    CARD_DESCRIPTION = auto()
    CARD_PROMPT = auto()
    CARD_BUTTON = auto()
    CARD_LABEL = auto()
    CARD_OPTION = auto()
    CARD_TYPE = auto()
    REPO_PROBLEM = auto()
    PULSE_PROBLEM = auto()
    BENCH_PROBLEM = auto()
    GIVEN_REASON = auto()
    QUERY = auto()


NAMES: Final = (
    "q", "after", "order", "verb", "group", "outcome", "person", "repo", "kind", "actor", "request", "before", "asked", "rows",
    "next", "back", "by",
)  # fmt: skip
"""What any page reads behind its question mark."""


def plain(text: str) -> str:
    """A text as YAML can hold it, and without the braces of templates: who writes policies may use those."""
    kept = (char for char in text if unicodedata.category(char) not in {"Cc", "Cs", "Cn", "Zl", "Zp"})
    return "".join(kept).replace("{", "(").replace("}", ")")


def _yaml(text: str) -> str:
    return json.dumps(plain(text), ensure_ascii=False)


def desk_text(turn: int) -> str:
    """A text of the desk's own to start a reason from."""
    return plain(payload(Field.DESK_TEXT, turn))[:190]


def policy(turn: int, repo: Repo) -> str:
    """Sends back who asks for it; all its free text is hostile."""
    reason = plain(payload(Field.POLICY_REASON, turn))[:190]
    return f"""\
version: 1
policy: turn-{turn}
applies_to: ["{repo}"]
mode: enforce
rules:
  - id: wished
    when: form.exists(k, k == "wish" && form[k] == "reset")
    then: reset
    reason: {_yaml(reason)}
  - id: rest
    then: human
"""


def card(turn: int) -> str:
    """A gate form all of hostile text."""
    say = {field: _yaml(payload(field, turn)) for field in Field}
    return f"""\
---
extra_gated_heading: {say[Field.CARD_HEADING]}
extra_gated_description: {say[Field.CARD_DESCRIPTION]}
extra_gated_prompt: {say[Field.CARD_PROMPT]}
extra_gated_button_content: {say[Field.CARD_BUTTON]}
extra_gated_fields:
  {say[Field.CARD_LABEL]}: text
  box {say[Field.CARD_LABEL][1:]}: checkbox
  choice: {{type: select, options: [{say[Field.CARD_OPTION]}, other]}}
  odd: {say[Field.CARD_TYPE]}
---
""".replace("  box ", '  "box ')


@dataclass
class HostileDesk:
    """The desk with what a visitor needs to find their way: one request of each turn that waits, and one that was sent back."""

    desk: Desk
    repos: list[Repo]
    waiting: list[RequestRow]
    sent_back: list[RequestRow]
    refused: list[RequestRow]
    plan: str
    run: str
    bulk: str
    visitor: Visitor

    def turn_to(self, turn: int) -> None:
        """What there is only one of at a time: a decision in the tray, one that failed, and how the reading goes."""
        row = self.waiting[turn]
        self.visitor.post("/tray/undo")
        self.visitor.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}", "when": "later"})
        app_state = self.desk.app_state
        app_state.sync_status.problem = payload(Field.PULSE_PROBLEM, turn)
        app_state.policies.problem = UsageError(payload(Field.BENCH_PROBLEM, turn))
        config = dataclasses.replace(app_state.workspace.location.config, templates={f"t{turn}": desk_text(turn)})
        app_state.workspace.location = replace(app_state.workspace.location, config=config)

    def pages(self, turn: int) -> dict[str, list[str]]:
        """Every GET way with the addresses that show it in a turn."""
        waits, gone, repo = self.waiting[turn], self.sent_back[turn], self.repos[turn]
        key = waits.state.hub_request or ""
        path = f"/repos/{repo.type.value}s/{repo.id}"
        text = payload(Field.QUERY, turn)
        asked = urlencode(dict.fromkeys(NAMES, text))
        return {
            "/": ["/"],
            "/queue": ["/queue?q=status:pending", "/queue?q=", f"/queue?{asked}", f"/queue?{asked}&q=",
                       f"/queue?q=repo:{repo}"],
            "/queue.{kind}": [f"/queue.{kind}?q=" for kind in ("json", "jsonl", "csv")] + [f"/queue.json?{asked}"],
            "/requests/{id}": [f"/requests/{one.state.hub_request}" for one in (waits, gone)]
            + [f"/requests/{gone.state.hub_request}?verb=accept&back=1", f"/requests/{key}?verb=until"]
            + [f"/requests/{key}?verb=reset", f"/requests/{key}?{asked}", f"/requests/{quote(text, safe='')}"],
            "/requests/{id}/why": [f"/requests/{one.state.hub_request}/why?{asked}" for one in (waits, gone)],
            "/requests/{id}/{verb}": [f"/requests/{key}/{verb}?{asked}" for verb in ("reset", "reject", "until")],
            "/tray": ["/tray", f"/tray?rows={key}", f"/tray?{asked}"],
            "/bulk/{id}": [f"{self.bulk}?verb=reset", f"{self.bulk}?{asked}&verb=reset"],
            "/bulk/{id}.{kind}": [f"{self.bulk}.{kind}?verb=reset" for kind in ("json", "jsonl", "csv")],
            "/find-list": ["/find-list", f"/find-list?{asked}"],
            "/selection": ["/selection", f"/selection?{asked}"],
            "/plans": ["/plans", f"/plans?{asked}"],
            "/plans.{kind}": [f"/plans.{kind}" for kind in ("json", "jsonl", "csv")],
            "/plans/{digest}": [self.plan, f"{self.plan}?group=all", f"{self.plan}?{asked}"],
            "/plans/{digest}.{kind}": [f"{self.plan}.{kind}" for kind in ("json", "jsonl", "csv")],
            "/runs/{id}": [f"{self.run}?outcome=all", f"{self.run}?outcome=attention", f"{self.run}?{asked}"],
            "/runs/{id}.{kind}": [f"{self.run}.{kind}" for kind in ("json", "jsonl", "csv")],
            "/runs/{id}/live": [f"{self.run}/live", f"{self.run}/live?{asked}"],
            "/overview": ["/overview"],
            "/repos": ["/repos", f"/repos?{asked}"],
            "/repos.{kind}": [f"/repos.{kind}" for kind in ("json", "jsonl", "csv")],
            "/repos/{type}/{ns}/{name}": [path, f"{path}?{asked}"],
            **self._pages_of_records(turn),
        }  # fmt: skip

    def _pages_of_records(self, turn: int) -> dict[str, list[str]]:
        """The same of letters, ends, access, people, policies, tables, the audit log and settings."""
        waits, gone, repo = self.waiting[turn], self.sent_back[turn], self.repos[turn]
        person = quote(waits.person.pseudonym)
        text = payload(Field.QUERY, turn)
        asked = urlencode(dict.fromkeys(NAMES, text))
        chain = f"/audit/{repo.type.value}s/{repo.id}"
        store = self.desk.app_state.workspace.store
        entries = [row for one in (gone, waits, self.refused[turn]) for row in store.entries(request=one.id, limit=50)]
        return {
            "/letters": ["/letters", f"/letters?{asked}"],
            "/access": ["/access", f"/access?repo={quote(str(repo), safe='')}", f"/access?{asked}"]
            + [f"/access?{urlencode({key: text})}" for key in ("repo", "as_of", "before")],
            "/access.{kind}": [f"/access.{kind}" for kind in ("json", "jsonl", "csv")],
            "/people": ["/people", f"/people?{asked}"],
            "/people.{kind}": [f"/people.{kind}" for kind in ("json", "jsonl", "csv")],
            "/people/{id}": [f"/people/{person}", f"/people/{person}.csv", f"/people/{quote(payload(Field.USERNAME, turn), safe='')}"],
            "/people/{id}/erase": [f"/people/{person}/erase"],
            "/people/{id}/export": [f"/people/{person}/export", f"/people/{person}/export?as=json"],
            "/policies": ["/policies", f"/policies?{asked}"],
            "/policies.{kind}": [f"/policies.{kind}" for kind in ("json", "jsonl", "csv")],
            "/policies/{name}": [f"/policies/turn-{turn}", f"/policies/turn-{turn}?{asked}"],
            "/tables": ["/tables", f"/tables?{asked}"],
            "/tables.{kind}": [f"/tables.{kind}" for kind in ("json", "jsonl", "csv")],
            "/tables/{name}": ["/tables/people", f"/tables/people?{asked}", f"/tables/people?{urlencode({'q': text})}"],
            "/tables/{name}.{kind}": [f"/tables/people.{kind}" for kind in ("json", "jsonl", "csv")],
            "/audit": ["/audit", f"/audit?repo={quote(str(repo), safe='')}", f"/audit?{asked}"]
            + [f"/audit?{urlencode({key: text})}" for key in ("repo", "kind", "actor", "person", "before")],
            "/audit.{kind}": [f"/audit.{kind}" for kind in ("json", "jsonl", "csv")],
            "/audit/export": ["/audit/export"],
            "/audit/desk/{seq}": ["/audit/desk/1"],
            "/audit/{type}/{ns}/{name}/{seq}": [f"/audit/{row.link.chain}/{row.link.seq}" for row in entries] + [f"{chain}/1?{asked}"],
            "/keys": [f"/keys?{asked}"],
            "/settings": [f"/settings?{asked}"],
        }  # fmt: skip


_TABLE: Final = """\
desk: {may_write_tables: true}
tables: {people: {file: tables/people.csv, key: email}}
"""


def _write_table(folder: Path) -> None:
    """A table of the owner whose cells and columns were copied from forms."""
    (folder / "tables").mkdir(parents=True)
    with (folder / "tables" / "people.csv").open("w", encoding="utf-8", errors="replace", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(["email", "note", payload(Field.QUERY, 1), "version"])
        for turn in TURNS:
            sheet.writerow([f"p{turn}@x.example.org", payload(Field.QUERY, turn), "", payload(Field.USERNAME, turn)])


@contextmanager
def open_hostile_desk(folder: Path) -> Iterator[HostileDesk]:
    """Everything in its place, as a long and unlucky life would have left it."""
    config = f"templates: {{text: {json.dumps(desk_text(0), ensure_ascii=False)}}}\n{_TABLE}"
    _write_table(folder)
    with open_desk(folder, policy=None, config=config, repos=24) as desk:
        repos = [parse_repo(one["repo"], one["repo_type"]) for one in desk.local.repos if one["gated"] == "manual"][
            : len(TURNS)
        ]
        for turn, repo in enumerate(repos):
            desk.local.set_card(repo.id, card(turn), repo.type.value)
            (folder / "policies" / f"turn-{turn}.yaml").write_text(policy(turn, repo), "utf-8")
        _ask(desk, repos)
        _rename(desk)
        visitor = desk.visitor()
        rows = {
            (row.person.identity.user_id, repo): row
            for repo in repos
            for row in desk.app_state.workspace.store.iterate_requests(repo, "pending")
        }
        ids = _ids(desk)
        sent_back = [rows[ids[turn], repos[turn]] for turn in TURNS]
        waiting = [rows[ids[turn], repos[(turn + 1) % len(TURNS)]] for turn in TURNS]
        refused = [rows[ids[turn], repos[(turn + 2) % len(TURNS)]] for turn in TURNS]
        _refuse(visitor, refused)
        desk.send_due()
        for turn in TURNS:
            visitor.post(f"/requests/{waiting[turn].state.hub_request}/note", {"note": payload(Field.NOTE, turn)})
        plan = create_plan(desk, visitor)
        run = visitor.post(plan, {"do": "apply", "count": str(len(TURNS))}).headers["location"]
        wait_for_run(desk, run)
        _spoil(desk, repos, waiting, sent_back, visitor)
        leave_dead_letters(desk.app_state.workspace.store, [payload(Field.QUERY, turn) for turn in TURNS])
        visitor.post("/selection", {"do": "all", "q": "status:pending"})
        bulk = visitor.post("/bulk", {"verb": "reset"}).headers["location"].partition("?")[0]
        yield HostileDesk(desk, repos, waiting, sent_back, refused, plan, run, bulk, visitor)


def _ask(desk: Desk, repos: list[Repo]) -> None:
    """Each at three repos: at the first they are sent back by the policy, at the others a person is asked."""
    desk.local.add_people([{"username": f"eve-{turn:02}", "fullname": payload(Field.FULLNAME, turn)} for turn in TURNS])
    lines = []
    for turn in TURNS:
        for step in range(3):
            repo = repos[(turn + step) % len(TURNS)]
            answers = {
                "wish": "look" if step else "reset",
                "Purpose": payload(Field.ANSWER_TEXT, turn),
                "Affiliation": payload(Field.ANSWER_TEXT, turn),
                "choice": payload(Field.ANSWER_SELECT, turn),
                "Country": payload(Field.ANSWER_COUNTRY, turn),
                "Date of birth": payload(Field.ANSWER_DATE, turn),
                payload(Field.ANSWER_LABEL, turn): "yes",
            }
            lines.append({"repo": repo.id, "repo_type": repo.type.value, "user": f"eve-{turn:02}", "answers": answers})
    desk.local.add_requests(lines)
    desk.read(SyncKind.FULL)


def _ids(desk: Desk) -> list[str]:
    """The account of each turn, by the full name that stays."""
    people = desk.app_state.workspace.store.reads.rows("SELECT user_id, fullname FROM people")
    by_name = {str(fullname): str(ident) for ident, fullname in people}
    return [by_name[payload(Field.FULLNAME, turn)] for turn in TURNS]


def _rename(desk: Desk) -> None:
    """The Hub lets nobody be called so; another one might: this one is made to."""
    world = desk.local._serving.app.world  # type: ignore[union-attr]
    for turn, ident in enumerate(_ids(desk)):
        world.accounts[ident].username = payload(Field.USERNAME, turn)
        world.accounts[ident].email = payload(Field.EMAIL, turn)
    desk.read(SyncKind.FULL)


def _refuse(visitor: Visitor, rows: list[RequestRow]) -> None:
    """A person decides, and says why."""
    for turn, row in enumerate(rows):
        values = {"verb": "reject", "key": row.state.hub_request or "", "version": row.version.token, "when": "later"}
        visitor.post("/tray", values | {"reason": payload(Field.GIVEN_REASON, turn)[:200]})


def _spoil(desk: Desk, repos: list[Repo], waiting: list[RequestRow], gone: list[RequestRow], visitor: Visitor) -> None:
    """What the Hub says when it refuses, who let somebody in elsewhere, how a reading went."""
    store = desk.app_state.workspace.store
    _refuse(visitor, [store.request(row.id) or row for row in waiting])
    for turn, (repo, waits, back) in enumerate(zip(repos, waiting, gone, strict=True)):
        granter = {"granted_by": {"user": payload(Field.GRANTER, turn), "fullname": payload(Field.GRANTER, turn)}}
        moved = StatusMoved(before="reset", after="accepted", has_granter=True)
        with store.writing() as write:
            write.append(
                repo,
                [
                    LedgerEntry(
                        event=moved,
                        at=back.state.asked_at + 1,
                        actor="outside",
                        request=back.id,
                        person=back.person.id,
                        private=granter,
                    )
                ],
            )
            write.update_repo(repo, {"problem": payload(Field.REPO_PROBLEM, turn), "is_complete": False})
            mine = "run IN (SELECT id FROM runs WHERE state = 'queued') AND request_id = ?"
            write.db.run(
                f"UPDATE changes SET state = 'refused', why = ? WHERE {mine}",  # noqa: S608
                (payload(Field.TRAY_WHY, turn), waits.id),
            )
            write.db.run(
                "UPDATE runs SET state = 'ended', is_unseen = TRUE WHERE state = 'queued' AND id IN"
                " (SELECT run FROM changes WHERE request_id = ?)",
                (waits.id,),
            )
            write.db.run(
                "UPDATE changes SET state = 'refused', why = ? WHERE request_id = ?",
                (payload(Field.CHANGE_WHY, turn), back.id),
            )
