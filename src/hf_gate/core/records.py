"""Output records, one struct for each kind, used by `--json`, CSV, the desk's files, the JSON API and `schema`.

A value that is absent, unknown or hidden is null; its key is never missing. The records are filled by `records.py` and
`*_records.py` of the rooms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.people.access_end import TermsKind

from .outcomes import OutcomeKind
from .turns import HealthState, TurnEnd

Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Count = Annotated[int, Meta(ge=0)]
Quality = Literal["good", "thin", "junk", "empty", "missing"]
TICKS: Final = frozenset({"true", "false", "on", "off"})  # the values of a checkbox in the Hub's answers


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Base of all output records."""


R = TypeVar("R", bound=Record)


def keys_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the keys of a record in their order."""
    return kind.__struct_encode_fields__


def repo_problem_record(repo: Repo, why: str) -> RepoProblemRecord:
    """Return the record of a repo where something was not done."""
    return RepoProblemRecord(repo=repo.id, repo_type=repo.type, why=why)


def extend_record(record: Record, kind: type[R], /, **fields: object) -> R:
    """Return a record of a kind that extends another one: with the fields of that record, and these."""
    return kind(**msgspec.structs.asdict(record), **fields)


# ---- requests --------------------------------------------------------------------------------------------------------


class RepoReference(Record, frozen=True, kw_only=True):
    """The repo of a record."""

    repo: str
    repo_type: RepoType


class RequestReference(RepoReference, frozen=True, kw_only=True):
    """The request of a record, and its person."""

    request_id: str | None
    user_id: str | None
    user: str | None


class RecordedVerdict(Record, frozen=True, kw_only=True):
    """A verdict as it was recorded."""

    action: str
    policy: Annotated[str | None, Meta(description="null when no policy had an opinion")]
    rule: str
    digest: Annotated[str | None, Meta(description="the version of the policy")]


class GrantRecord(Record, frozen=True, kw_only=True):
    """The access that a request gives, and what can end it."""

    ends_at: Annotated[Time | None, Meta(description="the earlier of until and lapses_at; null: no end")]
    until: Annotated[Time | None, Meta(description="the end by date")]
    lapses_at: Annotated[Time | None, Meta(description="the end because a condition of keep_while is false")]
    keep_while: Annotated[Sequence[str], Meta(description="the access ends when one of these conditions turns false")]
    at_end: Annotated[str | None, Meta(description="reset or reject")]
    rule: Annotated[str | None, Meta(description="the rule that set the end, as policy/rule")]


class ApprovalRecord(Record, frozen=True, kw_only=True):
    """One approval of a request that needs several people."""

    by: str
    at: Time
    membership: Annotated[str | None, Meta(description="the age of a membership of less than 7 days, and who began it")]
    approved: Annotated[str, Meta(description="the access that this person agreed to, in words")]


class ApprovalsRecord(Record, frozen=True, kw_only=True):
    """The approvals of a pending request that needs several people."""

    needed: Count
    given: Annotated[list[ApprovalRecord], Meta(description="those that count now")]


class HubRequestRecord(RequestReference, frozen=True, kw_only=True):
    """One access request with what the Hub alone knows about it."""

    fullname: str | None
    email: str | None
    status: Annotated[str, Meta(description="pending, accepted, rejected, reset, or another word that the Hub uses")]
    asked_at: Time
    reviewed_at: Time | None
    answers: Annotated[dict[str, str] | None, Meta(description="by question; null when no form was filled in")]
    quality: Annotated[dict[str, Quality] | None, Meta(description="of each text answer; checkboxes are not rated")]


class RequestRecord(HubRequestRecord, frozen=True, kw_only=True):
    """One access request, with what a store adds."""

    verdict: Annotated[RecordedVerdict | None, Meta(description="null until a policy evaluates the request")]
    grant: Annotated[GrantRecord | None, Meta(description="null without access, or if only the Hub was read")]
    approvals: Annotated[
        ApprovalsRecord | None,
        Meta(
            description="null if one person can accept, without a store, for the past, and in lists before the first "
            "approval"
        ),
    ]


class TermsRecord(Record, frozen=True, kw_only=True):
    """The terms of an acceptance by hand, by the policies."""

    kind: Annotated[TermsKind, Meta(description="unknown, past and false: a person must choose the end")]
    until: Annotated[str | None, Meta(description="as written in rules; of several, the earliest")]
    ends_at: Annotated[Time | None, Meta(description="the end of an acceptance made now")]
    at_end: str | None
    rule: Annotated[str | None, Meta(description="policy/rule")]
    missing: Annotated[list[str], Meta(description="the facts that are not known")]


class AttemptRecord(RequestRecord, frozen=True, kw_only=True):
    """One of several requests of the same person."""

    attempt: Annotated[Count | None, Meta(description="1 for the first; null when only the Hub was read")]
    until: Annotated[Time | None, Meta(description="when the access ends")]


class AccountRecord(Record, frozen=True, kw_only=True):
    """The public profile of a requester."""

    created_at: Time | None
    is_pro: bool
    orgs: list[str]
    models: Count | None
    datasets: Count | None
    followers: Count | None


class HistoryRecord(Record, frozen=True, kw_only=True):
    """One entry of the audit log about a request, as a sentence with what people wrote."""

    at: Time
    attempt: Count
    kind: str
    actor: str
    text: str


class ShownRequest(RequestRecord, frozen=True, kw_only=True):
    """One request with the account and the history of its requester."""

    granted_by: str | None
    account: AccountRecord | None
    history: Annotated[list[HistoryRecord] | None, Meta(description="oldest first; null without a store")]


class ExportedRequest(AttemptRecord, frozen=True, kw_only=True):
    """One request in the export of a store, with the Hub's own record. `quality` is null, because it is not stored."""

    id: Annotated[int, Meta(description="the number of this request in other files of the export")]
    person: Annotated[int, Meta(description="the number of the person in people.jsonl")]
    follows: Annotated[int | None, Meta(description="the id of the previous attempt")]
    is_current: bool
    first_seen_at: Time | None
    at_end: str | None
    record: dict[str, Any] | None


class GrantEndRecord(Record, frozen=True, kw_only=True):
    """The end of a person's access."""

    ends_at: Annotated[Time | None, Meta(description="the earlier of until and lapses_at; null: no end")]
    until: Annotated[Time | None, Meta(description="the end by date")]
    lapses_at: Annotated[Time | None, Meta(description="the end because a condition of keep_while is false")]
    late_hours: Annotated[int, Meta(description="whole hours since the end; 0 before it")]
    user: str | None
    user_id: str | None
    request_id: str | None
    repo: str
    repo_type: RepoType
    at_end: Annotated[str | None, Meta(description="reset or reject")]
    rule: Annotated[str | None, Meta(description="null when a person set the end")]
    is_chosen: Annotated[bool, Meta(description="whether a person chose the end; the rule then only gave the access")]
    by: Annotated[str | None, Meta(description="the person who chose the end; of two approvers, whose end holds")]
    is_undecided: Annotated[
        bool, Meta(description="the condition is unknown at the last review, so the access stays until it is known")
    ]

    @property
    def is_lapsed(self) -> bool:
        """Whether the access ends because a condition was found false."""
        return self.lapses_at is not None and self.ends_at == self.lapses_at


# ---- people and repos ------------------------------------------------------------------------------------------------


class PersonRecord(Record, frozen=True, kw_only=True):
    """One person with the status of the latest request at each repo."""

    person: Annotated[str, Meta(description="the pseudonym that the audit log uses")]
    user_id: str | None
    user: str | None
    fullname: str | None
    email: str | None
    requests: Annotated[dict[str, str], Meta(description="status by repo")]


class PlaceRecord(Record, frozen=True, kw_only=True):
    """A place in a file of the owner that contains a person. hf-gate does not edit such files."""

    file: str
    line: Annotated[Count | None, Meta(description="null: the file is not text, or was not searched")]
    problem: Annotated[str | None, Meta(description="why the file was not searched")]


class WrittenFileRecord(Record, frozen=True, kw_only=True):
    """A backup, an export or a plan of the store. An erasure does not change it; restoring a backup repeats it."""

    file: str
    days: Annotated[Count | None, Meta(description="its age; null: it is not where it was written")]


class ErasureRecord(Record, frozen=True, kw_only=True):
    """What an erasure deletes, or would delete, and what stays."""

    person: Annotated[str, Meta(description="the pseudonym, which stays in the audit log")]
    erased: Annotated[bool, Meta(description="false in a dry run")]
    requests: Count
    entries: Annotated[Count, Meta(description="entries of the audit log that lose their personal data")]
    notes: Annotated[Count, Meta(description="notes about other people that name the person")]
    changes: Annotated[Count, Meta(description="changes of runs")]
    bindings: Annotated[Count, Meta(description="keys of tables that were matched with the account")]
    profiles: Count
    files: Annotated[
        list[WrittenFileRecord], Meta(description="backups and exports that may hold the person until you delete them")
    ]
    places: Annotated[list[PlaceRecord], Meta(description="your files that contain the person; they are not edited")]
    member: Annotated[str | None, Meta(description="the person is this member of the desk, who stays")]


class RepoRecord(RepoReference, frozen=True, kw_only=True):
    """One gated repo. Fields that only the store knows are null if a command reads only the Hub."""

    gated: Annotated[Literal[False] | str | None, Meta(description="manual, auto or false; null when never read")]
    counts: Annotated[dict[str, Count] | None, Meta(description="requests by status")] = None
    oldest_asked_at: Annotated[Time | None, Meta(description="of the pending requests")] = None
    quick_at: Annotated[Time | None, Meta(description="the last quick sync")] = None
    full_at: Annotated[Time | None, Meta(description="the last full sync")] = None
    complete: Annotated[bool | None, Meta(description="whether the last full sync was proved complete")] = None
    problem: Annotated[str | None, Meta(description="why the last sync failed")] = None
    fields: Annotated[list[str] | None, Meta(description="the questions of the form")] = None
    form_problems: Count | None = None
    fingerprint: str | None = None
    policies: list[str] | None = None


class RepoProblemRecord(RepoReference, frozen=True, kw_only=True):
    """A repo where something was not done, and why."""

    why: str


class RepoStatusRecord(RepoRecord, frozen=True, kw_only=True):
    """One stored repo with its waiting times. `policies` is null, because no policy is read."""

    waiting: Count
    median_wait_s: Annotated[Count | None, Meta(description="of the pending requests")]
    on_hold: Annotated[dict[str, Count], Meta(description="requests on hold by what they lack: an agreement, a row")]
    answered: Annotated[
        str | None, Meta(description="a sentence: all complete requests made before this day have an answer")
    ]


class TurnRecord(Record, frozen=True, kw_only=True):
    """One turn of `hf-gate run`."""

    started_at: Time
    ended_at: Annotated[Time | None, Meta(description="null while the turn runs, or if its process died")]
    end: TurnEnd | None
    problem: str | None
    repos: Annotated[Count, Meta(description="repos that were synced")]
    news: Annotated[Count, Meta(description="changes found on the Hub")]
    done: Annotated[Count, Meta(description="changes made")]
    deferred: Annotated[Count, Meta(description="changes left for a later turn because of a guard")]


class OpenProblemRecord(Record, frozen=True, kw_only=True):
    """A problem that needs a person. `subject` names it among the problems of its kind."""

    kind: str
    subject: str
    sentence: str
    is_stuck: Annotated[bool, Meta(description="whether no further turn solves it")]


class HealthRecord(Record, frozen=True, kw_only=True):
    """Whether unattended work is alive."""

    state: HealthState
    sentence: str
    hint: str
    stuck: Annotated[Sequence[str], Meta(description="problems that a turn cannot solve, a sentence each")]
    last_turn: TurnRecord | None
    running_turn: TurnRecord | None
    stopped_by: str | None
    stopped_at: Time | None


# ---- plans, runs and changes -----------------------------------------------------------------------------------------


class PlanRecord(Record, frozen=True, kw_only=True):
    """One plan in the list of plans. The plan itself is the document that `hf-gate plan` writes."""

    digest: str
    made_at: Time
    by: str
    kind: str
    changes: Count
    run: Annotated[str | None, Meta(description="the run that applied it")]
    state: Annotated[str | None, Meta(description="the state of that run")]


class ChangeRecord(Record, frozen=True, kw_only=True):
    """One change of a plan, with its outcome if a run executed it."""

    n: Count
    repo: str
    repo_type: RepoType
    request_id: str | None
    user_id: str | None
    user: str | None
    asked_at: Time | None
    before: Annotated[str | None, Meta(description="null: there is no request yet")] = msgspec.field(name="from")
    after: str = msgspec.field(name="to")
    reason: str | None
    rule: str
    policy: str | None
    until: str | None
    outcome: Annotated[OutcomeKind | None, Meta(description="null: no run")]
    why: str | None


class OutcomeRecord(Record, frozen=True, kw_only=True):
    """The outcome of one decision."""

    user: str | None
    user_id: str | None
    request_id: str | None
    repo: str
    repo_type: RepoType
    outcome: Annotated[OutcomeKind | None, Meta(description="null: a dry run did not send it")]
    why: str | None


class OutcomesRecord(Record, frozen=True, kw_only=True):
    """What a decision command or a run did, by outcome."""

    run: str | None
    planned: Count
    done: Count
    already: Count
    stale: Count
    gone: Count
    refused: Count
    deferred: Count
    open: Count
    outcomes: list[OutcomeRecord]


class RunRecord(Record, frozen=True, kw_only=True):
    """One run."""

    run: str
    kind: str
    state: str
    actor: str
    made_at: Time
    plan: Annotated[str | None, Meta(description="the digest of its plan")]
    planned: Annotated[Count, Meta(description="how many changes")]
    counts: Annotated[dict[str, Count], Meta(description="changes by outcome, or by state while open")]


class HaltRecord(RunRecord, frozen=True, kw_only=True):
    """One run that a person halts."""

    requested: Annotated[Literal["pause", "stop"] | None, Meta(description="null: the run was already over")]


# ---- audit log -------------------------------------------------------------------------------------------------------


class AuditRecord(Record, frozen=True, kw_only=True):
    """One entry of the audit log."""

    id: Annotated[str, Meta(description="chain#number, as `hf-gate audit show` takes it")]
    at: Time
    kind: str
    actor: str
    repo: str | None
    repo_type: RepoType | None
    request: Annotated[int | None, Meta(description="the number of its request in the store")]
    text: Annotated[str, Meta(description="the entry as a sentence")]
    body: Mapping[str, Any]


class EventRecord(AuditRecord, frozen=True, kw_only=True):
    """One entry of the audit log in the event feed: ids and digests, without names of applicants and their answers."""

    cursor: Annotated[str, Meta(description="continues the feed after this event")]
    hash: Annotated[str, Meta(description="of the entry and all before it in its chain, in hex")]
    commitment: Annotated[str | None, Meta(description="to the private part of the entry, in hex")]


class RowDetails(NamedTuple):
    """What is known of a stored request beside its row: its access, who approved it, and the form of its repo."""

    choices: frozenset[str] = frozenset()  # labels of the form's questions that are not answered in words
    grant: GrantRecord | None = None
    approvals: ApprovalsRecord | None = None


NO_DETAILS: Final = RowDetails()
