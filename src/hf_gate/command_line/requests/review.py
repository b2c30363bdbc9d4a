"""review: decides requests one by one with single keys; each decision is held until the next request was shown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct, field

from hf_gate.base.display_text import pluralize, to_one_line
from hf_gate.command_line.decisions.confirmation import read_this_member
from hf_gate.command_line.decisions.execution import CommandResult, decision_sender, error_of, person_label
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.grants.hand_ends import check_shown_end, describe_end
from hf_gate.command_line.output import Format
from hf_gate.command_line.progress import Progress
from hf_gate.command_line.request_table import format_request_lines
from hf_gate.command_line.targets import parse_repo_argument
from hf_gate.command_line.text_layout import clip_text, cut_mark, terminal_width, wrap_line
from hf_gate.command_line.workspace_opening import announce_target, find_actor, open_stored_workspace, open_workspace
from hf_gate.core.events.events import NoteWritten, kind_of
from hf_gate.core.forms.forms import list_choice_labels
from hf_gate.core.lifecycle import STATUS_AFTER_VERB, Status
from hf_gate.core.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from hf_gate.core.people.access_end import NO_HAND_TERMS, AccessEnd, HandTerms, end_of_terms
from hf_gate.core.requests import target_of
from hf_gate.decisions.records import outcome_record, outcomes_record
from hf_gate.decisions.typed_input import parse_reason
from hf_gate.errors import EndNeeded, HfGateError, NotGated, ReasonTooLong, UsageError
from hf_gate.messages.reason_templates import ReasonTemplate, check_templates
from hf_gate.messages.reason_texts import list_ready_texts
from hf_gate.requests.service.request_records import rate_answers

if TYPE_CHECKING:
    from hf_gate.base.ids import Repo
    from hf_gate.core.requests import AccessRequest
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.grants.service.ends.terms_reader import TermsReader
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

_KEYS: Final = "a accept   s send back   r reject   space skip   z undo   m more   q quit"
_BACK: Final = "! and Enter: back to the request; nothing is decided."
_MAX_TEMPLATES: Final = 9  # templates that have a number key
_MAX_ENTRIES: Final = 200  # the most entries of a request searched for its last note
_MAX_COLUMNS: Final = 400  # width of a note or a message
_ROWS: Final = 24  # of a terminal that does not say its height
_MIN_BODY: Final = 3  # lines of a request above a long question
_ANSWER: Final = "      "  # the start of each line of an answer
_SEQUENCE: Final = re.compile(
    r"\x1b(?:[\[O][^@-~]*[@-~]?|.)?|[\x00\xe0].", re.DOTALL
)  # Esc, an arrow key, or Alt with another key
_KEY_NAMES: Final = {"\r": "Enter", "\n": "Enter", "\t": "Tab", "\x7f": "Backspace", "esc": "This key"}
_ENDS: Final = frozenset("\x03\x04")  # Ctrl-C, Ctrl-D


class UnsentDecision(Struct, frozen=True):
    """A decision that is not sent yet, and its index in the list."""

    request: AccessRequest
    verb: str
    reason: str | None
    index: int
    end: AccessEnd | None = None  # of an acceptance, as shown or chosen

    def __str__(self) -> str:
        return f"{self.verb} {self.request.person}"


class ReviewSession(Struct):
    """The state of a review: the list, the index in it, the unsent decision, and the outcomes so far."""

    requests: list[AccessRequest]
    context: ReviewContext | None  # None without a store
    templates: list[ReasonTemplate]
    index: int = 0
    page: int = 0  # of the whole request; 0: its first screen, with the longest answers cut
    unsent: UnsentDecision | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # runs of one decision each, which was done
    note: str = ""

    @property
    def current(self) -> AccessRequest | None:
        """Return the request that is shown; None after the last."""
        return self.requests[self.index] if self.index < len(self.requests) else None


@command(
    "review",
    examples=("hf-gate review datasets/acme/eeg", "hf-gate review acme/med-7b --newest-first"),
)
@click.argument("repo", metavar="[REPO]", required=False)
@click.option("--newest-first", is_flag=True, help="Start with the newest request; default: the oldest.")
@repo_type_option
def review(context: CommandContext, *, repo: str | None, newest_first: bool, repo_type: str | None) -> int:
    """Decide pending requests one by one: a accept, s send back, r reject, space skip, z undo, m more, q quit.

    Each screen shows one request, with its longest answers cut; m shows the rest. A decision is not sent while the next
    request is shown, and z undoes it. It is sent when you continue from there, or quit. Reasons can be chosen by
    number: the templates of the workspace, then the texts that come with it.
    """
    where = parse_repo_argument(context, repo, repo_type)
    if context.flags.get("no_input") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "review needs a terminal.", hint="Without one, use `hf-gate ls --format jsonl` and `hf-gate accept -`."
        )
    announce_target(context, writes=True)
    requests = sorted(_pending_requests(context, where), key=lambda request: request.asked_at, reverse=newest_first)
    workspace = open_stored_workspace(context)
    review_context = None if workspace is None else ReviewContext(context, where, workspace)
    session = ReviewSession(requests, review_context, _usable_templates(context, where))
    result = CommandResult(session.outcomes)
    try:
        _decide_all(context, session)
    except BaseException as problem:  # noqa: BLE001 - `CommandResult.finish` raises it again
        result.stopped_by = problem
        if session.unsent is not None:
            context.out.say(f"Not sent: {session.unsent}.")
    unwritten = context.out.write_results(lambda: _report(context, session), is_changed=result.is_changed)
    return result.finish() or unwritten


def _pending_requests(context: CommandContext, where: Repo) -> list[AccessRequest]:
    """Return the pending requests: from the store after a quick sync if it had a full one, else from the Hub."""
    from hf_gate.workspace.service import bootstrap

    if bootstrap.has_store(context.settings, context.location):
        with open_workspace(context, writes=True) as workspace:
            known = workspace.store.repo(where)
            if known is not None and known.full_at is not None:
                from hf_gate.requests.service.sync import sync_repo
                from hf_gate.requests.sync_schedule import SyncKind

                sync_repo(
                    context.hub, workspace.store, workspace.clock, where, SyncKind.QUICK, actor=find_actor(context)
                )
                rows = workspace.store.iterate_requests(where, Status.PENDING)
                return [row.request for row in rows if row.request is not None and row.state.open_run is None]
    return _list_pending(context, where)


def _list_pending(context: CommandContext, where: Repo) -> list[AccessRequest]:
    listing = context.hub.list_pending(where)
    found = []
    with Progress(context.out, "read") as bar:
        for request in listing:
            found.append(request)
            bar.tick()
    if not found and context.hub.gate(where).mode is False:
        raise NotGated(f"{where} is not gated, so it has no access requests.")
    if not listing.completeness.proved:
        context.out.warn(f"the list is not proved complete: {listing.completeness.why}.")
    return found


def _usable_templates(context: CommandContext, where: Repo) -> list[ReasonTemplate]:
    """Return the workspace's templates that can be used for this repo, by name."""
    found = []
    for each in check_templates(context.location.config.templates, [where]):
        if isinstance(each, UsageError):
            context.out.warn(f"{each}")
        else:
            found.append(each)
    return sorted(found, key=lambda each: each.name)


# ---- deciding --------------------------------------------------------------------------------------------------------


def _decide_all(context: CommandContext, session: ReviewSession) -> None:
    keys = Keys()
    while session.current is not None or session.unsent is not None:
        request = session.current
        if request is None:
            if not _offer_last_undo(context, session, keys):
                return
        else:
            _print_screen(context, session, request, [_KEYS])
            if not _handle_key(context, session, keys, request):
                return


def _offer_last_undo(context: CommandContext, session: ReviewSession, keys: Keys) -> bool:
    """After the last request, ask about the unsent decision: z undoes it, any other key sends it. Return False to
    quit.
    """
    why = "" if session.unsent is None else _describe_approval(session, session.unsent)
    words = (
        f"Not sent yet: {session.unsent}. {why} Any key continues; z undoes it."
        if why
        else f"Any key sends: {session.unsent}. z undoes it."
    )
    context.out.say(f"That was the last request. {words}")
    if keys.read_key().lower() != "z":
        return not _send_unsent(context, session)
    _undo_unsent(session)
    return True


def _handle_key(context: CommandContext, session: ReviewSession, keys: Keys, request: AccessRequest) -> bool:
    """Handle one key about the request that is shown; return False to quit."""
    act: dict[str, Callable[[], None]] = {
        "a": lambda: _hold_acceptance(context, session, request),
        "s": lambda: _hold_with_reason(context, session, keys, request, "reset"),
        "r": lambda: _hold_with_reason(context, session, keys, request, "reject"),
        " ": lambda: _continue(context, session, None),
        "z": lambda: _undo_unsent(session),
    }
    key = keys.read_key().lower()
    if key == "q":
        return not _send_unsent(context, session)
    if key == "m":
        session.page += 1
    elif key in act:
        session.page = 0
        act[key]()
    else:
        session.note = f"{_KEY_NAMES.get(key, repr(key))} does nothing here."
    return True


def _continue(context: CommandContext, session: ReviewSession, decision: UnsentDecision | None) -> None:
    """Send the unsent decision, hold this one (None: the request is skipped), and go to the next request."""
    if _send_unsent(context, session):
        session.unsent = decision
        session.index += 1


def _hold_acceptance(context: CommandContext, session: ReviewSession, request: AccessRequest) -> None:
    """Hold an acceptance with the end that the rules set, if they know it."""
    terms = NO_HAND_TERMS if session.context is None else session.context.read_terms(request)
    if terms.needs_choice:
        accept = context.command_line("accept", f"{request.person}@{request.repo}", "--until", "1y")
        session.note = f"Choose the end of access: {accept}, or none."
        return
    _continue(context, session, UnsentDecision(request, "accept", None, session.index, end_of_terms(terms)))


def _hold_with_reason(
    context: CommandContext, session: ReviewSession, keys: Keys, request: AccessRequest, verb: str
) -> None:
    """Ask for a reason or the number of a template, then hold the decision; `!` goes back to the request."""
    act, what = ("Send back", "can ask again") if verb == "reset" else ("Reject", "cannot ask again")
    texts = {
        str(number): template
        for number, template in enumerate((*session.templates, *list_ready_texts(verb))[:_MAX_TEMPLATES], 1)
    }
    ask = (
        f"{act}: they {what}. Type a reason that they will see, then Enter.",
        *(f"{number} and Enter: {template.text} ({template.name})" for number, template in texts.items()),
        _BACK,
    )
    while True:
        _print_screen(context, session, request, ask)
        reason = keys.read_answer()
        if reason is None:
            return
        if not reason:
            context.out.say("Send no reason? They will not know why. y: send none. Any other key: type a reason.")
            if keys.read_key().lower() != "y":
                continue
        if reason in texts:
            reason = texts[reason].fill(request.repo, request.username)
        try:
            checked = parse_reason(reason, verb, is_silent=True)
        except ReasonTooLong as problem:
            session.note = f"{problem} Type a shorter reason."
        else:
            _continue(context, session, UnsentDecision(request, verb, checked, session.index))
            return


def _undo_unsent(session: ReviewSession) -> None:
    if session.unsent is None:
        session.note = "Nothing to undo. A decision that was sent can only be changed by a new one."
        return
    session.index = session.unsent.index
    session.note = f"Undone: {session.unsent}."
    session.unsent = None


def _send_unsent(context: CommandContext, session: ReviewSession) -> bool:
    """Send the unsent decision. Return False, and go back to its request, if its access would end at another time."""
    unsent = session.unsent
    session.unsent = None
    if unsent is None:
        return True
    from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
    from hf_gate.settings.service.workspace import new_id

    request = unsent.request
    decided = None
    try:
        with open_workspace(context, writes=True) as workspace:
            ask = DecisionTarget(request.repo, target_of(request), unsent.reason)
            sender = decision_sender(context, workspace, {unsent.verb: 1}, [ask])
            sender.choose_ends = lambda cases: check_shown_end(workspace, cases, unsent.end)
            decided = sender.decide([ask], Choice(STATUS_AFTER_VERB[unsent.verb]), run_id=new_id())
    except EndNeeded as changed:
        session.index = unsent.index
        session.note = str(changed)
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


# ---- the screen ------------------------------------------------------------------------------------------------------


def _print_screen(context: CommandContext, session: ReviewSession, request: AccessRequest, ask: Sequence[str]) -> None:
    """Print one screen in one write: counter, person and unsent decision, the request, and the keys or a question.

    What does not fit is cut, so that the first lines never leave the terminal.
    """
    columns = terminal_width(sys.stderr) or 80

    def style(text: str, name: str) -> list[str]:
        return [context.out.style(line, name, sys.stderr) for line in wrap_line(to_one_line(text), columns)]

    choices = list_choice_labels(None if session.context is None else session.context.form_card)
    quality = rate_answers(request, choices)
    person, *body = format_request_lines(request, context.now(), None, quality, columns)
    head = style(f"Request {session.index + 1} of {len(session.requests)} · {person}", "bold")
    if session.unsent is not None:
        why = _describe_approval(session, session.unsent) or "It is sent when you continue;"
        head += style(f"Not sent yet: {session.unsent}. {why} z undoes it.", "cyan")
    head += style(clip_text(session.note, _MAX_COLUMNS), "yellow") if session.note else []
    session.note = ""
    for line in session.context.lines(request) if session.context is not None else ():
        body += wrap_line(to_one_line(line), columns, 12)
    rows = _count_rows() - len(head) - 2  # a blank line, and the line of the cursor
    foot = [part for line in ask for part in style(line, "dim")]
    if len(foot) > rows - _MIN_BODY:
        foot = [part for line in ask for part in style(clip_text(line, columns), "dim")]
    room = max(_MIN_BODY, rows - len(foot))
    clear = "\x1b[H\x1b[2J" if os.environ.get("TERM", "dumb") != "dumb" else "\n"
    sys.stderr.write(clear + "\n".join([*head, *_choose_lines(session, body, room), "", *foot]) + "\n")
    sys.stderr.flush()


def _count_rows() -> int:
    """Return the height of the terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).lines or _ROWS
    except OSError:
        return _ROWS


def _choose_lines(session: ReviewSession, lines: list[str], room: int) -> list[str]:
    """Return the lines of a request that are shown: with its longest answers cut, or a page of all of it."""
    if len(lines) <= room:
        session.page = 0
        return lines
    pages = -(-len(lines) // (room - 1))
    session.page %= pages + 1
    if session.page:
        start = (session.page - 1) * (room - 1)
        return [*lines[start : start + room - 1], f"-- page {session.page} of {pages}; m: more --"]
    most = next((most for most in range(room, 2, -1) if len(cut_answers(lines, most)) <= room), 2)
    cut = cut_answers(lines, most)
    if len(cut) > room:
        cut[room - 1 :] = [f"{_ANSWER}{cut_mark()} more: m"]
    return cut


def cut_answers(lines: Sequence[str], most: int) -> list[str]:
    """Return the lines of a request with each answer cut to a number of lines, the last of which says so."""
    shown: list[str] = []
    for is_answer, group in groupby(lines, lambda line: line.startswith(_ANSWER)):
        block = list(group)
        if is_answer and len(block) > most:
            block[most - 1 :] = [f"{_ANSWER}{cut_mark()} {pluralize(len(block) - most + 1, 'more line')}: m"]
        shown += block
    return shown


def _describe_approval(session: ReviewSession, unsent: UnsentDecision) -> str:
    """Return why an unsent acceptance will not be sent, because two people must approve it; else an empty text."""
    context = session.context
    return context.describe_approval(unsent.request) if context is not None and unsent.verb == "accept" else ""


def _report(context: CommandContext, session: ReviewSession) -> None:
    out = context.out
    if out.format in {Format.JSON, Format.JSONL}:
        out.document(
            outcomes_record(list(map(outcome_record, session.outcomes)), len(session.outcomes), None), lambda: ()
        )
        return
    done = sum(outcome.kind is OutcomeKind.DONE for outcome in session.outcomes)
    for outcome in session.outcomes:
        if outcome.kind is not OutcomeKind.DONE:
            out.line(f"{person_label(outcome)}: {outcome.kind}: {outcome.why}")
    undo = ""
    if len(session.runs) == 1:
        undo = f" To undo it: {context.command_line('undo', session.runs[0])}"
    elif session.runs:
        undo = f" To undo one: {context.command_line('runs', 'ls')}, then {context.command_line('undo', 'RUN')}"
    out.line(f"{pluralize(done, 'request')} decided, {len(session.requests) - done:,} left.{undo}")


# ---- what the reviewer sees of a request -----------------------------------------------------------------------------


class ReviewContext:
    """Evaluates requests with the store and the current policies."""

    def __init__(self, context: CommandContext, repo: Repo, workspace: Workspace) -> None:
        self.context = context
        self.repo = repo
        self.workspace = workspace
        self._problem = ""
        stored = workspace.store.repo(repo)
        self.form_card = None if stored is None else stored.form_card

    def lines(self, request: AccessRequest) -> Iterator[str]:
        """Return why the verdict is so, the end of an acceptance and the last note. Callers must make them safe."""
        row = self._find_row(request)
        if row is None:
            return
        if why := self._explain(row):
            yield f"  why       {why}"
        if (terms := self.read_terms(request)) != NO_HAND_TERMS:
            yield f"  accept    {describe_end(terms, self.context.now(), self.workspace.zone)}"
        for entry in self.workspace.store.entries(request=row.id, limit=_MAX_ENTRIES) if row.has_notes else ():
            if entry.link.kind == kind_of(NoteWritten):
                text = clip_text(str((entry.private or {}).get("note", "(erased)")), _MAX_COLUMNS)
                yield f"  note      {text} ({entry.link.actor})"
                return

    def read_terms(self, request: AccessRequest) -> HandTerms:
        """Return the terms of an acceptance of this request."""
        row = self._find_row(request)
        if row is None:
            return self._terms_reader.without_request(self.repo)
        return self._terms_reader.read_terms([row], self.workspace.now())[row.id]

    def describe_approval(self, request: AccessRequest) -> str:
        """Return why an acceptance by this person sends nothing: two people must approve it. Empty if it is sent."""
        from hf_gate.approvals.service.approval_status import read_approval_status
        from hf_gate.approvals.service.approvals import as_approver

        row = self._find_row(request)
        if row is None:
            return ""
        me = as_approver(read_this_member(self.context))
        status = read_approval_status(self.workspace, [row], me, lambda: self._bundle).get(row.id)
        if status is None or status.why_not:
            return "" if status is None else status.why_not
        is_last = len(status.given) + 1 >= status.needed
        return "" if is_last else "Only your approval is recorded when you continue: another person must approve too."

    def _find_row(self, request: AccessRequest) -> RequestRow | None:
        """Return the stored row of a request; None if it is not stored."""
        store = self.workspace.store
        known = store.latest_attempts(self.repo, [request])[0]
        return None if known is None else store.request(known.id)

    @cached_property
    def _terms_reader(self) -> TermsReader:
        from hf_gate.grants.service.ends.terms_reader import load_terms_reader

        return load_terms_reader(self.workspace, lambda: self._bundle)

    @cached_property
    def _bundle(self) -> PolicyBundle | None:
        from hf_gate.verdicts.service.policy_bundle import load_policies

        try:
            return None if self.workspace.location.folder is None else load_policies(self.workspace)
        except HfGateError as problem:
            self._problem = str(problem).partition("\n")[0]
            return None

    def _explain(self, row: RequestRow) -> str:
        """Return the verdict of the current policies and why, in one sentence; empty without policies or answers."""
        from hf_gate.policies.words.explanations import explain_verdict
        from hf_gate.verdicts.service.evaluation import evaluate_request, open_fact_sources

        workspace = self.workspace
        now = workspace.now()
        bundle = self._bundle
        repo = workspace.store.repo(self.repo)
        if self._problem:
            return f"no verdict, because the policies cannot be read: {clip_text(self._problem, _MAX_COLUMNS)}"
        if bundle is None or repo is None or not bundle.is_governed(self.repo):
            return ""
        sources = open_fact_sources(workspace)
        policies = bundle.for_repo(repo, sources)
        try:
            verdict = evaluate_request(workspace.store, policies, sources, row, now, with_profile=False).verdict
        except LookupError:
            return ""
        return str(explain_verdict(verdict, now, workspace.zone, row.state.status).sentence)


# ---- keys ------------------------------------------------------------------------------------------------------------


class Keys:
    """Reads one key at a time. Between reads the terminal is in its normal mode, so Ctrl-C works.

    Keys pressed between reads are dropped, because they were meant for an earlier screen.
    """

    def __init__(self) -> None:
        self._typed = ""  # one read can return several keys

    def read_key(self) -> str:
        """Return the next key; `esc` for an arrow key or another key that sends several characters."""
        if not self._typed:
            try:
                self._typed = click.getchar()
            except EOFError:
                raise KeyboardInterrupt from None
        found = _SEQUENCE.match(self._typed)
        key = found[0] if found else self._typed[:1]
        self._typed = self._typed[len(key) :]
        if not key or key in _ENDS:
            raise KeyboardInterrupt  # the terminal is gone, or the user pressed Ctrl-C or Ctrl-D
        return "esc" if found else key

    def read_answer(self) -> str | None:
        """Return a line without spaces around it; None if the user typed `!` or Escape to go back."""
        text = self._read_line().strip()
        return None if text == "!" or "\x1b" in text else text

    def _read_line(self) -> str:
        """Return a line that the user can edit and submits with Enter."""
        typed = self._typed
        self._typed = ""
        start, ends, rest = typed.replace("\r", "\n").partition("\n")
        if ends:
            self._typed = rest
            return start
        line = sys.stdin.buffer.readline(8192)
        if not line:
            raise KeyboardInterrupt
        return start + line.decode("utf-8", "replace")
