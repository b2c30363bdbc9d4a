"""Defines the tables of the store for both databases; not imported to create or open a store.

The tables of plans, runs, approvals and the desk are in `schema_work.py`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, LargeBinary, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from .schema_columns import (
    BIG_INTEGER,
    boolean_column,
    bytes_column,
    foreign_key_column,
    given_id_column,
    id_column,
    integer_column,
    integer_columns,
    partial_index,
    text_column,
    text_columns,
)
from .schema_triggers import POSTGRESQL, SQLITE
from .schema_work import metadata

__all__ = ["compile_statements", "metadata"]

# ---- owner and settings ----------------------------------------------------------------------------------------------

about = Table("about", metadata, Column("key", Text, primary_key=True), text_column("value"))
settings = Table("settings", metadata, Column("key", Text, primary_key=True), text_column("value"))

# ---- repos, people, requests -----------------------------------------------------------------------------------------

repos = Table(
    "repos",
    metadata,
    id_column(),  # 0 is the workspace itself, which has nothing but a chain
    *text_columns("type", "namespace", "name"),
    *text_columns("gated", "form_card", null=True),
    *integer_columns("quick_at", "full_at", null=True),
    boolean_column("is_complete"),
    text_column("problem", null=True),
    *integer_columns("counted_at", "refused_at", null=True),
    text_column("refused_why", null=True),
    integer_column("tried_at", null=True),
    boolean_column("tried_complete"),
    text_column("tried_counts", null=True),
    text_column("classified_by", null=True),  # version of the rules that classified the repo's requests
    text_column("reclassifying", null=True),  # version and last request number of an unfinished classification
    Index("repos_name", "type", "namespace", "name", unique=True),
)

people = Table(
    "people",
    metadata,
    id_column(),
    text_column("pseudonym"),
    bytes_column("salt", null=True),
    *text_columns("user_id", "username", "fullname", "email", null=True),
    text_column("user_key", null=True),  # the folded username of people without an account id
    Index("people_pseudonym", "pseudonym", unique=True),
    partial_index("people_user_id", "user_id", where="user_id IS NOT NULL", unique=True),
    partial_index("people_nameless", "user_key", where="user_id IS NULL"),
)

verdicts = Table(  # one row for each distinct verdict
    "verdicts",
    metadata,
    id_column(),
    text_column("action"),
    text_column("policy", null=True),
    text_column("rule"),
    text_column("digest", null=True),
    text_column("shadow"),
    text_column("hand_terms", null=True),  # of an acceptance by hand, as JSON; null: no end
)

grant_terms = Table(  # one row for each distinct GrantTerms; the ledger holds only the digests
    "grant_terms",
    metadata,
    Column("digest", Text, primary_key=True),
    text_column("document"),
    boolean_column("is_shape"),  # without fixed ends; shared by many grants
    partial_index("grant_terms_shape", "digest", where="is_shape"),
)

requests = Table(  # one row for each attempt; the columns up to `version` are the state built from its events
    "requests",
    metadata,
    id_column(),
    foreign_key_column("repos", "repo_id"),
    foreign_key_column("people", "person_id"),
    text_column("status"),
    *integer_columns("asked_at", "attempt"),
    text_column("hub_request", null=True),
    *integer_columns("reviewed_at", "after_id", null=True),
    foreign_key_column("verdicts", "verdict_id", null=True),
    text_column("queue", null=True),
    integer_column("due_at", null=True),  # until when a person should decide
    text_column("assigned", null=True),  # id of the member who should decide
    integer_column("until_at", null=True),
    *text_columns("at_end", "until_rule", "open_run", "open_before", "open_after", null=True),
    integer_column("moved_at", null=True),
    text_column("terms", null=True),
    text_column("lapses", null=True),  # the time of each condition as JSON; null: no condition is false
    integer_column("noticed_at", null=True),
    integer_column("ends_at", null=True),  # the earlier of `until_at` and the first of `lapses`
    Column("last_moved_at", BIG_INTEGER, nullable=False, server_default="0"),
    integer_column("version"),
    boolean_column("is_final"),  # the end is not extended
    text_column("reminders", null=True),  # by rule: when the last reminder was accepted, as JSON
    Column("is_current", Boolean, nullable=False),
    boolean_column("has_notes"),
    integer_column("first_seen_at"),
    integer_column("started_at", null=True),
    integer_column("record_id", null=True),  # the row of `private` with the record
    bytes_column("raw"),
    bytes_column("answers"),  # digests, see domain/request_version.py
    bytes_column("identity"),
    *text_columns("domain", "country", null=True),
    text_column("decided_rule", null=True),  # policy/rule, if a rule made the last decision
    text_column(
        "quality", null=True
    ),  # quality of the purpose; for this and the next two, see domain/classification.py
    text_column("mail", null=True),
    integer_column("fingerprint", null=True),
    text_column("reason", null=True),  # the last reason given to the person
    # this column and the next five are the stored evaluation: see domain/evaluations.py
    Column("evaluation_version", BIG_INTEGER, nullable=False, server_default="0"),
    text_column("outcome", null=True),
    Column("evaluate_at", BIG_INTEGER, nullable=True, server_default="0"),
    *integer_columns("lookup_user", "lookup_email", "lookup_name", null=True),
    Column("review_at", BIG_INTEGER, nullable=True, server_default="0"),  # of the end, if the request has terms
    boolean_column("is_undecided"),  # access would end by a condition that is unknown
    Index("requests_attempt", "person_id", "repo_id", "asked_at", unique=True),
    partial_index("requests_hub_request", "hub_request", where="hub_request IS NOT NULL"),
    partial_index("requests_asked", "asked_at", "id", where="is_current"),
    partial_index("requests_status", "status", "asked_at", "id", where="is_current"),
    partial_index("requests_repo", "repo_id", "status", "asked_at", "id", where="is_current"),
    partial_index("requests_verdict", "verdict_id", "asked_at", "id", where="is_current AND verdict_id IS NOT NULL"),
    partial_index("requests_queue", "queue", "asked_at", "id", where="is_current AND queue IS NOT NULL"),
    partial_index("requests_assigned", "assigned", "asked_at", "id", where="is_current AND assigned IS NOT NULL"),
    partial_index("requests_due", "due_at", "id", where="is_current AND due_at IS NOT NULL"),
    # good purposes and free e-mail addresses are so frequent that reading in order soon fills a page
    partial_index("requests_quality", "quality", "status", "asked_at", "id", where="is_current AND quality <> 'good'"),
    partial_index("requests_mail", "mail", "status", "asked_at", "id", where="is_current AND mail <> 'free'"),
    partial_index("requests_fingerprint", "repo_id", "fingerprint", where="is_current AND fingerprint IS NOT NULL"),
    partial_index("requests_ends", "ends_at", "id", where="ends_at IS NOT NULL"),
    partial_index("requests_terms", "repo_id", "id", where="terms IS NOT NULL"),
    partial_index(
        "requests_review", "repo_id", "review_at", where="terms IS NOT NULL AND is_current AND review_at IS NOT NULL"
    ),
    partial_index("requests_undecided", "repo_id", "id", where="is_undecided"),
    partial_index("requests_open", "id", where="open_run IS NOT NULL"),
    partial_index(
        "requests_evaluate", "repo_id", "status", "evaluate_at", where="is_current AND evaluate_at IS NOT NULL"
    ),
    *(
        partial_index(f"requests_{name}", name, where=f"{name} IS NOT NULL")
        for name in ("lookup_user", "lookup_email", "lookup_name")
    ),
    partial_index(
        "requests_planned",
        "repo_id",
        "status",
        "outcome",
        "verdict_id",
        "asked_at",
        "id",
        where="is_current AND outcome IN ('change', 'profile')",
    ),
)

hits = Table(  # the owner's tables that contained a request when it was evaluated
    "hits",
    metadata,
    Column("name", Text, primary_key=True),
    foreign_key_column("requests", "request_id", key=True),
    Index("hits_request", "request_id"),
    sqlite_with_rowid=False,
)

texts = Table(
    "texts",
    metadata,
    foreign_key_column("requests", "id", key=True),
    text_column("text"),
    text_column("extra", null=True),  # additional indexed text; in SQLite, only the index contains it
)

counters = Table(
    "counters",
    metadata,
    foreign_key_column("repos", "repo_id", key=True),
    # status, action, queue, cell (status, action and rule together), quality and mail (each with the status before it)
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    integer_column("n"),
    sqlite_with_rowid=False,
)

evaluated_lists = Table(  # the requests of a repo and status; `basis` is what their evaluations have in common
    "evaluated_lists",
    metadata,
    foreign_key_column("repos", "repo_id", key=True),
    Column("status", Text, primary_key=True),  # or `ends`: the reviews of the ends of grants
    text_column("basis", null=True),  # null: not all of them have been evaluated on one basis
    text_column("pass_id"),  # the last process that evaluated all of them
    integer_column("at"),  # the time of the last evaluation
)

evaluated_tables = Table(  # the owner's tables as evaluated last
    "evaluated_tables",
    metadata,
    Column("name", Text, primary_key=True),
    text_column("digest"),
    text_column("shape"),  # what a lookup of any person depends on
    text_column("epoch"),  # random; a new one has everything evaluated that looks into the table
    bytes_column("keys"),  # a keyed hash of each key and a digest of its rows, 8 bytes each
)

evaluation_counts = Table(  # how many current requests have an outcome and a verdict
    "evaluation_counts",
    metadata,
    foreign_key_column("repos", "repo_id", key=True),
    Column("status", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    foreign_key_column("verdicts", "verdict_id", key=True),
    integer_column("n"),
    sqlite_with_rowid=False,
)

weekly = Table(  # see domain/activity.py
    "weekly",
    metadata,
    Column("kind", Text, primary_key=True),
    given_id_column("week"),
    foreign_key_column("repos", "repo_id", key=True),
    Column("name", Text, primary_key=True),
    integer_column("n"),
    sqlite_with_rowid=False,
)

history = Table(
    "history",
    metadata,
    foreign_key_column("people", "person_id", key=True),
    foreign_key_column("repos", "repo_id", key=True),
    *integer_columns("accepted", "rejected", "resets"),
    text_column("last"),
    integer_column("last_at"),
    sqlite_with_rowid=False,
)

profiles = Table(
    "profiles",
    metadata,
    foreign_key_column("people", "person_id", key=True),
    bytes_column("document", null=True),
    integer_column("at"),
)

gate_texts = Table(  # what the gates asked, for the fingerprints that the ledger names
    "gate_texts",
    metadata,
    Column("digest", Text, primary_key=True),  # the SHA-256 of `text`
    text_column("kind"),  # prompt, form
    text_column("text"),  # the prompt, or the fields as JSON: label, type and option values of each
    integer_column("at"),  # when a sync first read it
)

bindings = Table(
    "bindings",
    metadata,
    Column("owner_table", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    text_column("user_id"),
)

table_versions = Table(  # who was listed by the last good version of a table, as hashes
    "table_versions",
    metadata,
    Column("owner_table", Text, primary_key=True),
    text_column("digest"),
    integer_column("at"),
    bytes_column("document"),
)

# ---- ledger ----------------------------------------------------------------------------------------------------------

chains = Table(
    "chains", metadata, foreign_key_column("repos", "repo_id", key=True), integer_column("seq"), bytes_column("head")
)

ledger = Table(
    "ledger",
    metadata,
    id_column(),
    foreign_key_column("repos", "repo_id"),
    *integer_columns("seq", "at"),
    *text_columns("kind", "actor"),
    integer_column("request_id", null=True),
    text_column("run", null=True),  # copied from the body for the index
    text_column("body"),
    bytes_column("commitment", null=True),
    bytes_column("hash"),
    Index("ledger_chain", "repo_id", "seq", unique=True),
    partial_index("ledger_request", "request_id", "id", where="request_id IS NOT NULL"),
    partial_index("ledger_run", "run", "id", where="run IS NOT NULL"),
)

private = Table(  # personal data; the chain stays valid after it is deleted
    "private",
    metadata,
    given_id_column("id"),  # the id of the ledger entry
    integer_column("person_id"),
    bytes_column("data"),
    Index("private_person", "person_id"),
)

erased = Table(  # keyed hashes of erased people and of requests whose personal data was deleted
    "erased",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    integer_column("request_id", null=True),
    sqlite_with_rowid=False,
)

dictionaries = Table(
    "dictionaries", metadata, id_column(), foreign_key_column("repos", "repo_id"), bytes_column("data")
)

done = Table(
    "done",
    metadata,
    Column("verb", Text, primary_key=True),
    given_id_column("ledger_id"),
    integer_column("at"),
    Index("done_at", "verb", "at"),
    sqlite_with_rowid=False,
)

checkpoints = Table("checkpoints", metadata, id_column(), integer_column("at"), text_column("heads"))


def compile_statements(*, is_sqlite: bool) -> tuple[str, ...]:
    """Return the statements that create these tables. `make docs` writes them to the files that `schema_creation` reads."""
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    found = []
    for table in metadata.sorted_tables:
        found.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: index.name or "")
        found += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return (*found, *(SQLITE if is_sqlite else POSTGRESQL))
