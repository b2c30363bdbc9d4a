"""Shows the verdict of a request with its reasons, and its latest notes, during a review."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ..domain.display_text import clip
from ..domain.events import NoteWritten, decode_event
from ..domain.hand_terms import NO_END_WORD, NO_HAND_TERMS, GrantEnd, HandTerms, choose_end
from ..domain.lifecycle import label_verdict
from ..domain.timestamps import from_ms
from ..errors import HfGateError, UsageError
from .confirmation import read_this_member
from .hand_ends import describe_end, parse_typed_end
from .output import format_age
from .workspace import open_stored_workspace

if TYPE_CHECKING:
    from ..application.evaluation import RepoPolicies
    from ..application.policy_bundle import PolicyBundle
    from ..application.terms_reader import TermsReader
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..domain.requests import AccessRequest
    from ..domain.rows import RequestRow
    from ..policy.model import Verdict
    from .framework import Run

_MAX_NOTES: Final = 3  # the most notes shown, the latest first
_MAX_REASONS: Final = 6  # the most conditions shown
_MAX_ENTRIES: Final = 200  # the most entries of a request searched for notes, the latest first
_MAX_COLUMNS: Final = 400  # width of one note
NO_WORKSPACE_END: Final = "an end of access needs a workspace with a store; write none"
_MARKS: Final = {True: "✓", False: "✗", None: "?"}


class ReviewContext:
    """Evaluates requests with the store and the current policies; shows nothing without them."""

    def __init__(self, run: Run, repo: Repo) -> None:
        self.run, self.repo = run, repo
        self._problem = ""

    def lines(self, request: AccessRequest) -> Iterator[str]:
        """Return the verdict with its reasons, then the latest notes. Callers must make the lines safe to print."""
        row = self._find_row(request)
        if row is None:
            return
        yield from self._verdict(row)
        if (terms := self.read_terms(request)) != NO_HAND_TERMS:
            yield f"  accept    {self.describe_terms(terms)}"
        if row.has_notes:
            yield from self._notes(row)

    def read_terms(self, request: AccessRequest) -> HandTerms:
        """Return the terms of an acceptance of this request."""
        if self._workspace is None or self._terms_reader is None:
            return NO_HAND_TERMS
        row = self._find_row(request)
        if row is None:
            return self._terms_reader.without_request(self.repo)
        return self._terms_reader.read_terms([row], self._workspace.clock.now())[row.id]

    def describe_terms(self, terms: HandTerms) -> str:
        """Return the end of an acceptance in words."""
        return "" if self._workspace is None else describe_end(terms, self.run.now(), self._workspace.zone)

    def parse_end(self, request: AccessRequest, text: str) -> GrantEnd | None:
        """Return a typed end of an acceptance; None for `none`. Raises UsageError if it is not valid."""
        if self._workspace is None:
            if text == NO_END_WORD:
                return None
            raise UsageError(NO_WORKSPACE_END)
        terms = self.read_terms(request)
        written = parse_typed_end(self.run, self._workspace, text, [terms])
        return choose_end(terms, written, self.run.now(), self._workspace.zone)

    def describe_approval(self, request: AccessRequest) -> str:
        """Return why an acceptance by this person sends nothing: two people must approve it. Empty if it is sent."""
        from ..application.approval_status import read_approval_status
        from ..application.approvals import as_approver

        workspace, row = self._workspace, self._find_row(request)
        if workspace is None or row is None:
            return ""
        me = as_approver(read_this_member(self.run))
        status = read_approval_status(workspace, [row], me, lambda: self._bundle).get(row.id)
        if status is None or status.why_not:
            return "" if status is None else status.why_not
        is_last = len(status.given) + 1 >= status.needed
        return "" if is_last else "Only your approval is recorded when you continue: another person must approve too."

    def _find_row(self, request: AccessRequest) -> RequestRow | None:
        """Return the stored row of a request; None if it is not stored, or without a store."""
        if self._workspace is None:
            return None
        store = self._workspace.store
        known = store.latest_attempts(self.repo, [request])[0]
        return None if known is None else store.request(known.id)

    @cached_property
    def _terms_reader(self) -> TermsReader | None:
        from ..application.terms_reader import load_terms_reader

        return None if self._workspace is None else load_terms_reader(self._workspace)

    @cached_property
    def _workspace(self) -> Workspace | None:
        return open_stored_workspace(self.run)

    @cached_property
    def _bundle(self) -> PolicyBundle | None:
        from ..application.policy_bundle import load_policies

        workspace = self._workspace
        if workspace is None or workspace.location.folder is None:
            return None
        try:
            return load_policies(workspace)
        except HfGateError as problem:
            self._problem = str(problem).partition("\n")[0]
            return None

    @cached_property
    def _policy_set(self) -> RepoPolicies | None:
        workspace, bundle = self._workspace, self._bundle
        row = None if workspace is None else workspace.store.repo(self.repo)
        if workspace is None or bundle is None or row is None or not bundle.is_governed(self.repo):
            return None
        return bundle.for_repo(row, workspace.sources)

    def _verdict(self, row: RequestRow) -> Iterator[str]:
        verdict = self._evaluate(row)
        if verdict is not None:
            yield from self._explain_lines(verdict, row)
        elif self._problem:
            yield f"  verdict   none, because the policies cannot be read: {clip(self._problem, _MAX_COLUMNS)}"
        elif (recorded := self._read_recorded(row)) is not None:
            action, policy, rule, _ = recorded
            by = f" of policy `{policy}`" if policy else ""
            yield f"  verdict   {label_verdict(action)}: rule `{rule}`{by}, as last recorded"

    def _read_recorded(self, row: RequestRow) -> tuple[str, str | None, str, str | None] | None:
        """Return the recorded verdict if it still applies."""
        if self._workspace is None:
            return None
        from ..application.current_verdicts import read_current_verdicts

        return read_current_verdicts(self._workspace.location.folder).verdict_of(row)

    def _explain_lines(self, verdict: Verdict, row: RequestRow) -> Iterator[str]:
        """Return why in one sentence, the rule with its terms, and its conditions."""
        from ..policy.checklists import build_checklist
        from ..policy.explain import summarize_verdict
        from ..policy.why import RecordedTraces, explain_opinion_in_words, explain_verdict_in_words

        workspace, traces = self._workspace, RecordedTraces()
        if workspace is None:
            return
        now = workspace.clock.now()
        yield f"  why       {explain_verdict_in_words(verdict, traces, now, workspace.zone, row.state.status)}"
        yield f"  verdict   {summarize_verdict(verdict, workspace.zone)}"
        checklist = build_checklist(verdict, traces)
        items = () if checklist is None else checklist.items[:_MAX_REASONS]
        for item in items:
            yield f"      {_MARKS[item.holds]} {item.words}{f' ({item.found})' if item.found else ''}"
        if checklist is not None and not checklist.is_deciding:
            yield f"      (needed by rule `{checklist.rule}`)"
        for one in verdict.shadow:
            yield f"  shadow    {label_verdict(one.action)}: rule `{one.rule}` of policy `{one.policy}` in shadow mode, which changes nothing"
            yield f"            {explain_opinion_in_words(one, traces)}"

    def _evaluate(self, row: RequestRow) -> Verdict | None:
        from ..application.evaluation import build_inputs

        workspace, policy_set = self._workspace, self._policy_set
        if workspace is None or policy_set is None:
            return None
        now = workspace.clock.now()
        evaluation_input = next(build_inputs(workspace.store, policy_set, workspace.sources, [row], now), None)
        if evaluation_input is None:
            return None
        return policy_set.evaluator.evaluate_with_traces(evaluation_input.facts, now=now, status=row.state.status)

    def _notes(self, row: RequestRow) -> Iterator[str]:
        entries = [] if self._workspace is None else self._workspace.store.entries(request=row.id, limit=_MAX_ENTRIES)
        notes = [each for each in entries if isinstance(decode_event(each.link.body), NoteWritten)]
        for each in reversed(notes[:_MAX_NOTES]):
            text = str((each.private or {}).get("note", "(erased)"))
            when = format_age(from_ms(each.link.at), self.run.now())
            yield f"  note      {clip(text, _MAX_COLUMNS)} ({each.link.actor}, {when} ago)"
