"""Defines the tables of the work at a store: plans, runs, unattended policies, approvals and the desk."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, Text

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

metadata = MetaData()

# ---- plans and runs --------------------------------------------------------------------------------------------------

plans = Table(
    "plans",
    metadata,
    Column("digest", Text, primary_key=True),
    bytes_column("document"),
    integer_column("made_at"),
    text_column("about", null=True),  # a summary as JSON, so that lists need not read the document
)

made_plans = Table(  # a plan file may be applied only if it was made by this store
    "made_plans", metadata, Column("digest", Text, primary_key=True), integer_column("valid_until")
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    *text_columns("kind", "actor", "state"),
    integer_column("made_at"),
    text_column("plan", null=True),
    integer_column("total"),
    text_column("counts"),
    text_column("member", null=True),  # id of the member who started it; null: a command
    text_column("account", null=True),  # proven Hub account of that person
    text_column("verbs"),  # number of changes of each kind at the start
    boolean_column("is_free"),  # the run does not count towards one person's limit
    Index("runs_made", "made_at"),
    partial_index("runs_plan", "plan", where="plan IS NOT NULL"),
)

changes = Table(
    "changes",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    given_id_column("n"),
    foreign_key_column("repos", "repo_id"),
    integer_column("request_id", null=True),
    bytes_column("change"),
    *text_columns("state", "why"),
    Index("changes_state", "run", "state", "n"),
    Index("changes_request", "request_id"),  # also finds the changes without a request
)

stop_requests = (
    Table(  # requests to the process that executes a run: pause or stop; for run `*`, who stopped all and when
        "stop_requests", metadata, Column("run", Text, primary_key=True), text_column("action")
    )
)

turns = Table(  # the last turns of `hf-gate run`
    "turns",
    metadata,
    id_column(),
    integer_column("started_at"),
    *integer_columns("interval_s", "ended_at", null=True),
    *text_columns("ending", "problem", null=True),
    *integer_columns("repos", "news", "done", "deferred"),
)

# ---- unattended policies ---------------------------------------------------------------------------------------------

promotions = Table("promotions", metadata, Column("policy", Text, primary_key=True), text_column("digest"))

first_turns = Table(  # policy versions that completed their first turn at a repo
    "first_turns",
    metadata,
    Column("digest", Text, primary_key=True),
    foreign_key_column("repos", "repo_id", key=True),
    sqlite_with_rowid=False,
)

held_changes = Table(  # number of changes of a policy that the last turn held back
    "held_changes", metadata, Column("policy", Text, primary_key=True), text_column("digest"), integer_column("n")
)

halted_versions = Table(  # policy versions in runs that a person paused or stopped
    "halted_versions",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("digest", Text, primary_key=True),
    foreign_key_column("repos", "repo_id", key=True),
    sqlite_with_rowid=False,
)

halted_ends = Table(
    "halted_ends",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    foreign_key_column("requests", "request_id", key=True),
    Column("until_at", BIG_INTEGER, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# ---- approvals -------------------------------------------------------------------------------------------------------

approvals = (
    Table(  # approvals of requests that need two people; a row counts while its version is the request's version
        "approvals",
        metadata,
        foreign_key_column("requests", "request_id", key=True),
        Column("account", Text, primary_key=True),  # id of the approver's proven Hub account
        text_column("member", null=True),  # id of the approver as a member; null: at the terminal
        text_column("actor"),
        integer_column("at"),
        text_column("status"),  # this column and the next three are the version: VERSION_COLUMNS of requests
        *integer_columns("asked_at", "last_moved_at"),
        bytes_column("answers"),
        bytes_column("identity", null=True),  # null: the rules do not read the name or the e-mail address
        text_column("need"),  # digest of the rules that ask for two people
        boolean_column("has_note"),  # the note is in the private part of the ledger entry
        sqlite_with_rowid=False,
    )
)

policy_authors = Table(  # who promoted or saved a version of a policy; they do not count as approvers under it
    "policy_authors",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("member", Text, primary_key=True),  # empty: at the terminal
    Column("account", Text, primary_key=True),  # empty: unknown
    sqlite_with_rowid=False,
)

approval_alarms = Table(  # requests that were accepted outside hf-gate without the approvals that they need
    "approval_alarms",
    metadata,
    foreign_key_column("requests", "request_id", key=True),
    *integer_columns("at", "given", "needed"),
)

# ---- notices ---------------------------------------------------------------------------------------------------------

notice_destinations = Table(
    "notice_destinations",
    metadata,
    Column("name", Text, primary_key=True),
    boolean_column("is_on"),  # whether hf-gate.yaml names it
    text_column("events"),  # the mode of each event, and since when (ms), as JSON
    text_column("digest_at"),  # time of day
    text_column("zone"),
    integer_column("sequence"),  # of the last message
)

outbox = Table(  # messages to one destination; they hold counts and numbers of requests, no names
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),  # receivers see it
    text_column("destination"),
    integer_column("sequence"),
    text_column("state"),
    text_column("items"),  # JSON
    boolean_column("is_alarm"),
    *integer_columns("made_at", "queued_at", "next_at", "attempts"),
    *integer_columns("tried_at", "ended_at", null=True),
    text_column("outcome", null=True),  # of the last attempt
    text_column("problem", null=True),
    text_column("accepted"),  # digests of the recipients that have it, as JSON
    text_column("lease", null=True),  # of the process that sends it now
    integer_column("lease_until", null=True),  # of earlier versions; now a lock keeps a claim, not a time
    Index("outbox_place", "destination", "sequence", unique=True),
    partial_index("outbox_open", "destination", "sequence", where="state IN ('waiting', 'sending')"),
    partial_index("outbox_ended", "ended_at", where="ended_at IS NOT NULL"),
)

notice_lines = Table(  # lines of the next digest
    "notice_lines",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("line", Text, primary_key=True),  # what is added up
    text_column("item"),  # JSON
    integer_column("at"),  # of the first one
    sqlite_with_rowid=False,
)

notice_conditions = Table(  # states that last, such as a failing turn
    "notice_conditions",
    metadata,
    Column("event", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    text_column("item"),  # JSON
    *integer_columns("began_at", "told_at"),
    sqlite_with_rowid=False,
)

letters = Table(  # mail to applicants; no text and no address, which are read when a letter is sent
    "letters",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("kind"),
    foreign_key_column("requests", "request_id"),
    integer_column("person_id"),
    Column("key", Text, nullable=False, server_default=""),  # the rule, or the end that is near
    text_column("state"),
    *integer_columns("made_at", "next_at", "attempts"),
    integer_column("started_at", null=True),  # of the intent to send it
    integer_column("ended_at", null=True),
    text_column("problem", null=True),
    text_column("lease", null=True),  # of the process that sends it
    Index("letters_once", "request_id", "kind", "key", unique=True),
    Index("letters_person", "person_id", "started_at"),
    partial_index("letters_open", "next_at", "id", where="state IN ('due', 'sending')"),
)

# ---- desk ------------------------------------------------------------------------------------------------------------

tray = Table(  # unsent decisions, and for some time the outcomes of sent ones
    "tray",
    metadata,
    id_column(),
    foreign_key_column("requests", "request_id"),
    text_column("version"),  # version of the request when it was decided
    text_column("verb"),
    text_column("reason", null=True),
    *text_columns("actor", "batch"),
    integer_column("made_at"),
    integer_column("leaves_at", null=True),  # null: sent when a person sends it
    *text_columns("run", "outcome", "why", null=True),
    integer_column("ended_at", null=True),
    text_column("until", null=True),  # end of an acceptance, as written in rules
    text_column("member", null=True),  # id of the member who decided
    text_column("hand_terms", null=True),  # the end of an acceptance as it was shown, as JSON; null: none was chosen
    text_column("note", null=True),  # of an acceptance, for the team
    partial_index("tray_request", "request_id", "member", where="outcome IS NULL", unique=True),
    partial_index("tray_leaves", "leaves_at", "id", where="outcome IS NULL"),
)

members = Table(
    "members",
    metadata,
    Column("name", Text, primary_key=True),
    text_column("role"),
    text_column("repos", null=True),  # globs as JSON; null: every repo of the desk
    text_column("link", null=True),  # digest of the personal link; null: none is valid
    integer_column("made_at"),
    Column("id", Text, nullable=False, server_default=""),  # never reused for another member
    text_column("account", null=True),  # name of the Hub account if it differs from the member's name
    text_column("user_id", null=True),  # id of the Hub account
    integer_column("proven_at", null=True),  # null: the account is not proven
    integer_column(
        "link_until", null=True
    ),  # ms until which the link must be used first; null: it was used, or nobody has it
    Column("origin", Text, nullable=False, server_default="invitation"),  # a MemberOrigin
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),  # digest of the browser's secret
    text_column("member"),
    text_column("method"),  # a SignInMethod
    text_column("browser"),  # a label such as "Firefox on Linux"
    *integer_columns("made_at", "seen_at"),
)

absences = Table(
    "absences",
    metadata,
    Column("member", Text, primary_key=True),  # id of the member who is away
    text_column("deputy"),  # id of the member who stands in
    integer_column("until"),  # ms; the end of the last day
)

devices = Table(  # browsers in which a personal link works
    "devices",
    metadata,
    Column("id", Text, primary_key=True),  # digest of the browser's device cookie
    Column("member", Text, primary_key=True),  # id of the member
    integer_column("seen_at"),
)

views = Table(
    "views",
    metadata,
    Column("member", Text, primary_key=True),  # id of the member
    Column("name", Text, primary_key=True),
    text_column("query"),
    integer_column("made_at"),
)

picks = Table(  # selections of requests; `picked` has each request's version when it was selected
    "picks",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("member"),
    integer_column("made_at"),
)

picked = Table(
    "picked",
    metadata,
    Column("pick", Text, ForeignKey("picks.id"), primary_key=True),
    foreign_key_column("requests", "request_id", key=True),
    text_column("status"),  # this column and the next three are the version: VERSION_COLUMNS of requests
    *integer_columns("asked_at", "last_moved_at"),
    bytes_column("answers"),
    text_column("assigned", null=True),  # to whom it was assigned when it was selected
    sqlite_with_rowid=False,
)
