"""Other systems write rows of tables with `store: true`, and rules read them as rows of a file."""

from __future__ import annotations

import json
import re
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.errors import Stale
from hf_gate.grants.people_files import read_people_text
from hf_gate.grants.service.tables.own_tables import draft_removal, draft_row, find_own_table, save_table_draft
from hf_gate.grants.service.tables.table_imports import prepare_import
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.privacy.rows.erasure import Eraser
from hf_gate.privacy.rows.person_data import read_person_data
from hf_gate.store.store import Store
from hf_gate.testing import LocalHub
from hf_gate.verdicts.rows.table_rows import MAX_STORED_ROWS, read_table_rows, write_table_rows
from hf_gate.verdicts.service.evaluation import open_fact_sources
from hf_gate.verdicts.service.evaluation_times import EvaluationBases
from hf_gate.verdicts.service.policy_bundle import load_policies
from hf_gate.workspace.rows.opening import open_store
from tests.kits.desk import (
    GOOD,
    Answer,
    Desk,
    Visitor,
    open_desk,
    open_existing_desk,
    run_desk_program,
    text_of,
    write_desk,
)
from tests.kits.key_calls import BARE, give_key
from tests.kits.stores import ENDPOINT, new_store, place, store

__all__ = ["place", "store"]

POLICY = """\
version: 1
policy: paying
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - {id: paid, when: tables.paid, then: accept, until: tables.paid.expires}
  - {id: rest, then: human}
"""
CONFIG = "tables: {paid: {store: true}, roster: {file: roster.csv, key: email}}\n"
ROW = {"expires": "2027-06-30", "plan": "gold"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "roster.csv").write_text("email,expires\nada@ethz.ch,\n", "utf-8")
    with open_desk(tmp_path, POLICY, CONFIG) as made:
        made.ask(
            [{"username": "ada", "email": "ada@ethz.ch"}, {"username": "bob", "email": "bob@example.org"}],
            {"purpose": GOOD},
        )
        made.read()
        yield made


def call(desk: Desk, secret: str, method: str, key: str, body: Any = None, table: str = "paid") -> Answer:
    """A call as curl makes it; `key` is written into the address as it is."""
    sent = {"content-type": "application/json", "authorization": f"Bearer {secret}", **BARE}
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Visitor(desk.app).ask(method, f"/api/v1/tables/{table}/rows/{key}", raw, sent)


def list_bodies(store: Store) -> list[str]:
    """The bodies of the events about rows, the oldest first."""
    return [row[0] for row in store.reads.rows("SELECT body FROM ledger WHERE kind = 'TableRowChanged' ORDER BY id")]


def test_only_the_person_of_a_changed_row_is_evaluated_again(desk: Desk) -> None:
    workspace = desk.app_state.workspace
    store = workspace.store
    secret = give_key(desk, "billing", "table")

    def note() -> dict[str, str]:
        bundle = load_policies(workspace)
        sources = open_fact_sources(workspace)
        bases = EvaluationBases(store, bundle.for_repos(store, sources), sources, workspace.now())
        return {name: epoch for name, (_, epoch) in bases.tables.items()}

    for key in ("carl", "dora%40ethz.ch"):
        call(desk, secret, "PUT", key, {})
    before = note()
    call(desk, secret, "PUT", "ada%40ethz.ch", ROW)
    assert note() == before  # the epoch stays: only who looked this row up is evaluated again


def test_the_ledger_has_commitments_and_no_words_of_a_row(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    store = desk.app_state.workspace.store
    for body in (ROW, ROW | {"plan": "zz-silver"}, ROW):
        call(desk, secret, "PUT", "ada%40ethz.ch", body)
    call(desk, secret, "DELETE", "ada%40ethz.ch")
    bodies = list_bodies(store)
    assert not any(word in body for body in bodies for word in ("ada@", "ethz", "zz-silver", "gold"))
    chain = [(event.get("before"), event.get("after")) for event in map(json.loads, bodies)]
    assert len(chain) == 4
    assert [after for _, after in chain[:-1]] == [before for before, _ in chain[1:]]
    assert len({after for _, after in chain[:-1]}) == 3  # the same row again has another salt


@pytest.mark.parametrize(
    ("verbs", "repos", "table", "status"),
    [
        (("accept", "events"), ("*/*", "datasets/*/*"), "paid", 403),
        (("table",), ("other/*",), "paid", 403),
        (("table",), ("*/*", "datasets/*/*"), "nothing", 404),
        (("table",), ("*/*", "datasets/*/*"), "roster", 409),
    ],
)
def test_who_may_not_and_what_cannot_be_written(
    desk: Desk, verbs: tuple[str, ...], repos: tuple[str, ...], table: str, status: int
) -> None:
    answer = call(desk, give_key(desk, "billing", *verbs, repos=repos), "PUT", "ada", {}, table)
    assert answer.status == status, answer.body
    assert answer.json["error"]
    assert read_table_rows(desk.app_state.workspace.store, "paid") == {}


def test_neither_a_member_nor_an_unknown_key_writes_rows(desk: Desk) -> None:
    headers = {"content-type": "application/json"}
    assert desk.reviewer().ask("PUT", "/api/v1/tables/paid/rows/ada", b"{}", headers).status == 403
    assert call(desk, "gate_unknown", "PUT", "ada", {}).status == 401
    assert Visitor(desk.app).ask("PUT", "/api/v1/tables/paid/rows/ada", b"{}", headers).status == 401


HOSTILE_KEYS = [
    "..%2f",
    "..",
    "%00",
    "ada%00",
    "a" * 400,
    "%ed%a0%80",
    "%40",
    "%40%2a.",
    "ada%20bob",
    "%22",
    "-ada",
    "%0a",
    "ada%ff%40ethz.ch",
]


def test_a_hostile_key_writes_nothing(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    for key in HOSTILE_KEYS:
        for method, body in (("PUT", {}), ("DELETE", None)):
            assert call(desk, secret, method, key, body).status in {400, 404, 422}, key
    assert read_table_rows(desk.app_state.workspace.store, "paid") == {}


HOSTILE_BODIES = [
    b"",
    b"[]",
    b"{",
    b'{"expires": "30.6.2027"}',
    b'{"expires": "2027-06-30", "from": "2028-01-01"}',
    b'{"email": "eve@example.org"}',
    b'{"User-ID": "x"}',
    b'{"key": "eve"}',
    b'{"Expires": "2027-06-30", "expires": "2028-06-30"}',
    b'{"": "x"}',
    b'{"note": "\\ud800"}',
    b'{"note": "\xff"}',
    b'{"n": ' + b"9" * 1500 + b"}",
    b'{"n": 1e999}',
    json.dumps({f"c{n}": "x" for n in range(51)}).encode(),
    json.dumps({"note": "x" * 1001}).encode(),
    json.dumps({"n" * 101: "x"}).encode(),
    json.dumps({"deep": {"x": 1}}).encode(),
    b"x" * (3 << 20),
]


def test_a_row_that_a_file_could_not_have_is_refused(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    for body in HOSTILE_BODIES:
        assert call(desk, secret, "PUT", "ada", body).status in {400, 413, 422}, body[:80]
    assert read_table_rows(desk.app_state.workspace.store, "paid") == {}


def test_no_system_gives_a_table_more_columns_than_its_owner_can_edit(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    rows = {f"p{n}": {f"c{n}-{each}": "x" for each in range(50)} for n in range(4)}
    assert [call(desk, secret, "PUT", key, cells).status for key, cells in rows.items()] == [200, 200, 200, 422]
    assert call(desk, secret, "PUT", "p3", rows["p0"]).status == 200
    own = find_own_table(desk.app_state.workspace, "paid")
    assert len(draft_removal(own, ["p0", "p3"]).after.rows) == 2


def test_a_table_in_the_store_has_a_bounded_number_of_rows(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    with desk.app_state.workspace.store.writing() as write:
        write.db.run_many(
            "INSERT INTO table_rows (owner_table, key, cells, salt) VALUES ('paid', ?, '{}', 'x')",
            [(f"p{n}",) for n in range(MAX_STORED_ROWS - 1)],
        )
    assert call(desk, secret, "PUT", "ada", ROW).status == 200
    refused = call(desk, secret, "PUT", "bob", ROW)
    assert (refused.status, refused.json["error"]) == (422, "a table in the store has at most 100,000 rows.")
    assert call(desk, secret, "PUT", "ada", {"plan": "free"}).json["changed"] is True
    assert call(desk, secret, "DELETE", "ada").json["changed"] is True
    assert call(desk, secret, "PUT", "bob", ROW).status == 200


def test_an_import_overwrites_no_row_that_changed_since_it_was_shown(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    workspace = desk.app_state.workspace
    call(desk, secret, "PUT", "ada", ROW)
    people = read_people_text(b"username;plan\nada;silver\nbob;gold\n", {})
    found = prepare_import(workspace, find_own_table(workspace, "paid"), people, replaces=True)
    call(desk, secret, "PUT", "eve", ROW)
    call(desk, secret, "PUT", "ada", {"plan": "free"})
    with pytest.raises(Stale, match="rows of table paid changed meanwhile"):
        save_table_draft(workspace, found.draft, "lena")
    assert read_table_rows(workspace.store, "paid") == {"ada": {"plan": "free"}, "eve": ROW}
    again = prepare_import(workspace, find_own_table(workspace, "paid"), people, replaces=False)
    call(desk, secret, "DELETE", "eve")
    save_table_draft(workspace, again.draft, "lena")
    assert read_table_rows(workspace.store, "paid") == {"ada": {"plan": "silver"}, "bob": {"plan": "gold"}}


def test_the_desk_imports_a_list_into_the_store_and_nothing_that_was_not_shown(tmp_path: Path) -> None:
    with open_desk(tmp_path, POLICY, CONFIG + "desk: {may_write_tables: true}\n") as desk:
        secret = give_key(desk, "billing", "table")
        lena = desk.visitor()
        assert "Import a file" in lena.get("/tables/paid").body
        assert "in the store" in text_of(lena.get("/tables").body)
        values = {"rows": "Name;Konto;plan\nAda;ada;gold\n"}
        shown = lena.post("/tables/paid/import", values)
        (base,) = re.findall(r'name="base" value="([0-9a-f]+)"', shown.body)
        call(desk, secret, "PUT", "ada", ROW)
        assert lena.post("/tables/paid/import", {**values, "base": base, "do": "write"}).status == 409
        shown = lena.post("/tables/paid/import", values)
        (base,) = re.findall(r'name="base" value="([0-9a-f]+)"', shown.body)
        assert lena.post("/tables/paid/import", {**values, "base": base, "do": "write"}).status == 303
        assert read_table_rows(desk.app_state.workspace.store, "paid") == {"ada": {**ROW, "Name": "Ada"}}


def test_nul_and_numbers_in_a_cell_are_stored_and_harm_nothing(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    assert call(desk, secret, "PUT", "ada", b'{"note": "a\\u0000b", "n": 3, "is": true, "no": null}').status == 200
    assert read_table_rows(desk.app_state.workspace.store, "paid") == {"ada": {"note": "a\0b", "n": "3", "is": "true"}}
    assert load_policies(desk.app_state.workspace).tables["paid"].rows[0].columns["n"] == "3"


def test_two_writers_at_once_leave_one_of_their_rows_and_every_change_in_the_ledger(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda n: call(desk, secret, "PUT", "ada", {"n": n % 2}), range(12)))
    assert {answer.status for answer in answers} == {200}
    store = desk.app_state.workspace.store
    assert len(list_bodies(store)) == sum(answer.json["changed"] for answer in answers)
    assert read_table_rows(store, "paid")["ada"]["n"] in {"0", "1"}


def test_an_erasure_deletes_the_rows_of_a_person_and_an_export_has_them(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    row = desk.row("ada")
    store = desk.app_state.workspace.store
    for key in ("ada%40ethz.ch", "ada", str(row.person.identity.user_id), "bob"):
        assert call(desk, secret, "PUT", key, ROW).status == 200
    assert len(read_person_data(store, row.person.id).table_rows) == 3
    with store.writing() as write:
        Eraser(write, to_ms(desk.app_state.now()), "lena-brandt").erase_person(row.person.id)
    assert list(read_table_rows(store, "paid")) == ["bob"]


def test_an_erasure_deletes_a_row_whose_address_is_stored_in_another_form(desk: Desk) -> None:
    mails = {"carl": "Carl@B\u00fccher.example", "dora": "dora@example.org."}
    desk.ask([{"username": name, "email": mail} for name, mail in mails.items()], {"purpose": GOOD})
    desk.read()
    secret = give_key(desk, "billing", "table")
    store = desk.app_state.workspace.store
    for name, mail in mails.items():
        assert call(desk, secret, "PUT", quote(mail, safe=""), ROW).status == 200
        person = desk.row(name).person.id
        assert len(read_person_data(store, person).table_rows) == 1
        with store.writing() as write:
            Eraser(write, to_ms(desk.app_state.now()), "lena-brandt").erase_person(person)
    assert read_table_rows(store, "paid") == {}


def test_an_erasure_finds_an_address_with_a_capital_umlaut(desk: Desk) -> None:
    desk.ask(
        [{"username": "zoe", "email": "Z\N{LATIN CAPITAL LETTER O WITH DIAERESIS}e@b\xfccher.ch"}], {"purpose": GOOD}
    )
    desk.read()
    store = desk.app_state.workspace.store
    person = desk.row("zoe").person.id
    call(desk, give_key(desk, "billing", "table"), "PUT", "Z%C3%96e%40b%C3%BCcher.ch", ROW)
    assert [key for _, key, _ in read_person_data(store, person).table_rows] == ["z\xd6e@xn--bcher-kva.ch"]
    with store.writing() as write:
        Eraser(write, to_ms(desk.app_state.now()), "lena-brandt").erase_person(person)
    assert read_table_rows(store, "paid") == {}


def test_a_row_that_names_a_person_of_another_row_is_refused(desk: Desk) -> None:
    workspace = desk.app_state.workspace
    own = find_own_table(workspace, "paid")
    cells = {"user_id": "a" * 24, "email": "ada@ethz.ch", "plan": "gold"}
    save_table_draft(workspace, draft_row(own, cells, replaces=False), "lena")
    desk.app_state.policies.expire()
    assert desk.app_state.policies.current is not None
    secret = give_key(desk, "billing", "table")
    assert call(desk, secret, "PUT", "ada%40ethz.ch", {"plan": "free"}).status == 422
    assert call(desk, secret, "PUT", "a" * 24, {"plan": "free"}).status == 200
    assert load_policies(workspace).tables["paid"].refusal == ""


def test_writers_of_one_store_take_turns(store: Store) -> None:
    def write(n: int) -> int:
        return write_table_rows(store, "paid", {"ada": {"n": str(n % 3)}}, actor="key:billing", at=1)

    with ThreadPoolExecutor(4) as threads:
        changes = sum(threads.map(write, range(40)))
    chain = [(event.get("before"), event.get("after")) for event in map(json.loads, list_bodies(store))]
    assert len(chain) == changes
    assert [after for _, after in chain[:-1]] == [before for before, _ in chain[1:]]
    assert verify_ledger(store, with_tables=True).ok


def test_a_row_that_was_edited_in_the_store_differs_from_the_ledger(desk: Desk) -> None:
    secret = give_key(desk, "billing", "table")
    for key in ("ada", "bob"):
        call(desk, secret, "PUT", key, ROW)
    call(desk, secret, "PUT", "bob", {"plan": "gold"})
    call(desk, secret, "DELETE", "ada")
    store = desk.app_state.workspace.store
    assert verify_ledger(store, with_tables=True).ok
    with store.writing() as write:
        write.db.run("UPDATE table_rows SET cells = ? WHERE key = 'bob'", (json.dumps({"plan": "free"}),))
    (found,) = verify_ledger(store, with_tables=True).broken
    assert found.what == "table paid has 1 row that no entry records"


def test_a_viewer_of_some_repos_reads_only_the_tables_that_the_rules_of_these_repos_read(desk: Desk) -> None:
    def status(visitor: Visitor, name: str) -> tuple[int, int]:
        return visitor.get(f"/tables/{name}").status, visitor.get(f"/tables/{name}.csv").status

    inside = desk.visitor(Member(name="vic", role=MemberRole.VIEWER, repos=(str(desk.repo),)))
    outside = desk.visitor(Member(name="eve", role=MemberRole.VIEWER, repos=("other/*",)))
    assert (status(inside, "paid"), status(inside, "roster")) == ((200, 200), (404, 404))
    assert (status(outside, "paid"), status(outside, "roster")) == ((404, 404), (404, 404))
    assert "roster" not in outside.get("/tables").body + outside.get("/policies").body + outside.get("/tables.csv").body
    assert status(desk.viewer(), "roster") == status(desk.reviewer("mia", str(desk.repo)), "roster") == (200, 200)


@pytest.mark.parametrize("table", ["{store: true, file: x.csv, key: email}", "{key: email}", "{store: false}"])
def test_a_table_is_either_a_file_or_in_the_store(table: str) -> None:
    (problem,) = parse_config(f"version: 1\nrepos: [a/b]\ntables: {{paid: {table}}}\n").problems
    assert "either `file` or `store: true`" in problem.message


class _Machine(RuleBasedStateMachine):
    """Writes and deletes against a dict."""

    uri: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        self.rows: dict[str, dict[str, str]] = {}
        self.changes = 0

    @initialize()
    def begin(self) -> None:
        folder = self.held.enter_context(tempfile.TemporaryDirectory())
        place = f"sqlite:///{folder}/a.db" if self.uri is None else new_store(self.uri)
        self.store = open_store(place, endpoint=ENDPOINT)
        self.held.callback(self.store.close)

    keys = st.sampled_from(["ada", "bob@example.org", "@mit.edu", "a" * 24])
    cells = st.dictionaries(st.sampled_from(["expires", "plan", "note"]), st.text(max_size=5), max_size=3)

    @rule(key=keys, cells=cells)
    def put(self, key: str, cells: dict[str, str]) -> None:
        is_new = self.rows.get(key) != cells
        assert write_table_rows(self.store, "paid", {key: cells}, actor="key:billing", at=1) == is_new
        self.rows[key] = cells
        self.changes += is_new

    @rule(key=keys)
    def delete(self, key: str) -> None:
        was_there = self.rows.pop(key, None) is not None
        assert write_table_rows(self.store, "paid", {key: None}, actor="key:billing", at=1) == was_there
        self.changes += was_there

    @invariant()
    def is_as_the_dict(self) -> None:
        if hasattr(self, "store"):
            assert read_table_rows(self.store, "paid") == self.rows
            assert len(list_bodies(self.store)) == self.changes

    def teardown(self) -> None:
        self.held.close()


def test_rows_are_as_in_a_dict_on_sqlite() -> None:
    run_state_machine_as_test(_Machine, settings=settings(stateful_step_count=20))


def test_rows_are_as_in_a_dict_on_postgresql(postgres_uri: str) -> None:
    class OnServer(_Machine):
        uri = postgres_uri

    run_state_machine_as_test(OnServer, settings=settings(max_examples=8, stateful_step_count=20))


def test_a_desk_that_is_killed_keeps_what_it_answered_and_each_row_with_its_event(tmp_path: Path) -> None:
    with LocalHub(requests=0, repos=1) as local:
        write_desk(tmp_path, local, POLICY, "tables: {paid: {store: true}}\n")
        with open_existing_desk(tmp_path, local) as desk:
            secret = give_key(desk, "billing", "table")
        answered = dict[str, str]()
        for kill in range(3):
            with run_desk_program(tmp_path, local) as program:
                killer = threading.Timer(0.1 * (kill + 1), program.kill)
                killer.start()
                with suppress(OSError, HTTPException):
                    for n in count(1_000_000 * kill):  # no row gets the same number twice
                        send_row(program.url, secret, f"user{n % 7}", str(n))
                        answered[f"user{n % 7}"] = str(n)
                killer.join()
        with open_existing_desk(tmp_path, local) as desk:
            store = desk.app_state.workspace.store
            rows = read_table_rows(store, "paid")
            newer = [key for key, n in answered.items() if rows[key]["n"] != n]
            assert len(newer) <= 1  # what was under way at the last kill
            assert len({json.loads(body)["after"] for body in list_bodies(store)}) == len(list_bodies(store))
            assert len(list_bodies(store)) >= len(answered)


def send_row(url: str, secret: str, key: str, n: str) -> None:
    """Write a row over HTTP. Raises OSError or HTTPException if the desk is gone."""
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    body = json.dumps({"n": n}).encode()
    request = urllib.request.Request(f"{url}/api/v1/tables/paid/rows/{key}", body, headers, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - the desk
        assert json.load(answer)["changed"] is True


def test_rows_of_the_store_are_no_file_of_one_machine(desk: Desk) -> None:
    workspace = desk.app_state.workspace
    before = load_policies(workspace)
    assert call(desk, give_key(desk, "billing", "table"), "PUT", "ada", ROW).status == 200
    after = load_policies(workspace)
    assert after.tables["paid"].digest != before.tables["paid"].digest
    assert after.files_digest == before.files_digest
