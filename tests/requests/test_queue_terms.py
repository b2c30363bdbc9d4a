"""What is typed into the search box and the terms of a query: read strictly, shown in words, and removable one by one."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.kits.desk import Desk, all_keys, links_of, parse_page, text_of


@pytest.mark.parametrize("text", ["age:>1d+" * 6_000, "-rule:x*y+" * 1_000, "a" * 2_001, "-rule:x*y+" * 65])
def test_a_query_too_large_to_be_read_is_refused_on_every_page(crowded: Desk, text: str) -> None:
    viewer, owner = crowded.viewer(), crowded.visitor()
    plain = text.replace("+", " ").strip()
    answers = [
        viewer.get(f"/queue?q={text}"),
        owner.get(f"/queue.json?q={text}"),
        owner.post("/selection", {"do": "all", "q": plain}),
    ]
    assert [answer.status for answer in answers] == [422] * 3
    assert "a query has at most" in answers[0].body


def test_the_largest_query_is_answered(crowded: Desk) -> None:
    assert crowded.viewer("wim").get("/queue?q=" + "-rule:x*y+" * 64).rows == crowded.visitor().get("/queue?q=").rows
    assert crowded.visitor().get("/queue?q=domain:" + ",".join(["*q"] * 256)).status == 200


@pytest.mark.parametrize(
    ("terms", "typed", "query"),
    [
        ("status:pending", "sleep", "status:pending sleep"),
        ("status:pending repo:x", "", "status:pending repo:x"),
        ("status:pending repo:x", "status:accepted robot", "repo:x status:accepted robot"),
        ("status:pending -repo:x", "repo:y -ada", "status:pending -repo:x repo:y -ada"),
        ('form."a b":x', 'form."c":y form."a b":z', 'form."c":y form."a b":z'),
        ("status:pending", '"two  words" colour:red', 'status:pending "two  words" colour:red'),
        ("", "status:pending", "status:pending"),
    ],
)
def test_the_search_form_leads_to_the_query_that_it_means(crowded: Desk, terms: str, typed: str, query: str) -> None:
    path = "/queue?" + urlencode({"terms": terms, "q": typed, "order": "newest"})
    answer = crowded.visitor().get(path)
    assert answer.status == 303
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"q": [query], "order": ["newest"]}


def test_a_search_that_is_too_large_is_refused(crowded: Desk) -> None:
    for values in ({"terms": "a" * 2_001, "q": ""}, {"terms": "", "q": "a" * 2_001}):
        assert crowded.visitor().get("/queue?" + urlencode(values)).status == 422


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("quality:junk,empty", "Purpose nothing useful"),
        ("quality:empty,thin,junk", "Purpose nothing useful or short"),
        ("-quality:good", "Purpose not answered"),
        ("-status:pending", "Not pending"),
        ("status:*", "Status any"),
        ("-country:*", "Country none"),
        ("domain:*.edu", "Mail domain ends with .edu"),
        ("mail:throw-away", "E-mail throw-away"),
        ('form."Intended use":*robot*', "Intended use contains robot"),
        ("repo:a,b,c,d,e", "Repo a or b or c or 2 more"),
        ("reviewed:<=2026-11-01", "Decided up to 2026-11-01"),
        ("age:<1d", "Asked less than 1 day ago"),
        ("rule:none", "Rule none"),
        ("verdict:human", "Needs review"),
        ("same:17", "Same text as request 17"),
        ("user:" + "x" * 200, "Person " + "x" * 60 + "…"),
        ("table:<script>", "Table <script>"),
        ("user:\u202egnp", "Person U+202E gnp"),
    ],
)
def test_a_term_is_said_in_words(crowded: Desk, query: str, words: str) -> None:
    body = crowded.visitor().get(f"/queue?{urlencode({'q': query})}").body
    assert f"Remove {words} ×" in links_of(body, "q-terms")


@pytest.mark.parametrize(
    "query", ["status:pending age:2d", 'status:pending form."a b" x', 'status:pending answer:"a b']
)
def test_the_terms_before_an_invalid_one_stay_in_force(crowded: Desk, query: str) -> None:
    answer = crowded.visitor().get(f"/queue?{urlencode({'q': query})}")
    assert answer.rows == all_keys(crowded, "status:pending")[:50]
    assert "Remove Pending ×" in links_of(answer.body, "q-terms")
    box = next(attrs for tag, attrs in parse_page(answer.body).tags if attrs.get("id") == "q")
    assert box["value"] == query.removeprefix("status:pending ")


def test_nothing_found_says_what_could_be_dropped(crowded: Desk) -> None:
    body = crowded.visitor().get("/queue?q=status:pending+nobody-is-called-so").body
    assert "No requests match" in body
    assert "Remove Text “nobody-is-called-so” ×" in text_of(body)
    assert "Remove Pending ×" in text_of(body)
    assert "Remove a term, or clear them all:" in text_of(body)
    alone = text_of(crowded.visitor().get("/queue?q=nobody-is-called-so").body)
    assert "Clear" in alone
    assert "Remove" not in alone, "to remove the last term is to clear the query"


def test_a_filter_without_rows_is_no_clear_queue(desk: Desk) -> None:
    desk.app_state.sync_status.synced_at = desk.app_state.now()
    body = desk.visitor().get("/queue?q=status:accepted+rule:nobody").body
    assert "No requests match." in body
    assert "No requests are waiting." in body
    assert "Remove Rule nobody ×" in text_of(body)
