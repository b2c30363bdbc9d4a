"""The Hub's answers that show requests: the lists, page by page, and the report."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from ..domain.lifecycle import STATUSES, Status
from ..protocol.endpoints import MAX_PAGE_SIZE, MIN_PAGE_SIZE
from .context import Context
from .reading import Wanted, all_rows, mixed_place, page
from .records import Account, Gated
from .shelf import Row, place
from .wire import Answered, Refusal, iso, json_answer, ms_of
from .zod import Body, number

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


def _wire_user(account: Account, *, is_granter: bool = False, mailed: bool = False) -> WireUser:
    return WireUser(
        account.id, account.avatar, account.is_pro, account.fullname, account.username, "user",
        UNSET if is_granter else account.verified_orgs, account.email or UNSET if mailed else UNSET,
    )  # fmt: skip


def _wire_row(gated: Gated, row: Row, status: str, *, is_old: bool) -> WireRow:
    return WireRow(
        UNSET if is_old else row.id,
        UNSET if gated.hide_usernames else _wire_user(row.account, mailed=row.mailed and not gated.hide_emails),
        iso(row.asked_ms),
        UNSET if row.reviewed_ms is None else iso(row.reviewed_ms),
        status,
        UNSET if row.granter is None else _wire_user(row.granter, is_granter=True),
        UNSET if row.answers is None else Raw(row.answers),
    )


# ---- the lists ----------------------------------------------------------------------------------------------------------


def list_requests(c: Context) -> Answered:
    _, gated = c.reviewing(deciding=False)
    params, world = c.asked.params, c.world
    check = Body({"status": c.call.parts["status"]})
    status = Status(check.option("status", [s.value for s in world.statuses]))
    check.settle()
    limit = number(params.get("limit"), "limit", MIN_PAGE_SIZE, MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    before_ms, after_ms = _time(params, "before"), _time(params, "after")
    check = Body(params)
    prefix = "" if world.is_old else (check.text("q", most=250) or "").lower()
    check.settle()
    view = c.asked.view
    wanted = Wanted(min(limit, world.page_size), _cursor(params.get("cursor")), before_ms, after_ms, prefix)
    rows, has_more = page(world, gated, status, wanted, view, c.now_ms)
    word, is_old = status.value, world.is_old
    answer = json_answer(None, raw=_encode([_wire_row(gated, row, word, is_old=is_old) for row in rows]))
    if not has_more:
        return answer
    last = (mixed_place if view.shuffled else place)(rows[-1])
    return answer.having(Link=next_link(c, urlsafe_b64encode(f"{last[0]}:{last[1]}".encode()).decode().rstrip("=")))


def next_link(c: Context, cursor: str) -> str:
    """The rel="next" of a page: the same query with where to go on."""
    pairs = [(key, value) for key, value in parse_qsl(c.asked.query) if key != "cursor"]
    return f'<{c.asked.base_url}{c.asked.path}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'


def _time(params: dict[str, str], key: str) -> int | None:
    if key not in params:
        return None
    ms = ms_of(params[key]) if params[key].endswith("Z") else None
    if ms is None:
        raise Refusal(400, f"✖ Invalid ISO datetime\n  → at {key}")
    return ms


def _cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    try:
        at, _, row_id = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        return int(at), row_id
    except ValueError:
        raise Refusal(400, "✖ Invalid cursor\n  → at cursor") from None


# ---- the report --------------------------------------------------------------------------------------------------------


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


def report(c: Context) -> Answered:
    """One answer, however long; made by the thousand, so that a million lines take the memory of their bytes only."""
    _, gated = c.reviewing(deciding=False)
    rows, words = all_rows(c.world, gated, c.asked.view, c.now_ms), {status: status.value for status in STATUSES}
    parts = (rows[at : at + 1000] for at in range(0, len(rows), 1000))
    lines = (_encode([_report_line(gated, row, words[row.status]) for row in part])[1:-1] for part in parts)
    name = f"user-access-report-{gated.repo.namespace}-{gated.repo.name}.json"
    headers = {"Content-Type": "application/json", "Content-Disposition": f"attachment; filename={name}"}
    return Answered(200, headers, b"[%b]" % b",".join(lines))


def _report_line(gated: Gated, row: Row, status: str) -> _ReportLine:
    account, granter = row.account, row.granter
    is_hidden, mailed = gated.hide_usernames, row.mailed and not gated.hide_emails and not gated.hide_usernames
    return _ReportLine(
        UNSET if is_hidden else account.fullname,
        UNSET if is_hidden else account.username,
        account.email or UNSET if mailed else UNSET,
        iso(row.asked_ms),
        UNSET if row.reviewed_ms is None else iso(row.reviewed_ms),
        status,
        UNSET if granter is None else _Granter(granter.fullname, granter.username),
    )
