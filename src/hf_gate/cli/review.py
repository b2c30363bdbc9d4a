"""review: decides requests one by one with single keys; each decision is held until the next request was shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct, field

from ..application.inputs import NOTE_LIMIT, ReasonTemplate, check_templates, parse_note, parse_reason
from ..application.reason_texts import LANGUAGES, list_ready_texts
from ..application.record_builders import outcome_record
from ..domain.display_text import pluralize, to_one_line
from ..domain.hand_terms import GrantEnd, end_of_terms
from ..domain.lifecycle import STATUS_AFTER_VERB, Status
from ..domain.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from ..domain.requests import target_of
from ..errors import EndNeeded, HfGateError, NotGated, ReasonTooLong, UsageError
from .execution import CommandResult, decision_sender, error_of, outcomes_document, person_label
from .framework import Run, command, repo_type_option
from .hand_ends import check_shown_end
from .keyboard import Keys
from .output import Format, Output
from .progress import Progress
from .request_table import request_lines
from .review_context import ReviewContext
from .targets import parse_repo_argument
from .text_layout import terminal_width, wrap_line
from .workspace import actor_of, announce, open_workspace

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..domain.requests import AccessRequest

_KEYS: Final = "a accept   e end   s send back   r reject   n note   space skip   z undo   ? help   q quit"
_HELP: Final = (
    "a      Accept: they can download at once. The Hub is not known to notify them.",
    "e      Accept with an end that you choose: 1y, 2027-06-30, or none.",
    "s      Send back (reset): no access, but they can ask again. The Hub e-mails them your reason.",
    "r      Reject: no access, and they cannot ask again. The Hub shows them your reason.",
    "n      Note for the audit log. They never see it.",
    "space  Skip: the request stays pending.",
    "z      Undo the decision that is not sent yet.",
    "q      Quit; a decision that is not sent yet is sent.",
    "A decision is not sent while the next request is shown. It is sent when you continue from there.",
    "Where two people must approve, the first acceptance only records your approval.",
)
_MAX_TEMPLATES: Final = 9  # templates that have a number key


class UnsentDecision(Struct, frozen=True):
    """A decision that is not sent yet, and its index in the list."""

    request: AccessRequest
    verb: str
    reason: str | None
    index: int
    end: GrantEnd | None = None  # of an acceptance, as shown or chosen


class ReviewSession(Struct):
    """The state of a review: the list, the index in it, the unsent decision, and the outcomes so far."""

    requests: list[AccessRequest]
    context: ReviewContext
    templates: list[ReasonTemplate] = field(default_factory=list)
    language: str = "en"  # of the texts that come with hf-gate
    index: int = 0
    unsent: UnsentDecision | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # runs of one decision each, which was done
    skipped: int = 0
    note: str = ""
    is_help_shown: bool = False  # on the next screen

    @property
    def current(self) -> AccessRequest | None:
        """Return the request that is shown; None after the last."""
        return self.requests[self.index] if self.index < len(self.requests) else None


@command(
    "review",
    examples=("hf-gate review datasets/acme/eeg", "hf-gate review acme/med-7b --newest-first"),
)
@click.argument("repo", metavar="REPO")
@click.option("--newest-first", is_flag=True, help="Start with the newest request; default: the oldest.")
@click.option(
    "--lang", type=click.Choice(list(LANGUAGES)), default="en", help="Language of the texts that come with hf-gate."
)
@repo_type_option
def review(run: Run, *, repo: str, newest_first: bool, lang: str, repo_type: str | None) -> int:
    """Decide pending requests one by one: a accept, s send back, r reject, n note, space skip, z undo, q quit.

    A decision is not sent while the next request is shown, and z undoes it. It is sent when you continue from there, or
    quit. Reasons can be chosen by number: the templates of the workspace, then the texts that come with it. In a workspace
    each request is shown with its verdict.
    """
    where = parse_repo_argument(run, repo, repo_type)
    if run.flags.get("no_input") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "review needs a terminal.", hint="Without one, use `hf-gate ls --format jsonl` and `hf-gate accept -`."
        )
    announce(run, writes=True)
    found = _pending_requests(run, where)
    found.sort(key=lambda request: request.asked_at, reverse=newest_first)
    session = ReviewSession(found, ReviewContext(run, where), _usable_templates(run, where), lang)
    result = CommandResult(session.outcomes)
    try:
        _decide_all(run, session)
    except BaseException as problem:  # noqa: BLE001 - outcomes are printed first; `CommandResult.finish` raises it again
        result.stopped_by = problem
        if session.unsent is not None:
            run.out.say(f"Not sent: {session.unsent.verb} {session.unsent.request.person}.")
    unwritten = run.out.write_results(lambda: _report(run, session), is_changed=result.is_changed)
    return result.finish() or unwritten


def _pending_requests(run: Run, where: Repo) -> list[AccessRequest]:
    """Return the pending requests: from the store after a quick sync if it had a full one, else from the Hub."""
    from .. import bootstrap

    if bootstrap.has_store(run.settings, run.location):
        with open_workspace(run, writes=True) as workspace:
            known = workspace.store.repo(where)
            if known is not None and known.full_at is not None:
                from ..application.sync import sync_repo
                from ..application.sync_schedule import SyncKind

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
        raise NotGated(f"{where} is not gated, so it has no access requests.")
    if not listing.completeness.proved:
        run.out.warn(f"the list is not proved complete: {listing.completeness.why}.")
    return found


def _usable_templates(run: Run, where: Repo) -> list[ReasonTemplate]:
    """Return the workspace's templates that can be used for this repo, by name."""
    found = []
    for each in check_templates(run.location.config.templates, [where]):
        if isinstance(each, UsageError):
            run.out.warn(f"{each}")
        else:
            found.append(each)
    return sorted(found, key=lambda each: each.name)[:_MAX_TEMPLATES]


def _decide_all(run: Run, session: ReviewSession) -> None:
    keys = Keys()
    while True:
        while session.current is not None:
            _print_screen(run, session, session.current)
            if not _handle_key(run, session, keys, keys.read_key()):
                return
        if session.unsent is None:
            return
        if not _offer_last_undo(run, session, keys):
            return


def _offer_last_undo(run: Run, session: ReviewSession, keys: Keys) -> bool:
    """After the last request, ask about the unsent decision: z undoes it, any other key sends it."""
    unsent = session.unsent
    if unsent is not None:
        what = f"{unsent.verb} {unsent.request.person}"
        why = _describe_approval(session, unsent)
        words = (
            f"Not sent yet: {what}. {why} Any key continues; z undoes it."
            if why
            else f"Any key sends: {what}. z undoes it."
        )
        _print_prompt(run.out, f"That was the last request. {words}")
        if keys.read_key().lower() == "z":
            _undo_unsent(session)
            return True
        return not _send_unsent(run, session)
    return False


def _handle_key(run: Run, session: ReviewSession, keys: Keys, key: str) -> bool:
    """Handle one key; return False to quit."""
    act: dict[str, Callable[[], None]] = {
        "a": lambda: _hold_acceptance(run, session, keys),
        "e": lambda: _hold_with_end(run, session, keys),
        "s": lambda: _hold_with_reason(run, session, keys, "reset"),
        "r": lambda: _hold_with_reason(run, session, keys, "reject"),
        "n": lambda: _add_note(run, session, keys),
        " ": lambda: _skip_request(run, session),
        "z": lambda: _undo_unsent(session),
    }
    key = key.lower()
    if key == "q":
        return not _send_unsent(run, session)
    if key in act:
        act[key]()
    else:
        session.is_help_shown = True
        session.note = "" if key == "?" else f"{key!r} does nothing here."
    return True


def _hold_decision(run: Run, session: ReviewSession, decision: UnsentDecision) -> None:
    if _send_unsent(run, session):
        session.unsent = decision
        session.index += 1


def _hold_acceptance(run: Run, session: ReviewSession, keys: Keys) -> None:
    """Hold an acceptance with the end that the rules set; ask for the end if they do not know it."""
    if session.current is None:
        return
    terms = session.context.read_terms(session.current)
    if terms.needs_choice:
        _print_prompt(run.out, session.context.describe_terms(terms))
        _hold_with_end(run, session, keys)
        return
    accept = UnsentDecision(session.current, "accept", None, session.index, end_of_terms(terms))
    _hold_decision(run, session, accept)


def _hold_with_end(run: Run, session: ReviewSession, keys: Keys) -> None:
    """Ask for the end of an acceptance, then hold it; `!` goes back to the request."""
    _print_prompt(run.out, "Access ends: 1y, 2027-06-30, or none. ! or Escape: back to the request.")
    while True:
        text = keys.read_line().strip()
        if text == "!" or "\x1b" in text or session.current is None:
            return
        try:
            end = session.context.parse_end(session.current, text)
        except UsageError as problem:
            run.out.say(f"{problem} {problem.hint} Type it again:")
        else:
            _hold_decision(run, session, UnsentDecision(session.current, "accept", None, session.index, end))
            return


def _skip_request(run: Run, session: ReviewSession) -> None:
    if _send_unsent(run, session):
        session.index += 1
        session.skipped += 1


def _undo_unsent(session: ReviewSession) -> None:
    if session.unsent is None:
        session.note = "Nothing to undo. A decision that was sent can only be changed by a new one."
        return
    session.index, session.note = (
        session.unsent.index,
        f"Undone: {session.unsent.verb} {session.unsent.request.person}.",
    )
    session.unsent = None


def _hold_with_reason(run: Run, session: ReviewSession, keys: Keys, verb: str) -> None:
    """Ask for a reason or the number of a template, then hold the decision; `!` goes back to the request."""
    act, what = ("Send back", "can ask again") if verb == "reset" else ("Reject", "cannot ask again")
    _print_prompt(run.out, f"{act}: they {what}. Type a reason, which they will see, and press Enter.")
    offered = (*session.templates, *list_ready_texts(verb, session.language))[:_MAX_TEMPLATES]
    texts = {str(number): template for number, template in enumerate(offered, 1)}
    for number, template in texts.items():
        _print_prompt(run.out, f"{number} and Enter: {template.text} ({template.name})")
    _print_prompt(run.out, "! or Escape: back to the request; nothing is decided.")
    while True:
        reason = keys.read_line().strip()
        if not reason and not _means_no_reason(run.out, keys):
            continue
        if reason in texts and session.current is not None:
            reason = texts[reason].fill(session.current.repo, session.current.username)
        if reason == "!" or "\x1b" in reason:
            return
        try:
            checked = parse_reason(reason, verb, is_silent=True)
        except ReasonTooLong as problem:
            run.out.say(f"{problem} Type a shorter reason:")
        else:
            if session.current is not None:
                _hold_decision(run, session, UnsentDecision(session.current, verb, checked, session.index))
            return


def _means_no_reason(out: Output, keys: Keys) -> bool:
    """Ask whether to send no reason, because Enter may be pressed by mistake."""
    _print_prompt(out, "Send no reason? They will not know why. y: send none. Any other key: type a reason.")
    return keys.read_key().lower() == "y"


def _add_note(run: Run, session: ReviewSession, keys: Keys) -> None:
    """Ask for a note about the current request and store it at once; the person never sees it."""
    _print_prompt(run.out, "Note for the audit log; they never see it. Enter or !: no note.")
    text = keys.read_line().strip()
    if not text or text == "!" or "\x1b" in text or session.current is None:
        return
    with open_workspace(run, writes=True) as workspace:
        decision_sender(run, workspace).add_note(session.current, parse_note(text[:NOTE_LIMIT]))
    session.note = "Noted."


def _send_unsent(run: Run, session: ReviewSession) -> bool:
    """Send the unsent decision. Return False, and go back to its request, if its access would end at another time."""
    unsent, session.unsent = session.unsent, None
    if unsent is None:
        return True
    from ..application.decisions import Choice, DecisionTarget
    from ..application.workspace import new_id

    request, decided = unsent.request, None
    try:
        with open_workspace(run, writes=True) as workspace:
            ask = DecisionTarget(request.repo, target_of(request), unsent.reason)
            sender = decision_sender(run, workspace, new={unsent.verb: 1}, targets=[ask])
            sender.choose_ends = lambda cases: check_shown_end(workspace, cases, unsent.end)
            decided = sender.decide([ask], Choice(STATUS_AFTER_VERB[unsent.verb]), run_id=new_id())
    except EndNeeded as changed:
        session.index, session.note = unsent.index, str(changed)
        return False
    except BaseException:
        session.unsent = None if decided is not None else unsent  # not sent; reported at the end
        raise
    outcome = decided.outcomes[0]
    problem = decided.stopped_by or error_of(outcome)
    if isinstance(problem, HfGateError) and classify_error(problem, is_listed=True).scope is not ErrorScope.ONE:
        session.unsent = unsent
        raise problem
    session.outcomes.append(outcome)
    if outcome.kind is OutcomeKind.DONE and decided.run is not None:
        session.runs.append(decided.run)
    if problem is not None and not isinstance(problem, HfGateError):
        raise problem
    if outcome.kind is not OutcomeKind.DONE:
        session.note = f"{person_label(outcome)}: {outcome.kind}: {outcome.why}"
    return True


def _print_screen(run: Run, session: ReviewSession, request: AccessRequest) -> None:
    """Print one screen in one write."""
    out, columns = run.out, terminal_width(sys.stderr)
    lines = [out.style(f"Request {session.index + 1} of {len(session.requests)}", "bold", sys.stderr)]
    if session.note:
        lines[:0] = _style_lines(out, session.note, "yellow")
        session.note = ""
    if session.unsent is not None:
        why = _describe_approval(session, session.unsent)
        after = f"{why} z undoes it." if why else "It is sent when you continue; z undoes it."
        text = f"Not sent yet: {session.unsent.verb} {session.unsent.request.person}. {after}"
        lines += _style_lines(out, text, "cyan")
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


def _describe_approval(session: ReviewSession, unsent: UnsentDecision) -> str:
    """Return why an unsent acceptance will not be sent, because two people must approve it; else an empty text."""
    return session.context.describe_approval(unsent.request) if unsent.verb == "accept" else ""


def _style_lines(out: Output, text: str, style: str) -> list[str]:
    """Wrap a text to the screen and style its lines."""
    return [out.style(line, style, sys.stderr) for line in wrap_line(to_one_line(text), terminal_width(sys.stderr))]


def _print_prompt(out: Output, text: str) -> None:
    """Print a question or its options on stderr."""
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
    out.line(f"{pluralize(done, 'request')} decided, {left:,} left.{_undo_hint(session.runs)}")


def _undo_hint(runs: Sequence[str]) -> str:
    if len(runs) == 1:
        return f" To undo it: hf-gate undo {runs[0]}"
    return " To undo one: hf-gate runs ls, then hf-gate undo RUN" if runs else ""
