"""Pins the desk: its routes and roles, the description of its API, and the shape of what each page gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from hf_gate.desk.routes import ROUTES
from tests.kits.desk import Answer, Desk, Visitor, open_desk
from tests.kits.golden_files import check_golden, describe_shape

_FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL)
_ATTRIBUTE = r'\b{}="([^"]*)"'
_VARIABLE = re.compile(
    r"[0-9a-f]{24,64}|\bp_\w+|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \w+ |\b\d+ [A-Z][a-z]+ \d+|\b[nr]_?[0-9a-z]{10,14}\b|\d+"
)
_KINDS = ("json", "csv")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk"), requests=60, repos=2) as desk:
        yield desk


@pytest.fixture(scope="module")
def visitor(desk: Desk) -> Visitor:
    return desk.visitor()


def test_the_routes_and_the_lowest_role_of_each() -> None:
    check_golden("routes.txt", sorted(f"{route.method} {route.path} {route.role.value}" for route in ROUTES))


def test_the_description_of_the_api(visitor: Visitor) -> None:
    document = visitor.get("/api/openapi.json").json
    check_golden("openapi.txt", json.dumps(document, indent=1, sort_keys=True).splitlines())


def test_what_each_page_gives(visitor: Visitor) -> None:
    """Status, type, keys of JSON, columns of CSV; of pages the title, the headings, and each form with its fields."""
    request_id = visitor.get("/queue").rows[0]
    person = re.search(r'href="/people/([^"/]+)"', visitor.get(f"/requests/{request_id}").body)
    values = {
        "id": request_id,
        "verb": "reject",
        "type": "model",
        "ns": "lumen-labs",
        "name": "lantern-7b-chat",
        "seq": "1",
    }
    lines = list[str]()
    for route in sorted(ROUTES):
        if route.method != "GET" or route.path.endswith(("/events", "/live")):
            continue
        for kind in _KINDS if "{kind}" in route.path else ("",):
            known = values | {"kind": kind} | ({"id": person[1]} if person and route.path.startswith("/people") else {})
            path = re.sub(r"\{(\w+)\}", lambda match, known=known: known.get(match[1], "none"), route.path)  # type: ignore[misc]
            answer = visitor.get(path)
            lines += [f"## GET {route.path}{f' as {kind}' if kind else ''}", *_describe(answer), ""]
    check_golden("pages.txt", lines)


def _describe(answer: Answer) -> Iterator[str]:
    kind = answer.headers.get("content-type", "")
    yield f"{answer.status} {kind}"
    if answer.status != 200:
        return
    if kind.startswith("application/json"):
        yield from sorted(describe_shape(answer.json))
    elif "csv" in kind:
        yield answer.body.splitlines()[0]
    else:
        yield from re.findall(r"<title>([^<]*)</title>", answer.body)
        yield from dict.fromkeys(
            _VARIABLE.sub("#", text) for text in re.findall(r"<h[1-3][^>]*>\s*([^<]+?)\s*<", answer.body)
        )
        yield from sorted({_describe_form(form) for form in _FORM.findall(answer.body)})


def _describe_form(form: str) -> str:
    action = re.search(_ATTRIBUTE.format("action"), form)
    method = re.search(_ATTRIBUTE.format("method"), form)
    names = sorted(set(re.findall(_ATTRIBUTE.format("name"), form)))
    place = _VARIABLE.sub("#", action[1]) if action else ""
    return f"form {method[1] if method else 'get'} {place.partition('?')[0]}: {', '.join(names)}"
