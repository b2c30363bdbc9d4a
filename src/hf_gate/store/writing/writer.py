"""The write transaction: stores observed records and ledger entries, and updates everything derived from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from hf_gate.base.batches import group_pairs
from hf_gate.base.ids import Repo
from hf_gate.core.events import events as e
from hf_gate.core.events.classification import UNCLASSIFIED, Classification
from hf_gate.core.events.erasure import ErasedRequest
from hf_gate.core.events.evaluations import EvaluationResult
from hf_gate.core.events.events import OUTSIDE, LedgerEntry, canonical_json
from hf_gate.core.events.ledger import Checkpoint, chain_of
from hf_gate.core.events.request_fields import read_texts
from hf_gate.core.events.request_state import KnownRequest, RecordUpdate, apply_event, detect_events
from hf_gate.core.forms.case_folding import domain_of
from hf_gate.core.lifecycle import VERB_FOR_STATUS, Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.requests import AccessRequest
from hf_gate.core.runs import END_GUARD, RunEvent
from hf_gate.core.stored_rows import ChangeRow, RepoRow, RunRow
from hf_gate.store.rows import runs
from hf_gate.store.rows.ledger import ChainWriter
from hf_gate.store.rows.repos import read_repo
from hf_gate.store.sql import Database

from .compression import encode_record_part, pack
from .erased import find_erased_meanwhile, link_new_request
from .letter_queue import LetterCollector
from .notice_queue import NoticeCollector
from .people import People, StoredPerson
from .projection import Projection, mark_people_due
from .search_index import SearchIndex
from .search_text import EMPTY_TEXT, SearchText, clean, search_text
from .writer_cache import WriterCache

_REPO_COLUMNS: Final = frozenset(
    {"gated", "form_card", "quick_at", "full_at", "is_complete", "problem", "counted_at", "refused_at", "refused_why",
     "tried_at", "tried_complete", "tried_counts", "hub_ids"}
)  # fmt: skip
_PART: Final = 1000  # new requests that are written while the next ones are prepared


class Writer:
    """The transaction that `Store.writing()` yields. It cannot be used after the block.

    `db` is its connection, for modules with SQL that writes; as `reads`, for those with SQL that reads.
    """

    def __init__(self, db: Database, memory: WriterCache) -> None:
        self.db = db
        self.reads = db
        self._memory = memory
        self._people = People(db, memory)
        self._rows = Projection(db, memory)
        self._index = SearchIndex(db)
        self._notices = NoticeCollector(db)
        self._letters = LetterCollector(db)
        self._taken: dict[
            tuple[int, int], tuple[int, RecordUpdate]
        ] = {}  # the request and record of each person in a repo

    # ---- repos -------------------------------------------------------------------------------------------------------

    def find_or_create_repo(self, repo: Repo) -> RepoRow:
        """Return the row of a repo; create it if there is none."""
        found = read_repo(self.db, self.repo_id(repo))
        assert found is not None
        return found

    def update_repo(self, repo: Repo, columns: Mapping[str, Any]) -> None:
        """Set columns of a repo, except the columns of its name."""
        if strange := set(columns) - _REPO_COLUMNS:
            raise KeyError(f"not columns of a repo: {sorted(strange)}")
        if columns:
            parts = ", ".join(f"{name} = ?" for name in columns)
            self.db.run(f"UPDATE repos SET {parts} WHERE id = ?", (*columns.values(), self.repo_id(repo)))
        if "form_card" in columns:
            self._memory.classifiers.forget(self.repo_id(repo))

    def repo_id(self, repo: Repo | None) -> int:
        """Return the number of a repo, creating it if there is none; 0 for the workspace."""
        if repo is None:
            return 0
        if repo not in self._memory.repos:
            where = (repo.type.value, repo.namespace, repo.name)
            found = self.db.row("SELECT id FROM repos WHERE type = ? AND namespace = ? AND name = ?", where)
            if found is None:
                found = self.db.row("INSERT INTO repos (type, namespace, name) VALUES (?, ?, ?) RETURNING id", where)
            assert found is not None
            self._memory.repos[repo] = found[0]
        return self._memory.repos[repo]

    # ---- records -----------------------------------------------------------------------------------------------------

    def observe(self, repo: Repo, seen: Sequence[RecordUpdate], at: int) -> Sequence[int]:
        """Store records and their events; return the numbers of their requests, in the same order.

        If a person appears twice in a transaction, the second record is compared with the first one.
        """
        repo_id = self.repo_id(repo)
        late = find_erased_meanwhile(self.db, seen)
        told = [one for one in seen if one.events and id(one) not in late]
        log = ChainWriter(self.db, self._memory, repo_id, chain_of(repo))
        people = iter(self._people.find_or_create(told))
        self._rows.load(one.known.id for one in told if one.known is not None)
        idents: list[int] = []
        quiet: list[tuple[bytes, bytes, bytes, int]] = []
        for one in seen:
            if id(one) in late:
                ident = one.known.id if one.known is not None else 0
            elif one.events:
                person = next(people)
                ident = self._record_events(one, repo_id, person, log, at)
                self._taken[repo_id, person.id] = (ident, one)
            else:
                assert one.known is not None, "a record without events must be known"
                ident = one.known.id
                if (one.raw, one.content) != (one.known.raw, one.known.content):
                    quiet.append((one.raw, *one.content, ident))
            idents.append(ident)
            if self._rows.count_new() >= _PART:
                self._write_rows(log)
        self.db.run_many("UPDATE requests SET raw = ?, answers = ?, identity = ? WHERE id = ?", quiet)
        self._flush(log)
        return idents

    def _record_events(
        self, update: RecordUpdate, repo_id: int, person: StoredPerson, log: ChainWriter, at: int
    ) -> int:
        events = update.events
        known = update.known
        if (repo_id, person.id) in self._taken:
            ident, first = self._taken[repo_id, person.id]
            self._people.flush()  # rows of requests refer to rows of people
            self._rows.load([ident])
            known = KnownRequest(
                ident, person.id, person.pseudonym, self._rows.get_loaded(ident).state, first.raw, first.content
            )
            events = detect_events(known, update.request, update.skew)
        ident = known.id if known is not None else 0
        for event in events:
            if isinstance(event, e.RequestSeen):
                ident = self._create_attempt(update, event, repo_id, person, log, at)
                self._notices.add_event(event, at, update.request.repo, ident)
                self._letters.add_event(event, at, ident)
                if len(events) > 1:  # later events need the new row, which refers to a row of people
                    self._people.flush()
                    self._rows.load([ident])
                continue
            is_erased = isinstance(update.request, ErasedRequest)
            private = None if is_erased else _encode_private_part(event, update.request)
            entry = log.add(event, at, OUTSIDE, ident, person.id, person.salt, private)
            held = self._rows.apply_event(ident, event, at, OUTSIDE)
            if is_erased:
                held.extra |= {"raw": update.raw}
                continue
            held.extra |= {"raw": update.raw, "record_id": entry, **update.content._asdict()}
            if isinstance(event, e.RequestChanged):
                held.extra |= {"domain": domain_of(person.email), "country": self._memory.country_of(update.request)}
                self._rows.set_classification(ident, self._memory.classifiers.classify(repo_id, update.request))
                self._index.replace(ident, _build_search_text(person, update))
        return ident

    def _create_attempt(
        self, update: RecordUpdate, event: e.RequestSeen, repo_id: int, person: StoredPerson, log: ChainWriter, at: int
    ) -> int:
        ident = self._memory.take_number("requests")
        event = msgspec.structs.replace(event, person=person.pseudonym)
        record = encode_record_part(update.request.raw_json)
        entry = log.add(event, at, OUTSIDE, ident, person.id, person.salt, record)
        state = apply_event(None, event, at)
        assert state is not None
        if event.after is not None:
            self._rows.supersede(event.after)
        if isinstance(update.request, ErasedRequest):
            empty = (None, update.raw, *update.content, None, None)
            self._rows.add_request(ident, repo_id, person.id, state, at, empty, UNCLASSIFIED)
            self._index.add(ident, EMPTY_TEXT)
            link_new_request(self.db, update.request, ident)
            return ident
        extra = (entry, update.raw, *update.content, domain_of(person.email), self._memory.country_of(update.request))
        known = self._memory.classifiers.classify(repo_id, update.request)
        self._rows.add_request(ident, repo_id, person.id, state, at, extra, known)
        self._index.add(ident, _build_search_text(person, update))
        return ident

    def reclassify(self, requests: Iterable[tuple[int, int, AccessRequest | None]]) -> None:
        """Classify requests again. Each is given as its number, its repo's number and its record (None if erased)."""
        current = {
            ident: UNCLASSIFIED if record is None else self._memory.classifiers.classify(repo_id, record)
            for ident, repo_id, record in requests
        }
        among, value = self.db.in_clause(list(current))
        rows = self.db.rows(f"SELECT id, quality, mail, fingerprint FROM requests WHERE id {among}", (value,))
        changed = [ident for ident, *known in rows if Classification(*known) != current[ident]]
        self._rows.load(changed)
        for ident in changed:
            self._rows.set_classification(ident, current[ident])
        self._rows.flush()

    def clear_classifications(self, requests: Sequence[int]) -> None:
        """Remove what was derived from the answers and e-mail addresses of these requests."""
        self._rows.load(requests)
        for ident in requests:
            self._rows.set_classification(ident, UNCLASSIFIED)
            self._rows.clear_lookups(self._rows.get_loaded(ident))
        self._rows.flush()

    def clear_search_texts(self, requests: Sequence[int]) -> None:
        """Delete the search texts of requests, from the index too."""
        self._index.empty(requests)

    def finish(self) -> None:
        """Do what is done once at the end of a transaction."""
        self._notices.flush()
        self._letters.flush()
        self._index.finish()

    def _write_rows(self, log: ChainWriter) -> None:
        """Write the rows so far, in the order in which they refer to each other."""
        self._people.flush()
        self._rows.write_rows()
        log.write_rows()
        self._index.flush()

    def _flush(self, log: ChainWriter) -> None:
        self._people.flush()
        self._rows.flush()
        log.flush()
        renamed = self._people.renamed
        self._index.flush(renamed.values())
        if renamed:
            domains = [(domain_of(one.email), one.id) for one in renamed.values()]
            self.db.run_many("UPDATE requests SET domain = ? WHERE person_id = ? AND record_id IS NOT NULL", domains)
            renamed.clear()

    # ---- ledger ------------------------------------------------------------------------------------------------------

    def append(self, repo: Repo | None, entries: Sequence[LedgerEntry]) -> None:
        """Add entries to the chain of a repo (None: the workspace), and apply them to their requests."""
        log = ChainWriter(self.db, self._memory, self.repo_id(repo), chain_of(repo))
        about = [entry.request for entry in entries if entry.request is not None]
        self._rows.load(about)
        salts = self._people.read_salts(entry.person for entry in entries if entry.private and entry.person is not None)
        done: list[tuple[str, int, int]] = []
        for entry in entries:
            before = None if entry.request is None else self._rows.get_loaded(entry.request).state.open_before
            salt = salts.get(entry.person) if entry.person is not None else None
            private = canonical_json(entry.private) if entry.private else None
            ident = log.add(entry.event, entry.at, entry.actor, entry.request, entry.person, salt, private)
            done += [(verb, ident, entry.at) for verb in _counted_verbs(entry.event, before)]
            self._notices.add_event(entry.event, entry.at, repo, entry.request)
            self._letters.add_event(entry.event, entry.at, entry.request)
            if entry.request is not None:
                self._apply_entry(entry, entry.request)
        self.db.run_many("INSERT INTO done (verb, ledger_id, at) VALUES (?, ?, ?)", done)
        self._flush(log)

    def append_to_chains(self, entries: Iterable[tuple[Repo, LedgerEntry]]) -> None:
        """Add entries to the chains of their repos, in their order."""
        for repo, group in group_pairs(entries).items():
            self.append(repo, group)

    def store_evaluations(
        self, repo: Repo, results: Sequence[EvaluationResult], entries: Sequence[LedgerEntry]
    ) -> None:
        """Store results of evaluations and the entries of new verdicts, except those of requests that changed
        meanwhile.
        """
        self._rows.load({result.request for result in results})
        outdated = {result.request for result in results if not self._rows.set_result(result)}
        self.append(repo, [entry for entry in entries if entry.request not in outdated])

    def mark_due(self, people: Collection[int]) -> None:
        """Have every request of these people evaluated in the next turn."""
        if people and self._memory.has_evaluations():
            mark_people_due(self.db, people)

    def _apply_entry(self, entry: LedgerEntry, request: int) -> None:
        """Apply an entry to the row of its request."""
        held = self._rows.apply_event(request, entry.event, entry.at, entry.actor)
        private = entry.private or {}
        held.extra |= {column: clean(text) for column, text in read_texts(entry.event, private).items()}
        match entry.event:
            case e.ChangeStarted():
                held.extra["started_at"] = entry.at
            case e.NoteWritten():
                held.extra["has_notes"] = True
            case e.VerdictReached():
                self._rows.set_table_hits(request, [str(name) for name in private.get("tables", ())])
            case _:
                pass
        if held.state.open_run is None and isinstance(entry.event, e.ChangeSettled):
            held.extra["started_at"] = None

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store the heads of all chains, with the time."""
        heads = msgspec.json.encode(checkpoint.heads).decode()
        self.db.run("INSERT INTO checkpoints (at, heads) VALUES (?, ?)", (checkpoint.at, heads))

    # ---- plans and runs ----------------------------------------------------------------------------------------------

    def write_run(self, row: RunRow) -> None:
        """Store a new run."""
        runs.write_run(self.db, row)

    def move_run(self, before: RunRow, event: RunEvent, **fields: object) -> RunRow:
        """Store and return a run as it is after an event, with other values of these fields.

        Raises Guarded if the event cannot happen in the state of the run, or if another process changed that state.
        """
        return runs.move_run(self.db, before, event, **fields)

    def write_changes(self, rows: Sequence[ChangeRow]) -> None:
        """Store the changes of a new run."""
        runs.write_changes(self.db, [(row, self.repo_id(row.repo)) for row in rows])

    def replace_changes(self, run: str, changes: Sequence[tuple[int, bytes]]) -> None:
        """Replace the documents of changes by their numbers."""
        rows = [(change, run, n) for n, change in changes]
        self.db.run_many("UPDATE changes SET change = ? WHERE run = ? AND n = ?", rows)

    def set_change_states(self, run: str, states: Sequence[tuple[int, str, str]]) -> None:
        """Set the state and reason of changes by their numbers.

        Raises Guarded if another process settled one of them.
        """
        runs.set_change_states(self.db, run, states)

    def release_unsent(self, run: RunRow, at: int | None) -> None:
        """Make each unsent change of a run a waiting run again, which is due at a time (ms), or on hold (None)."""
        runs.release_unsent(self.db, run, at)

    def count_changes(self, run: str) -> Mapping[str, int]:
        """Return the number of changes of a run by state, as seen within this transaction."""
        return runs.count_changes(self.db, run)

    def write_plan(self, digest: str, document: bytes, made_at: int) -> None:
        """Store a plan under its digest."""
        packed = pack(document)
        sql = "INSERT INTO plans (digest, document, made_at) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
        self.db.run(sql, (digest, packed, made_at))

    def set_plan_summary(self, digest: str, about: Mapping[str, Any]) -> None:
        """Set the summary of a plan."""
        self.db.run("UPDATE plans SET about = ? WHERE digest = ?", (msgspec.json.encode(about).decode(), digest))

    def register_plan(self, digest: str, valid_until: int, now: int) -> None:
        """Store that this store made a plan, and delete expired registrations. Times are in ms."""
        self.db.run("DELETE FROM made_plans WHERE valid_until <= ?", (now,))
        sql = "INSERT INTO made_plans (digest, valid_until) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
        self.db.run(sql, (digest, valid_until))

    # ---- profiles, bindings, settings --------------------------------------------------------------------------------

    def write_profile(self, person: int, document: bytes | None, at: int) -> None:
        """Store a profile; None means that the Hub has none. Nothing is stored of a person who was erased meanwhile."""
        if self.db.row("SELECT 1 FROM people WHERE id = ? AND salt IS NOT NULL", (person,)) is None:
            return
        sql = (
            "INSERT INTO profiles (person_id, document, at) VALUES (?, ?, ?)"
            " ON CONFLICT (person_id) DO UPDATE SET document = excluded.document, at = excluded.at"
        )
        self.db.run(sql, (person, document and pack(document), at))
        self.mark_due([person])

    def write_binding(self, table: str, key: str, user_id: str) -> None:
        """Store the account id that a key of an owner's table refers to."""
        sql = (
            "INSERT INTO bindings (owner_table, key, user_id) VALUES (?, ?, ?)"
            " ON CONFLICT (owner_table, key) DO UPDATE SET user_id = excluded.user_id"
        )
        self.db.run(sql, (table, key, user_id))

    def write_setting(self, key: str, value: str | None) -> None:
        """Store a setting; None deletes it."""
        self.db.write_setting(key, value)


def _encode_private_part(event: e.AnyEvent, request: AccessRequest) -> bytes:
    who = request.granted_by
    if not isinstance(event, e.StatusMoved) or who is None:
        return encode_record_part(request.raw_json)
    granter = {"id": who.id, "user": who.username, "fullname": who.fullname}
    return canonical_json({"record": request.raw_json.decode("utf-8", "replace"), "granted_by": granter})


def _build_search_text(person: StoredPerson, update: RecordUpdate) -> SearchText:
    return search_text(person.fullname, person.username, person.email, update.request, update.folded_answers)


def _counted_verbs(event: e.AnyEvent, before: str | None) -> tuple[str, ...]:
    """Return the guard that a settled change counts towards: a sudden end, a removal, or the verb of its new status."""
    if not isinstance(event, e.ChangeSettled) or event.kind != OutcomeKind.DONE:
        return ()
    if before == Status.ACCEPTED and event.after != Status.ACCEPTED:
        if event.is_end:
            return (END_GUARD,) if event.is_sudden else ()
        return ("remove",)
    return (VERB_FOR_STATUS.get(event.after, event.after),)
