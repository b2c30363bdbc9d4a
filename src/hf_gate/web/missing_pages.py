"""Names what an address that leads nowhere was meant to show, for the page that says so."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from hf_gate.base.display_text import clip_line
from hf_gate.base.ids import is_id

_MAX_NAME: Final = 80  # columns
_GONE: Final = "It may be gone, or belong to a repo that you cannot see."
_KINDS: Final = {
    "requests": ("request", "It may have been withdrawn, or belong to a repo that you cannot see.", "Queue", "/queue"),
    "people": ("person", _GONE, "People", "/people"),
    "repos": ("repo", "The desk does not manage it, or you cannot see it.", "Repos", "/repos"),
    "plans": ("plan", "It may have been discarded.", "Plans", "/plans"),
    "runs": ("run", _GONE, "Plans", "/plans"),
    "bulk": ("selection", "It may have been decided or cleared.", "Queue", "/queue"),
    "policies": ("policy", "Its file may have been renamed or removed.", "Policies", "/policies"),
    "tables": ("table", "It may have been renamed, or belong to a policy that you cannot see.", "Tables", "/tables"),
    "audit": ("entry", _GONE, "Audit log", "/audit"),
}
"""By the first part of a path: what it shows, why that may be missing, and the page to go back to."""

_SEARCHED: Final = frozenset({"requests", "people", "repos"})  # kinds whose names the queue's search knows


_PARTS: Final = {"repos": 3, "audit": 4}  # of a path that make a name; else one


class MissingPage(Struct, frozen=True):
    """What was sought: `message` and `hint` in words, `search` to begin a search with, and the page to go back to."""

    message: str
    hint: str
    search: str
    back_name: str
    back_url: str


def describe_missing(path: str, *, is_known: bool = False) -> MissingPage:
    """Describe the page that a path would have shown. The path may be any text.

    `is_known`: the page exists, but a form or a query of it names what does not.
    """
    kind, *parts = path.strip("/").split("/")
    name = clip_line("/".join(parts[: _PARTS.get(kind, 1)]), _MAX_NAME)
    if is_known:
        return MissingPage("What you asked for is not there.", _GONE, "", "Queue", "/queue")
    if kind not in _KINDS or not name:
        sought = clip_line(path, _MAX_NAME)
        return MissingPage(f"There is no page {sought}.", "Check the address, or search.", "", "Queue", "/queue")
    what, hint, back_name, back_url = _KINDS[kind]
    search = name if kind in _SEARCHED and not is_id(name) else ""  # ids are not searched
    return MissingPage(f"There is no {what} {name}.", hint, search, back_name, back_url)
