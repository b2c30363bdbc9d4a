"""Shows ledger entries: as rows of the audit log, and each on a separate page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import Response

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events.entry_records import body_of_entry, name_of_entry, text_of_entry
from hf_gate.core.events.event_descriptions import KIND_LABELS
from hf_gate.core.events.events import StatusMoved, decode_event, kind_of
from hf_gate.core.events.ledger import WORKSPACE_CHAIN, LedgerLink, repo_of_chain
from hf_gate.core.lifecycle import VERB_FOR_STATUS
from hf_gate.core.stored_rows import LedgerRow, RequestRow
from hf_gate.desk.http_context import HttpContext, parse_number, require, sees_all_repos
from hf_gate.desk.people.people import person_url
from hf_gate.desk.requests.request_lines import request_key
from hf_gate.ledger.service.ledger_entries import read_entry


class EntryLine(Struct, frozen=True):
    """One entry as a row. `who` and `about`: the person and the address of the request, as the member may see them."""

    name: str
    href: str
    at: datetime
    clock: str
    kind: str
    word: str
    actor: str
    repo: Repo | None
    text: str
    who: str = ""
    about: str = ""
    is_outside: bool = False
    verb: str = ""


def entry_lines(context: HttpContext, rows: Sequence[LedgerRow]) -> list[EntryLine]:
    """Return rows for entries; reads their requests at once."""
    about = context.workspace.store.requests([row.link.request for row in rows if row.link.request is not None])
    return [entry_line(context, row.link, row.private, about.get(row.link.request or -1)) for row in rows]


def entry_line(
    context: HttpContext, link: LedgerLink, private: Mapping[str, Any] | None, row: RequestRow | None
) -> EntryLine:
    """Return the row of an entry about a request."""
    at = from_ms(link.at)
    return EntryLine(
        name=name_of_entry(link),
        href=f"/audit/{link.chain}/{link.seq}",
        at=at,
        clock=f"{at.astimezone(context.workspace.zone):%H:%M:%S}",
        kind=link.kind,
        word=KIND_LABELS.get(link.kind, link.kind),
        actor=link.actor,
        repo=repo_of_chain(link.chain),
        text=text_of_entry(link, private, context.workspace.zone),
        who="" if row is None else row.person_name,
        about="" if row is None else f"/requests/{request_key(row)}",
        is_outside=link.kind == kind_of(StatusMoved),
        verb=_verb(link),
    )


def _verb(link: LedgerLink) -> str:
    try:
        event = decode_event(link.body)
    except ValueError:
        return ""
    after = getattr(event, "after", None)
    return VERB_FOR_STATUS.get(after, "") if isinstance(after, str) else ""


# ---- the page of an entry --------------------------------------------------------------------------------------------


def entry_page(context: HttpContext) -> Response:
    """Show one entry: its public part, its private part, and its hashes."""
    chain = (
        WORKSPACE_CHAIN
        if "type" not in context.params
        else "/".join(context.params[key] for key in ("type", "ns", "name"))
    )
    seq = require(parse_number(context.params["seq"]) if _can_see_chain(context, chain) else None)
    found = require(read_entry(context.workspace.store, chain, seq))
    link = found.link
    private = None if found.private is None else json.loads(found.private)
    row = None if link.request is None else context.workspace.store.request(link.request)
    length = context.workspace.store.chains()[chain][0]
    return context.render(
        "entry.html",
        title=name_of_entry(link),
        line=entry_line(context, link, private, row),
        link=link,
        person=None if row is None else person_url(row.person),
        body=[(key, _format_value(value)) for key, value in body_of_entry(link).items()],
        private=None if private is None else [(key, _format_value(value)) for key, value in private.items()],
        is_kept=found.private is not None,
        before=f"/audit/{chain}/{seq - 1}" if seq > 1 else None,
        after=f"/audit/{chain}/{seq + 1}" if seq < length else None,
        length=length,
        chain_href="/audit?"
        + urlencode({"repo": WORKSPACE_CHAIN if chain == WORKSPACE_CHAIN else str(repo_of_chain(chain))}),
    )


def _can_see_chain(context: HttpContext, chain: str) -> bool:
    if chain == WORKSPACE_CHAIN:
        return sees_all_repos(context)
    try:
        repo = repo_of_chain(chain)
    except ValueError:
        return False
    return repo is not None and context.can_see(repo) and chain in context.workspace.store.chains()


def _format_value(value: object) -> str:
    """Format a value for people; the Hub's record is JSON within a string."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
