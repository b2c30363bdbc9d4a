"""A request as a line of the queue: who, what they wrote, what the policies say and why in a few words, where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from ..domain.forms import fold, form_of_json
from ..domain.ids import id_time
from ..domain.lifecycle import MOVES
from ..domain.moments import iso, moment_of, ms
from ..domain.roles import Role, role_of
from ..domain.rows import RepoRow, RequestRow
from ..domain.tray import Held, ground_of
from ..errors import HfGateError
from ..policy.fact_inputs import EmailFacts
from ..policy.model import Action, Because, Opinion, Tried, Verdict
from ..usecases.judging import Court, cases_of
from . import words
from .office import Office
from .visit import Visit

TICKS: Final = {"true": "ticked", "on": "ticked", "false": "not ticked", "off": "not ticked"}
NEW: Final = timedelta(days=7)  # an account younger than this is pointed out
_ASIDE: Final = frozenset({Role.AFFILIATION, Role.COUNTRY, Role.CONSENT, Role.EMAIL, Role.NAME, Role.BIRTH_DATE})
_DOING: Final = {"accept": "accepting", "reset": "resetting", "reject": "rejecting", "cancel": "cancelling"}
_DID: Final = {"accepted": "accept", "rejected": "reject", "reset": "reset", "pending": "cancel"}


@dataclass(frozen=True, slots=True)
class Said:
    """What the policies make of a request. `shadow`: what one that only watches would do, as (action, policy, rule)."""

    action: str
    rule: str
    policy: str | None = None
    why: str = ""
    shadow: tuple[str, str, str] | None = None
    shadow_why: str = ""
    reason: str | None = None  # what the person would be told


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with its answer. `role`: what the question asks for; a box says that it is ticked."""

    label: str
    role: Role
    type: str  # as the card says; empty when the form of today does not ask it
    text: str
    is_tick: bool = False


@dataclass(slots=True)
class Line:
    """One row. `key` names the request in addresses; `version` is what a decision about it rests on."""

    row: RequestRow
    key: str
    version: str
    who: str
    fullname: str | None
    is_hidden: bool
    about: str
    asked: datetime
    age: str
    answers: list[Answer]
    said: Said | None
    flags: list[str] = field(default_factory=list)
    held: Held | None = None
    seconds_left: int | None = None
    verbs: tuple[str, ...] = ()
    is_masked: bool = False

    @property
    def repo(self) -> str:
        return str(self.row.repo)

    @property
    def status(self) -> str:
        return self.row.state.status

    @property
    def asked_iso(self) -> str:
        return iso(self.asked)

    @property
    def is_leaving(self) -> bool:
        """Decided, and not ended yet."""
        return self.held is not None and self.held.outcome is None

    @property
    def doing(self) -> str:
        """`accepting`, of one that is leaving."""
        return _DOING[self.held.verb] if self.held is not None else ""

    @property
    def mark(self) -> str:
        """The verb behind the status that it has now."""
        return _DID.get(self.status, "human")

    def of(self, *roles: Role) -> list[Answer]:
        """The answers to questions of these roles."""
        return [answer for answer in self.answers if answer.role in roles and answer.text.strip()]

    @property
    def rest(self) -> list[Answer]:
        """What says most, beside affiliation and country: the purpose and the job, or whatever there is instead."""
        told = [
            a
            for a in self.answers
            if a.role not in _ASIDE and not a.is_tick and a.type != "ip_location" and a.text.strip()
        ]
        purpose = [a for a in told if a.role is Role.PURPOSE]
        return [*purpose, *(a for a in told if a.role is Role.JOB)] if purpose else told


def key_of(row: RequestRow) -> str:
    """The Hub's id of a request; of past attempts and old Hubs our own number."""
    return row.state.hub_request if row.state.hub_request and row.is_current else f"n{row.id}"


def lines_of(visit: Visit, rows: Sequence[RequestRow]) -> list[Line]:
    """These requests as lines, in their order; each repo's are judged together."""
    office = visit.office
    said = verdicts_of(office, rows, visit.now)
    held = office.tray.about(row.id for row in rows)
    repos = {repo: office.store.repo(repo) for repo in {row.repo for row in rows}}
    return [_line(visit, row, repos[row.repo], said.get(row.id), held.get(row.id)) for row in rows]


def _line(visit: Visit, row: RequestRow, repo: RepoRow | None, said: Said | None, held: Held | None) -> Line:
    who, asked = row.person.identity, moment_of(row.state.asked_at)
    masked = visit.masks
    said = replace(said, why="", shadow_why="", reason=None) if masked and said is not None else said
    name = who.username or hidden_name(row)
    is_over = held is not None and held.outcome is not None
    held = None if is_over and held is not None and held.outcome in {"undone", "seen"} else held
    left = None if held is None or held.leaves_at is None else max(0, -(-(held.leaves_at - ms(visit.now)) // 1000))
    return Line(
        row=row,
        key=key_of(row),
        version=ground_of(row),
        who=row.person.pseudonym if masked else name,
        fullname=None if masked else who.fullname,
        is_hidden=who.username is None,
        about="" if masked else about_person(visit.office, row, visit.now),
        asked=asked,
        age=words.age(asked, visit.now),
        answers=[] if masked else answers_of(row, repo),
        said=said,
        flags=flags_of(row, visit.now),
        held=held,
        seconds_left=left,
        verbs=() if masked else verbs_for(row.state.status),
        is_masked=masked,
    )


def verbs_for(status: str) -> tuple[str, ...]:
    """What can be decided about a request that stands so, the gentle before the hard."""
    able = {move.verb for move in MOVES if move.before == status}
    return tuple(verb for verb in ("accept", "reset", "reject", "cancel") if verb in able)


def hidden_name(row: RequestRow) -> str:
    """How to call somebody whose name the repo does not show."""
    ident = row.state.hub_request or row.person.identity.user_id or row.person.pseudonym
    return f"(hidden #{ident[-6:]})"


def about_person(office: Office, row: RequestRow, now: datetime) -> str:
    """`academic · 3 y · rheinau.example`: the kind of mail, the age of the account, the domain."""
    who = row.person.identity
    if who.username is None:
        return "this repo shares no names"
    bench = office.bench
    mail = None if bench is None else bench.sources.email(who.email)
    made = id_time(who.user_id) if who.user_id else None
    domain = mail.domain if mail else (who.email or "").rpartition("@")[2]
    parts = (mail_kind(mail), words.years(now - made) if made else "", domain or "")
    return " · ".join(part for part in parts if part)


def mail_kind(mail: EmailFacts | None) -> str:
    """What kind of address it is."""
    if mail is None:
        return "no mail shared"
    named = (("throw-away mail", mail.disposable), ("academic", mail.academic), ("free mail", mail.free))
    return next((name for name, holds in named if holds), "")


def flags_of(row: RequestRow, now: datetime) -> list[str]:
    """What is odd, as `kind:text`."""
    made = id_time(row.person.identity.user_id) if row.person.identity.user_id else None
    flags = [f"again:attempt {row.state.attempt}"] if row.state.attempt > 1 else []
    if made is not None and now - made < NEW:
        flags.append("odd:new account")
    if row.has_notes:
        flags.append("note:has a note")
    return flags


def answers_of(row: RequestRow, repo: RepoRow | None) -> list[Answer]:
    """What they wrote, in the order and with the labels of the form that they saw."""
    if row.request is None:
        return []
    known = {} if repo is None or repo.form_card is None else _fields(repo.form_card)
    return [
        Answer(label, *known.get(fold(label), (role_of(label), "")), TICKS.get(text, text), text in TICKS)
        for label, text in row.request.answers.items()
    ]


@lru_cache(256)
def _fields(form_card: str) -> dict[str, tuple[Role, str]]:
    return {each.label: (each.role, each.type) for each in form_of_json(form_card).fields}


# ---- what the policies say ---------------------------------------------------------------------------------------------


def verdicts_of(office: Office, rows: Iterable[RequestRow], now: datetime) -> dict[int, Said]:
    """By the number of the request: as the policies say now where they can be heard, else as was entered last."""
    groups: dict[str, list[RequestRow]] = {}
    for row in rows:
        groups.setdefault(str(row.repo), []).append(row)
    found: dict[int, Said] = {}
    for group in groups.values():
        court = _court(office, group[0])
        if court is not None:
            found |= _heard(office, court, [row for row in group if row.state.status in court.statuses], now)
        found |= {row.id: said for row in group if row.id not in found and (said := _entered(row))}
    return found


def _court(office: Office, row: RequestRow) -> Court | None:
    repo = office.store.repo(row.repo)
    try:
        return None if repo is None else office.court(repo)
    except HfGateError:
        return None


def _heard(office: Office, court: Court, rows: Sequence[RequestRow], now: datetime) -> dict[int, Said]:
    bench = office.bench
    if bench is None or not rows:
        return {}
    found = {}
    for case in cases_of(office.store, court, bench.sources, rows, now):
        verdict = court.judge.verdict(case.facts, now=now, status=case.row.state.status)
        if verdict is not None:
            found[case.row.id] = said_of(verdict)
    return found


def _entered(row: RequestRow) -> Said | None:
    if row.state.verdict is None:
        return None
    action, policy, rule, _ = row.state.verdict
    shadow = next(((act, policy, rule) for policy, rule, act in row.state.shadow), None)
    return Said(action, rule, policy, shadow=shadow)


def said_of(verdict: Verdict) -> Said:
    """A verdict in a few words."""
    own = next((one for one in verdict.opinions if one.policy == verdict.policy), None)
    shadow = verdict.shadow[0] if verdict.shadow else None
    return Said(
        str(verdict.action),
        verdict.rule,
        verdict.policy,
        _why(verdict, own),
        None if shadow is None else (str(shadow.action), shadow.policy, shadow.rule),
        "" if shadow is None else _short(shadow),
        verdict.reason or (shadow.reason if shadow is not None else None),
    )


def _why(verdict: Verdict, own: Opinion | None) -> str:
    if verdict.missing:
        return f"not known: {', '.join(verdict.missing[:2])}"
    if verdict.needs:
        return f"not read yet: {', '.join(verdict.needs[:2])}"
    return "" if own is None else _short(own)


def _short(opinion: Opinion) -> str:
    """What the rule looked at; of one that always matches, the one thing that would have let them in."""
    tried = next((one for one in opinion.tried if one.rule == opinion.rule), None)
    leaves = [leaf for because in (tried.because if tried else ()) for leaf in _leaves(because) if leaf.value]
    told = ", ".join(filter(None, (words.fact_words(leaf.facts) for leaf in leaves[:3])))
    return told or next((_near(one) for one in opinion.tried if one.then is Action.ACCEPT and len(one.differ) == 1), "")


def _near(tried: Tried) -> str:
    if len(tried.differ[0]) != 1:
        return ""
    flip = tried.differ[0][0]
    return f"accept if {'' if flip.value else 'not '}{flip.expr}"


def _leaves(because: Because) -> list[Because]:
    if because.facts or not because.parts:
        return [because]
    return [leaf for part in because.parts for leaf in _leaves(part)]
