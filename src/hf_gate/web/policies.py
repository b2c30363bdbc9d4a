"""The pages of policies: files with problems, description and verdict counts, and drafts tried on real requests."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Final
from weakref import WeakKeyDictionary

from starlette.responses import Response

from ..application.evaluation import fill_templates
from ..application.record_builders import policy_record
from ..application.records import PolicyRecord
from ..application.workspace import Workspace
from ..domain.lifecycle import Status
from ..domain.rows import VerdictCount
from ..errors import HfGateError
from ..policy.descriptions import describe_policy
from ..policy.model import Policy, PolicyMode
from ..policy.policy_checker import check_unique_names
from ..sources.workspace_folder import WorkspaceFolder
from .draft_pool import DraftProcess
from .drafts import (
    DraftTrial,
    ExplainedRequest,
    PolicyText,
    TrialResult,
    add_test_results,
    can_see_policy,
    check_draft,
    check_own_text,
    list_policy_texts,
    read_workspace_folder,
    visible_policy_repos,
    visible_tables,
    visible_targets,
)
from .exports import export_response, file_response
from .ledger_proofs import count_entries
from .redaction import names_other_repos
from .request_context import NotFound, Refused, RequestContext

_DOWNLOAD_ANYWAY: Final = "download-anyway"  # in spite of warnings
_DRAFT_FILE: Final = "draft.yaml"  # the name of a draft without a file
_RECOUNT_AFTER: Final = 20  # times the duration of the last count
NEW_POLICY: Final = """\
version: 1
policy: draft
applies_to: ["*/*", "datasets/*/*"]
mode: shadow
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say in one or two sentences what you will use it for, then ask again.
  - id: rest
    then: human
"""


# ---- the list ----------------------------------------------------------------------------------------------------------


def page(context: RequestContext) -> Response:
    """Show the policies with mode and problems, and the tables that they use."""
    if context.query_value("draft") and not context.is_masked:
        return new_draft(context)
    try:
        folder = read_workspace_folder(context)
    except HfGateError as problem:
        return context.render("policies.html", title="Policies", texts=[], tables=[], clashes=[], problem=problem)
    texts, known = list_policy_texts(context, folder), visible_tables(context, folder)
    bundle = context.app_state.policies.current
    return context.render(
        "policies.html",
        title="Policies",
        texts=texts,
        targets={text.name: visible_targets(context, text.policy) for text in texts if text.policy is not None},
        tables=[] if bundle is None else [table for name, table in sorted(bundle.tables.items()) if name in known],
        clashes=check_unique_names([text.checked for text in texts]),
        problem=None,
    )


def export(context: RequestContext) -> Response:
    """Return the same rows as a file."""
    rows = [
        policy_record(
            text.file, text.name, text.checked, [] if text.policy is None else visible_targets(context, text.policy)
        )
        for text in list_policy_texts(context, read_workspace_folder(context))
    ]
    return export_response("policies", context.params["kind"], PolicyRecord, rows)


# ---- one policy --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PolicyCounts:
    """Stored verdicts of a policy on pending requests, by rule; in shadow mode also compared with the desk's."""

    by_rule: Counter[str] = field(default_factory=Counter)
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)  # (this policy, the desk)
    total: int = 0
    outdated: int = 0  # by an earlier version of the policy

    @property
    def differing(self) -> int:
        """The number of requests where the policy and the desk decide differently."""
        return sum(n for (ours, desk), n in self.compared.items() if ours != desk)


def policy_page(context: RequestContext) -> Response:
    """Show one policy file; with `who`, also its verdict on that request."""
    folder = read_workspace_folder(context)
    text = next((one for one in list_policy_texts(context, folder) if one.name == context.params["name"]), None)
    if text is None:
        raise NotFound
    if context.is_masked or not context.query_value("who").strip():
        return _policy_response(context, folder, add_test_results(context, text, folder), None)
    with context.app_state.drafts.acquire(context.member.id) as process:
        text = check_draft(process, context, text.source.text, text.file, folder)
        return _policy_response(
            context,
            folder,
            text,
            _DraftResult(process, context, folder, text, context.query_value("who").strip()),
            is_file=True,
        )


def new_draft(context: RequestContext) -> Response:
    """Show a new draft that belongs to no file."""
    folder = read_workspace_folder(context)
    return _policy_response(context, folder, check_own_text(context, NEW_POLICY, _DRAFT_FILE, folder), None)


def try_draft(context: RequestContext) -> Response:
    """Check and try a draft, fix one problem, or return the draft as a file. Nothing is written."""
    folder = read_workspace_folder(context)
    name = context.params.get("name")
    known = (
        None if name is None else next((one for one in list_policy_texts(context, folder) if one.name == name), None)
    )
    if name is not None and known is None:
        raise NotFound
    file = _DRAFT_FILE if known is None else known.file
    typed = context.form_value("src").replace("\r\n", "\n").replace("\r", "\n")
    with context.app_state.drafts.acquire(context.member.id) as process:
        text, note = check_draft(process, context, typed, file, folder), ""
        if context.form_value("do") == _DOWNLOAD_ANYWAY or (context.form_value("do") == "download" and not text.doubts):
            return file_response([typed.encode("utf-8", "replace")], "application/yaml", _file_name(file))
        if context.form_value("fix"):
            mended = text.apply_fix(context.form_value("fix"))
            if mended is None:
                note = "The text changed since, so nothing was fixed. The problems below are current."
            else:
                text = check_draft(process, context, mended, file, folder)
        if text.policy is not None and not can_see_policy(context, text.policy):
            raise Refused("The draft applies to none of your repos.", hint="Name one of your repos in applies_to.")
        is_file = known is not None and text.source.text == known.source.text
        asked = _DraftResult(process, context, folder, text, context.form_value("who").strip(), is_trial=True)
        return _policy_response(context, folder, text, asked, is_file=is_file, note=note, file_in_folder=known)


def _file_name(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(file).name) or _DRAFT_FILE


class _DraftResult:
    """The result of trying a text on requests. An error is shown on the page and does not replace it."""

    def __init__(
        self,
        process: DraftProcess,
        context: RequestContext,
        folder: WorkspaceFolder,
        text: PolicyText,
        who: str,
        *,
        is_trial: bool = False,
    ) -> None:
        self.who, self.problem = who, ""
        self.trial: TrialResult | None = None
        self.told: ExplainedRequest | None = None
        if text.checked.policy is None or not (who or is_trial):
            return
        try:
            bar = DraftTrial(process, context, folder, text)
            self.trial = bar.try_all() if is_trial else None
            self.told = bar.explain(who) if who else None
        except (HfGateError, NotFound) as problem:
            hint = problem.hint if isinstance(problem, HfGateError) else ""
            self.problem = f"{problem} {hint or ''}".strip() or "There is no person of that name."


def _policy_response(
    context: RequestContext,
    folder: WorkspaceFolder,
    text: PolicyText,
    asked: _DraftResult | None,
    *,
    is_file: bool = False,
    note: str = "",
    file_in_folder: PolicyText | None = None,
) -> Response:
    policy = (
        None if text.policy is None else fill_templates(text.policy, folder.config.templates)
    )  # as the ledger names it
    is_new, is_draft = text.file == _DRAFT_FILE, asked is not None and not is_file
    return context.render(
        "policy.html",
        title=f"Policy {text.name}",
        text=text,
        policy=policy,
        said_lines=[] if policy is None else _describe_policy(context, policy),
        repos=[] if policy is None else visible_policy_repos(context, policy),
        counts=count_verdicts(context, policy) if policy is not None and not is_draft and not is_new else None,
        is_hidden=(is_file or (asked is None and not is_new)) and _is_hidden(context, text),
        is_shadow=policy is not None and policy.mode is PolicyMode.SHADOW,
        is_draft=is_draft,
        is_new=is_new,
        note=note,
        doubts=[] if context.is_masked else text.doubts,
        asks_download=context.form_value("do") == "download",
        who="" if asked is None else asked.who,
        trial=None if asked is None else asked.trial,
        told=None if asked is None else asked.told,
        problem="" if asked is None else asked.problem,
        action="/policies" if is_new else f"/policies/{(file_in_folder or text).name}",
    )


def _is_hidden(context: RequestContext, text: PolicyText) -> bool:
    """Return whether the text names repos that the member cannot see."""
    if context.member.repos is None or text.policy is None:
        return False
    return names_other_repos(text.policy, visible_policy_repos(context, text.policy))


def _describe_policy(context: RequestContext, policy: Policy) -> list[str]:
    return list(describe_policy(replace(policy, applies_to=tuple(visible_targets(context, policy)))))


def count_verdicts(context: RequestContext, policy: Policy) -> PolicyCounts:
    """Count the stored verdicts of a policy on pending requests at visible repos."""
    found, mine = PolicyCounts(), set(visible_policy_repos(context, policy))
    for one in _read_verdict_counts(context.workspace):
        if one.repo not in mine:
            continue
        if one.policy == policy.name:
            found.by_rule[one.rule] += one.n
            found.total += one.n
            found.outdated += one.n if one.digest != policy.digest else 0
        for name, rule, action in one.shadow:
            if name == policy.name:
                found.by_rule[rule] += one.n
                found.compared[action, one.action] += one.n
                found.total += one.n
    return found


@dataclass(frozen=True, slots=True)
class _CachedCounts:
    """Cached counts for a number of ledger entries; a slow count is not repeated soon."""

    entries: int
    made_at: float
    took: float
    tallies: list[VerdictCount]


_cached_counts: WeakKeyDictionary[Workspace, _CachedCounts] = WeakKeyDictionary()


def _read_verdict_counts(workspace: Workspace) -> list[VerdictCount]:
    known, entries, begun = _cached_counts.get(workspace), count_entries(workspace), time.monotonic()
    if known is None or (known.entries != entries and begun - known.made_at > _RECOUNT_AFTER * known.took):
        tallies = workspace.queue.read_verdict_counts(Status.PENDING.value)
        known = _cached_counts[workspace] = _CachedCounts(entries, begun, time.monotonic() - begun, tallies)
    return known.tallies
