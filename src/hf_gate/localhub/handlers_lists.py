"""Handlers for the lists of requests, page by page, and for the access report."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from ..domain.lifecycle import STATUSES, Status
from ..protocol.endpoints import MAX_PAGE_SIZE, MIN_PAGE_SIZE
from .context import BodyValidator, CallContext, parse_number
from .http_messages import HttpError, HttpResponse, format_ms, json_response, parse_ms
from .records import HubAccount, HubRepo, StoredRequest, sort_key
from .request_lists import ListQuery, read_all_rows, read_page, shuffled_key

_encode = msgspec.json.Encoder().encode


class WireUser(Struct, frozen=True, gc=False):
    id: str = field(name="_id")
    avatarUrl: str  # noqa: N815 - the wire's spelling
    isPro: bool  # noqa: N815 - as above
    fullname: str
    user: str
    type: str
    verifiedOrgNames: tuple[str, ...] | UnsetType = UNSET  # noqa: N815 - as above
    email: str | UnsetType = UNSET


class WireRow(Struct, frozen=True, gc=False):
    requestId: str | UnsetType  # noqa: N815 - as above
    user: WireUser | UnsetType
    timestamp: str
    reviewedAt: str | UnsetType  # noqa: N815 - as above
    status: str
    grantedBy: WireUser | UnsetType  # noqa: N815 - as above
    fields: Raw | UnsetType


def _build_user(account: HubAccount, *, is_granter: bool = False, mailed: bool = False) -> WireUser:
    return WireUser(
        account.id, account.avatar, account.is_pro, account.fullname, account.username, "user",
        UNSET if is_granter else account.verified_orgs, account.email or UNSET if mailed else UNSET,
    )  # fmt: skip


def _build_row(hub_repo: HubRepo, row: StoredRequest, status: str, *, is_old: bool) -> WireRow:
    return WireRow(
        UNSET if is_old else row.id,
        UNSET
        if hub_repo.hide_usernames
        else _build_user(row.account, mailed=row.has_email and not hub_repo.hide_emails),
        format_ms(row.asked_ms),
        UNSET if row.reviewed_ms is None else format_ms(row.reviewed_ms),
        status,
        UNSET if row.granter is None else _build_user(row.granter, is_granter=True),
        UNSET if row.answers is None else Raw(row.answers),
    )


# ---- lists -----------------------------------------------------------------------------------------------------------


def list_requests(context: CallContext) -> HttpResponse:
    _, hub_repo = context.require_reviewer(can_decide=False)
    params, world = context.request.params, context.world
    check = BodyValidator({"status": context.call.parts["status"]})
    status = Status(check.get_option("status", [s.value for s in world.statuses]))
    check.raise_problems()
    limit = parse_number(params.get("limit"), "limit", MIN_PAGE_SIZE, MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    before_ms, after_ms = _parse_time(params, "before"), _parse_time(params, "after")
    check = BodyValidator(params)
    prefix = "" if world.is_old else (check.get_text("q", most=250) or "").lower()
    check.raise_problems()
    view = context.request.view
    wanted = ListQuery(min(limit, world.page_size), _parse_cursor(params.get("cursor")), before_ms, after_ms, prefix)
    rows, has_more = read_page(world, hub_repo, status, wanted, view, context.now_ms)
    word, is_old = status.value, world.is_old
    answer = json_response(None, raw=_encode([_build_row(hub_repo, row, word, is_old=is_old) for row in rows]))
    if not has_more:
        return answer
    last = (shuffled_key if view.is_shuffled else sort_key)(rows[-1])
    return answer.with_headers(
        Link=build_next_link(context, urlsafe_b64encode(f"{last[0]}:{last[1]}".encode()).decode().rstrip("="))
    )


def build_next_link(context: CallContext, cursor: str) -> str:
    """Return the next link of a page: the same query with another cursor."""
    pairs = [(key, value) for key, value in parse_qsl(context.request.query) if key != "cursor"]
    return f'<{context.request.base_url}{context.request.path}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'


def _parse_time(params: dict[str, str], key: str) -> int | None:
    if key not in params:
        return None
    ms = parse_ms(params[key]) if params[key].endswith("Z") else None
    if ms is None:
        raise HttpError(400, f"✖ Invalid ISO datetime\n  → at {key}")
    return ms


def _parse_cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    try:
        at, _, row_id = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        return int(at), row_id
    except ValueError:
        raise HttpError(400, "✖ Invalid cursor\n  → at cursor") from None


# ---- report ----------------------------------------------------------------------------------------------------------


class _Granter(Struct, frozen=True, gc=False):
    fullname: str
    user: str


class _ReportLine(Struct, frozen=True, gc=False):
    fullname: str | UnsetType
    user: str | UnsetType
    email: str | UnsetType
    time: str
    reviewedAt: str | UnsetType  # noqa: N815 - the wire's spelling
    status: str
    grantedBy: _Granter | UnsetType  # noqa: N815 - as above


def build_report(context: CallContext) -> HttpResponse:
    """Return the complete report. It is encoded in parts of 1,000 rows, so that a million rows need little memory."""
    _, hub_repo = context.require_reviewer(can_decide=False)
    rows, words = (
        read_all_rows(context.world, hub_repo, context.request.view, context.now_ms),
        {status: status.value for status in STATUSES},
    )
    parts = (rows[at : at + 1000] for at in range(0, len(rows), 1000))
    lines = (_encode([_build_report_line(hub_repo, row, words[row.status]) for row in part])[1:-1] for part in parts)
    name = f"user-access-report-{hub_repo.repo.namespace}-{hub_repo.repo.name}.json"
    headers = {"Content-Type": "application/json", "Content-Disposition": f"attachment; filename={name}"}
    return HttpResponse(200, headers, b"[%b]" % b",".join(lines))


def _build_report_line(hub_repo: HubRepo, row: StoredRequest, status: str) -> _ReportLine:
    account, granter = row.account, row.granter
    is_hidden, mailed = (
        hub_repo.hide_usernames,
        row.has_email and not hub_repo.hide_emails and not hub_repo.hide_usernames,
    )
    return _ReportLine(
        UNSET if is_hidden else account.fullname,
        UNSET if is_hidden else account.username,
        account.email or UNSET if mailed else UNSET,
        format_ms(row.asked_ms),
        UNSET if row.reviewed_ms is None else format_ms(row.reviewed_ms),
        status,
        UNSET if granter is None else _Granter(granter.fullname, granter.username),
    )
