"""The pages of policies: files with problems, description and verdict counts, and drafts tried on real requests."""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from collections.abc import Callable
from pathlib import PurePath
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct, field
from msgspec.structs import replace
from starlette.responses import Response

from hf_gate.base.display_text import clip_line
from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import Policy, PolicyMode
from hf_gate.core.stored_rows import VerdictCount
from hf_gate.errors import HfGateError
from hf_gate.inbox.records import policy_record
from hf_gate.inbox.rows import read_verdict_counts
from hf_gate.ledger.pages.audit import count_entries
from hf_gate.policies.checks.policy_checker import check_unique_names
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder
from hf_gate.policies.parsing.card_changes import apply_changes
from hf_gate.policies.words.descriptions import describe_policy
from hf_gate.policies.words.rule_phrases import ACTION_WORDS, has_constant
from hf_gate.requests.pages.redaction import names_other_repos
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.records import PolicyRecord
from hf_gate.verdicts.service.evaluation import fill_templates
from hf_gate.verdicts.service.evaluation_pool import PART_SIZE
from hf_gate.verdicts.service.trial_runner import FullTrial, key_of_draft
from hf_gate.web.exports import export_response, file_response
from hf_gate.web.http_context import HttpContext, NotFound, Refused, require

from .draft_report import MAX_REQUESTS
from .draft_trial import DraftTrial, ExplainedRequest, TrialResult, count_waiting
from .drafts import (
    PolicyText,
    add_test_results,
    can_see_policy,
    check_draft,
    list_policy_texts,
    read_workspace_folder,
    visible_policy_repos,
    visible_tables,
    visible_targets,
)
from .policy_cards import (
    CardLine,
    PostedDraft,
    Tab,
    list_card_lines,
    read_posted_draft,
    stored_examples,
    trial_examples,
    write_exact_text,
)
from .policy_save import can_save, check_may_save, find_hold, read_base, save_text

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


# ---- the list --------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show the policies with mode and problems, and the tables that they use."""
    if context.query_value("draft") and not context.is_masked:
        return new_draft(context)
    try:
        folder = read_workspace_folder(context)
    except HfGateError as problem:
        return context.render(
            "policies.html", title="Policies", texts=[], tables=[], clashes=[], problem=problem, holds={}
        )
    texts = list_policy_texts(context, folder)
    known = visible_tables(context, folder)
    bundle = context.app_state.policies.current
    return context.render(
        "policies.html",
        title="Policies",
        texts=texts,
        targets={text.name: visible_targets(context, text.policy) for text in texts if text.policy is not None},
        tables=[] if bundle is None else [table for name, table in sorted(bundle.tables.items()) if name in known],
        clashes=check_unique_names([text.checked for text in texts]),
        holds={
            text.name: hold for text in texts if (hold := find_hold(context, _fill_policy(text, folder))) is not None
        },
        problem=None,
    )


def export(context: HttpContext) -> Response:
    """Return the same rows as a file."""
    rows = [
        policy_record(
            text.file, text.name, text.checked, [] if text.policy is None else visible_targets(context, text.policy)
        )
        for text in list_policy_texts(context, read_workspace_folder(context))
    ]
    return export_response("policies", context.params["kind"], PolicyRecord, rows)


# ---- one policy ------------------------------------------------------------------------------------------------------


class PolicyCounts(Struct):
    """Stored verdicts of a policy on pending requests, by rule; in shadow mode also compared with the desk's."""

    by_rule: Counter[str] = field(default_factory=Counter)
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)  # (this policy, the desk)
    total: int = 0
    outdated: int = 0  # by an earlier version of the policy

    @property
    def differing(self) -> int:
        """The number of requests where the policy and the desk decide differently."""
        return sum(n for (ours, desk), n in self.compared.items() if ours != desk)


def policy_page(context: HttpContext) -> Response:
    """Show one policy file. `rule` marks a card; `request` or `who` names a request to try it on."""
    folder = read_workspace_folder(context)
    text = find_policy_text(context, folder)
    shown = _Shown(tab=Tab.TEXT if context.query_value("tab") == Tab.TEXT else Tab.CARDS, file_in_folder=text)
    saved = context.query_value("saved")
    shown.is_saved = bool(saved) and read_base(folder, text).startswith(saved)
    shown.mark_rule(text, context.query_value("rule"))
    who = (context.query_value("who") or context.query_value("request")).strip()
    if context.is_masked or not who:
        return _policy_response(context, folder, add_test_results(text, folder), None, shown)
    with context.app_state.drafts.acquire(context.member.id):
        text = check_draft(context, text.source.text, text.file, folder)
        shown.is_file = True
        return _policy_response(context, folder, text, _DraftResult(context, folder, text, who), shown)


def new_draft(context: HttpContext) -> Response:
    """Show a new draft that belongs to no file."""
    folder = read_workspace_folder(context)
    text = check_draft(context, NEW_POLICY, _DRAFT_FILE, folder)
    return _policy_response(context, folder, text, None, _Shown())


def try_draft(context: HttpContext) -> Response:
    """Change cards, check and try a draft, fix one problem, or return the draft as a file. Nothing is written."""
    folder = read_workspace_folder(context)
    known = find_policy_text(context, folder) if "name" in context.params else None

    def finish(text: PolicyText) -> Response | str:
        if context.form_value("do") != "download":
            return ""
        if text.needed_yes and context.form_value("yes") != text.needed_yes:
            return "Nothing was downloaded yet. Tick Yes beside Download first."
        content = text.source.text.encode("utf-8", "replace")
        return file_response([content], "application/yaml", _file_name(text.file))

    return _answer_draft(context, folder, known, finish)


def save_draft(context: HttpContext) -> Response:
    """Save a draft as the file of its policy, or show why not."""
    folder = read_workspace_folder(context)
    check_may_save(context, folder)
    known = find_policy_text(context, folder)

    def finish(text: PolicyText) -> Response | str:
        trials = context.app_state.trials
        tried = None if text.checked.policy is None else _make_full_trial(context, text, text.checked.policy)
        answer = save_text(context, folder, known, text)
        if tried is not None and not isinstance(answer, str) and trials.find(context.member.id, tried.key) is None:
            tried.is_saved = True
            trials.start(context.member.id, tried)
        return answer

    return _answer_draft(context, folder, known, finish)


def _answer_draft(
    context: HttpContext,
    folder: WorkspaceFolder,
    known: PolicyText | None,
    finish: Callable[[PolicyText], Response | str],
) -> Response:
    """Check the draft of a form and show it; `finish` answers instead, or says what it did not do."""
    file = _DRAFT_FILE if known is None else known.file
    with context.app_state.drafts.acquire(context.member.id):
        posted = read_posted_draft(context)
        shown = _Shown(tab=posted.tab, file_in_folder=known)
        text = _check_posted(context, folder, file, shown, posted)
        finished = finish(text)
        if not isinstance(finished, str):
            return finished
        shown.notes += [finished] if finished else []
        if text.policy is not None and not can_see_policy(context, text.policy):
            raise Refused("The draft applies to none of your repos.", hint="Name one of your repos in applies_to.")
        shown.is_file = known is not None and text.source.text == known.source.text
        result = _DraftResult(context, folder, text, context.form_value("who").strip(), is_trial=True)
        return _policy_response(context, folder, text, result, shown)


def find_policy_text(context: HttpContext, folder: WorkspaceFolder) -> PolicyText:
    """Return the policy that the address names."""
    texts = list_policy_texts(context, folder)
    return require(next((text for text in texts if text.name == context.params["name"]), None))


def _check_posted(
    context: HttpContext,
    folder: WorkspaceFolder,
    file: str,
    shown: _Shown,
    posted: PostedDraft,
) -> PolicyText:
    """Return the draft after the changes of its cards and one fix, checked."""
    typed = posted.text
    if posted.changes is not None:
        changed = apply_changes(typed, file, posted.changes, [spec.name for spec in folder.config.tables])
        typed = changed.text
        shown.rule = changed.rule
        shown.notes += changed.problems
    text = check_draft(context, typed, file, folder)
    if not context.form_value("fix"):
        return text
    mended = text.apply_fix(context.form_value("fix"))
    if mended is None:
        shown.notes.append("The text changed since, so nothing was fixed. The problems below are current.")
        return text
    return check_draft(context, mended, file, folder)


class _Shown(Struct):
    """How a policy is shown. `rule`: the card that is marked. `is_file`: the text is that of the file."""

    tab: Tab = Tab.CARDS
    rule: str = ""
    is_file: bool = False
    is_saved: bool = False
    notes: list[str] = field(default_factory=list)
    file_in_folder: PolicyText | None = None

    def mark_rule(self, text: PolicyText, rule: str) -> None:
        """Mark the card of a rule; note it if there is none."""
        rules = () if text.policy is None else [each.id for each in text.policy.rules]
        if rule and rule not in rules:
            self.notes.append(f"There is no rule {clip_line(rule, 40)} in this policy.")
        else:
            self.rule = rule


def _save_command(file: str) -> str:
    """Return the command that puts a downloaded draft into the workspace."""
    target = f"policies/{file}" if file == _DRAFT_FILE else file
    return f"mv ~/Downloads/{_file_name(file)} {shlex.quote(target)} && hf-gate policy check"


def _file_name(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(file).name) or _DRAFT_FILE


class _DraftResult:
    """The result of trying a text on requests. An error is shown on the page and does not replace it."""

    def __init__(
        self,
        context: HttpContext,
        folder: WorkspaceFolder,
        text: PolicyText,
        who: str,
        *,
        is_trial: bool = False,
    ) -> None:
        self.who = who
        self.problem = ""
        self.trial: TrialResult | None = None
        self.told: ExplainedRequest | None = None
        if text.checked.policy is None or not (who or is_trial):
            return
        try:
            draft = DraftTrial(context, folder, text)
            self.trial = _try_draft(context, folder, text, draft) if is_trial else None
            self.told = draft.explain(who) if who else None
        except (HfGateError, NotFound) as problem:
            hint = problem.hint if isinstance(problem, HfGateError) else ""
            self.problem = f"{problem} {hint or ''}".strip() or "There is no person with that name."


def _try_draft(context: HttpContext, folder: WorkspaceFolder, text: PolicyText, draft: DraftTrial) -> TrialResult:
    """Try a draft on the requests that have waited longest; on all of them in the background if it may be saved."""
    trials = context.app_state.trials
    full = _make_full_trial(context, text, draft.policy)
    known = trials.find(context.member.id, full.key)
    if known is not None and known.is_valid and known.basis == full.basis and known.total == full.total:
        return draft.describe(known.tally)
    result = draft.describe(draft.try_oldest())
    if not result.is_all and can_save(context, folder) and text.file != _DRAFT_FILE:
        trials.start(context.member.id, full)
    return result


def _make_full_trial(context: HttpContext, text: PolicyText, policy: Policy) -> FullTrial:
    affordable = 1 if text.report is None else text.report.affordable
    bundle = context.app_state.policies.current
    basis = [] if bundle is None else [bundle.digest, *(table.digest for table in bundle.tables.values())]
    return FullTrial(
        key_of_draft(text.source.text),
        basis,
        policy,
        max(MAX_REQUESTS, min(PART_SIZE, affordable)),
        count_waiting(context, policy),
    )


def trial_part(context: HttpContext) -> Response:
    """Show how far the trial of the member's draft on all waiting requests is."""
    text = find_policy_text(context, read_workspace_folder(context))
    full = context.app_state.trials.find(context.member.id, context.query_value("key"))
    return context.render("parts/trial.html", full=full, name=text.name)


def _policy_response(
    context: HttpContext,
    folder: WorkspaceFolder,
    text: PolicyText,
    result: _DraftResult | None,
    shown: _Shown,
) -> Response:
    policy = _fill_policy(text, folder)
    known = shown.file_in_folder
    is_new = text.file == _DRAFT_FILE
    is_draft = result is not None and not shown.is_file
    is_shadow = policy is not None and policy.mode is PolicyMode.SHADOW
    counts = count_verdicts(context, policy) if policy is not None and not is_draft and not is_new else None
    trial = None if result is None else result.trial
    tab = shown.tab if text.cards else Tab.TEXT
    is_hidden = (shown.is_file or (result is None and not is_new)) and is_text_hidden(context, text)
    names_nobody = context.is_masked or is_hidden
    said_lines = [] if policy is None else _describe_policy(context, policy)
    return context.render(
        "policy.html",
        title=f"Policy {text.name}",
        text=text,
        policy=policy,
        said_lines=[line for line in said_lines if not (names_nobody and has_constant(line))],
        names_nobody=names_nobody,
        has_constant=has_constant,
        repos=[] if policy is None else visible_policy_repos(context, policy),
        counts=counts,
        cards=_card_lines(context, text, policy, trial, counts, shown.rule),
        tab=tab,
        exact=write_exact_text(text.source.text, tab),
        new_conditions=text.new_conditions,
        actions=ACTION_WORDS,
        is_hidden=is_hidden,
        is_shadow=is_shadow,
        is_draft=is_draft,
        is_new=is_new,
        notes=shown.notes,
        hold=find_hold(context, None if known is None else _fill_policy(known, folder)),
        saves=can_save(context, folder) and known is not None,
        allows=folder.config.may_write_policies,
        save_command=_save_command(text.file),
        base=context.form_value("base") or ("" if known is None else read_base(folder, known)),
        is_saved=shown.is_saved,
        doubts=[] if names_nobody else text.doubts,
        failing=[] if names_nobody else text.failing,
        who="" if result is None else result.who,
        trial=trial,
        full=context.app_state.trials.find(context.member.id, key_of_draft(text.source.text)),
        told=None if result is None else result.told,
        problem="" if result is None else result.problem,
        action="/policies" if is_new else f"/policies/{(known or text).name}",
    )


def _fill_policy(text: PolicyText, folder: WorkspaceFolder) -> Policy | None:
    """Return a policy with its reason templates filled in: it then has the digest that verdicts name."""
    return None if text.policy is None else fill_templates(text.policy, folder.config.templates)


def _card_lines(
    context: HttpContext,
    text: PolicyText,
    policy: Policy | None,
    trial: TrialResult | None,
    counts: PolicyCounts | None,
    marked: str,
) -> list[CardLine]:
    """Return the cards with counts of a trial, or else of the stored verdicts."""
    if trial is not None:
        return list_card_lines(text.cards, trial.tally.count_rule, trial_examples(trial), marked)
    if policy is None or counts is None:
        return list_card_lines(text.cards, lambda _: None, lambda _: (), marked)
    deciding = [rule.id for rule in policy.rules if counts.by_rule[rule.id]]
    examples = stored_examples(context, policy, deciding, is_shadow=policy.mode is PolicyMode.SHADOW)
    return list_card_lines(text.cards, lambda rule: counts.by_rule[rule], examples, marked)


def is_text_hidden(context: HttpContext, text: PolicyText) -> bool:
    """Return whether the text names repos that the member cannot see."""
    if context.member.repos is None or text.policy is None:
        return False
    return names_other_repos(text.policy, visible_policy_repos(context, text.policy))


def _describe_policy(context: HttpContext, policy: Policy) -> list[str]:
    return list(describe_policy(replace(policy, applies_to=tuple(visible_targets(context, policy)))))


def count_verdicts(context: HttpContext, policy: Policy) -> PolicyCounts:
    """Count the stored verdicts of a policy on pending requests at visible repos."""
    counts = PolicyCounts()
    mine = set(visible_policy_repos(context, policy))
    for count in _read_verdict_counts(context.workspace):
        if count.repo not in mine:
            continue
        if count.policy == policy.name:
            counts.by_rule[count.rule] += count.n
            counts.total += count.n
            counts.outdated += count.n if count.digest != policy.digest else 0
        for name, rule, action in count.shadow:
            if name == policy.name:
                counts.by_rule[rule] += count.n
                counts.compared[action, count.action] += count.n
                counts.total += count.n
    return counts


class _CachedCounts(Struct, frozen=True):
    """Cached counts for a number of ledger entries; a slow count is not repeated soon."""

    entries: int
    made_at: float
    took: float
    tallies: list[VerdictCount]


_cached_counts: WeakKeyDictionary[Workspace, _CachedCounts] = WeakKeyDictionary()


def _read_verdict_counts(workspace: Workspace) -> list[VerdictCount]:
    known = _cached_counts.get(workspace)
    entries = count_entries(workspace)
    begun = time.monotonic()
    if known is None or (known.entries != entries and begun - known.made_at > _RECOUNT_AFTER * known.took):
        tallies = read_verdict_counts(workspace.store, Status.PENDING.value)
        known = _cached_counts[workspace] = _CachedCounts(entries, begun, time.monotonic() - begun, tallies)
    return known.tallies
