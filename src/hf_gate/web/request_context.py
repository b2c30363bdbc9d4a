"""One request to a page: the member, the form and the query, and the responses that a page can give."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.ext import Extension
from starlette.responses import RedirectResponse, Response

from ..application.inputs import parse_end
from ..application.workspace import Workspace
from ..domain.display_text import make_visible
from ..domain.ids import Repo, is_id
from ..domain.members import Member, MemberRole
from ..domain.rows import RequestRow
from . import formatting
from .app_state import AppState
from .static_files import FOLDER, static_url


class NotFound(Exception):
    """What is not there, or not for this person: the same page for both."""


class Refused(Exception):
    """What was sent cannot be done; `status` 403, 409 or 422. Shown as a sentence with its next step."""

    def __init__(self, message: str, *, hint: str = "", status: int = 422) -> None:
        super().__init__(message)
        self.hint, self.status = hint, status


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a page is given. `sent` is the form of a POST, `query` what stands behind the question mark."""

    app_state: AppState
    path: str
    member: Member
    nonce: str
    query: Mapping[str, Sequence[str]]
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    is_part: bool = False  # asked for by a script of ours, which puts it into a page that is there
    theme: str | None = None
    current_url: str = ""
    page_url: str = ""  # the page that a part is for
    now: datetime = field(default_factory=lambda: formatting.EPOCH)

    @property
    def workspace(self) -> Workspace:
        """The workspace of this desk."""
        return self.app_state.workspace

    def query_value(self, name: str, otherwise: str = "") -> str:
        """The last value of a name in the query."""
        return (self.query.get(name) or [otherwise])[-1]

    def form_value(self, name: str, otherwise: str = "") -> str:
        """The last value of a name in the form."""
        return (self.form.get(name) or [otherwise])[-1]

    @property
    def is_masked(self) -> bool:
        """Whether names, mail and answers are hidden from this person."""
        return not self.member.role.covers(MemberRole.REVIEWER)

    def can_see(self, repo: Repo) -> bool:
        """Whether a repo is one of theirs."""
        return self.app_state.membership.can_see(self.member, repo)

    def find_request(self, key: str) -> RequestRow:
        """Return a request by the Hub's id or by its number here (`n17`); NotFound if this person must not see it."""
        store, number = self.workspace.store, key.removeprefix("n")
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
        """Whether there is a folder with hf-gate.yaml, whose runs end accesses."""
        return self.workspace.location.folder is not None

    def parse_end(self, text: str) -> str:
        """Return the end of an access as it was written; UsageError if it cannot be one."""
        return parse_end(text, self.now, self.workspace.zone, has_workspace=self.has_workspace)

    def parse_chosen_end(self) -> str | None:
        """Return the end that was chosen in the form, a length of time or a date; None: no end."""
        chosen = self.form_value("until")
        return self.parse_end(self.form_value("day") if chosen == "day" else chosen) if chosen else None

    @property
    def selection_name(self) -> str:
        """The name of this person's selection in the store; it stays until they clear it."""
        return f"s_{self.member.id}"

    @property
    def repo_ids(self) -> list[int] | None:
        """The numbers of the repos that this person sees; None: all of the store count."""
        return None if self.member.repos is None else [row.id for row in self.app_state.membership.repos(self.member)]

    @property
    def nav(self) -> tuple[tuple[str, str], ...]:
        """The rooms that this person finds."""
        return tuple((name, path) for name, path, role in NAV if self.member.role.covers(role))

    @property
    def next_url(self) -> str:
        """Where a form of this page leads back to."""
        return self.page_url or self.current_url

    def format_age(self, moment: datetime) -> str:
        """How long ago, in one unit."""
        return formatting.format_age(moment, self.now)

    def format_time(self, moment: datetime) -> str:
        """In the desk's zone."""
        return formatting.format_time(moment, self.workspace.zone, self.now)

    # ---- answers -----------------------------------------------------------------------------------------------------

    def render(
        self,
        template: str,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        **values: Any,  # noqa: ANN401 - whatever a template shows
    ) -> Response:
        """A page, or a part of one."""
        text = ENVIRONMENT.get_template(template).render(context=self, app_state=self.app_state, **values)
        return Response(text, status, headers, media_type="text/html")

    def redirect_back(self, otherwise: str = "/queue") -> Response:
        """To the page that a form was sent from, if it is one of ours."""
        return RedirectResponse(local_path(self.form_value("next")) or otherwise, 303)


def local_path(path: str) -> str | None:
    """A path of this desk, or None: never another host."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(char) < 0x21 for char in path):
        return None
    try:
        url = urlsplit(path)
    except ValueError:
        return None
    return None if url.scheme or url.netloc else path


def parse_fields(text: str) -> dict[str, list[str]]:
    """A query string or a form as its names and values; one of too many of them is none."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=20_000)
    except ValueError:
        return {}


PageHandler = Callable[[RequestContext], Response]

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
    """Make control, bidi and zero-width characters visible, in attributes as well; markup of ours is done already."""
    return value if hasattr(value, "__html__") else make_visible(str(value))


_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_AFTER_START_TAG: Final = re.compile(r"(<(?!(?:br|hr|img|input|link|meta|path)\b)(?:[a-z]|/t[dh]\b)[^<]*>)\n")
_BEFORE_END_TAG: Final = re.compile(r"\n(?=</)")


class DropLayout(Extension):
    """Drops the white space that only lays out a template: indentation, line breaks after a start tag, before an end tag
    and between the cells of a table.

    Templates can be formatted one element a line without a space in front of every cell and button, and pages stay small.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002 - jinja2's signature
        return _BEFORE_END_TAG.sub("", _AFTER_START_TAG.sub(r"\1", _INDENTATION.sub("", source)))


def _environment() -> Environment:
    made = Environment(
        extensions=[DropLayout],
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"static": static_url, "text_direction": formatting.text_direction}
    made.filters |= {
        "split_text": formatting.split_text,
        "visible": make_visible,
        "n": lambda number: f"{number:,}",
        "label": formatting.LABEL.__getitem__,
        "wait_words": formatting.format_wait,
    }
    return made


ENVIRONMENT: Final = _environment()
