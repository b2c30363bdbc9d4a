"""A request as a row of the queue: person, answers, verdict with a short reason, state and possible decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.approvals.service.approval_status import ApprovalStatus, read_approval_status
from hf_gate.approvals.service.approvals import as_approver
from hf_gate.base.ids import id_time
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.forms.forms import collapse_whitespace, form_from_json
from hf_gate.core.forms.roles import Role, role_of
from hf_gate.core.lifecycle import MOVES, VERB_FOR_STATUS, VERBS, Status, label_action
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import HandTerms, TermsKind, end_of_terms
from hf_gate.core.queued_decisions import QueuedDecision
from hf_gate.core.runs import FAILED
from hf_gate.core.stored_rows import Identity, RepoRow, RequestRow
from hf_gate.desk import formatting
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.policies.verdict_cache import VerdictSummary
from hf_gate.grants.service.ends.terms_reader import mark_as_shown
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.fact_values import EmailFacts
from hf_gate.policies.words.phrases import describe_age
from hf_gate.store.rows.tray import find_latest_decisions
from hf_gate.verdicts.service.request_chips import SAME_TEXT_LIMIT, Chip, ChipKind, read_chips

from .verdicts import read_repos_of_requests, read_verdicts

TICKS: Final = {"true": "ticked", "on": "ticked", "false": "not ticked", "off": "not ticked"}
_CHIP_TEXTS: Final[Mapping[ChipKind, tuple[str, str]]] = MappingProxyType({
    ChipKind.NEW_ACCOUNT: ("new account {n} d", "Age of the account in days: {n}"),
    ChipKind.THROW_AWAY_MAIL: ("throw-away address", "The account's address belongs to a service for throw-away mail"),
    ChipKind.OTHER_FORM_MAIL: ("form e-mail differs", "Different from the account's e-mail address"),
    ChipKind.SAME_TEXT: ("same text × {n}", "{n} requests of this repo have the same long answer"),
    ChipKind.ASKED_BEFORE: ("asked before", "Earlier requests: {n}"),
    ChipKind.ADDRESSES_SOFTWARE: ("text addresses software", "An answer has instructions for a program"),
})  # fmt: skip
"""The text and the explanation of each chip. They contain no text of people."""

_MAX_USES: Final = 3  # main answers in a row
_MOST_SHOWN: Final = 240  # characters of a main answer in a row
_MOST_OF_DOMAIN: Final = 40  # characters of a mail domain
_NOT_MAIN: Final = frozenset({Role.AFFILIATION, Role.COUNTRY, Role.CONSENT, Role.EMAIL, Role.NAME, Role.BIRTH_DATE})


class AnswerLine(Struct, frozen=True):
    """One question with its answer.

    `role`: what the question asks for. The text of a box is `ticked` or `not ticked`.
    """

    label: str
    role: Role
    type: str  # as on the card; empty if the current form does not ask the question
    text: str
    is_tick: bool = False
    quality: str = ""  # if the answer is not good; only on the page of the request


class ShownAnswer(NamedTuple):
    """The begin of an answer, as a row shows it. `is_ascii`: it needs no isolation from what stands beside it."""

    label: str
    text: str
    is_ascii: bool


class AnswerSummary(NamedTuple):
    """The answers that a row shows."""

    uses: Sequence[ShownAnswer]
    institution: ShownAnswer | None
    country: ShownAnswer | None
    is_right_to_left: bool


class ChipLabel(NamedTuple):
    """A chip as it is shown. `kind` chooses its glyph and colour."""

    kind: str
    text: str
    title: str


class RequestLine(Struct):
    """One row. `key` is the request's name in addresses; `version` is sent back with each decision."""

    row: RequestRow
    key: str
    version: str
    who: str
    fullname: str | None
    asked_at: datetime
    age: str
    answers: list[AnswerLine]
    verdict: VerdictSummary | None
    account: str = ""  # what is known of the person's account
    chips: tuple[ChipLabel, ...] = ()
    decision: QueuedDecision | None = None
    seconds_left: int | None = None
    verbs: tuple[str, ...] = ()
    terms: HandTerms | None = None  # of an acceptance; None if the member cannot accept
    accept_until: str = ""  # the last day of access that an acceptance would give now; "" without an end
    approval: ApprovalStatus | None = None  # if two people must approve

    @property
    def failed_decision(self) -> QueuedDecision | None:
        """The last decision, if it did not take effect. A recorded first approval did."""
        kinds = {OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.DEFERRED}
        is_failed = (
            self.decision is not None and self.decision.outcome is not None and self.decision.outcome not in kinds
        )
        return self.decision if is_failed else None

    @property
    def is_over(self) -> bool:
        """Whether the decision has an outcome, so that the row leaves the list."""
        return self.decision is not None and self.decision.outcome not in {None, OutcomeKind.DEFERRED}

    @property
    def repo(self) -> str:
        return str(self.row.repo)

    @property
    def has_notes(self) -> bool:
        return self.row.has_notes

    @property
    def status(self) -> str:
        return self.row.state.status

    @property
    def asked_iso(self) -> str:
        """The time of asking for a program that reads the page, to the minute."""
        return f"{self.asked_at:%Y-%m-%dT%H:%MZ}"

    @property
    def is_leaving(self) -> bool:
        """Whether the request is decided and the decision has no outcome yet."""
        return self.decision is not None and self.decision.outcome is None

    @property
    def has_end_to_change(self) -> bool:
        """Whether the member can change the end of the access."""
        return self.status == Status.ACCEPTED and bool(self.verbs) and not self.is_leaving

    @property
    def accept_verb(self) -> str:
        """The verb of an acceptance: `Accept`, or `Approve (1 of 2)` while approvals are missing."""
        two = self.approval
        if two is None or two.is_complete:
            return label_action("accept")
        return f"Approve ({two.next_number} of {two.needed})"

    @property
    def accept_label(self) -> str:
        """The label of an acceptance: `Accept until 26 Nov 2027`, or `Approve (1 of 2) until 26 Nov 2027`."""
        verb = self.accept_verb
        if self.accept_until:
            return f"{verb} until {self.accept_until}"
        is_conditional = self.terms is not None and self.terms.kind is TermsKind.END
        return f"{verb} while the rule holds" if is_conditional else verb

    @property
    def must_choose_end(self) -> bool:
        """Whether an acceptance needs a choice of its end."""
        return self.terms is not None and self.terms.needs_choice

    @property
    def doing(self) -> str:
        """The unsent decision as a verb form: `accepting`, or `approving` if two people must approve."""
        if self.decision is None:
            return ""
        return "approving" if self.decision.verb == "accept" and self.approval else formatting.DOING[self.decision.verb]

    @property
    def mark(self) -> str:
        """The verb that leads to the current status."""
        return VERB_FOR_STATUS.get(self.status, "human")

    @property
    def number(self) -> str:
        """The request's number in the store, which is the short form of its key: a page has many of them."""
        return f"n{self.row.id}"

    @property
    def shown_answers(self) -> AnswerSummary:
        """The answers that a row shows."""
        return summarize_answers(self)

    @property
    def main_answers(self) -> list[AnswerLine]:
        """Return the most informative answers: purpose and job, or all free answers if there is no purpose."""
        told = [
            a
            for a in self.answers
            if a.role not in _NOT_MAIN and not a.is_tick and a.type != "ip_location" and a.text.strip()
        ]
        purpose = [a for a in told if a.role is Role.PURPOSE]
        return [*purpose, *(a for a in told if a.role is Role.JOB)] if purpose else told


def summarize_answers(line: RequestLine) -> AnswerSummary:
    """Return the answers that a row shows: the beginnings of the main ones, and from where."""
    main = line.main_answers
    roles = {answer.role: answer for answer in reversed(line.answers) if answer.text.strip()}
    first = next(iter(main), roles.get(Role.AFFILIATION, line.answers[0]))
    is_right_to_left = formatting.text_direction(first.text) is not None

    def shorten(answer: AnswerLine, most: int) -> ShownAnswer:
        text = formatting.begin_text(answer.text, most)
        return ShownAnswer(answer.label, text, not is_right_to_left and formatting.is_ascii(text))

    institution = roles.get(Role.AFFILIATION)
    country = roles.get(Role.COUNTRY)
    return AnswerSummary(
        [shorten(answer, _MOST_SHOWN) for answer in main[:_MAX_USES]],
        None if institution is None else shorten(institution, 120),
        None if country is None else shorten(country, 60),
        is_right_to_left,
    )


def request_key(row: RequestRow) -> str:
    """Return the Hub's id of a request; for past attempts and old Hubs, its number in the store (`n17`)."""
    return row.state.hub_request if row.state.hub_request and row.is_current else f"n{row.id}"


def build_request_lines(context: HttpContext, rows: Sequence[RequestRow]) -> list[RequestLine]:
    """Return rows for requests in the same order; the requests of a repo are evaluated together."""
    app_state = context.app_state
    repos = read_repos_of_requests(app_state, rows)
    said = read_verdicts(app_state, rows, context.now, repos, hides=context.member.repos is not None)
    decisions = find_latest_decisions(app_state.workspace.store, (row.id for row in rows), context.member.id)
    open_rows = [row for row in rows if "accept" in possible_verbs(row.state.status)]
    approvals = read_approval_status(
        app_state.workspace, open_rows, as_approver(context.member), lambda: app_state.policies.current
    )
    chips = read_chips(app_state.workspace.store, rows, repos, now=context.now)
    lines = [
        _line(context, row, repos.get(row.repo), said.get(row.id), decisions.get(row.id), chips[row.id]) for row in rows
    ]
    _add_terms(context, lines)
    for line in lines:
        line.approval = approvals.get(line.row.id)
    return lines


def _add_terms(context: HttpContext, lines: Sequence[RequestLine]) -> None:
    """Add the terms of an acceptance to the lines that the member can accept, and to the versions that
    are sent back.
    """
    able = [line for line in lines if "accept" in line.verbs]
    reader = context.app_state.terms_reader
    ending = {repo for repo in {line.row.repo for line in able} if reader.can_end_access(repo)}
    known = {
        line.row.id: line.verdict.terms
        for line in able
        if line.verdict is not None and line.verdict.terms and line.row.repo in ending
    }
    read = reader.read_terms([line.row for line in able if line.row.id not in known], context.now)
    versions = {repo: reader.read_versions(repo) for repo in {line.row.repo for line in able if line.row.id in known}}
    rows = [line.row for line in able if line.row.id in known]
    shown = {row.id: mark_as_shown(known[row.id], versions[row.repo], context.now) for row in rows}
    read |= reader.shorten_terms(rows, shown, context.now)
    for line in able:
        terms = read[line.row.id]
        end = end_of_terms(terms)
        line.terms = terms
        line.version = version_with_terms(context, line.row, terms)
        line.accept_until = "" if end is None or end.written is None else context.format_end(end.written)


def version_with_terms(context: HttpContext, row: RequestRow, terms: HandTerms | None) -> str:
    """Return the version that is sent back with a decision, and remember the terms of an acceptance under it."""
    if terms is None:
        return row.version.token
    version = f"{row.version.token}.{terms.token}"
    context.app_state.terms_reader.shown.remember(version, {row.id: terms})
    return version


def _line(
    context: HttpContext,
    row: RequestRow,
    repo: RepoRow | None,
    said: VerdictSummary | None,
    decision: QueuedDecision | None,
    chips: Sequence[Chip],
) -> RequestLine:
    who = row.person.identity
    asked = from_ms(row.state.asked_at)
    is_seen = decision is not None and decision.row.state in FAILED and not decision.run.is_unseen
    decision = None if is_seen else decision
    left = (
        None
        if decision is None or decision.run.starts_at is None
        else max(0, -(-(decision.run.starts_at - to_ms(context.now)) // 1000))
    )
    return RequestLine(
        row=row,
        key=request_key(row),
        version=row.version.token,
        who=row.person_name,
        fullname=other_name(who),
        asked_at=asked,
        age=context.format_age(asked),
        answers=list_answers(row, repo),
        verdict=said,
        account=describe_account(row, chips, context.now),
        chips=tuple(map(label_chip, chips)),
        decision=decision,
        seconds_left=left,
        verbs=possible_verbs(row.state.status) if context.can_decide else (),
    )


@lru_cache(16)
def possible_verbs(status: str) -> tuple[str, ...]:
    """Return the verbs possible in a status, in the order of their buttons."""
    able = {move.verb for move in MOVES if move.before == status}
    return tuple(verb for verb in VERBS if verb in able)


def describe_account(row: RequestRow, chips: Sequence[Chip], now: datetime) -> str:
    """Describe the account of a person by its mail domain and its age: `outlook.com · 22 months`.

    A long domain keeps its end, which says whose it is. A chip may say the age already.
    """
    who = row.person.identity
    address = parse_address(who.email or "")
    domain = "" if address is None else address.domain
    parts = [domain if len(domain) <= _MOST_OF_DOMAIN else f"…{domain[-_MOST_OF_DOMAIN:]}"]
    created = id_time(who.user_id) if who.user_id else None
    if created is not None and all(chip.kind is not ChipKind.NEW_ACCOUNT for chip in chips):
        parts.append(describe_age(max(0, (now - created).days)).replace(" ", "\N{NO-BREAK SPACE}"))
    return " ·\N{NO-BREAK SPACE}".join(filter(None, parts))


def describe_requester(row: RequestRow, now: datetime) -> str:
    """Describe a person by kind of mail and account: `academic · rheinau.example · 3 years`."""
    from hf_gate.verdicts.drivers.domain_lists import load_domain_lists

    who = row.person.identity
    if who.username is None:
        return "this repo hides names"
    return " · ".join(
        filter(None, (describe_mail(load_domain_lists().email(who.email)), describe_account(row, (), now)))
    )


def describe_mail(mail: EmailFacts | None) -> str:
    """Describe the kind of an e-mail address."""
    if mail is None:
        return "no mail shared"
    named = (("throw-away mail", mail.disposable), ("academic", mail.academic), ("free mail", mail.free))
    return next((name for name, holds in named if holds), "")


def label_chip(chip: Chip) -> ChipLabel:
    """Return a chip in words."""
    text, title = _CHIP_TEXTS[chip.kind]
    is_many = chip.kind is ChipKind.SAME_TEXT and chip.number is not None and chip.number > SAME_TEXT_LIMIT
    number = f"{SAME_TEXT_LIMIT}+" if is_many else chip.number
    return ChipLabel(chip.kind, text.format(n=number), title.format(n=number))


def other_name(who: Identity) -> str | None:
    """Return the full name, or None if it is the username again."""
    is_same = (who.fullname or "").strip().casefold() == (who.username or "").casefold()
    return None if is_same else who.fullname


def list_answers(row: RequestRow, repo: RepoRow | None) -> list[AnswerLine]:
    """Return the answers in the order and with the labels of the form that the person saw."""
    if row.request is None:
        return []
    known = {} if repo is None or repo.form_card is None else _fields(repo.form_card)
    return [
        AnswerLine(
            label, *known.get(collapse_whitespace(label), (role_of(label), "")), TICKS.get(text, text), text in TICKS
        )
        for label, text in row.request.answers.items()
    ]


@lru_cache(256)
def _fields(form_card: str) -> dict[str, tuple[Role, str]]:
    return {each.label: (each.role, each.type) for each in form_from_json(form_card).fields}
