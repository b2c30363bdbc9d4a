"""Decides for other systems: one request in one call with a key, once for each Idempotency-Key.

A decision goes through the tray, as those of members do, and is due at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from hf_gate.base.ids import Repo, is_id, parse_repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import ACCEPT, STATUS_AFTER_VERB
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.members import KeyMember
from hf_gate.core.queued_decisions import KeyDecision, KeyDecisionRepeated
from hf_gate.core.records import OutcomeRecord
from hf_gate.core.requests import REASON_LIMIT
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.rows import find_key_decision, write_key_decision
from hf_gate.decisions.service.tray import DecisionRequest
from hf_gate.decisions.typed_input import parse_reason
from hf_gate.desk.grants.access_end import require_sent_decisions, write_end
from hf_gate.desk.http_context import HttpContext, NotFound, Refused, require
from hf_gate.desk.requests.request_lines import version_with_terms
from hf_gate.members.sessions import digest_secret
from hf_gate.settings.service.unattended_stop import read_stop
from hf_gate.store.rows.tray import find_decision_of_batch

MAX_IDEMPOTENCY: Final = 200  # characters
_MOVED: Final = "The request changed, or another decision about it is not sent yet."
_SEND_AGAIN: Final = "Send it again in a moment, with the same Idempotency-Key."
_SEND_LATER: Final = (
    "The decision is stored. Replace the token of the desk, and ask again with the same Idempotency-Key."
)
_GUARD: Final = (
    "The decision is stored and sent when the guard has room. Ask again later with the same Idempotency-Key."
)
_UNDONE: Final = "it was taken back before it was sent"


class KeyDecisionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision of another system, sent with a key. `person`: the account id, or the username.

    `repo`: as elsewhere, `datasets/you/your-data`; or as answers have it, `you/your-data` with `repo_type`.
    `until`: when an acceptance ends, `90d`, a date such as `2028-11-30`, or `none`. Only `accept` takes it. Without it,
    the access ends as the rules set it; where they do not know an end, `until` is required. For a person who has access
    already, it sets a later end.
    """

    repo: Annotated[str, Meta(min_length=1, max_length=200)]
    person: Annotated[str, Meta(min_length=1, max_length=96, pattern=r"^[A-Za-z0-9_.-]+$")]
    action: Literal["accept", "reset", "reject", "cancel"]
    reason: Annotated[str, Meta(max_length=2 * REASON_LIMIT)] | None = None
    until: Annotated[str, Meta(max_length=40)] | None = None
    repo_type: Literal["model", "dataset"] | None = None


class KeyDecisionOut(OutcomeRecord, frozen=True, kw_only=True):
    """The outcome of a decision of another system; `outcome` is null until it is sent. `run`: the run that sent it."""

    schema_version: int = 1
    id: str
    run: str | None


def decide_by_key(context: HttpContext, wish: KeyDecisionIn, idempotency: str) -> KeyDecisionOut:
    """Decide once for each Idempotency-Key, and return the outcome as far as it is known."""
    key = context.member
    if not isinstance(key, KeyMember) or wish.action not in key.verbs:
        raise Refused(f"This key may not {wish.action}.", hint="Make one with more: hf-gate keys add", status=403)
    if not 0 < len(idempotency) <= MAX_IDEMPOTENCY:
        raise Refused(
            f"The call needs an Idempotency-Key of at most {MAX_IDEMPOTENCY} characters.",
            hint="Send an id of this decision, such as an invoice number, and the same one when you repeat the call.",
        )
    repo = parse_repo(wish.repo, wish.repo_type, endpoint=context.workspace.store.endpoint)
    if not context.can_see(repo):
        raise NotFound
    store = context.workspace.store
    body = digest_secret(f"{idempotency}\n{msgspec.json.encode(wish).decode()}")
    claim = KeyDecision(key=key.name, idempotency=digest_secret(idempotency), body=body, at=to_ms(context.now))
    if find_key_decision(store, claim) is None:
        with suppress(KeyDecisionRepeated):
            _decide(context, repo, wish, claim)
    known = require(find_key_decision(store, claim))
    if known.body != body:
        raise Refused(
            "This Idempotency-Key was sent with another body.",
            hint="Send another Idempotency-Key for another decision.",
            status=409,
        )
    out = _describe(context, known)
    if out.outcome is None and (problem := context.app_state.token_problem):
        raise Refused(f"The desk can send nothing: {problem}", hint=_SEND_LATER, status=503)
    sent = find_decision_of_batch(store, known.request_id, known.batch) if out.outcome is None else None
    if sent is not None and (guard := context.app_state.tray_service.describe_used_guard(sent.change, context.now)):
        raise Refused(f"The guard `{guard}` is used up by turns and keys.", hint=_GUARD, status=429)
    return out


def _decide(context: HttpContext, repo: Repo, wish: KeyDecisionIn, claim: KeyDecision) -> None:
    """Queue a decision, or set the end of an access, and store that with the claim in one transaction."""
    store = context.workspace.store
    if read_stop(store) is not None:
        raise Refused(
            "All unattended work is stopped.",
            hint="Send it again with the same Idempotency-Key. An admin can start it: hf-gate start",
            status=409,
        )
    row = _find_request(context, repo, wish.person)
    until = parse_accept_end(context, wish.action, wish.until)
    reason = parse_reason(wish.reason, wish.action, is_silent=True)
    claim = replace(claim, request_id=row.id)
    after = STATUS_AFTER_VERB[wish.action]
    done = replace(claim, outcome=OutcomeKind.ALREADY, why=f"already {after}, as last read")
    if row.state.status == after and until is not None:
        write_end(
            context,
            row,
            until,
            context.now,
            row.version.token,
            lambda write, held: write_key_decision(
                write, done if held is None else replace(claim, outcome=held.kind, why=held.why)
            ),
        )
        return
    if row.state.status == after:
        with store.writing(is_short=True) as write:
            fresh = store.request(row.id)
            if fresh is None or not fresh.version.is_token(row.version.token):
                raise Refused(_MOVED, hint=_SEND_AGAIN, status=409)
            require_sent_decisions(context, fresh)
            write_key_decision(write, done)
        return
    terms = context.app_state.terms_reader.read_terms([row], context.now)[row.id] if wish.action == ACCEPT else None
    versions = {row.id: version_with_terms(context, row, terms)}
    queued = context.app_state.tray_service.queue_decisions(
        DecisionRequest(wish.action, versions, context.member, reason, until),
        context.now,
        0.0,
        lambda write, batch: write_key_decision(write, replace(claim, batch=batch)),
    )
    if not queued.count and find_key_decision(store, claim) is None:
        raise Refused(_MOVED, hint=_SEND_AGAIN, status=409)
    context.app_state.wake.set()


def _find_request(context: HttpContext, repo: Repo, person: str) -> RequestRow:
    """Return the request of a person at a repo, by their account id or their current username."""
    field = "user_id" if is_id(person) else "username"
    rows = context.workspace.store.find_by_identity(repo, person)
    found = [row for row in rows if (getattr(row.person.identity, field) or "").lower() == person.lower()]
    if len(found) > 1:
        raise Refused("Several accounts have had this name.", hint="Send the account id as `person`.", status=409)
    if not found:
        soonest = context.app_state.sync_status.programs_wait_until
        if soonest is None or context.now >= soonest:
            context.app_state.request_sync()
        raise Refused(
            "No request of this person at this repo is known.",
            hint="The desk reads its repos again soon. If the person has asked, send it again in a minute.",
            status=404,
        )
    return found[0]


def parse_accept_end(context: HttpContext, verb: str, until: str | None) -> str | None:
    """Check the end of an acceptance and return it as written; None without one."""
    if until is None:
        return None
    if verb != ACCEPT:
        raise Refused("Only an acceptance has an end.", hint="Leave `until` out, or accept.")
    return context.parse_end(until)


def _describe(context: HttpContext, known: KeyDecision) -> KeyDecisionOut:
    """Return the outcome of a decision: its own, or that of its batch in the tray."""
    store = context.workspace.store
    row = require(store.request(known.request_id))
    sent = find_decision_of_batch(store, row.id, known.batch) if known.outcome is None else None
    outcome = None if known.outcome is None else OutcomeKind(known.outcome)
    why = known.why
    if known.outcome is None:
        outcome, why = (OutcomeKind.REFUSED, _UNDONE) if sent is None else (sent.outcome, sent.row.why)
    return KeyDecisionOut(
        user=row.person.identity.username,
        user_id=row.person.identity.user_id,
        request_id=row.state.hub_request,
        repo=row.repo.id,
        repo_type=row.repo.type,
        outcome=outcome,
        why=why or None,
        id=known.batch or known.idempotency[:24],
        run=sent.run.id if sent is not None and outcome is not None else None,
    )
