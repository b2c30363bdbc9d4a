"""The context of one HTTP request: the member, the parsed form and query, and the responses of a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.ext import Extension
from starlette.responses import RedirectResponse, Response

from hf_gate.base.display_text import make_visible, pluralize
from hf_gate.base.ids import Repo, is_id
from hf_gate.base.timestamps import format_day, format_span
from hf_gate.config import PACKAGE
from hf_gate.core.lifecycle import AT_END, label_action
from hf_gate.core.people.grants import format_last_day, parse_grant_end
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.requests import REASON_LIMIT, utf16_units
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.decisions.typed_input import parse_end_or_none
from hf_gate.policies.words.explanation_lines import render_explanation
from hf_gate.settings.service.workspace import Workspace

from . import formatting
from .app_state import AppState
from .static_files import static_url

T = TypeVar("T")


class NotFound(Exception):
    """The page does not exist, or the member must not see it; the answer is the same."""


def require(value: T | None) -> T:
    """Return a value; raise NotFound if there is none."""
    if value is None:
        raise NotFound
    return value


def require_one_of(text: str, allowed: Container[str]) -> str:
    """Return a word of a form or an address; raise NotFound if it is not allowed."""
    if text not in allowed:
        raise NotFound
    return text


class Refused(Exception):
    """The request cannot be done. The page shows the message and the hint with `status` 403, 409, 422 or 429."""

    def __init__(self, message: str, *, hint: str = "", status: int = 422) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


class VisibleRepos(NamedTuple):
    """The repos that a member can see, and whether these are all of the store."""

    rows: Sequence[RepoRow]
    are_all: bool


@dataclass(frozen=True, slots=True)
class HttpContext:
    """The input of a page handler. `form`: fields of a POST; `query`: parameters of the address."""

    app_state: AppState
    path: str
    member: Member
    nonce: str
    query: Mapping[str, Sequence[str]]
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    is_part: bool = False  # requested by the desk's script, which inserts it into an open page
    current_url: str = ""
    page_url: str = ""  # the page that a part is inserted into
    referring_url: str = ""  # the page of the desk that led here, if the browser names it
    session: str = ""  # the id of the browser's session
    now: datetime = field(default_factory=lambda: formatting.EPOCH)
    _visible: list[VisibleRepos] = field(default_factory=list, repr=False, compare=False)

    @property
    def workspace(self) -> Workspace:
        """Return the workspace of the desk."""
        return self.app_state.workspace

    def query_value(self, name: str, otherwise: str = "") -> str:
        """Return the last value of a query parameter."""
        return (self.query.get(name) or [otherwise])[-1]

    def form_value(self, name: str, otherwise: str = "") -> str:
        """Return the last value of a form field."""
        return (self.form.get(name) or [otherwise])[-1]

    @property
    def can_decide(self) -> bool:
        """Whether the member's role may decide requests; viewers only read."""
        return self.member.role.covers(MemberRole.REVIEWER)

    def can_see(self, repo: Repo) -> bool:
        """Return whether the member can see a repo."""
        return self.app_state.membership.can_see(self.member, repo)

    def list_visible_repos(self) -> VisibleRepos:
        """Return the repos that the member can see. They are read once for a page."""
        if not self._visible:
            repos = self.workspace.store.repos()
            seen = [row for row in repos if self.can_see(row.repo)]
            self._visible.append(VisibleRepos(seen, len(seen) == len(repos)))
        return self._visible[0]

    def find_request(self, key: str) -> RequestRow:
        """Return a request by the Hub's id or its number in the store (`n17`). Raises NotFound if it is not visible."""
        store = self.workspace.store
        number = key.removeprefix("n")
        row = None
        if is_id(key):
            row = store.find_by_hub_id(key)
        elif key.startswith("n") and number.isdecimal() and len(number) < 16:
            row = store.request(int(number))
        if row is None or not self.can_see(row.repo):
            raise NotFound
        return row

    @property
    def has_workspace(self) -> bool:
        """Whether there is a workspace folder; without one, no run ends accesses."""
        return self.workspace.location.folder is not None

    def parse_end(self, text: str) -> str:
        """Check an end of access, or `none`, and return it as written. Raises UsageError if it is not valid."""
        return parse_end_or_none(text, self.now, self.workspace.zone, has_workspace=self.has_workspace)

    def parse_chosen_end(self) -> str | None:
        """Return the end chosen in the form: a duration, a date or `none`; None if nothing was chosen."""
        chosen = self.form_value("until")
        return self.parse_end(self.form_value("day") if chosen == "day" else chosen) if chosen else None

    @property
    def selection_name(self) -> str:
        """The name of the member's selection in the store, which stays until they clear it."""
        return f"s_{self.member.id}"

    @property
    def repo_ids(self) -> list[int] | None:
        """The store's numbers of the visible repos; None if all are visible."""
        return None if self.member.repos is None else [row.id for row in self.app_state.membership.repos(self.member)]

    @property
    def nav(self) -> tuple[tuple[str, str], ...]:
        """The names and paths of the navigation that the member's role can open."""
        return tuple((name, path) for name, path, role in NAV if self.member.role.covers(role))

    @property
    def next_url(self) -> str:
        """The address to return to after a form of this page."""
        return self.page_url or self.current_url

    def format_age(self, moment: datetime) -> str:
        """Format the time since a moment in one unit."""
        return format_span(self.now - moment)

    def format_time(self, moment: datetime) -> str:
        """Format a time in the desk's zone."""
        return formatting.format_time(moment, self.workspace.zone, self.now)

    def format_iso(self, moment: str) -> str:
        """Format a time of a record in the desk's zone."""
        return self.format_time(datetime.fromisoformat(moment))

    def format_last_day(self, end: datetime | str) -> str:
        """Format the last day before an end, in the desk's zone."""
        return format_last_day(end, self.workspace.zone)

    def format_end(self, written: str) -> str:
        """Format the last day of access if an acceptance with this end was sent now."""
        return self.format_last_day(parse_grant_end(written, self.now, self.workspace.zone))

    # ---- responses ---------------------------------------------------------------------------------------------------

    def render(
        self,
        template: str,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        **values: Any,  # noqa: ANN401 - the values of a template have any type
    ) -> Response:
        """Render a page, or a part of one."""
        text = ENVIRONMENT.get_template(template).render(context=self, app_state=self.app_state, **values)
        return Response(text, status, headers, media_type="text/html")

    @property
    def return_url(self) -> str | None:
        """The address in `next`, if it is a page of the desk."""
        return local_path(self.form_value("next"))

    def redirect_back(self, otherwise: str = "/queue") -> Response:
        """Redirect to the page that the form was sent from, if it is a page of the desk."""
        return RedirectResponse(self.return_url or otherwise, 303)


def local_path(path: str) -> str | None:
    """Return a path of this desk; None for any other address, so that no redirect leaves the desk."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(char) < 0x21 for char in path):
        return None
    try:
        url = urlsplit(path)
    except ValueError:
        return None
    return None if url.scheme or url.netloc else path


def parse_fields(text: str) -> dict[str, list[str]]:
    """Parse a query string or form; too many fields give an empty result."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=20_000)
    except ValueError:
        return {}


def parse_number(text: str) -> int | None:
    """Parse a number in an address; None if it is not one."""
    return int(text) if text.isdecimal() and len(text) < 16 else None


PageHandler = Callable[[HttpContext], Response]

NAV: Final = (
    ("Overview", "/overview", MemberRole.VIEWER),
    ("Queue", "/queue", MemberRole.VIEWER),
    ("Plans", "/plans", MemberRole.VIEWER),
    ("Repos", "/repos", MemberRole.VIEWER),
    ("People", "/people", MemberRole.VIEWER),
    ("Policies", "/policies", MemberRole.VIEWER),
    ("Audit log", "/audit", MemberRole.VIEWER),
)


def _visible(value: object) -> object:
    """Make control, bidi and zero-width characters visible, also in attributes.

    HTML of the templates is left as it is.
    """
    if value.__class__ is str:  # most values: pages have thousands
        return make_visible(value)
    return value if hasattr(value, "__html__") else make_visible(str(value))


_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_AFTER_START_TAG: Final = re.compile(r"(<(?!(?:br|hr|img|input|link|meta|path)\b)(?:[a-z]|/t[dh]\b)[^<]*>)\n")
_BEFORE_END_TAG: Final = re.compile(r"\n(?=</)")


class DropLayout(Extension):
    """Drops the layout white space of templates: indentation, and line breaks after a start tag, before an end tag
    and between table cells.

    So templates can have one element a line, without a space before every cell and button, and pages stay small.
    """

    def preprocess(  # jinja2's signature
        self,
        source: str,
        name: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
    ) -> str:
        return _BEFORE_END_TAG.sub("", _AFTER_START_TAG.sub(r"\1", _INDENTATION.sub("", source)))


def _environment() -> Environment:
    made = Environment(
        extensions=[DropLayout],
        loader=FileSystemLoader(PACKAGE / "desk" / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "static": static_url,
        "text_direction": formatting.text_direction,
        "reason_limit": REASON_LIMIT,
    }
    made.tests["plain"] = formatting.is_plain
    made.filters |= {
        "split_text": formatting.split_text,
        "begin": formatting.begin_text,
        "visible": make_visible,
        "utf16_units": utf16_units,
        "n": lambda number: f"{number:,}",
        "counted": pluralize,
        "label": label_action,
        "at_end": AT_END.__getitem__,
        "day": lambda day: format_day(date.fromisoformat(day)),
        "wait_words": formatting.format_wait,
        "rule_lines": render_explanation,
    }
    return made


ENVIRONMENT: Final = _environment()


def sees_all_repos(context: HttpContext) -> bool:
    """Return whether the member can see all repos, and so the workspace's chain and the proofs."""
    return context.member.repos is None


def require_all_repos(context: HttpContext, no: str) -> None:
    """Raise Refused with this message for members of some repos."""
    if not sees_all_repos(context):
        raise Refused(no, hint="Ask an admin of all repos.", status=403)


# ---- forms -----------------------------------------------------------------------------------------------------------


MAX_PARTS: Final = 200
_MULTIPART: Final = re.compile(
    r'multipart/form-data\s*;\s*boundary="?([A-Za-z0-9\'()+_,./:=?-]{1,70})"?\s*\Z', re.IGNORECASE
)
_NAME: Final = re.compile(rb'content-disposition:\s*form-data;[^\r\n]*?\bname="([^"\r\n]*)"', re.IGNORECASE)


def parse_form(content_type: str, body: bytes) -> dict[str, list[str]]:
    """Return the fields of a form. Bytes of a file that are not UTF-8 become lone surrogates."""
    match = _MULTIPART.match(content_type.strip())
    if match is None:
        return parse_fields(body.decode("utf-8", "replace"))
    return _parse_multipart(match[1].encode(), body)


def _parse_multipart(boundary: bytes, body: bytes) -> dict[str, list[str]]:
    """Return the contents of the parts by name, as browsers write them; nothing if there are too many parts."""
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)[1:]
    if len(parts) > MAX_PARTS + 1:
        return {}
    found: dict[str, list[str]] = {}
    for part in parts:
        head, mark, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if mark and name is not None:
            key = name[1].decode("utf-8", "replace").replace("%22", '"')
            found.setdefault(key, []).append(content.decode("utf-8", "surrogateescape"))
    return found
