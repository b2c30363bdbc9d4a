"""Stores that earlier programs made are upgraded on both databases; each keeps its rows and what commands show of it."""

from __future__ import annotations

import json
import lzma
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from hf_gate import Hub
from hf_gate.core.people.grants import GrantCondition, GrantTerms
from hf_gate.core.people.hand_terms import GrantEnd
from hf_gate.decisions.service.runs.settling import planned_version
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.store.rows.tray import list_failed_decisions, list_waiting_decisions
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import DATASET, MODEL, Console
from tests.kits.desk import open_existing_desk
from tests.kits.golden_files import check_golden
from tests.kits.stores import ENDPOINT, OLD_STORES, new_schema

CLOCK: Final = 2_051_222_400
"""A time after all that these stores hold (1 January 2035), so that ages do not depend on the day of the test."""
COMMANDS: Final = (
    ("ls", "--status", "all"),
    ("show", f"ada-l@{MODEL}"),
    ("show", f"bob99@{DATASET}"),
    ("show", f"cy@{MODEL}"),
    ("show", f"dee@{DATASET}"),
    ("show", f"eve@{DATASET}"),
    ("ends", "ls"),
    ("runs", "ls"),
    ("messages", "ls"),
    ("audit", "ls"),
    ("audit", "verify"),
    ("store", "check"),
    ("report", "access"),
)
REPLACED: Final = {"alembic_version", "absences", "outbox", "letters", "tray"}
"""Tables that a migration replaces or drops. What their rows mean is seen in what commands show."""
UNUSED: Final = {"lease_until", "told_at"}
"""Columns that a migration drops."""


class OldStore:
    """A store of an earlier program, moved to a local Hub of this test."""

    def __init__(self, console: Console, folder: Path, url: str) -> None:
        self.console, self.folder, self.url = console, folder, url

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of every table, but those of the search index."""
        if self.url:
            with psycopg.connect(self.url, row_factory=dict_row) as server:
                sql = "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()"
                names = [row["name"] for row in server.execute(sql.encode())]
                return {name: server.execute(f"TABLE {name}".encode()).fetchall() for name in names}
        with closing(sqlite3.connect(self.folder / "desk.db")) as file:
            file.row_factory = sqlite3.Row
            sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'grams%'"
            names = [row["name"] for row in file.execute(sql)]
            return {name: [dict(row) for row in file.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608

    def execute(self, sql: str, values: tuple[object, ...]) -> None:
        if self.url:
            with psycopg.connect(self.url) as server:
                server.execute(sql.replace("?", "%s").encode(), values)
            return
        with closing(sqlite3.connect(self.folder / "desk.db")) as file, file:
            file.execute(sql, values)


@pytest.fixture(params=["0018.db", "0018.sql", "0019.db", "0019.sql"])
def old(request: pytest.FixtureRequest, fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldStore:
    folder = tmp_path / "desk"
    shutil.copytree(OLD_STORES, folder, ignore=shutil.ignore_patterns("*.xz", "*.md"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/hook")
    monkeypatch.setenv("HOOK_KEY", "a-key-of-the-tests-a-key-of-the-tests")
    fresh.clock.advance(f"{CLOCK - int(fresh.clock.now())}s")
    with Hub(fresh.tokens["owner"], endpoint=fresh.url) as hub:
        owner = f"owner:{hub.whoami().id}"
    moves = {
        "UPDATE about SET value = ? WHERE key = 'endpoint'": fresh.url,
        "UPDATE about SET value = ? WHERE key = 'world'": get_world_id(fresh.url),
        "UPDATE tray SET member = ? WHERE actor = 'lena-brandt'": owner,
    }
    content = lzma.decompress((OLD_STORES / f"{request.param}.xz").read_bytes())
    if request.param.endswith(".db"):
        (folder / "desk.db").write_bytes(content)
        with closing(sqlite3.connect(folder / "desk.db")) as file, file:
            for sql, value in moves.items():
                file.execute(sql, (value,))
        return OldStore(Console(fresh), folder, "")
    url = new_schema(request.getfixturevalue("postgres_uri"))
    with psycopg.connect(url) as server:
        server.execute(content)
        for sql, value in moves.items():
            server.execute(sql.replace("?", "%s").encode(), (value,))
    config = folder / "hf-gate.yaml"
    config.write_text(f"{config.read_text('utf-8')}store: '{url}'\n", "utf-8")
    return OldStore(Console(fresh), folder, url)


@pytest.fixture
def upgraded(old: OldStore) -> OldStore:
    """The store after a command that writes."""
    ended = old.console.run("audit", "checkpoint")
    assert ended.code == 0, ended.err
    return old


def test_an_upgrade_keeps_every_row(old: OldStore) -> None:
    before = old.rows()
    assert sum(map(len, before.values())) > 250
    assert old.console.run("audit", "checkpoint").code == 0
    after = old.rows()
    for table in before.keys() - REPLACED:
        for row in before[table]:
            kept = {name: value for name, value in row.items() if name not in UNUSED}
            assert any(kept.items() <= other.items() for other in after[table]), (table, kept)


def test_an_upgraded_store_has_the_schema_of_a_new_one(upgraded: OldStore, request: pytest.FixtureRequest) -> None:
    """Else a change of `schema.sql` has no migration, or a migration does something else."""
    new = new_schema(request.getfixturevalue("postgres_uri")) if upgraded.url else str(upgraded.folder / "new.db")
    open_store(new, endpoint=ENDPOINT).close()
    if upgraded.url:
        assert _read_server_schema(upgraded.url) == _read_server_schema(new)
    else:
        assert _read_file_schema(upgraded.folder / "desk.db") == _read_file_schema(Path(new))


def _read_file_schema(path: Path) -> set[tuple[object, ...]]:
    """Return all columns, references, indexes and triggers of a file. The order of columns does not count."""
    with closing(sqlite3.connect(path)) as file:
        return {
            tuple(" ".join(part.split()) if isinstance(part, str) else part for part in row)
            for sql in (
                (
                    'SELECT t.name, c.name, c.type, c."notnull", c.pk, c.hidden FROM sqlite_master t,'
                    " pragma_table_xinfo(t.name) c WHERE t.type = 'table'"
                ),
                'SELECT t.name, f."table", f."from", f."to" FROM sqlite_master t, pragma_foreign_key_list(t.name) f',
                "SELECT name, wr, strict FROM pragma_table_list WHERE schema = 'main'",
                "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' OR sql LIKE 'CREATE VIRTUAL%'",
            )
            for row in file.execute(sql)
        }


def _read_server_schema(url: str) -> set[tuple[object, ...]]:
    """Return all columns, constraints, indexes, triggers and functions of a schema. The order of columns does not count."""
    with psycopg.connect(url) as server:
        (schema,) = server.execute("SELECT current_schema()").fetchone() or ("",)
        return {
            tuple(" ".join(str(part).replace(f"{schema}.", "").replace("'0'::bigint", "0").split()) for part in row)
            for sql in (
                (
                    "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity"
                    " FROM information_schema.columns WHERE table_schema = current_schema()"
                ),
                (
                    "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint"
                    " WHERE connamespace = current_schema()::regnamespace"
                ),
                "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()",
                (
                    "SELECT tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
                    " AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)"
                ),
                "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace",
            )
            for row in server.execute(sql.encode()).fetchall()
        }


def test_an_upgrade_moves_each_message_once(old: OldStore) -> None:
    before = old.rows()
    states = {"due": "waiting", "delivered": "sent"}
    wanted = {row["id"]: row for row in [*before["outbox"], *before["letters"]]}
    assert old.console.run("audit", "checkpoint").code == 0
    after = {row["id"]: row for row in old.rows()["messages"]}
    assert after.keys() == wanted.keys()
    for ident, row in wanted.items():
        assert after[ident]["state"] == states.get(row.pop("state"), after[ident]["state"])
        row.pop("lease_until", None)
        tried_at = row.pop("started_at", row.get("tried_at"))
        assert row.items() | {("tried_at", tried_at)} <= after[ident].items()


def _columns(row: dict[str, Any], wanted: dict[str, Any]) -> Any:
    return {name: row[name] for name in wanted}.items()


def test_commands_show_of_an_upgraded_store_what_they_showed(upgraded: OldStore) -> None:
    lines = list[str]()
    for command in COMMANDS:
        ended = upgraded.console.run(*command, "--json")
        assert ended.code == 0, ended.err
        lines += [f"$ hf-gate {' '.join(command)} --json", *_lines(ended.json), ""]
    check_golden("old-stores.txt", lines)


def test_the_desk_shows_the_decisions_that_wait_in_an_upgraded_store(upgraded: OldStore) -> None:
    with open_existing_desk(upgraded.folder, upgraded.console.hub, {"HF_GATE_CLOCK": "hub"}) as desk:
        waiting = desk.visitor().get("/api/v1/tray")
        assert waiting.status == 200, waiting.body
        check_golden("old-stores-waiting.txt", _lines(waiting.json["held"]))


SHOWN: Final = GrantEnd(
    "90d",
    "reject",
    "house/academic",
    GrantTerms(keep_while=(GrantCondition(policy="house", rule="academic", expr="email.academic"),)),
    {"partners": {"email": "ada@example.org"}},
    is_chosen=True,
    version="a" * 64,
    shown_at=7,
)
QUEUED: Final = (
    # version, verb, reason, leaves_at, run, outcome, why, until, hand_terms, note
    ("v1", "accept", None, 9, None, None, None, "90d", msgspec.json.encode(SHOWN).decode(), "Came with Bo."),
    ("v2", "accept", None, None, "r_neverbegun00", None, None, None, "d70693d2", None),
    ("v3", "accept", None, None, None, None, None, "30d", None, None),
    ("v4", "reset", "Say more.", 9, None, "stale", "its answers changed", None, None, None),
    ("v5", "reset", "Say more.", 9, None, "seen", "its answers changed", None, None, None),
    ("v6", "reject", None, 9, "r_sent00000000", "refused", "no permission", None, None, None),
)


def test_an_upgrade_moves_each_decision_of_the_tray_with_what_was_shown(old: OldStore) -> None:
    """Those that wait still wait, those that failed unseen are still shown, and nothing else is."""
    with Hub(old.console.hub.tokens["owner"], endpoint=old.console.hub.url) as hub:
        owner = f"owner:{hub.whoami().id}"
    names = (
        "version, verb, reason, leaves_at, run, outcome, why, until, hand_terms, note,"
        " id, request_id, member, actor, batch, made_at"
    )
    used = {row["request_id"] for row in old.rows()["tray"]}
    free = [row["id"] for row in old.rows()["requests"] if row["id"] not in used]
    for n, values in enumerate(QUEUED):
        marks = ", ".join("?" * 16)
        row = (*values, 100 + n, free[n], owner, "lena-brandt", f"r_batch{n}", 5)
        old.execute(f"INSERT INTO tray ({names}) VALUES ({marks})", row)  # noqa: S608
    with open_existing_desk(old.folder, old.console.hub, {"HF_GATE_CLOCK": "hub"}) as desk:
        moved = {
            one.change.version: one
            for one in list_waiting_decisions(desk.app_state.workspace.store)
            if one.change.version in {"v1", "v2", "v3"}
        }
        assert moved.keys() == {"v1", "v2", "v3"}
        assert [moved[name].run.starts_at for name in sorted(moved)] == [9, None, None]
        assert [moved[name].batch for name in sorted(moved)] == ["r_batch0", "r_batch1", "r_batch2"]
        assert (moved["v1"].change.end, moved["v1"].change.note) == (SHOWN, "Came with Bo.")
        assert moved["v2"].change.end == GrantEnd(None, shown_at=0), "what it was shown is read again"
        rows = desk.app_state.workspace.store.requests([one.request for one in moved.values()])
        assert [planned_version(one.change).difference(rows[one.request].version) for one in moved.values()] == [
            None
        ] * 3
        assert moved["v3"].change.end == GrantEnd("30d", is_chosen=True)
        failed = {
            (one.request, one.verb, one.outcome, one.row.why)
            for one in list_failed_decisions(desk.app_state.workspace.store, owner)
        }
        assert failed == {
            (free[3], "reset", "stale", "its answers changed"),
            (free[5], "reject", "refused", "no permission"),
        }
        assert "2 decisions failed" in " ".join(desk.visitor().get("/tray").body.split())
    assert old.console.run("audit", "verify").code == 0


_SPECIFIC: Final = frozenset({"body", "form", "prompt", "store"})
"""Parts that differ between the programs that made the stores."""
_ALIKE: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)|(?P<id>\b(?:[lmnrp]_)?[0-9a-z]{12,}\b|(?<=plan )[0-9a-f]{8})"
    r"|(?P<number>(?<=\"request\": )\d+)|(?P<hub>http://127\.0\.0\.1:\d+)"
)


def _lines(document: Any) -> list[str]:
    """Return the parts of a document without what differs between two stores with the same history."""
    parts = document if isinstance(document, list) else [{name: part} for name, part in document.items()]
    return sorted(_ALIKE.sub(_name_kind, line) for part in parts for line in _split(part))


def _split(part: dict[str, Any]) -> list[str]:
    """Return a part as one line, or a list that is alone in a part as a line for each item."""
    kept = {name: value for name, value in part.items() if name not in _SPECIFIC}
    lists = [(name, value) for name, value in kept.items() if isinstance(value, list)] if len(kept) == 1 else []
    items = [{name: item} for name, value in lists for item in value] or [kept]
    return [json.dumps(item, ensure_ascii=False) for item in items]


def _name_kind(match: re.Match[str]) -> str:
    return str(match.lastgroup).upper()
