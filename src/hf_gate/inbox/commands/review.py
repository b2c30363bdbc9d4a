"""review: decides requests one by one with single keys; each decision is held until the next request was shown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct, field

from hf_gate.base.display_text import clip, pluralize, to_one_line
from hf_gate.base.timestamps import format_age, from_ms
from hf_gate.cli.framework import CommandContext, command, repo_type_option
from hf_gate.cli.output import Format, Output, style_mark
from hf_gate.cli.progress import Progress
from hf_gate.cli.request_table import format_request_lines
from hf_gate.cli.targets import parse_repo_argument
from hf_gate.cli.text_layout import terminal_width, wrap_line
from hf_gate.cli.workspace import announce_target, find_actor, open_stored_workspace, open_workspace
from hf_gate.core.events.events import NoteWritten, kind_of
from hf_gate.core.lifecycle import STATUS_AFTER_VERB, Status, label_action
from hf_gate.core.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from hf_gate.core.people.hand_terms import NO_END_WORD, NO_HAND_TERMS, GrantEnd, HandTerms, choose_end, end_of_terms
from hf_gate.core.requests import target_of
from hf_gate.decisions.commands.confirmation import read_this_member
from hf_gate.decisions.commands.execution import (
    CommandResult,
    decision_sender,
    error_of,
    person_label,
)
from hf_gate.decisions.typed_input import NOTE_LIMIT, parse_note, parse_reason
from hf_gate.errors import EndNeeded, HfGateError, NotGated, ReasonTooLong, UsageError
from hf_gate.grants.commands.hand_ends import check_shown_end, describe_end, parse_typed_end
from hf_gate.inbox.records import outcome_record, outcomes_record
from hf_gate.messages.reason_templates import ReasonTemplate, check_templates
from hf_gate.messages.reason_texts import LANGUAGES, list_ready_texts

if TYPE_CHECKING:
    from hf_gate.base.ids import Repo
    from hf_gate.core.requests import AccessRequest
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.grants.service.ends.terms_reader import TermsReader
    from hf_gate.policies.words.explanations import Explanation
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

_KEYS: Final = "a accept   A end   s send back   r reject   e why   n note   space skip   z undo   ? help   q quit"
_HELP: Final = (
    "a      Accept: they can download at once. The Hub is not known to notify them.",
    "A      Accept with an end that you choose: 1y, 2027-06-30, or none.",
    "s      Send back (reset): no access, but they can ask again. The Hub e-mails them your reason.",
    "r      Reject: no access, and they cannot ask again. The Hub shows them your reason.",
    "e      Why: each rule that was tried, with its values.",
    "n      Note for the audit log. They never see it.",
    "space  Skip: the request stays pending.",
    "z      Undo the decision that is not sent yet.",
    "q      Quit; a decision that is not sent yet is sent.",
    "A decision is not sent while the next request is shown. It is sent when you continue from there.",
    "Where two people must approve, the first acceptance only records your approval.",
)
_MAX_TEMPLATES: Final = 9  # templates that have a number key
_MAX_NOTES: Final = 3  # the most notes shown, the latest first
_MAX_REASONS: Final = 6  # the most conditions shown
_MAX_ENTRIES: Final = 200  # the most entries of a request searched for notes, the latest first
_MAX_COLUMNS: Final = 400  # width of one note
_NO_WORKSPACE_END: Final = "an end of access needs a workspace with a store; write none"
_MARKS: Final = {True: "✓", False: "✗", None: "?"}
_SEQUENCE: Final = re.compile(
    r"\x1b(?:[\[O][^@-~]*[@-~]?|.)?|[\x00\xe0].", re.DOTALL
)  # Esc, an arrow key, or Alt with another key
_ENDS: Final = frozenset("\x03\x04")  # Ctrl-C, Ctrl-D


class UnsentDecision(Struct, frozen=True):
    """A decision that is not sent yet, and its index in the list."""

    request: AccessRequest
    verb: str
    reason: str | None
    index: int
    end: GrantEnd | None = None  # of an acceptance, as shown or chosen

    def __str__(self) -> str:
        return f"{self.verb} {self.request.person}"


class ReviewSession(Struct):
    """The state of a review: the list, the index in it, the unsent decision, and the outcomes so far."""

    requests: list[AccessRequest]
    context: ReviewContext | None  # None without a store
    templates: list[ReasonTemplate] = field(default_factory=list)
    language: str = "en"  # of the texts that come with hf-gate
    index: int = 0
    unsent: UnsentDecision | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # runs of one decision each, which was done
    skipped: int = 0
    note: str = ""
    is_help_shown: bool = False  # on the next screen
    is_why_shown: bool = False  # on the next screen

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
def review(context: CommandContext, *, repo: str, newest_first: bool, lang: str, repo_type: str | None) -> int:
    """Decide pending requests one by one: a accept, s send back, r reject, e why, n note, space skip, z undo, q quit.

    A decision is not sent while the next request is shown, and z undoes it. It is sent when you continue from there, or
    quit. Reasons can be chosen by number: the templates of the workspace, then the texts that come with it. In a
    workspace each request is shown with its verdict.
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
    session = ReviewSession(requests, review_context, _usable_templates(context, where), lang)
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
    return sorted(found, key=lambda each: each.name)[:_MAX_TEMPLATES]


def _decide_all(context: CommandContext, session: ReviewSession) -> None:
    keys = Keys()
    while True:
        while session.current is not None:
            _print_screen(context, session, session.current)
            if not _handle_key(context, session, keys, keys.read_key()):
                return
        if not _offer_last_undo(context, session, keys):
            return


def _offer_last_undo(context: CommandContext, session: ReviewSession, keys: Keys) -> bool:
    """After the last request, ask about the unsent decision: z undoes it, any other key sends it."""
    if session.unsent is None:
        return False
    why = _describe_approval(session, session.unsent)
    words = (
        f"Not sent yet: {session.unsent}. {why} Any key continues; z undoes it."
        if why
        else f"Any key sends: {session.unsent}. z undoes it."
    )
    _print_prompt(context.out, f"That was the last request. {words}")
    if keys.read_key().lower() != "z":
        return not _send_unsent(context, session)
    _undo_unsent(session)
    return True


def _handle_key(context: CommandContext, session: ReviewSession, keys: Keys, key: str) -> bool:
    """Handle one key; return False to quit."""
    act: dict[str, Callable[[], None]] = {
        "a": lambda: _hold_acceptance(context, session, keys),
        "A": lambda: _hold_with_end(context, session, keys),
        "s": lambda: _hold_with_reason(context, session, keys, "reset"),
        "r": lambda: _hold_with_reason(context, session, keys, "reject"),
        "n": lambda: _add_note(context, session, keys),
        "e": lambda: _show_why(session),
        " ": lambda: _skip_request(context, session),
        "z": lambda: _undo_unsent(session),
    }
    key = key if key in act else key.lower()
    if key == "q":
        return not _send_unsent(context, session)
    if key in act:
        act[key]()
    else:
        session.is_help_shown = True
        session.note = "" if key == "?" else f"{key!r} does nothing here."
    return True


def _hold_decision(context: CommandContext, session: ReviewSession, decision: UnsentDecision) -> None:
    if _send_unsent(context, session):
        session.unsent = decision
        session.index += 1


def _hold_acceptance(context: CommandContext, session: ReviewSession, keys: Keys) -> None:
    """Hold an acceptance with the end that the rules set; ask for the end if they do not know it."""
    if session.current is None:
        return
    review_context = session.context
    terms = NO_HAND_TERMS if review_context is None else review_context.read_terms(session.current)
    if review_context is not None and terms.needs_choice:
        _print_prompt(context.out, review_context.describe_terms(terms))
        _hold_with_end(context, session, keys)
        return
    accept = UnsentDecision(session.current, "accept", None, session.index, end_of_terms(terms))
    _hold_decision(context, session, accept)


def _hold_with_end(context: CommandContext, session: ReviewSession, keys: Keys) -> None:
    """Ask for the end of an acceptance, then hold it; `!` goes back to the request."""
    _print_prompt(context.out, "Access ends: 1y, 2027-06-30, or none. ! or Escape: back to the request.")
    while True:
        text = keys.read_answer()
        if text is None or session.current is None:
            return
        try:
            end = _parse_end(session.context, session.current, text)
        except UsageError as problem:
            context.out.say(f"{problem} {problem.hint} Type it again:")
        else:
            _hold_decision(context, session, UnsentDecision(session.current, "accept", None, session.index, end))
            return


def _parse_end(context: ReviewContext | None, request: AccessRequest, text: str) -> GrantEnd | None:
    """Return a typed end of an acceptance; None for `none`. Raises UsageError if it is not valid."""
    if context is not None:
        return context.parse_end(request, text)
    if text != NO_END_WORD:
        raise UsageError(_NO_WORKSPACE_END)
    return None


def _skip_request(context: CommandContext, session: ReviewSession) -> None:
    if _send_unsent(context, session):
        session.index += 1
        session.skipped += 1


def _show_why(session: ReviewSession) -> None:
    session.is_why_shown = session.context is not None
    session.note = "" if session.context is not None else "There are no rules: this needs a workspace."


def _undo_unsent(session: ReviewSession) -> None:
    if session.unsent is None:
        session.note = "Nothing to undo. A decision that was sent can only be changed by a new one."
        return
    session.index = session.unsent.index
    session.note = f"Undone: {session.unsent}."
    session.unsent = None


def _hold_with_reason(context: CommandContext, session: ReviewSession, keys: Keys, verb: str) -> None:
    """Ask for a reason or the number of a template, then hold the decision; `!` goes back to the request."""
    act, what = ("Send back", "can ask again") if verb == "reset" else ("Reject", "cannot ask again")
    _print_prompt(context.out, f"{act}: they {what}. Type a reason, which they will see, and press Enter.")
    offered = (*session.templates, *list_ready_texts(verb, session.language))[:_MAX_TEMPLATES]
    texts = {str(number): template for number, template in enumerate(offered, 1)}
    for number, template in texts.items():
        _print_prompt(context.out, f"{number} and Enter: {template.text} ({template.name})")
    _print_prompt(context.out, "! or Escape: back to the request; nothing is decided.")
    while True:
        reason = keys.read_answer()
        if reason is None or session.current is None:
            return
        if not reason and not _means_no_reason(context.out, keys):
            continue
        if reason in texts:
            reason = texts[reason].fill(session.current.repo, session.current.username)
        try:
            checked = parse_reason(reason, verb, is_silent=True)
        except ReasonTooLong as problem:
            context.out.say(f"{problem} Type a shorter reason:")
        else:
            _hold_decision(context, session, UnsentDecision(session.current, verb, checked, session.index))
            return


def _means_no_reason(out: Output, keys: Keys) -> bool:
    """Ask whether to send no reason, because Enter may be pressed by mistake."""
    _print_prompt(out, "Send no reason? They will not know why. y: send none. Any other key: type a reason.")
    return keys.read_key().lower() == "y"


def _add_note(context: CommandContext, session: ReviewSession, keys: Keys) -> None:
    """Ask for a note about the current request and store it at once; the person never sees it."""
    _print_prompt(context.out, "Note for the audit log; they never see it. Enter or !: no note.")
    text = keys.read_answer()
    if not text or session.current is None:
        return
    with open_workspace(context, writes=True) as workspace:
        decision_sender(context, workspace).add_note(session.current, parse_note(text[:NOTE_LIMIT]))
    session.note = "Noted."


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
            sender = decision_sender(context, workspace, new={unsent.verb: 1}, targets=[ask])
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


def _print_screen(context: CommandContext, session: ReviewSession, request: AccessRequest) -> None:
    """Print one screen in one write."""
    out = context.out
    columns = terminal_width(sys.stderr)
    lines = [out.style(f"Request {session.index + 1} of {len(session.requests)}", "bold", sys.stderr)]
    if session.note:
        lines[:0] = _style_lines(out, session.note, "yellow")
        session.note = ""
    if session.unsent is not None:
        why = _describe_approval(session, session.unsent)
        after = f"{why} z undoes it." if why else "It is sent when you continue; z undoes it."
        text = f"Not sent yet: {session.unsent}. {after}"
        lines += _style_lines(out, text, "cyan")
    lines += format_request_lines(request, context.now(), None, columns)
    for line in session.context.lines(request) if session.context is not None else ():
        first, *rest = wrap_line(to_one_line(line), columns, 12)
        lines += [out.style_part(style_mark(first), sys.stderr), *rest]
    if session.is_why_shown and session.context is not None:
        for line in session.context.rule_lines(request):
            lines += wrap_line(to_one_line(line), columns, len(line) - len(line.lstrip()) + 2)
        session.is_why_shown = False
    if session.is_help_shown:
        lines += ["", *(line for text in _HELP for line in wrap_line(text, columns, 7))]
        session.is_help_shown = False
    lines += ["", *_style_lines(out, _KEYS, "dim")]
    clear = "\x1b[H\x1b[2J" if os.environ.get("TERM", "dumb") != "dumb" else "\n"
    sys.stderr.write(clear + "\n".join(lines) + "\n")
    sys.stderr.flush()


def _describe_approval(session: ReviewSession, unsent: UnsentDecision) -> str:
    """Return why an unsent acceptance will not be sent, because two people must approve it; else an empty text."""
    context = session.context
    return context.describe_approval(unsent.request) if context is not None and unsent.verb == "accept" else ""


def _style_lines(out: Output, text: str, style: str) -> list[str]:
    """Wrap a text to the screen and style its lines."""
    return [out.style(line, style, sys.stderr) for line in wrap_line(to_one_line(text), terminal_width(sys.stderr))]


def _print_prompt(out: Output, text: str) -> None:
    """Print a question or its options on stderr."""
    out.write_stderr("\n".join(wrap_line(to_one_line(text), terminal_width(sys.stderr))) + "\n")


def _report(context: CommandContext, session: ReviewSession) -> None:
    out = context.out
    if out.format in {Format.JSON, Format.JSONL}:
        out.document(
            outcomes_record(list(map(outcome_record, session.outcomes)), len(session.outcomes), None), lambda: ()
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


# ---- what the reviewer sees of a request -----------------------------------------------------------------------------


class ReviewContext:
    """Evaluates requests with the store and the current policies."""

    def __init__(self, context: CommandContext, repo: Repo, workspace: Workspace) -> None:
        self.context = context
        self.repo = repo
        self.workspace = workspace
        self._problem = ""

    def lines(self, request: AccessRequest) -> Iterator[str]:
        """Return the verdict with its reasons, then the latest notes. Callers must make the lines safe to print."""
        row = self._find_row(request)
        if row is None:
            return
        yield from self._verdict_lines(row)
        if (terms := self.read_terms(request)) != NO_HAND_TERMS:
            yield f"  accept    {self.describe_terms(terms)}"
        if row.has_notes:
            yield from self._note_lines(row)

    def rule_lines(self, request: AccessRequest) -> Iterable[str]:
        """Return each rule that was tried, with its conditions and values."""
        from hf_gate.policies.words.explanation_lines import render_explanation

        row = self._find_row(request)
        explanation = None if row is None else self._explain(row)
        return ("No rule was tried.",) if explanation is None else map(str, render_explanation(explanation))

    def read_terms(self, request: AccessRequest) -> HandTerms:
        """Return the terms of an acceptance of this request."""
        row = self._find_row(request)
        if row is None:
            return self._terms_reader.without_request(self.repo)
        return self._terms_reader.read_terms([row], self.workspace.now())[row.id]

    def describe_terms(self, terms: HandTerms) -> str:
        """Return the end of an acceptance in words."""
        return describe_end(terms, self.context.now(), self.workspace.zone)

    def parse_end(self, request: AccessRequest, text: str) -> GrantEnd | None:
        """Return a typed end of an acceptance; None for `none`. Raises UsageError if it is not valid."""
        terms = self.read_terms(request)
        written = parse_typed_end(self.context, self.workspace, text)
        return choose_end(terms, written, self.context.now(), self.workspace.zone)

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

    def _verdict_lines(self, row: RequestRow) -> Iterator[str]:
        from hf_gate.verdicts.service.current_verdicts import read_current_verdicts

        explanation = self._explain(row)
        recorded = read_current_verdicts(self.workspace.location.folder).verdict_of(row)
        if explanation is not None:
            yield from _list_reasons(explanation)
        elif self._problem:
            yield f"  verdict   none, because the policies cannot be read: {clip(self._problem, _MAX_COLUMNS)}"
        elif recorded is not None:
            action, policy, rule, _ = recorded
            by = f" of policy `{policy}`" if policy else ""
            yield f"  verdict   {label_action(action)}: rule `{rule}`{by}, as last recorded"

    def _explain(self, row: RequestRow) -> Explanation | None:
        """Explain a request under the current policies; None without policies, or if its answers are not kept."""
        from hf_gate.policies.words.explanations import explain_verdict
        from hf_gate.verdicts.service.evaluation import evaluate_request, open_fact_sources

        store = self.workspace.store
        now = self.workspace.now()
        bundle = self._bundle
        repo = store.repo(self.repo)
        sources = open_fact_sources(self.workspace)
        is_governed = bundle is not None and bundle.is_governed(self.repo)
        policies = bundle.for_repo(repo, sources) if bundle is not None and repo is not None and is_governed else None
        if policies is None:
            return None
        try:
            verdict = evaluate_request(store, policies, sources, row, now, with_profile=False).verdict
        except LookupError:
            return None
        return explain_verdict(verdict, now, self.workspace.zone, row.state.status)

    def _note_lines(self, row: RequestRow) -> Iterator[str]:
        entries = self.workspace.store.entries(request=row.id, limit=_MAX_ENTRIES)
        notes = [entry for entry in entries if entry.link.kind == kind_of(NoteWritten)]
        for entry in reversed(notes[:_MAX_NOTES]):
            text = str((entry.private or {}).get("note", "(erased)"))
            when = format_age(from_ms(entry.link.at), self.context.now())
            yield f"  note      {clip(text, _MAX_COLUMNS)} ({entry.link.actor}, {when} ago)"


def _list_reasons(explanation: Explanation) -> Iterator[str]:
    """Return why in one sentence, the rule with its terms, and its conditions."""
    from hf_gate.policies.words.explanation_lines import summarize_verdict

    yield f"  why       {explanation.sentence}"
    yield f"  verdict   {summarize_verdict(explanation.verdict, explanation.zone)}"
    checklist = explanation.checklist
    for item in () if checklist is None else checklist.items[:_MAX_REASONS]:
        yield f"      {_MARKS[item.holds]} {item.words}{f' ({item.found})' if item.found else ''}"
    if checklist is not None and not checklist.is_deciding:
        yield f"      (needed by rule `{checklist.rule}`)"
    for opinion, sentence in explanation.shadow:
        yield (
            f"  shadow    {label_action(opinion.action)}: rule `{opinion.rule}` of policy `{opinion.policy}` in "
            "shadow mode, which changes nothing"
        )
        yield f"            {sentence}"


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
