"""The ledger of a store that was read from a Hub: whoever touches it afterwards is named by the proof, and files prove it too."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from hf_gate.core.events import events as e
from hf_gate.core.events.entry_records import name_of_entry
from hf_gate.core.events.events import ChangeSettled, ChangeStarted, LedgerEntry, PolicyPromoted, SyncEnded
from hf_gate.core.events.ledger import Checkpoint
from hf_gate.core.people.approvals import PolicyAuthor
from hf_gate.core.people.grants import GrantCondition, GrantTerms
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.decisions.rows import write_promotion
from hf_gate.errors import UsageError
from hf_gate.grants.rows import write_terms
from hf_gate.ledger.service.ledger_entries import parse_entry_name, read_entry
from hf_gate.ledger.service.ledger_files import (
    checkpoint_record,
    export_ledger,
    read_checkpoint,
    store_checkpoint,
    verify_exported_ledger,
)
from hf_gate.ledger.service.ledger_verification import LedgerReport, verify_ledger
from hf_gate.store.rows.ledger import iterate_entries
from hf_gate.verdicts.rows.policy_authors import write_policy_author
from tests.kits.stores import MED, read_links
from tests.kits.synced_stores import SyncedStore, open_synced_store

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SyncedStore]:
    """Thirty people, of whom one was let in by somebody else."""
    with open_synced_store(tmp_path, requests=30) as made:
        made.full()
        name = made.rows("pending")[0].person.identity.username
        made.hub.accept(made.repo, name)
        made.full()
        yield made


def chain(desk: SyncedStore) -> str:
    return f"{desk.repo.type.value}s/{desk.repo.id}"


def tamper(desk: SyncedStore, sql: str, *values: Any) -> None:
    """What somebody with the file and a database tool can do."""
    with sqlite3.connect(desk.file) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(sql, values).rowcount != 0
        for _, made in triggers:
            db.execute(made)
    db.close()


def places(result: LedgerReport) -> list[int]:
    return [found.seq for found in result.broken]


def test_a_ledger_that_nobody_touched_is_whole_to_the_last_seal(desk: SyncedStore) -> None:
    result = verify_ledger(desk.store, with_tables=True)
    assert result.ok, result.broken
    assert result.entries == result.chains[chain(desk)]
    assert result.private == 31


@pytest.mark.parametrize(
    ("sql", "seq"),
    [
        ("UPDATE ledger SET body = replace(body, 'pending', 'accepted') WHERE seq = 9 AND repo_id > 0", 9),
        ("UPDATE ledger SET actor = 'nobody' WHERE seq = 9 AND repo_id > 0", 9),
        ("UPDATE ledger SET at = at - 1 WHERE seq = 9 AND repo_id > 0", 9),
        ("UPDATE ledger SET commitment = zeroblob(32) WHERE seq = 9 AND repo_id > 0", 9),
        ("UPDATE ledger SET kind = 'NoteWritten' WHERE seq = 9 AND repo_id > 0", 9),
        ("DELETE FROM ledger WHERE seq = 9 AND repo_id > 0", 9),
        ("DELETE FROM ledger WHERE seq > 20 AND repo_id > 0", 21),
    ],
)
def test_an_entry_that_was_touched_is_named(desk: SyncedStore, sql: str, seq: int) -> None:
    tamper(desk, sql)
    assert seq in places(verify_ledger(desk.store))


def test_a_private_part_that_was_exchanged_or_taken_away_is_named_and_one_that_was_erased_is_not(
    desk: SyncedStore,
) -> None:
    tamper(desk, "UPDATE private SET data = (SELECT data FROM private WHERE id = 3) WHERE id = 5")
    (found,) = verify_ledger(desk.store).broken
    assert found.what == "its private part does not match its seal"
    tamper(desk, "DELETE FROM private WHERE id = 5")
    missing = (5, "its private part is missing, but no entry records the deletion")
    (found,) = verify_ledger(desk.store).broken
    assert (found.seq, found.what) == missing
    whose = "SELECT r.person_id FROM requests r JOIN ledger l ON l.request_id = r.id WHERE l.id = 5"
    with closing(sqlite3.connect(desk.file)) as db:
        (person,) = db.execute(whose).fetchone()
    tamper(desk, "UPDATE people SET salt = NULL WHERE id = ?", person)
    (found,) = verify_ledger(desk.store).broken
    assert (found.seq, found.what) == missing, "a lost salt explains nothing"
    _name_gaps(desk, (5, 5))
    assert verify_ledger(desk.store).ok
    _name_gaps(desk, (6, 6))
    (found,) = verify_ledger(desk.store).broken
    assert (found.seq, found.what) == (6, "its private part exists, but an entry records the deletion")


def test_an_entry_cannot_name_gaps_to_come(desk: SyncedStore) -> None:
    _name_gaps(desk, (5, 10_000))
    assert "it names entries that are not before it" in {found.what for found in verify_ledger(desk.store).broken}


def _name_gaps(desk: SyncedStore, *entries: tuple[int, int]) -> None:
    event = e.PrivatePartsDeleted(cause="erasure", entries=entries)
    with desk.store.writing() as write:
        write.append(desk.repo, [e.LedgerEntry(event=event, at=1, actor="lena")])


def test_a_row_of_a_request_that_was_changed_behind_the_ledger_is_found_by_the_fold(desk: SyncedStore) -> None:
    tamper(desk, "UPDATE requests SET status = 'accepted' WHERE id = 7")
    assert verify_ledger(desk.store).ok
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert "request 7 says accepted" in found.what


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TRIGGER ledger_no_delete",
        "CREATE TRIGGER more AFTER INSERT ON ledger BEGIN SELECT 1; END",
    ],
)
def test_a_trigger_that_was_dropped_or_added_is_found_by_the_fold(desk: SyncedStore, sql: str) -> None:
    with closing(sqlite3.connect(desk.file)) as db:
        db.execute(sql)
    assert verify_ledger(desk.store).ok
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert "trigger" in found.what


def test_the_fold_names_what_it_does_not_prove(desk: SyncedStore) -> None:
    tamper(desk, "UPDATE requests SET country = 'CH' WHERE id = 7")
    result = verify_ledger(desk.store, with_tables=True)
    assert result.ok
    assert any("country" in words for words in result.not_proved)
    assert any("what one person sent within a day" in words for words in result.not_proved)
    assert verify_ledger(desk.store).not_proved == ()


@pytest.mark.parametrize("run", [None, "r_other"])
def test_an_entry_that_is_filed_under_another_run_than_it_names_is_found_by_the_fold(
    desk: SyncedStore, run: str | None
) -> None:
    row = desk.rows("pending")[0]
    started = ChangeStarted(run="r_1", before="pending", after="accepted")
    settled = ChangeSettled(run="r_1", kind="done", after="accepted")
    with desk.store.writing() as write:
        write.append(
            desk.repo, [LedgerEntry(event=one, at=1, actor="lena", request=row.id) for one in (started, settled)]
        )
    assert verify_ledger(desk.store, with_tables=True).ok
    tamper(desk, "UPDATE ledger SET run = ? WHERE kind = 'ChangeSettled'", run)
    assert verify_ledger(desk.store).ok
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert "but its body does not" in found.what


def test_a_policy_that_may_act_though_nobody_promoted_it_is_found_by_the_fold(desk: SyncedStore) -> None:
    with desk.store.writing() as write:
        write.append(None, [LedgerEntry(event=PolicyPromoted(policy="mine", digest="aa" * 32), at=1, actor="lena")])
        write_promotion(write, "mine", "aa" * 32)
        write_policy_author(write, PolicyAuthor("aa" * 32, "lena", None, None))
    assert verify_ledger(desk.store, with_tables=True).ok
    tamper(desk, "UPDATE promotions SET digest = replace(digest, 'aa', 'bb')")
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert found.what == "policy mine may act as bbbbbbbb, but no entry records its promotion"


def test_an_author_of_a_policy_who_was_taken_away_is_found_by_the_fold(desk: SyncedStore) -> None:
    author = PolicyAuthor("aa" * 32, "lena", "m_1", "f" * 24)
    promoted = PolicyPromoted(policy="mine", digest=author.digest, member=author.member, account=author.account)
    with desk.store.writing() as write:
        write.append(None, [LedgerEntry(event=promoted, at=1, actor="lena")])
        write_promotion(write, "mine", author.digest)
        write_policy_author(write, author)
    assert verify_ledger(desk.store, with_tables=True).ok
    tamper(desk, "DELETE FROM policy_authors")
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert found.what == "lena promoted version aaaaaaaa of a policy, but is not stored as its author"


def test_a_person_with_another_account_than_the_sealed_record_is_found_by_the_fold(desk: SyncedStore) -> None:
    row = desk.rows("pending")[0]
    tamper(desk, "UPDATE people SET user_id = ? WHERE id = ?", "f" * 24, row.person.id)
    assert verify_ledger(desk.store).ok
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert found.what == f"request {row.id} belongs to another Hub account than its record says"


@pytest.mark.parametrize(
    "harm", ['UPDATE grant_terms SET document = \'{"until":["2099-01-01"]}\'', "UPDATE grant_terms SET document = '{'"]
)
def test_terms_of_grants_that_were_changed_are_found_by_the_fold(desk: SyncedStore, harm: str) -> None:
    condition = GrantCondition(policy="mine", rule="staff", expr="tables.staff")
    terms = GrantTerms(until=("2027-01-01", "tables.staff.expires"), keep_while=(condition,))
    with desk.store.writing() as write:
        write_terms(write, [terms])
    assert verify_ledger(desk.store, with_tables=True).ok
    tamper(desk, harm)
    assert "the terms of grants" in verify_ledger(desk.store, with_tables=True).broken[0].what


def test_terms_of_a_grant_that_were_deleted_are_found_by_the_fold(desk: SyncedStore) -> None:
    row, terms = desk.rows("accepted")[0], GrantTerms(until=("tables.staff.expires",))
    dated = e.GrantDated(until=9_000, terms=terms.digest)
    with desk.store.writing() as write:
        write_terms(write, [terms])
        write.append(desk.repo, [LedgerEntry(event=dated, at=1, actor="lena", request=row.id)])
    assert verify_ledger(desk.store, with_tables=True).ok
    tamper(desk, "DELETE FROM grant_terms")
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert found.what == f"the terms of grants {terms.digest[:8]} are missing or were changed"


def test_the_fold_lists_what_no_entry_proves(desk: SyncedStore) -> None:
    words = " ".join(verify_ledger(desk.store, with_tables=True).not_proved)
    for what in ("admitted", "letters", "records name none"):
        assert what in words


def test_a_body_that_is_none_any_more_is_named_and_the_rest_is_folded(desk: SyncedStore) -> None:
    tamper(desk, "UPDATE ledger SET body = '{' WHERE seq = 9 AND repo_id > 0")
    assert 9 in places(verify_ledger(desk.store, with_tables=True))


def test_a_row_of_a_request_that_no_entry_tells_of_is_found_by_the_fold(desk: SyncedStore) -> None:
    with closing(sqlite3.connect(desk.file)) as db:
        names = [name for _, name, *_ in db.execute("PRAGMA table_info(requests)")]
    other = {"id": "id + 900", "status": "'accepted'", "asked_at": "asked_at + 1"}
    values = ", ".join(other.get(name, name) for name in names)
    tamper(desk, f"INSERT INTO requests SELECT {values} FROM requests WHERE id = 7")  # noqa: S608 - own columns
    assert verify_ledger(desk.store).ok
    (found,) = verify_ledger(desk.store, with_tables=True).broken
    assert found.what == "request 907 exists, but no entry records it"


def test_a_chain_whose_head_was_taken_away_is_missed(desk: SyncedStore) -> None:
    tamper(desk, "DELETE FROM chains WHERE repo_id > 0")
    (found,) = verify_ledger(desk.store).broken
    assert (found.chain, found.what) == (
        chain(desk),
        "its head is entry 0, but its last entry is 33",
    )


def test_a_chain_whose_repo_was_taken_away_is_proved_to_be_nobodys(desk: SyncedStore) -> None:
    tamper(desk, "UPDATE ledger SET repo_id = 77 WHERE repo_id > 0")
    found = verify_ledger(desk.store).broken
    assert {each.chain for each in found} == {chain(desk), "lost/77"}


@pytest.mark.parametrize("seq", [0, -7, 34])
def test_an_entry_put_in_before_the_first_or_behind_the_last_is_found(desk: SyncedStore, seq: int) -> None:
    tamper(
        desk,
        """INSERT INTO ledger SELECT 9000, repo_id, ?, at, kind, 'mallory', request_id, run, body, commitment, hash
           FROM ledger WHERE repo_id > 0 AND seq = 5""",
        seq,
    )
    assert not verify_ledger(desk.store).ok


def test_entries_that_are_written_while_the_proof_runs_are_no_break(desk: SyncedStore) -> None:
    class Busy:
        """The store, at which somebody writes whenever a chain has just been asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(desk.store, name)

        def chains(self) -> Any:
            found = desk.store.chains()
            with desk.store.writing() as write:
                ended = SyncEnded(complete=True, counts={})
                write.append(desk.repo, [LedgerEntry(event=ended, at=1, actor="lena")])
            return found

    store: Any = Busy()
    assert verify_ledger(store).ok
    assert verify_ledger(store, with_tables=True).ok


def test_a_cut_that_also_mends_the_head_is_shown_by_the_checkpoint_alone(desk: SyncedStore) -> None:
    checkpoint = Checkpoint(1, {name: (length, last.hex()) for name, (length, last) in desk.store.chains().items()})
    head = next(link for link in desk.store.links(chain(desk), 20))
    tamper(desk, "DELETE FROM ledger WHERE seq > 20 AND repo_id > 0")
    tamper(desk, "UPDATE chains SET seq = 20, head = ? WHERE repo_id > 0", head.hash)
    assert verify_ledger(desk.store).ok
    result = verify_ledger(desk.store, [checkpoint])
    assert [found.what for found in result.broken] == ["cut off: 33 entries at the checkpoint, 20 now"]


def test_checkpoints_that_the_store_keeps_are_held_against_it_each_time(desk: SyncedStore) -> None:
    store_checkpoint(desk.store, NOW)
    desk.ask("late")
    desk.full()
    assert verify_ledger(desk.store).ok
    store_checkpoint(desk.store, NOW)
    assert verify_ledger(desk.store).ok
    assert len(desk.store.checkpoints()) == 2


# ---- files --------------------------------------------------------------------------------------------------------------


def exported(desk: SyncedStore, **more: Any) -> list[bytes]:
    return list(export_ledger(desk.store, NOW, **more))


def proof(lines: Sequence[bytes], *checkpoints: Checkpoint) -> LedgerReport:
    return verify_exported_ledger(lines, "ledger.jsonl", checkpoints)


def test_an_exported_ledger_is_proved_where_the_store_is_not(desk: SyncedStore) -> None:
    result = proof(exported(desk), store_checkpoint(desk.store, NOW))
    assert result.ok, result.broken
    assert result.entries == verify_ledger(desk.store).entries


def test_an_export_holds_no_personal_data_unless_it_was_asked_for(desk: SyncedStore) -> None:
    plain, personal = b"".join(exported(desk)), b"".join(exported(desk, personal=True))
    for row in desk.rows("pending"):
        who = row.person.identity
        assert who.email is not None
        assert who.username is not None
        for secret in (who.username, who.email, who.user_id, *(row.request.answers.values() if row.request else ())):
            if secret and len(secret) > 8:
                assert secret.encode() not in plain
        assert who.email.encode() in personal
    assert proof(exported(desk, personal=True)).private == 31


def test_a_private_part_changed_in_an_export_is_named(desk: SyncedStore) -> None:
    lines = exported(desk, personal=True)
    line = json.loads(lines[5])
    line["private"] = line["private"].replace("pending", "accepted")
    lines[5] = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
    assert [found.what for found in proof(lines).broken] == ["its private part does not match its seal"]


def test_two_hundred_ways_of_touching_a_file_are_all_found(desk: SyncedStore) -> None:
    rng, lines = random.Random(7), exported(desk)
    checkpoint = store_checkpoint(desk.store, NOW)
    for n in range(200):
        touched = list(lines)
        at = rng.randrange(1, len(lines))
        match n % 4:
            case 0:
                del touched[at]
            case 1:
                touched.insert(at, touched[rng.randrange(1, len(lines))])
            case 2:
                del touched[at:]
            case _:
                line = bytearray(touched[at])
                line[rng.randrange(len(line) - 2)] ^= 1 << rng.randrange(7)
                touched[at] = bytes(line)
        if touched != lines:
            assert not proof(touched, checkpoint).ok, (n, at)


def test_a_file_that_is_no_ledger_is_refused_in_a_line() -> None:
    for lines in ([], [b"{}\n"], [b"\xff\xfe"], [b'{"ledger":"hf-gate","heads":{"desk":[1,"no hex"]}}']):
        with pytest.raises(UsageError, match="not an exported audit log"):
            proof(lines)


def test_a_checkpoint_is_read_back_as_it_was_written_and_not_when_it_was_changed(desk: SyncedStore) -> None:
    checkpoint = store_checkpoint(desk.store, NOW)
    text = json.dumps(to_builtins(checkpoint_record(checkpoint, desk.store.endpoint)), indent=2)
    assert read_checkpoint(text.encode(), "heads.json") == checkpoint
    with pytest.raises(UsageError, match="was changed"):
        read_checkpoint(text.replace("2026-11-25", "2026-11-24").encode(), "heads.json")
    for wrong in (b"", b"[]", b'{"at": 1}', b'{"at":"2026-11-25T12:00:00.000Z","heads":{"a":[1]},"digest":""}'):
        with pytest.raises(UsageError, match="not a checkpoint"):
            read_checkpoint(wrong, "heads.json")


# ---- looking things up --------------------------------------------------------------------------------------------------


def test_entries_come_newest_first_and_only_those_that_are_wanted(desk: SyncedStore) -> None:
    assert [link.seq for link in read_links(desk.store)] == list(range(33, 0, -1))
    moved = list(iterate_entries(desk.store, TimelineFilter([desk.repo], kind="StatusMoved")))
    assert len(moved) == 1
    assert read_links(desk.store, with_desk=False, repos=[MED]) == []


def test_an_entry_is_found_by_its_name_with_what_it_keeps(desk: SyncedStore) -> None:
    entry = read_entry(desk.store, chain(desk), 3)
    assert entry is not None
    assert entry.private is not None
    assert b"record" in entry.private
    assert parse_entry_name(name_of_entry(entry.link)) == (chain(desk), 3)
    assert read_entry(desk.store, chain(desk), 999) is None
    assert read_entry(desk.store, chain(desk), 0) is None


@pytest.mark.parametrize("text", ["", "#", "desk", "desk#", "desk#-1", "desk#x", "#3", "desk#9999999999999999"])
def test_what_names_no_entry_is_none(text: str) -> None:
    assert parse_entry_name(text) is None
