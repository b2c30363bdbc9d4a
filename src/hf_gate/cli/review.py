"""review: one request after the other, by single keys; each decision is held until one more request was looked at."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from ..application.inputs import NOTE_LIMIT, ReasonTemplate, check_templates, parse_note, parse_reason
from ..application.record_builders import outcome_record
from ..domain.display_text import to_one_line
from ..domain.lifecycle import STATUS_AFTER_VERB, Status
from ..domain.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from ..domain.requests import target_of
from ..errors import HfGateError, NotGated, ReasonTooLong, UsageError
from .execution import CommandResult, decision_sender, error_of, open_to_write, outcomes_document, person_label
from .framework import Run, command, repo_type_option
from .keyboard import Keys
from .output import Format, Output, count_of
from .progress import Progress
from .request_details import request_lines
from .review_context import ReviewContext
from .targets import parse_repo_argument
from .text_layout import terminal_width, wrap_line
from .workspace import actor_of, announce

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..domain.requests import AccessRequest

_KEYS: Final = "a accept   s send back   r reject   n note   space skip   z take back   ? help   q end"
_HELP: Final = (
    "a      Accept: they can download at once. The Hub is not known to tell them.",
    "s      Send back: no access. They are mailed your reason, and may ask again.",
    "r      Reject: no access, and they cannot ask again. They are shown your reason.",
    "n      Note: for the audit log. It is never shown to them.",
    "space  Skip: nothing happens to them. The request stays pending.",
    "z      Take back the decision that is held.",
    "q      End. The decision that is held is sent.",
    "A decision is held while the next request is shown. It is sent when you go on from there.",
)
_NUMBERED: Final = 9  # templates that have a number key


@dataclass(frozen=True, slots=True)
class UnsentDecision:
    """A decision that has not left yet, and where in the list it was taken."""

    request: AccessRequest
    verb: str
    reason: str | None
    index: int


@dataclass(slots=True)
class ReviewSession:
    """The list, the place in it, the one decision that is held, and what became of those that left."""

    requests: list[AccessRequest]
    context: ReviewContext
    templates: list[ReasonTemplate] = field(default_factory=list)
    index: int = 0
    held: UnsentDecision | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # each holds one decision that was done
    skipped: int = 0
    note: str = ""
    is_help_shown: bool = False  # with the next screen

    @property
    def current(self) -> AccessRequest | None:
        """The request that is shown; None after the last."""
        return self.requests[self.index] if self.index < len(self.requests) else None


@command(
    "review",
    examples=("hf-gate review datasets/acme/eeg", "hf-gate review acme/med-7b --newest-first"),
)
@click.argument("repo", metavar="REPO")
@click.option("--newest-first", is_flag=True, help="Begin with who asked last; else with who has waited longest.")
@repo_type_option
def review(run: Run, *, repo: str, newest_first: bool, repo_type: str | None) -> int:
    """Decide pending requests one by one: a accept, s send back, r reject, n note, space skip, z undo, q quit.

    A decision is held while the next request is shown, and z takes it back; it is sent when you go on from there, or at q.
    At a workspace what its policies say stands beside each request, and its templates have number keys where a reason is asked.
    """
    where = parse_repo_argument(repo, repo_type)
    if run.flags.get("no_input") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "review needs a terminal.", hint="Without one: `hf-gate ls --format jsonl`, then `hf-gate accept -`."
        )
    announce(run, writes=True)
    found = _waiting(run, where)
    found.sort(key=lambda request: request.asked_at, reverse=newest_first)
    session = ReviewSession(found, ReviewContext(run, where), _templates(run, where))
    result = CommandResult(session.outcomes)
    try:
        _decide_all(run, session)
    except BaseException as problem:  # noqa: BLE001 - what was done is told first; `Result.end` raises it again
        result.stopped_by = problem
        if session.held is not None:
            run.out.say(f"Not sent: {session.held.verb} {session.held.request.person}.")
    unwritten = run.out.write_results(lambda: _report(run, session), is_changed=result.is_changed)
    return result.finish() or unwritten


def _waiting(run: Run, where: Repo) -> list[AccessRequest]:
    """Who waits: from the store where the repo was read whole, after a look at what is new; else from the Hub."""
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it

    if bootstrap.has_store(run.settings, run.location):
        with open_to_write(run) as workspace:
            known = workspace.store.repo(where)
            if known is not None and known.full_at is not None:
                from ..application.sync import sync_repo  # noqa: PLC0415 - as above
                from ..application.sync_schedule import SyncKind  # noqa: PLC0415 - as above

                sync_repo(run.hub, workspace.store, workspace.clock, where, SyncKind.QUICK, actor=actor_of(run))
                rows = workspace.store.iterate_requests(where, Status.PENDING)
                return [row.request for row in rows if row.request is not None and row.state.open_run is None]
    return _list_pending(run, where)


def _list_pending(run: Run, where: Repo) -> list[AccessRequest]:
    listing, found = run.hub.list_pending(where), []
    with Progress(run.out, "read") as bar:
        for request in listing:
            found.append(request)
            bar.tick()
    if not found and run.hub.gate(where).mode is False:
        raise NotGated(f"{where} is not gated: nobody needs to ask for access there.")
    if not listing.completeness.proved:
        run.out.warn(f"the list is not proved whole: {listing.completeness.why}.")
    return found


def _templates(run: Run, where: Repo) -> list[ReasonTemplate]:
    """The workspace's texts that can be sent here, in the order of their names."""
    found = []
    for each in check_templates(run.location.config.templates, [where]):
        if isinstance(each, UsageError):
            run.out.warn(f"{each}")
        else:
            found.append(each)
    return sorted(found, key=lambda each: each.name)[:_NUMBERED]


def _decide_all(run: Run, session: ReviewSession) -> None:
    keys = Keys()
    while True:
        while session.current is not None:
            _show(run, session, session.current)
            if not _take(run, session, keys, keys.read_key()):
                return
        if session.held is None:
            return
        if not _last_chance(run, session, keys):
            return


def _last_chance(run: Run, session: ReviewSession, keys: Keys) -> bool:
    """After the last request one decision is still held: z takes it back, every other key sends it."""
    held = session.held
    if held is not None:
        _ask(
            run.out,
            f"That was the last one. {held.verb} {held.request.person} leaves with the next key; z takes it back.",
        )
        if keys.read_key().lower() == "z":
            _take_back(session)
            return True
        _send(run, session)
    return False


def _take(run: Run, session: ReviewSession, keys: Keys, key: str) -> bool:
    """What one key does; False: the end."""
    act: dict[str, Callable[[], None]] = {
        "a": lambda: _hold(run, session, "accept", None),
        "s": lambda: _with_reason(run, session, keys, "reset"),
        "r": lambda: _with_reason(run, session, keys, "reject"),
        "n": lambda: _note(run, session, keys),
        " ": lambda: _skip(run, session),
        "z": lambda: _take_back(session),
    }
    key = key.lower()
    if key == "q":
        _send(run, session)
        return False
    if key in act:
        act[key]()
    else:
        session.is_help_shown = True
        session.note = "" if key == "?" else f"{key!r} is no key here."
    return True


def _hold(run: Run, session: ReviewSession, verb: str, reason: str | None) -> None:
    request = session.current
    _send(run, session)
    if request is not None:
        session.held = UnsentDecision(request, verb, reason, session.index)
        session.index += 1


def _skip(run: Run, session: ReviewSession) -> None:
    _send(run, session)
    session.index += 1
    session.skipped += 1


def _take_back(session: ReviewSession) -> None:
    if session.held is None:
        session.note = "Nothing is held: what has left can only be decided anew."
        return
    session.index, session.note = session.held.index, f"Taken back: {session.held.verb} {session.held.request.person}."
    session.held = None


def _with_reason(run: Run, session: ReviewSession, keys: Keys, verb: str) -> None:
    """A reason, typed as a line, or the number of a template; `!` goes back to the request."""
    act, what = ("Send back", "may ask again") if verb == "reset" else ("Reject", "cannot ask again")
    _ask(run.out, f"{act}: they {what}. Type a reason, which is shown to them, and Enter.")
    texts = {str(number): template for number, template in enumerate(session.templates, 1)}
    for number, template in texts.items():
        _ask(run.out, f"{number} and Enter: {template.text} ({template.name})")
    _ask(run.out, "! or Escape: back, nothing is decided.")
    while True:
        reason = keys.read_line().strip()
        if not reason and not _means_no_reason(run.out, keys):
            continue
        if reason in texts and session.current is not None:
            reason = texts[reason].fill(session.current.repo, session.current.username)
        if reason == "!" or "\x1b" in reason:
            return
        try:
            told = parse_reason(reason, verb, is_silent=True)
        except ReasonTooLong as problem:
            run.out.say(f"{problem} Type a shorter one:")
        else:
            _hold(run, session, verb, told)
            return


def _means_no_reason(out: Output, keys: Keys) -> bool:
    """Ask whether to send no reason: a stray Enter must not leave a person to guess."""
    _ask(out, "No reason: they are left to guess. y: send none. Any other key: type a reason.")
    return keys.read_key().lower() == "y"


def _note(run: Run, session: ReviewSession, keys: Keys) -> None:
    """A note about the request that is shown; it is written at once, and never shown to the person."""
    _ask(run.out, "A note for the ledger, never shown to them. Enter alone or !: none.")
    text = keys.read_line().strip()
    if not text or text == "!" or "\x1b" in text or session.current is None:
        return
    with open_to_write(run) as workspace:
        decision_sender(run, workspace).add_note(session.current, parse_note(text[:NOTE_LIMIT]))
    session.note = "Noted."


def _send(run: Run, session: ReviewSession) -> None:
    """The held decision leaves."""
    held, session.held = session.held, None
    if held is None:
        return
    from ..application.decisions import Choice, DecisionTarget  # noqa: PLC0415 - only who decides
    from ..application.workspace import new_id  # noqa: PLC0415 - as above

    request, decided = held.request, None
    try:
        with open_to_write(run) as workspace:
            ask = DecisionTarget(request.repo, target_of(request), held.reason)
            decided = decision_sender(run, workspace, new={held.verb: 1}, asks=[ask]).decide(
                [ask], Choice(STATUS_AFTER_VERB[held.verb]), run_id=new_id()
            )
    except BaseException:
        session.held = None if decided is not None else held  # not sent, and said so at the end
        raise
    outcome = decided.outcomes[0]
    problem = decided.stopped_by or error_of(outcome)
    if isinstance(problem, HfGateError) and classify_error(problem, is_listed=True).scope is not ErrorScope.ONE:
        session.held = held
        raise problem
    session.outcomes.append(outcome)
    if outcome.kind is OutcomeKind.DONE and decided.run is not None:
        session.runs.append(decided.run)
    if problem is not None and not isinstance(problem, HfGateError):
        raise problem
    if outcome.kind is not OutcomeKind.DONE:
        session.note = f"{person_label(outcome)}: {outcome.kind}: {outcome.why}"


def _show(run: Run, session: ReviewSession, request: AccessRequest) -> None:
    """One screen, written at once."""
    out, columns = run.out, terminal_width(sys.stderr)
    lines = [out.style(f"Request {session.index + 1} of {len(session.requests)}", "bold", sys.stderr)]
    if session.note:
        lines[:0] = _style_lines(out, session.note, "yellow")
        session.note = ""
    if session.held is not None:
        held = f"Held: {session.held.verb} {session.held.request.person}. It is sent when you go on; z takes it back."
        lines += _style_lines(out, held, "cyan")
    lines += request_lines(request, run.now(), None, columns)
    for line in session.context.lines(request):
        lines += wrap_line(to_one_line(line), columns, 12)
    if session.is_help_shown:
        lines += ["", *(line for text in _HELP for line in wrap_line(text, columns, 7))]
        session.is_help_shown = False
    lines += ["", *_style_lines(out, _KEYS, "dim")]
    clear = "\x1b[H\x1b[2J" if os.environ.get("TERM", "dumb") != "dumb" else "\n"
    sys.stderr.write(clear + "\n".join(lines) + "\n")
    sys.stderr.flush()


def _style_lines(out: Output, text: str, style: str) -> list[str]:
    """A text as lines of the screen, parted between words."""
    return [out.style(line, style, sys.stderr) for line in wrap_line(to_one_line(text), terminal_width(sys.stderr))]


def _ask(out: Output, text: str) -> None:
    """What is asked of the person at the keys."""
    out.write_stderr("\n".join(wrap_line(to_one_line(text), terminal_width(sys.stderr))) + "\n")


def _report(run: Run, session: ReviewSession) -> None:
    out = run.out
    if out.format in {Format.JSON, Format.JSONL}:
        out.document(
            outcomes_document(list(map(outcome_record, session.outcomes)), len(session.outcomes), None), lambda: ()
        )
        return
    done = sum(outcome.kind is OutcomeKind.DONE for outcome in session.outcomes)
    others = [outcome for outcome in session.outcomes if outcome.kind is not OutcomeKind.DONE]
    left = len(session.requests) - done
    for outcome in others:
        out.line(f"{person_label(outcome)}: {outcome.kind}: {outcome.why}")
    out.line(f"{count_of(done, 'request')} decided, {left:,} left.{_way_back(session.runs)}")


def _way_back(runs: Sequence[str]) -> str:
    if len(runs) == 1:
        return f" To undo it: hf-gate undo {runs[0]}"
    return " To undo one: hf-gate runs ls, then hf-gate undo RUN" if runs else ""
