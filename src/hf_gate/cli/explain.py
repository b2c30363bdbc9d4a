"""explain: one request and everything that the policies make of it: each rule tried, each value, and what would have to differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

from ..application.targets import RequestTarget
from ..domain.event_descriptions import ORIGIN_PHRASES
from ..domain.ids import Repo, is_id
from ..domain.lifecycle import Status
from ..domain.timestamps import from_ms, ms_to_iso, to_iso
from ..errors import RequestNotFound, UsageError
from .framework import Run, command, repo_type_option
from .output import Row, format_age, format_end
from .policy_files import Policies, print_errors, read_policies
from .show import find_request
from .targets import read_targets
from .workspace import open_workspace

if TYPE_CHECKING:
    from ..application.evaluation import Evaluation, LastTransition, RepoPolicies
    from ..application.policy_bundle import PolicyBundle
    from ..application.workspace import Workspace
    from ..domain.request_state import RequestState
    from ..domain.rows import RepoRow, RequestRow
    from ..policy.model import Abstention, ConditionTrace, Fact, Opinion, RuleTrace, Verdict


@command(
    "explain",
    examples=(
        "hf-gate explain ada-l@datasets/acme/eeg",
        "hf-gate explain datasets/acme/eeg ada-l --policy drafts/eeg.yaml",
        "hf-gate explain 0123456789abcdef01234567 --json",
    ),
)
@click.argument("target", nargs=-1, metavar="TARGET", required=True)
@click.option("--repo", metavar="REPO", help="The repo, when TARGET is a request id that the store does not know.")
@click.option(
    "--policy",
    "file",
    metavar="FILE",
    help="This policy alone, as if it were in force, instead of those of the workspace.",
)
@repo_type_option
def explain(run: Run, *, target: tuple[str, ...], repo: str | None, file: str | None, repo_type: str | None) -> int:
    """Explain a verdict: every rule tried, each expression with its value, and what would change the result.

    Each fact comes with its source, its age and who controls it. Nothing is changed.
    """
    from ..application.evaluation import last_transition  # noqa: PLC0415 - help needs none of it
    from ..application.policy_bundle import load_policies  # noqa: PLC0415 - as above

    found = read_policies(run, (file,) if file else (), needs_workspace=True, is_said=False)
    if found.has_errors:
        return print_errors(run, found)
    workspace = open_workspace(run, needs_folder=True)
    bundle = load_policies(workspace)
    row = _row(run, workspace, _aim(workspace, target, repo, repo_type))
    heard = _evaluate_with_drafts(workspace, bundle, row, found if file else None)
    if not heard.is_stored:
        run.out.say("Not in the store yet: judged by what the Hub shows now, without history. hf-gate sync reads it.")
    way = last_transition(workspace.store, heard.row)
    now, zone = workspace.clock.now(), workspace.zone
    doc = _document(heard, way, _why(heard, now, zone))
    run.out.document(doc, lambda: _lines(heard, way, now, zone), quiet=[str(heard.verdict.action)])
    return 0


# ---- whom -----------------------------------------------------------------------------------------------------------------


def _aim(
    workspace: Workspace, words: tuple[str, ...], repo: str | None, repo_type: str | None
) -> RequestTarget | RequestRow:
    from ..application.evaluation import latest_request  # noqa: PLC0415 - as above

    if len(words) == 1 and repo is None and is_id(words[0]):
        row = latest_request(workspace.store.find_by_identity(None, words[0]))
        if row is None:
            raise RequestNotFound(f"the store knows no request {words[0]}.", hint="Say where it was made: --repo REPO.")
        return row
    aims = read_targets(words, None, repo, repo_type)
    if len(aims) != 1:
        raise click.UsageError(f"{len(aims)} people are named; explain takes one.")
    return aims[0]


def _row(run: Run, workspace: Workspace, aim: RequestTarget | RequestRow) -> RequestRow:
    """From the store, else from the Hub."""
    from ..application.evaluation import latest_request, unstored_row  # noqa: PLC0415 - as above

    if not isinstance(aim, RequestTarget):
        return aim
    config = workspace.location.config
    if not config.includes(aim.repo):
        raise UsageError(
            f"this workspace does not look after {aim.repo}, so none of its policies judges there.",
            hint=f"It looks after {', '.join(config.repos[:5]) or 'no repos'}.",
        )
    target = aim.target
    key = target.request_id or target.user_id or target.username or ""
    return latest_request(workspace.store.find_by_identity(aim.repo, key)) or unstored_row(find_request(run, aim))


# ---- by whom --------------------------------------------------------------------------------------------------------------


def _evaluate_with_drafts(
    workspace: Workspace, bundle: PolicyBundle, row: RequestRow, drafts: Policies | None
) -> Evaluation:
    from ..application.evaluation import evaluate_request  # noqa: PLC0415 - as above

    if drafts is None:
        policy_set = bundle.for_repo(_repo_row(workspace, row.repo), workspace.sources)
    else:
        policy_set = _draft_court(workspace, row.repo, drafts)
    try:
        return evaluate_request(workspace.store, policy_set, workspace.sources, row, workspace.clock.now())
    except LookupError:
        raise RequestNotFound(
            f"the store no longer has what this person wrote at {row.repo}.", hint="hf-gate sync --full reads it anew."
        ) from None


def _draft_court(workspace: Workspace, repo: Repo, drafts: Policies) -> RepoPolicies:
    """Given files in the place of the workspace's policies, with the workspace's tables and texts, as if they were in force."""
    from ..application.evaluation import compile_policies, fill_templates, policies_of_repo  # noqa: PLC0415 - as above
    from ..policy.model import PolicyMode  # noqa: PLC0415 - as above
    from ..sources.workspace_folder import read_folder, read_tables  # noqa: PLC0415 - as above

    if drafts.folder is None or drafts.config is None:
        raise AssertionError("explain needs a workspace")
    texts = drafts.config.templates
    policies = [
        replace(fill_templates(policy, texts), mode=PolicyMode.ENFORCE, judges=("pending",))
        for _, _, policy in drafts.without_errors()
    ]
    tables = read_tables(read_folder(drafts.folder), policies, now=workspace.clock.now(), previous={})
    row = _repo_row(workspace, repo)
    policy_set = policies_of_repo(
        row, compile_policies(policies, tables), tables, workspace.sources, zone=workspace.zone
    )
    if policy_set is None:
        globs = ", ".join(glob for policy in policies for glob in policy.applies_to)
        raise UsageError(f"that policy is not for {repo}.", hint=f"Its applies_to names {globs}.")
    return policy_set


def _repo_row(workspace: Workspace, repo: Repo) -> RepoRow:
    """The repo as the store knows it; of one that was never read, the form is read now."""
    from ..domain.forms import form_to_json  # noqa: PLC0415 - as above
    from ..domain.rows import RepoRow  # noqa: PLC0415 - as above

    known = workspace.store.repo(repo)
    if known is not None:
        return known
    return RepoRow(id=0, repo=repo, form_card=json.dumps(form_to_json(workspace.hub.gate_form(repo))))


# ---- told -----------------------------------------------------------------------------------------------------------------


def _lines(heard: Evaluation, way: LastTransition | None, now: datetime, zone: tzinfo) -> Iterator[str]:
    from ..policy.explain import explain_verdict  # noqa: PLC0415 - as above
    from ..policy.why import RecordedTraces, explain_shadow_in_words  # noqa: PLC0415 - as above

    row = heard.row
    asked = from_ms(row.state.asked_at)
    yield f"{_who(row)} at {row.repo}: {row.state.status}, asked {format_age(asked, now)} ago, attempt {row.state.attempt}"
    if way is not None and row.state.status != Status.PENDING:
        yield f"{row.state.status} {_how(way)}"
    if row.state.status == Status.ACCEPTED:
        yield _end(row.state, now)
    if not heard.is_judged:
        yield f"No policy judges requests that are {row.state.status}. If this one were pending:"
    yield _why(heard, now, zone)
    for shadow, sentence in explain_shadow_in_words(heard.verdict, RecordedTraces()):
        yield f"In shadow mode, `{shadow}`: {sentence}"
    for line in explain_verdict(heard.verdict, now, zone):
        yield str(line)
    entered = row.state.verdict
    if entered is not None and entered[:3] != _same(heard.verdict):
        action, policy, rule, digest = entered
        by = f"rule `{rule}` of policy `{policy}`@{(digest or '')[:8]}" if policy else "no policy had an opinion"
        yield f"The ledger's last verdict was {action}: {by}."


def _why(heard: Evaluation, now: datetime, zone: tzinfo) -> str:
    """The verdict in one sentence."""
    from ..policy.why import RecordedTraces, explain_verdict_in_words  # noqa: PLC0415 - as above

    status = heard.row.state.status if heard.is_judged else Status.PENDING
    return str(explain_verdict_in_words(heard.verdict, RecordedTraces(), now, zone, status))


def _how(way: LastTransition) -> str:
    """When, by whom, and by which rule or command."""
    when = f"{from_ms(way.at):%Y-%m-%d %H:%M}"
    if way.is_first:
        return f"already when it was first seen, {when}"
    if way.run_id is None:
        return f"on the Hub by {way.hub_user or 'somebody'}, seen {when}"
    return f"{when} by {way.actor}, {ORIGIN_PHRASES.get(way.rule, f'by rule `{way.rule}`')}, in run {way.run_id}"


def _end(state: RequestState, now: datetime) -> str:
    if state.until is None:
        return "Access has no end."
    until = from_ms(state.until)
    when = format_end((until - now).total_seconds())
    then = "a person decides" if state.at_end == "human" else state.at_end
    rule = "" if state.until_rule in ORIGIN_PHRASES else f", by rule `{state.until_rule}`"
    return f"Access ends {until:%Y-%m-%d} ({when}), then {then}{rule}."


def _same(verdict: Verdict) -> tuple[str, str | None, str]:
    return str(verdict.action), verdict.policy, verdict.rule


def _who(row: RequestRow) -> str:
    person = row.person.identity
    return person.username or (f"(hidden #{person.user_id[-6:]})" if person.user_id else "(hidden)")


def _document(heard: Evaluation, way: LastTransition | None, why: str) -> Row:
    row, verdict = heard.row, heard.verdict
    entered = row.state.verdict
    return {
        "schema_version": 1,
        "repo": row.repo.id,
        "repo_type": row.repo.type.value,
        "request_id": row.state.hub_request,
        "user_id": row.person.identity.user_id,
        "user": row.person.identity.username,
        "status": row.state.status,
        "asked_at": ms_to_iso(row.state.asked_at),
        "attempt": row.state.attempt,
        "came": None if way is None else _result_row(way),
        "until": ms_to_iso(row.state.until),
        "at_end": row.state.at_end,
        "is_judged": heard.is_judged,
        "is_stored": heard.is_stored,
        "why": why,
        "verdict": {**_terms(verdict), "policy": verdict.policy, "digest": verdict.digest},
        "ledger": None if entered is None else dict(zip(("action", "policy", "rule", "digest"), entered, strict=True)),
        "policies": [_policy(each) for each in _voices(verdict)],
    }


def _result_row(way: LastTransition) -> Row:
    return {"at": ms_to_iso(way.at), "actor": way.actor, "by": way.hub_user, "run": way.run_id, "rule": way.rule}


def _voices(verdict: Verdict) -> list[Opinion | Abstention]:
    return [*verdict.opinions, *verdict.shadow, *verdict.abstentions]


def _terms(verdict: Verdict | Opinion) -> dict[str, object]:
    return {
        "action": str(verdict.action),
        "rule": verdict.rule,
        "reason": verdict.reason,
        "until": None if verdict.until is None else str(verdict.until),
        "at_end": None if verdict.at_end is None else str(verdict.at_end),
        "queue": verdict.queue,
        "reviewers": verdict.reviewers,
        "needs": list(verdict.needs),
        "missing": list(verdict.missing),
        "possible": [str(each) for each in verdict.possible],
    }


def _policy(each: Opinion | Abstention) -> Row:
    from ..policy.model import Opinion  # noqa: PLC0415 - as above

    said = _terms(each) if isinstance(each, Opinion) else None
    return {
        "policy": each.policy,
        "digest": each.digest,
        "mode": str(each.mode),
        "opinion": said,
        "tried": [_rule_row(one) for one in each.rule_traces],
    }


def _rule_row(tried: RuleTrace) -> Row:
    return {
        "rule": tried.rule,
        "then": str(tried.then),
        "matched": tried.matched,
        "because": [_because(each) for each in tried.conditions],
        "differ": [[{"expr": flip.expr, "value": flip.value} for flip in way] for way in tried.ways_to_match],
    }


def _because(because: ConditionTrace) -> dict[str, Any]:
    return {
        "expr": because.expr,
        "value": because.value,
        "note": because.note or None,
        "facts": {name: _fact(fact) for name, fact in because.facts.items()},
        "parts": [_because(each) for each in because.parts],
    }


def _fact(fact: Fact) -> Row:
    from ..plan.changes import fact_to_json  # noqa: PLC0415 - as above

    return {
        "value": fact_to_json(fact),
        "trust": str(fact.trust),
        "source": fact.source,
        "as_of": to_iso(fact.as_of),
        "why": None if fact.why is None else str(fact.why),
        "note": fact.note or None,
    }
