"""One request: what they wrote, what the policies say and why, who they are, what happened, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response

from ..application.decisions import note_entry
from ..application.evaluation import Evaluation, evaluate_request
from ..application.inputs import ReasonTemplate, check_templates, parse_note, texts_by_language
from ..domain.events import EventKind
from ..domain.forms import collapse_whitespace, form_from_json
from ..domain.ids import Repo
from ..domain.lifecycle import MEANING, VERBS_WITH_REASON, Status
from ..domain.rows import RepoRow, RequestRow
from ..domain.timestamps import from_ms, to_ms
from ..domain.tray import VERBS
from ..errors import HfGateError
from ..policy.explain import ExplanationLine as Explained
from ..policy.explain import explain_verdict
from ..policy.reasons import fill_reason
from . import words
from .asking import PENDING, asked_of, limit_to_visible_repos, run_query
from .ending import Ends, ends_of
from .hiding import without_counts
from .lines import Line, key_of, lines_of
from .request_context import NotFound, RequestContext
from .request_history import Reversal, history_of, reversal_of
from .verdicts import Said

UNTIL = "until"  # beside the verbs: an acceptance with an end
END = "end"  # another end for somebody who is in


def page(context: RequestContext) -> Response:
    """The whole of it."""
    row = context.find_request(context.params["id"])
    line = lines_of(context, [row])[0]
    attempts = context.workspace.store.attempts(row.repo, row.person.id)
    repo = context.workspace.store.repo(row.repo)
    verb = context.query_value("verb")
    history = history_of(context, attempts)
    before, after = neighbours(context, row)
    return context.page(
        "request.html",
        query=context.query_value("q", PENDING),
        queue_url="/queue?" + urlencode({"q": context.query_value("q", PENDING)}),
        before=before,
        after=after,
        title=f"{line.who} asks for {row.repo}",
        line=line,
        attempts=attempts,
        form=_form_changes(row, repo),
        why=lines_of_why(context, row),
        history=[one for one in history if one.kind != EventKind.NOTE_WRITTEN],
        notes=[one for one in history if one.kind == EventKind.NOTE_WRITTEN],
        elsewhere=elsewhere(context, row),
        facts=facts(context, line),
        reversal=None if line.is_leaving else reversal_of(context, row),
        others=context.app_state.presence.others([row.id], context.member.name).get(row.id, []),
        ends=ends_for(context, line, verb),
        still_selected=0,
        sheet=sheet_of(context, line, verb)
        if verb in line.verbs and (verb != "accept" or context.query_value("back"))
        else None,
        ends_on=_end_of(context, row),
        meaning=MEANING.get(row.state.status, ""),  # type: ignore[call-overload]
    )


def _end_of(context: RequestContext, row: RequestRow) -> str | None:
    """The last day of an access that ends."""
    until = row.state.until if row.state.status == Status.ACCEPTED else None
    return None if until is None else words.day(from_ms(until), context.workspace.zone, context.now)


def neighbours(context: RequestContext, row: RequestRow) -> tuple[str | None, str | None]:
    """The addresses of the requests before and after this one in the queue that it was opened from."""
    asked = asked_of(context)
    cursor = context.workspace.queue.cursor(
        limit_to_visible_repos(context, asked.query), (row.state.asked_at, row.id), newest_first=False
    )
    back = context.workspace.queue.cursor(
        limit_to_visible_repos(context, asked.query), (row.state.asked_at, row.id), newest_first=True
    )
    found = (
        run_query(context, asked.query, limit=1, cursor=back, newest_first=True).rows,
        run_query(context, asked.query, limit=1, cursor=cursor).rows,
    )
    tail = urlencode({"q": asked.text})
    before, after = (f"/requests/{key_of(rows[0])}?{tail}" if rows else None for rows in found)
    return before, after


def looking(context: RequestContext) -> Response:
    """Somebody has it open: who else has. It keeps nobody from deciding."""
    row = context.find_request(context.params["id"])
    if context.form_value("gone") == "yes":
        context.app_state.presence.remove(row.id, context.member.name)
    else:
        context.app_state.presence.at(row.id, context.member.name, anew=context.form_value("anew") == "yes")
    others = context.app_state.presence.others([row.id], context.member.name).get(row.id, [])
    return context.page("parts/looking.html", others=others, key=key_of(row))


def why(context: RequestContext) -> Response:
    """The reasons alone, for a row that unfolds."""
    row = context.find_request(context.params["id"])
    return context.page("parts/why.html", line=lines_of(context, [row])[0], why=lines_of_why(context, row))


def elsewhere(context: RequestContext, row: RequestRow) -> list[Line]:
    """The same person at other repos."""
    if context.masks:
        return []
    others = context.workspace.store.attempts(None, row.person.id)
    return lines_of(
        context, [one for one in others if one.repo != row.repo and one.is_current and context.sees(one.repo)]
    )


# ---- why ---------------------------------------------------------------------------------------------------------------


def evaluate_for_page(context: RequestContext, row: RequestRow) -> Evaluation | None:
    """The request before the policies of its repo; None when there are none to ask."""
    app_state = context.app_state
    bundle, repo = app_state.policies.current, app_state.workspace.store.repo(row.repo)
    if bundle is None or repo is None or row.request is None:
        return None
    try:
        return evaluate_request(
            app_state.workspace.store,
            app_state.policies.for_repo(repo),
            app_state.workspace.sources,
            row,
            context.now,
            with_profile=False,
        )
    except (HfGateError, LookupError):
        return None


def lines_of_why(context: RequestContext, row: RequestRow) -> list[Explained]:
    """The verdict and each rule that was tried; values of people are hidden from who may not see them."""
    if context.masks:
        return []
    found = evaluate_for_page(context, row)
    if found is None:
        return []
    verdict = found.verdict if context.member.repos is None else without_counts(found.verdict)
    return list(explain_verdict(verdict, context.now))


# ---- answers, form, facts ----------------------------------------------------------------------------------------------


def _form_changes(row: RequestRow, repo: RepoRow | None) -> dict[str, list[str]]:
    """What the form of today asks otherwise than the one they saw."""
    if repo is None or repo.form_card is None or row.request is None or not row.request.has_form:
        return {"added": [], "gone": []}
    now = {each.label: each.type for each in form_from_json(repo.form_card).fields}
    saw = [collapse_whitespace(label) for label in row.request.answers]
    added = [label for label, kind in now.items() if label not in saw and kind != "ip_location"]
    return {"added": added, "gone": [label for label in saw if label not in now]}


def facts(context: RequestContext, line: Line) -> list[tuple[str, str, str, str]]:
    """What is known of the person: name, value, who controls it, source."""
    if context.masks:
        return []
    row, who = line.row, line.row.person.identity
    made = row.request.person.created_at if row.request else None
    past = context.workspace.store.history(row.repo, [row.person.id], within=context.repo_ids)[row.person.id]
    found = [
        ("Account", f"{words.years(context.now - made)} old" if made else "hidden", "account", "its id on the Hub"),
        ("E-mail", who.email or "not shared", "account", "the request"),
        ("Full name", who.fullname or "not given", "claimed", "the request"),
    ]
    decided = [
        f"{n} {word}"
        for word, n in (("accepted", past.accepted), ("rejected", past.rejected), ("reset", past.resets))
        if n
    ]
    found.append(("Here before", ", ".join(decided) or "never decided", "yours", "this desk's ledger"))
    if past.elsewhere:
        found.append(
            (
                "Elsewhere",
                f"accepted at {past.elsewhere} other {'repo' if past.elsewhere == 1 else 'repos'} of yours",
                "yours",
                "this desk's ledger",
            )
        )
    return found


# ---- notes -------------------------------------------------------------------------------------------------------------


def note(context: RequestContext) -> Response:
    """Keeps a reviewer's own words; nothing is sent."""
    row = context.find_request(context.params["id"])
    text = parse_note(context.form_value("note"))
    with context.workspace.store.writing() as write:
        write.append(row.repo, [note_entry(row, text, context.member.name, to_ms(context.now))])
    return context.back(f"/requests/{key_of(row)}#notes")


# ---- the sheet of a decision -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a reset, a rejection or a cancellation asks for before it goes into the tray."""

    verb: str
    line: Line
    reason: str
    texts: list[tuple[str, str]]
    takes_reason: bool
    back: Reversal | None = None  # it takes an act of the desk back
    still_selected: int = 0  # other rows of the queue that are ticked, and are not decided by it


def sheet(context: RequestContext) -> Response:
    """The same as a part of its own, for a dialog."""
    row = context.find_request(context.params["id"])
    line = lines_of(context, [row])[0]
    verb = context.params["verb"]
    ends = ends_for(context, line, verb)
    if ends is None and (verb not in VERBS or verb not in line.verbs):
        raise NotFound
    if not context.is_part:
        return page(context)
    if ends is not None:
        return context.page("parts/until.html", line=line, ends=ends, still_selected=selected_beside(context, row))
    return context.page("parts/sheet.html", sheet=sheet_of(context, line, verb))


def ends_for(context: RequestContext, line: Line, verb: str) -> Ends | None:
    """Return the ends that can be chosen for an acceptance, or for somebody who is in; None if none can."""
    if verb == UNTIL and "accept" in line.verbs:
        return ends_of(context)
    return ends_of(context, line.row) if verb == END and line.has_end_to_change else None


def sheet_of(context: RequestContext, line: Line, verb: str) -> Sheet:
    """With the texts to start from: what the policies would say, then the desk's own."""
    user, repo = line.row.person.identity.username or "you", line.row.repo
    suggested = _suggest_reasons(context, line.said, verb)
    texts = [(label, fill_reason(text, repo=repo.id, user=user, rule=rule)) for rule, label, text in suggested]
    texts += texts_for(context, user, repo)
    takes = verb in VERBS_WITH_REASON
    back = reversal_of(context, line.row) if context.query_value("back") else None
    return Sheet(
        verb,
        line,
        texts[0][1] if suggested and takes else "",
        texts[:9] if takes else [],
        takes,
        back if back is not None and back.verb == verb else None,
        selected_beside(context, line.row),
    )


def selected_beside(context: RequestContext, row: RequestRow) -> int:
    """Return how many other requests stay selected when this one is decided alone from the queue."""
    if not context.from_url.startswith("/queue"):
        return 0
    return context.workspace.selections.count(context.selection, besides=row.id)


def texts_for(context: RequestContext, user: str, repo: Repo | None) -> list[tuple[str, str]]:
    """The workspace's own texts by their names, filled; for many people at once those that name nobody."""
    templates = check_templates(context.workspace.location.config.templates, [] if repo is None else [repo])
    return [
        (each.name, each.text if repo is None else each.fill(repo, user))
        for each in templates
        if isinstance(each, ReasonTemplate) and (repo is not None or "{" not in each.text)
    ]


def _suggest_reasons(context: RequestContext, said: Said | None, verb: str) -> list[tuple[str, str, str]]:
    """Return the reason of the rule that asks for this verb, in each of its languages: rule, label, text."""
    if said is None or said.reason is None:
        return []
    if said.action == verb:
        policy, ident = said.policy, said.rule
    elif said.shadow is not None and said.shadow[0] == verb:
        _, policy, ident = said.shadow
    else:
        return []
    bundle = context.app_state.policies.current
    policies = () if bundle is None else bundle.policies
    rules = (rule for each in policies if each.name == policy for rule in each.rules if rule.id == ident)
    rule = next(rules, None)
    texts = texts_by_language(f"rule {ident}", (rule.reason if rule is not None else None) or said.reason)
    texts.sort(key=lambda each: each[1] != said.reason)  # the one that the policy would send comes first
    return [(ident, label, text) for label, text in texts]
