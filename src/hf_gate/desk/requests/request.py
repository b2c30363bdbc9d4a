"""The page of a request: its place in the queue, answers, verdict with reasons, person, history, notes and forms."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import RedirectResponse, Response

from hf_gate.approvals.service.approval_alarms import find_open_alarm
from hf_gate.base.display_text import join_words, pluralize
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.events import NoteWritten, kind_of
from hf_gate.core.forms.forms import collapse_whitespace, form_from_json, list_choice_labels
from hf_gate.core.lifecycle import MEANING, VERBS
from hf_gate.core.stored_rows import HistoryRow, RepoRow, RequestRow
from hf_gate.decisions.service.direct_decisions import note_entry
from hf_gate.decisions.typed_input import parse_note
from hf_gate.desk.formatting import begin_text
from hf_gate.desk.grants.access_end import EndChoices, list_accept_choices, list_end_choices
from hf_gate.desk.http_context import HttpContext, NotFound, parse_fields
from hf_gate.desk.messages.reason_texts import count_other_selected, make_sheet
from hf_gate.grants.service.grant_records import describe_access_end
from hf_gate.policies.words.phrases import describe_age
from hf_gate.requests.rows.queue import find_queue_neighbours
from hf_gate.requests.service.request_history import last_transition
from hf_gate.requests.service.request_records import rate_answers

from .explanations import evaluate_for_page, explain_for_page, find_rule_url
from .queue_counts import MAX_COUNTED, count_matching, format_total, list_counts
from .queue_query import (
    PENDING,
    encode_query,
    limit_to_visible_repos,
    parse_queue_query,
    queue_url,
)
from .request_history import (
    describe_last_decision,
    find_changes,
    find_reversal,
    fold_verdicts,
    list_history,
)
from .request_lines import AnswerLine, RequestLine, build_request_lines, request_key

MAX_POSITION: Final = 1000  # later positions are not counted


class RequestPlace(Struct, frozen=True):
    """The place of a request in a queue. `number` is None if the request is not in it, or far from its start.

    `total` is the number of requests as text. `before` and `after` are addresses of pages.
    """

    number: int | None
    total: str
    before: str | None
    after: str | None

    @property
    def text(self) -> str:
        """The place in words: `4 of 974`, or only `974 requests`."""
        if self.number is not None:
            return f"{self.number:,} of {self.total}"
        return f"{self.total} {'request' if self.total == '1' else 'requests'}"


def find_place(context: HttpContext, row: RequestRow) -> RequestPlace:
    """Return the place of a request in the queue of the address's query, the oldest first."""
    asked = parse_queue_query(context)
    cells = list_counts(context)
    most = MAX_COUNTED if count_matching(asked.query, cells) is None else MAX_POSITION
    neighbours = find_queue_neighbours(
        context.workspace.store,
        limit_to_visible_repos(context, asked.query),
        (row.state.asked_at, row.id),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        most=most,
    )
    tail = encode_query({"q": asked.text})
    before, after = (
        None if one is None else f"/requests/{request_key(one)}?{tail}" for one in (neighbours.before, neighbours.after)
    )
    return RequestPlace(neighbours.number, format_total(context, asked.query, cells), before, after)


def find_referring_query(context: HttpContext) -> str | None:
    """Return the query of the queue page that led here; None if the address names one, or if it is the usual one.

    So the rows of a page need not repeat its query, which may be long.
    """
    opener = urlsplit(context.referring_url)
    if context.query or opener.path != "/queue":
        return None
    query = parse_fields(opener.query).get("q", [PENDING])[-1]
    return None if query == PENDING else query


ACCEPT_UNTIL = "until"  # in addresses, like a verb: accept with an end
CHANGE_END = "end"  # in addresses: change the end of an access


def page(context: HttpContext) -> Response:
    """Show the page of a request, in the queue that it was opened from; for an open queue, return a preview of it."""
    row = context.find_request(context.params["id"])
    if context.is_part:
        return _preview(context, row)
    if (query := find_referring_query(context)) is not None:
        return RedirectResponse(f"{context.path}?{encode_query({'q': query})}", 303)
    values = _describe(context, row)
    line: RequestLine = values["line"]
    attempts = context.workspace.store.attempts(row.repo, row.person.id)
    verb = context.query_value("verb", context.params.get("verb", ""))
    history = list_history(context, attempts)
    place = find_place(context, row)
    queue = queue_url(context.query_value("q", PENDING))
    return context.render(
        "request.html",
        **values,
        queue_url=queue,
        place=place,
        next_url=place.after or queue,
        title=f"{line.who} asks for {row.repo}",
        alarm=find_open_alarm(context.workspace.store, row),
        attempts=attempts,
        changes=find_changes(context, row, attempts),
        unseen=_list_unseen_questions(context, row),
        history=fold_verdicts(one for one in history if one.kind != kind_of(NoteWritten)),
        notes=[one for one in history if one.kind == kind_of(NoteWritten)],
        elsewhere=list_other_requests(context, row),
        reversal=None if line.is_leaving else find_reversal(context, row, values["transition"]),
        ends=choose_ends(context, line, verb),
        still_selected=0,
        sheet=make_sheet(context, line, verb)
        if verb in line.verbs and (verb != "accept" or (context.query_value("back") and not line.must_choose_end))
        else None,
        meaning=MEANING.get(row.state.status, ""),  # type: ignore[call-overload]
    )


def _describe(context: HttpContext, row: RequestRow) -> dict[str, Any]:
    """Return what the page of a request and its preview show: person, decision, row, and the reasons of the verdict."""
    line = build_request_lines(context, [row])[0]
    line.answers = _rate(row, context.workspace.store.repo(row.repo), line.answers)
    explanation = explain_for_page(context, evaluate_for_page(context, row))
    transition = last_transition(context.workspace.store, row)
    return {
        "query": context.query_value("q", PENDING),
        "line": line,
        "explanation": explanation,
        "rule_url": find_rule_url(context, line, explanation),
        "person": summarize_requester(context, row),
        "transition": transition,
        "decision": describe_last_decision(context, row, transition),
        "access_end": describe_access_end(row, context.now, context.workspace.zone),
    }


def _rate(row: RequestRow, repo: RepoRow | None, answers: list[AnswerLine]) -> list[AnswerLine]:
    """Return the answers with the quality of those that are not good, as `hf-gate show` names it."""
    choices = list_choice_labels(None if repo is None else repo.form_card)
    quality = {} if row.request is None else rate_answers(row.request, choices) or {}
    poor = {label: one for label, one in quality.items() if one != "good"}
    return [replace(answer, quality=poor.get(answer.label, "")) for answer in answers]


_MOST_PREVIEWED: Final = 12  # answers in a preview
_MOST_OF_ANSWER: Final = 1000  # characters of each
_MOST_OF_LABEL: Final = 400


def _preview(context: HttpContext, row: RequestRow) -> Response:
    """Return a request as it stands beside the rows of the queue. Its answers are bounded; its page has all of them."""
    values = _describe(context, row)
    line: RequestLine = values["line"]
    full = line.answers
    line.answers = [
        replace(one, label=begin_text(one.label, _MOST_OF_LABEL), text=begin_text(one.text, _MOST_OF_ANSWER))
        for one in full[:_MOST_PREVIEWED]
    ]
    is_cut = len(full) > _MOST_PREVIEWED or any(
        len(one.text) > _MOST_OF_ANSWER or len(one.label) > _MOST_OF_LABEL for one in full
    )
    return context.render("parts/preview.html", **values, next_url=context.next_url, is_cut=is_cut)


def explanation_part(context: HttpContext) -> Response:
    """Return the reasons of the verdict as a part, for a row of the queue."""
    row = context.find_request(context.params["id"])
    line = build_request_lines(context, [row])[0]
    explanation = explain_for_page(context, evaluate_for_page(context, row))
    rule_url = find_rule_url(context, line, explanation)
    return context.render("parts/explanation.html", line=line, explanation=explanation, rule_url=rule_url)


def list_other_requests(context: HttpContext, row: RequestRow) -> list[RequestLine]:
    """Return the person's current requests at other visible repos."""
    others = context.workspace.store.attempts(None, row.person.id)
    return build_request_lines(
        context,
        [other for other in others if other.repo != row.repo and other.is_current and context.can_see(other.repo)],
    )


# ---- form ------------------------------------------------------------------------------------------------------------


def _list_unseen_questions(context: HttpContext, row: RequestRow) -> list[str]:
    """Return the questions that the form has got since the person answered it."""
    repo = context.workspace.store.repo(row.repo)
    if repo is None or repo.form_card is None or row.request is None or not row.request.has_form:
        return []
    seen = {collapse_whitespace(label) for label in row.request.answers}
    fields = form_from_json(repo.form_card).fields
    return [field.label for field in fields if field.label not in seen and field.type != "ip_location"]


# ---- notes -----------------------------------------------------------------------------------------------------------


def add_note(context: HttpContext) -> Response:
    """Store a note of the member; nothing is sent."""
    row = context.find_request(context.params["id"])
    text = parse_note(context.form_value("note"))
    with context.workspace.store.writing(is_short=True) as write:
        write.append(row.repo, [note_entry(row, text, context.member.name, to_ms(context.now))])
    return context.redirect_back(f"/requests/{request_key(row)}#notes")


# ---- decision forms --------------------------------------------------------------------------------------------------


def sheet_part(context: HttpContext) -> Response:
    """Return the form of a decision as a part for a dialog, or within the page without a script."""
    row = context.find_request(context.params["id"])
    line = build_request_lines(context, [row])[0]
    verb = context.params["verb"]
    ends = choose_ends(context, line, verb)
    if ends is None and (verb not in VERBS or verb not in line.verbs):
        raise NotFound
    if not context.is_part:
        return page(context)
    if ends is not None:
        return context.render(
            "parts/until.html", line=line, ends=ends, still_selected=count_other_selected(context, row)
        )
    return context.render("parts/sheet.html", sheet=make_sheet(context, line, verb))


def choose_ends(context: HttpContext, line: RequestLine, verb: str) -> EndChoices | None:
    """Return the ends to choose for an acceptance or a change of end; None for other verbs."""
    is_accept = verb == ACCEPT_UNTIL or (verb == "accept" and line.must_choose_end)
    if is_accept and "accept" in line.verbs:
        return list_accept_choices(context, line)
    return list_end_choices(context, line.row) if verb == CHANGE_END and line.has_end_to_change else None


# ---- the person ------------------------------------------------------------------------------------------------------


class RequesterSummary(Struct, frozen=True):
    """What is known of a person: `address`, `account` and `earlier` are one line together."""

    address: str | None
    account: str
    earlier: str


def summarize_requester(context: HttpContext, row: RequestRow) -> RequesterSummary:
    """Return what is known of the person."""
    who = row.person.identity
    created = row.request.person.created_at if row.request else None
    age = None if created is None else describe_age(max(0, (context.now - created).days))
    account = "account age unknown" if age is None else f"account {age} old"
    past = context.workspace.store.history(row.repo, [row.person.id], within=context.repo_ids)[row.person.id]
    earlier = describe_decisions(past)
    return RequesterSummary(who.email, account, earlier)


def describe_decisions(past: HistoryRow) -> str:
    """Return the earlier decisions: `rejected once and sent back twice here; accepted at 2 other repos`."""
    here = [
        f"{word} {_times(number)}"
        for word, number in (("accepted", past.accepted), ("rejected", past.rejected), ("sent back", past.resets))
        if number
    ]
    found = [join_words(here, "and") + " here"] if here else []
    if past.elsewhere:
        found.append(f"accepted at {pluralize(past.elsewhere, 'other repo')}")
    return "; ".join(found) or "no earlier decisions"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
