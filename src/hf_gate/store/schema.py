"""Defines the tables of the store for both databases; imported only to create or upgrade a store."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()
_BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
_NO: Final = false()


def _integer(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, _BIG, nullable=null)


def _id() -> Column[int]:
    return Column(
        "id", _BIG, Identity(), primary_key=True
    )  # made by the database: an identity column, or SQLite's rowid


def _given_id(name: str) -> Column[int]:
    return Column(name, _BIG, primary_key=True, autoincrement=False)  # given by another table, or counted in a run


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _bytes(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _boolean(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=_NO)


def _foreign_key(table: str, name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    return Column(
        name, _BIG, ForeignKey(f"{table}.id"), nullable=null, primary_key=key, autoincrement=False if key else "auto"
    )


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


# ---- owner and settings ----------------------------------------------------------------------------------------------

about = Table("about", metadata, Column("key", Text, primary_key=True), _text("value"))
settings = Table("settings", metadata, Column("key", Text, primary_key=True), _text("value"))

# ---- repos, people, requests -----------------------------------------------------------------------------------------

repos = Table(
    "repos",
    metadata,
    _id(),  # 0 is the workspace itself, which has only a chain
    _text("type"),
    _text("namespace"),
    _text("name"),
    _text("gated", null=True),
    _text("form_card", null=True),
    _integer("quick_at", null=True),
    _integer("full_at", null=True),
    _boolean("is_complete"),
    _text("problem", null=True),
    _integer("counted_at", null=True),
    _integer("refused_at", null=True),
    _text("refused_why", null=True),
    _integer("tried_at", null=True),
    _boolean("tried_complete"),
    _text("tried_counts", null=True),
    _text("classified_by", null=True),  # version of the rules that classified its requests
    _text("reclassifying", null=True),  # version and last request number of a classification that is not finished
    Index("repos_name", "type", "namespace", "name", unique=True),
)

people = Table(
    "people",
    metadata,
    _id(),
    _text("pseudonym"),
    _bytes("salt", null=True),
    _text("user_id", null=True),
    _text("username", null=True),
    _text("fullname", null=True),
    _text("email", null=True),
    _text("user_key", null=True),  # the folded username of people without an account id
    Index("people_pseudonym", "pseudonym", unique=True),
    _partial_index("people_user_id", "user_id", where="user_id IS NOT NULL", unique=True),
    _partial_index("people_nameless", "user_key", where="user_id IS NULL"),
)

verdicts = Table(  # one row for each distinct verdict
    "verdicts",
    metadata,
    _id(),
    _text("action"),
    _text("policy", null=True),
    _text("rule"),
    _text("digest", null=True),
    _text("shadow"),
)

requests = Table(  # one row for each attempt; the columns up to `version` are the state built from its events
    "requests",
    metadata,
    _id(),
    _foreign_key("repos", "repo_id"),
    _foreign_key("people", "person_id"),
    _text("status"),
    _integer("asked_at"),
    _integer("attempt"),
    _text("hub_request", null=True),
    _integer("reviewed_at", null=True),
    _integer("after_id", null=True),
    _foreign_key("verdicts", "verdict_id", null=True),
    _text("queue", null=True),
    _integer("until_at", null=True),
    _text("at_end", null=True),
    _text("until_rule", null=True),
    _text("open_run", null=True),
    _text("open_before", null=True),
    _text("open_after", null=True),
    _integer("moved_at", null=True),
    Column("last_moved_at", _BIG, nullable=False, server_default="0"),
    _integer("version"),
    Column("is_current", Boolean, nullable=False),
    _boolean("has_notes"),
    _integer("first_seen_at"),
    _integer("started_at", null=True),
    _integer("record_id", null=True),  # the private row with the record
    _bytes("raw"),
    _bytes("answers"),  # digests, see domain/request_version.py
    _bytes("identity"),
    _text("domain", null=True),
    _text("country", null=True),
    _text("decided_rule", null=True),  # policy/rule, if a rule made the last decision
    _text("quality", null=True),  # of the purpose; this and the next two: see domain/classification.py
    _text("mail", null=True),
    _integer("fingerprint", null=True),
    _text("reason", null=True),  # the last reason given to the person
    Index("requests_attempt", "person_id", "repo_id", "asked_at", unique=True),
    _partial_index("requests_hub_request", "hub_request", where="hub_request IS NOT NULL"),
    _partial_index("requests_asked", "asked_at", "id", where="is_current"),
    _partial_index("requests_status", "status", "asked_at", "id", where="is_current"),
    _partial_index("requests_repo", "repo_id", "status", "asked_at", "id", where="is_current"),
    _partial_index("requests_verdict", "verdict_id", "asked_at", "id", where="is_current AND verdict_id IS NOT NULL"),
    _partial_index("requests_queue", "queue", "asked_at", "id", where="is_current AND queue IS NOT NULL"),
    # good purposes and free mail are so frequent that a page is soon filled along the order of asking
    _partial_index("requests_quality", "quality", "status", "asked_at", "id", where="is_current AND quality <> 'good'"),
    _partial_index("requests_mail", "mail", "status", "asked_at", "id", where="is_current AND mail <> 'free'"),
    _partial_index("requests_fingerprint", "repo_id", "fingerprint", where="is_current AND fingerprint IS NOT NULL"),
    _partial_index("requests_until", "until_at", "id", where="until_at IS NOT NULL"),
    _partial_index("requests_open", "id", where="open_run IS NOT NULL"),
)

hits = Table(  # the owner's tables that contained a request when it was evaluated
    "hits",
    metadata,
    Column("name", Text, primary_key=True),
    _foreign_key("requests", "request_id", key=True),
    Index("hits_request", "request_id"),
    sqlite_with_rowid=False,
)

texts = Table(
    "texts",
    metadata,
    _foreign_key("requests", "id", key=True),
    _text("text"),
    _text("extra", null=True),  # additional indexed text; in SQLite only the index has it
)

counters = Table(
    "counters",
    metadata,
    _foreign_key("repos", "repo_id", key=True),
    # status, action, queue, cell (status, action and rule together), quality and mail (each behind the status)
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _integer("n"),
    sqlite_with_rowid=False,
)

weekly = Table(  # see domain/activity.py
    "weekly",
    metadata,
    Column("kind", Text, primary_key=True),
    _given_id("week"),
    _foreign_key("repos", "repo_id", key=True),
    Column("name", Text, primary_key=True),
    _integer("n"),
    sqlite_with_rowid=False,
)

history = Table(
    "history",
    metadata,
    _foreign_key("people", "person_id", key=True),
    _foreign_key("repos", "repo_id", key=True),
    _integer("accepted"),
    _integer("rejected"),
    _integer("resets"),
    _text("last"),
    _integer("last_at"),
    sqlite_with_rowid=False,
)

profiles = Table(
    "profiles", metadata, _foreign_key("people", "person_id", key=True), _bytes("document", null=True), _integer("at")
)

bindings = Table(
    "bindings",
    metadata,
    Column("owner_table", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    _text("user_id"),
)

# ---- ledger ----------------------------------------------------------------------------------------------------------

chains = Table("chains", metadata, _foreign_key("repos", "repo_id", key=True), _integer("seq"), _bytes("head"))

ledger = Table(
    "ledger",
    metadata,
    _id(),
    _foreign_key("repos", "repo_id"),
    _integer("seq"),
    _integer("at"),
    _text("kind"),
    _text("actor"),
    _integer("request_id", null=True),
    _text("run", null=True),  # copied from the body for the index
    _text("body"),
    _bytes("commitment", null=True),
    _bytes("hash"),
    Index("ledger_chain", "repo_id", "seq", unique=True),
    _partial_index("ledger_request", "request_id", "id", where="request_id IS NOT NULL"),
    _partial_index("ledger_run", "run", "id", where="run IS NOT NULL"),
)

private = Table(  # personal data; the chain stays valid after it is deleted
    "private",
    metadata,
    _given_id("id"),  # that of the ledger entry
    _integer("person_id"),
    _bytes("data"),
    Index("private_person", "person_id"),
)

dictionaries = Table("dictionaries", metadata, _id(), _foreign_key("repos", "repo_id"), _bytes("data"))

done = Table(
    "done",
    metadata,
    Column("verb", Text, primary_key=True),
    _given_id("ledger_id"),
    _integer("at"),
    Index("done_at", "verb", "at"),
    sqlite_with_rowid=False,
)

checkpoints = Table("checkpoints", metadata, _id(), _integer("at"), _text("heads"))

# ---- plans and runs --------------------------------------------------------------------------------------------------

plans = Table(
    "plans",
    metadata,
    Column("digest", Text, primary_key=True),
    _bytes("document"),
    _integer("made_at"),
    _text("about", null=True),  # a summary as JSON, so that lists need not read the document
)

made_plans = Table(  # a plan file may be applied only if it was made by this store
    "made_plans", metadata, Column("digest", Text, primary_key=True), _integer("valid_until")
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    _text("kind"),
    _text("actor"),
    _text("state"),
    _integer("made_at"),
    _text("plan", null=True),
    _integer("total"),
    _text("counts"),
    _text("member", null=True),  # id of the member who started it; null: a command
    _text("account", null=True),  # proven Hub account of that person
    _text("verbs"),  # number of changes of each kind at the start
    _boolean("is_free"),  # does not count towards the limit of one person
    Index("runs_made", "made_at"),
    _partial_index("runs_plan", "plan", where="plan IS NOT NULL"),
)

changes = Table(
    "changes",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    _given_id("n"),
    _foreign_key("repos", "repo_id"),
    _integer("request_id", null=True),
    _bytes("change"),
    _text("state"),
    _text("why"),
    Index("changes_state", "run", "state", "n"),
)

stop_requests = Table(  # to the process that executes a run: pause or stop
    "stop_requests", metadata, Column("run", Text, primary_key=True), _text("action")
)

# ---- unattended policies ---------------------------------------------------------------------------------------------

promotions = Table("promotions", metadata, Column("policy", Text, primary_key=True), _text("digest"))

first_turns = Table(  # policy versions that completed their first turn at a repo
    "first_turns",
    metadata,
    Column("digest", Text, primary_key=True),
    _foreign_key("repos", "repo_id", key=True),
    sqlite_with_rowid=False,
)

held_changes = Table(  # number of changes of a policy that the last turn held back
    "held_changes", metadata, Column("policy", Text, primary_key=True), _text("digest"), _integer("n")
)

halted_versions = Table(  # policy versions in runs that a person paused or stopped
    "halted_versions",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("digest", Text, primary_key=True),
    _foreign_key("repos", "repo_id", key=True),
    sqlite_with_rowid=False,
)

halted_ends = Table(
    "halted_ends",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    _foreign_key("requests", "request_id", key=True),
    Column("until_at", _BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# ---- desk ------------------------------------------------------------------------------------------------------------

tray = Table(  # unsent decisions, and for some time the outcomes of sent ones
    "tray",
    metadata,
    _id(),
    _foreign_key("requests", "request_id"),
    _text("version"),  # version of the request when it was decided
    _text("verb"),
    _text("reason", null=True),
    _text("actor"),
    _text("batch"),
    _integer("made_at"),
    _integer("leaves_at", null=True),  # null: when a person sends it
    _text("run", null=True),
    _text("outcome", null=True),
    _text("why", null=True),
    _integer("ended_at", null=True),
    _text("until", null=True),  # end of an acceptance, as written in rules
    _text("member", null=True),  # id of the member who decided
    _partial_index("tray_request", "request_id", where="outcome IS NULL", unique=True),
    _partial_index("tray_leaves", "leaves_at", "id", where="outcome IS NULL"),
)

members = Table(
    "members",
    metadata,
    Column("name", Text, primary_key=True),
    _text("role"),
    _text("repos", null=True),  # globs as JSON; null: every repo of the desk
    _text("link", null=True),  # digest of the personal link; null: none is valid
    _integer("made_at"),
    Column("id", Text, nullable=False, server_default=""),  # never reused for another member
    _text("account", null=True),  # name of the Hub account if it differs from the member's name
    _text("user_id", null=True),  # id of the Hub account
    _integer("proven_at", null=True),  # null: the account is not proven
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),  # digest of the browser's secret
    _text("member"),
    _integer("made_at"),
    _integer("seen_at"),
)

views = Table(
    "views",
    metadata,
    Column("member", Text, primary_key=True),  # id of the member
    Column("name", Text, primary_key=True),
    _text("query"),
    _integer("made_at"),
)

picks = Table(  # selections of requests; `picked` has each request's version when it was selected
    "picks",
    metadata,
    Column("id", Text, primary_key=True),
    _text("member"),
    _integer("made_at"),
)

picked = Table(
    "picked",
    metadata,
    Column("pick", Text, ForeignKey("picks.id"), primary_key=True),
    _foreign_key("requests", "request_id", key=True),
    _text("status"),  # this and the next three are the version: VERSION_COLUMNS of requests
    _integer("asked_at"),
    _integer("last_moved_at"),
    _bytes("answers"),
    sqlite_with_rowid=False,
)

# ---- triggers and text index -----------------------------------------------------------------------------------------

SQLITE: Final = (
    "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END",
    "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END",
    "CREATE VIRTUAL TABLE grams USING fts5(text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1')",
    "INSERT INTO grams (grams, rank) VALUES ('automerge', 16)",  # many pages are written in a row
    "INSERT INTO grams (grams, rank) VALUES ('hashsize', 33554432)",  # bytes, so that a transaction writes one segment
)

POSTGRESQL: Final = (
    """CREATE FUNCTION ledger_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the ledger is only added to'; END $$""",
    "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_only_added_to()",
    "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger EXECUTE FUNCTION ledger_only_added_to()",
    # Three bytes as one number: SQL takes bytes by their place in constant time, characters of UTF-8 by counting from
    # the start. The index is built in half the time. Matches are compared with the text anyway.
    """CREATE FUNCTION trigrams_of(whole text) RETURNS int[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
       $$ SELECT ARRAY(SELECT (get_byte(b, i) << 16) + (get_byte(b, i + 1) << 8) + get_byte(b, i + 2)
          FROM convert_to(whole, 'UTF8') AS b, generate_series(0, octet_length(b) - 3) AS i) $$""",
    "CREATE INDEX texts_grams ON texts USING gin (trigrams_of(text || extra))",
)
