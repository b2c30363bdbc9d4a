"""Who sees no names, mail and answers cannot find out who is there by asking for them either, on no way into the desk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from hf_gate.core.parsing.query import KEYS, VIEWER_KEYS
from tests.kits.desk import GOOD, Desk, open_desk

POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: swiss
    when: email.present && email.domain == "ethz.ch"
    then: human
  - id: rest
    then: human
"""
CLOSED = (
    "ada", "Lovelace", "user:ada", "user:ad*", "user:*", "email:ada@ethz.ch", "domain:ethz.ch", "country:CH", "reason:*",
    'form."Purpose":*thesis*', "answer:*thesis*", "table:*", "-ada", "-user:ada", "status:pending -email:*", "user:p_*",
    "user:p_0000000000000000,ada", "quality:good", "-quality:good", "mail:university", "status:pending -mail:*", "same:1",
)  # fmt: skip
"""What tells who somebody is or what they wrote by whether a row is there."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("desk")
    with open_desk(folder, POLICY) as made:
        made.ask([{"username": "ada", "fullname": "Ada Lovelace", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        made.ask([{"username": "bob"}], {"Purpose": "test"})
        yield made


def test_every_key_is_open_or_closed_on_purpose() -> None:
    closed = {"user", "email", "domain", "country", "table", "reason", "form", "answer", "quality", "mail", "same"}
    assert closed | VIEWER_KEYS == set(KEYS)
    assert not closed & VIEWER_KEYS


@pytest.mark.parametrize("query", CLOSED)
def test_the_rows_do_not_depend_on_what_is_not_theirs_to_ask(desk: Desk, query: str) -> None:
    vic = desk.viewer()
    everybody = vic.get("/queue?q=status:pending").rows
    assert len(everybody) == 2
    for more in ("", "&by=person", "&order=newest"):
        answer = vic.get(f"/queue?q={quote_plus(query)}{more}")
        assert answer.status == 200
        assert sorted(answer.rows) == sorted(everybody), query
        assert answer.body.count("searches data that viewers cannot see") == 1
    request = vic.get(f"/requests/{everybody[0]}?q={quote_plus(query)}")
    assert request.body.count(everybody[1]) == vic.get(f"/requests/{everybody[0]}?q=").body.count(everybody[1])


@pytest.mark.parametrize("query", CLOSED)
def test_a_reviewer_asks_for_it(desk: Desk, query: str) -> None:
    assert "viewers cannot see" not in desk.reviewer("mia").get(f"/queue?q={quote_plus(query)}").body


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("query", ["status:pending", *CLOSED[:4]])
def test_no_file_and_no_document_is_made_for_them(desk: Desk, query: str, kind: str) -> None:
    vic = desk.viewer()
    for path in (f"/queue.{kind}?q=", f"/queue.{kind}?by=person&q=", f"/people.{kind}?q=", "/api/v1/requests?q="):
        answer = vic.get(path + quote_plus(query))
        assert answer.status in {403, 404}, path
        for text in ("ada@ethz.ch", "Ada Lovelace", "thesis"):
            assert text not in answer.body
    assert vic.get("/api/v1/requests").json["error"] == "A viewer may not do this."


def test_open_keys_and_pseudonyms_find_whom_they_mean(desk: Desk) -> None:
    vic, ada = desk.viewer(), desk.row("ada")
    for query in (f"user:{ada.person.pseudonym}", f"status:pending user:{ada.person.pseudonym}"):
        assert vic.get(f"/queue?q={query}").rows == [ada.state.hub_request]
    for query in ("status:pending", "age:<2d", "rule:none,swiss", "verdict:human", "-status:accepted", "shadow:reject"):
        assert "viewers cannot see" not in vic.get(f"/queue?q={query}").body


@pytest.mark.parametrize("typed", ["ada", "mail:free", 'form."Purpose":*thesis*'])
def test_the_search_form_tells_them_no_more_than_the_query(desk: Desk, typed: str) -> None:
    vic = desk.viewer()
    answer = vic.get(vic.get(f"/queue?terms=status:pending&q={quote_plus(typed)}").headers["location"])
    assert len(answer.rows) == 2
    assert "searches data that viewers cannot see" in answer.body
    for text in (">Purpose<", ">E-mail<", "quality%3A"):
        assert text not in answer.body


def test_a_view_of_what_they_may_not_ask_is_not_kept(desk: Desk) -> None:
    vic = desk.viewer()
    assert vic.post("/views", {"name": "Ada", "q": "user:ada"}).status == 422
    assert vic.post("/views", {"name": "Mine", "q": "age:>2d"}).status == 303
    body = vic.get("/queue").body
    assert ">Mine" in body
    assert ">Ada" not in body


def test_the_why_of_a_row_tells_them_no_value_of_a_person(desk: Desk) -> None:
    key = desk.row("ada").state.hub_request
    assert "ethz.ch" in desk.visitor().get("/queue").body
    for path in ("/queue", "/queue?by=person", f"/requests/{key}", f"/requests/{key}/why", "/people"):
        body = desk.viewer().get(path).body
        assert "swiss" in body or path != "/queue"
        assert "ethz.ch" not in body, path


def test_the_page_of_a_repo_quotes_no_condition_that_may_name_somebody(desk: Desk) -> None:
    path = f"/repos/{desk.repo.type.value}s/{desk.repo.id}"
    assert "ethz.ch" in desk.visitor().get(path).body
    body = desk.viewer().get(path).body
    assert "ethz.ch" not in body
    assert 'class="laws"' in body


def test_no_page_that_a_link_leads_them_to_names_anybody(desk: Desk) -> None:
    """With a plan, a run, notes and reasons: all that the desk can show."""
    lena, row = desk.visitor(), desk.row("bob")
    version = {one["id"]: one["version"] for one in lena.get("/api/v1/requests").json["requests"]}
    key = row.state.hub_request or ""
    lena.post(f"/requests/{key}/note", {"note": "bobs-secret-note"})
    lena.post("/tray", {"verb": "reset", "key": key, "version": version[key], "reason": "bobs-secret-reason"})
    desk.send_due()
    lena.post("/plans")
    vic, seen, waiting = desk.viewer(), set[str](), ["/queue", "/queue?by=person", "/people", "/settings", "/tray"]
    waiting += [f"/runs/{run.id}" for run in desk.app_state.workspace.store.runs()]
    while waiting and len(seen) < 150:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        body = vic.get(path).body
        for text in (
            "Ada Lovelace",
            "ada@ethz.ch",
            ">ada<",
            ">bob<",
            "bob at ",
            "thesis",
            "secret-note",
            "secret-reason",
        ):
            assert text not in body, (path, text)
        links = (link.replace("&amp;", "&").partition("#")[0] for link in re.findall(r'href="(/[^"]*)"', body))
        waiting += [link for link in links if link not in seen and not link.startswith("/static")]
    assert {"/plans", "/audit", "/repos", "/policies"} <= seen
    assert any(path.startswith("/requests/") for path in seen)
    assert any(path.startswith("/runs/r_") for path in seen)
