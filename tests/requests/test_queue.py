"""The queue shows whom a query means, the oldest first, each once; counts and facets agree with it; files are safe to open."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hf_gate.decisions.service.plans.planning import propose_plan
from hf_gate.desk.requests.queue_query import describe_term, merge_search
from hf_gate.requests.query_parser import parse_query
from hf_gate.verdicts.service.evaluated_parts import evaluate_part
from hf_gate.verdicts.service.evaluation import open_fact_sources
from tests.kits.desk import GOOD, POLICY, Desk, all_keys, links_of, open_desk, parse_page


def _judge(desk: Desk) -> None:
    bundle = desk.app_state.policies.current
    assert bundle is not None
    sources = open_fact_sources(desk.app_state.workspace)
    propose_plan(
        desk.app_state.workspace.store,
        bundle.for_repos(desk.app_state.workspace.store, sources),
        lambda policy_set, status, now, _: evaluate_part(
            desk.app_state.workspace.store, policy_set, sources, status, now
        ),
        now=desk.app_state.now(),
        policies=bundle.policies,
        sources=sources,
        is_full=True,
    )


def test_the_desk_begins_with_who_is_pending_oldest_first(crowded: Desk) -> None:
    visitor = crowded.visitor()
    assert visitor.get("/").headers["location"] == "/queue"
    assert visitor.get("/queue").rows == all_keys(crowded, "status:pending")[:50]
    assert visitor.get("/queue?order=newest").rows == all_keys(crowded, "status:pending")[::-1][:50]


def test_pages_follow_one_another_and_nobody_is_lost_or_twice(crowded: Desk) -> None:
    visitor, path, found = crowded.visitor(), "/queue", []
    while True:
        answer = visitor.get(path)
        found += answer.rows
        following = re.search(r'href="([^"]+)" rel="next"', answer.body)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
    assert found == all_keys(crowded, "status:pending")
    assert len(found) > 150


@pytest.mark.parametrize(
    "query",
    [
        "status:pending",
        "status:accepted,rejected",
        "verdict:human status:pending",
        "-status:pending",
        "a",
        "quality:thin",
        "-quality:good status:pending",
        "mail:free,none repo:lantern-7b-chat",
        "quality:good mail:free",
        "status:pending quality:*",
        "-mail:none",
        "verdict:human quality:thin",
    ],
)
def test_the_total_is_what_there_is(crowded: Desk, query: str) -> None:
    _judge(crowded)
    body = crowded.visitor().get(f"/queue?q={query}").body
    total = re.search(r"\d of (more than )?([\d,]+) requests", body)
    assert total
    there, said = len(all_keys(crowded, query)), int(total[2].replace(",", ""))
    assert there > said == 200 if total[1] else there == said


@pytest.mark.parametrize(
    "query",
    [
        "status:pending", "status:pending quality:good", "repo:lantern-7b-chat mail:free", "-quality:good",
        "status:accepted -mail:free -repo:lantern-7b-chat", "verdict:human",
    ],
)  # fmt: skip
def test_a_facet_counts_what_it_leads_to(crowded: Desk, query: str) -> None:
    _judge(crowded)
    visitor = crowded.visitor()
    body = visitor.get("/queue?" + urlencode({"q": query})).body
    facets = links_of(re.sub(r'<a [^>]*aria-current="true"', "<i", body), "facets")
    links = [(path, name.rpartition(" ")[2]) for name, path in facets.items() if re.search(r" [\d,]+$", name)]
    assert len(links) > 4
    for path, number in links:
        page = visitor.get(path).body
        total = re.search(r"\d[\d,]* of ([\d,]+) requests", page)
        assert total, path
        assert total[1] == number, path


def test_requests_whose_record_was_erased_count_only_for_terms_with_a_minus(desk: Desk) -> None:
    desk.ask([{"username": "ada"}, {"username": "bob"}], {"Purpose": GOOD})
    visitor, path = desk.visitor(), "/queue?q=-quality:thin"
    assert "2 of 2 requests" in visitor.get(path).body
    with desk.app_state.workspace.store.writing() as write:
        write.clear_classifications([desk.row("ada").id])
    assert "2 of 2 requests" in visitor.get(path).body
    assert "1 of 1 requests" in visitor.get("/queue?q=quality:good").body


def test_a_queue_that_is_clear_says_so(desk: Desk) -> None:
    desk.app_state.sync_status.synced_at = desk.app_state.now()
    assert "Queue clear." in desk.visitor().get("/queue").body


def test_a_policy_with_a_fault_is_told_and_the_queue_goes_on(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    assert desk.app_state.workspace.location.folder is not None
    (desk.app_state.workspace.location.folder / "policies" / "house.yaml").write_text(
        "version: 1\npolicy: house\nruls: []\n"
    )
    desk.app_state.policies.expire()
    answer = desk.visitor().get("/queue")
    assert answer.rows
    assert "house.yaml" in answer.body


def test_the_same_rows_as_files(crowded: Desk) -> None:
    visitor = crowded.visitor()
    wanted = all_keys(crowded, "status:accepted")
    assert [row["request_id"] for row in visitor.get("/queue.json?q=status:accepted").json] == wanted
    lines = visitor.get("/queue.jsonl?q=status:accepted").body.splitlines()
    assert len(lines) == len(wanted)
    sheet = list(csv.DictReader(io.StringIO(visitor.get("/queue.csv?q=status:accepted").body)))
    assert [row["request_id"] for row in sheet] == wanted
    assert visitor.get("/queue.json?q=colour:red").status == 422
    assert visitor.get("/queue.exe").status == 404


def test_no_cell_of_a_file_is_a_formula(desk: Desk) -> None:
    desk.ask([{"username": "eve", "fullname": "=HYPERLINK(1)"}], {"Purpose": "@SUM(1)"})
    sheet = list(csv.DictReader(io.StringIO(desk.visitor().get("/queue.csv").body)))
    assert sheet[0]["fullname"] == "'=HYPERLINK(1)"


def test_the_views_hold_what_they_say(crowded: Desk) -> None:
    _judge(crowded)
    lena = crowded.visitor()
    found = {re.sub(r" [\d,]+$", "", name): path for name, path in links_of(lena.get("/queue").body, "views").items()}
    assert {"Pending", "Suggested", "Needs review"} <= found.keys()
    rows = {name: lena.get(path.replace("/queue?", "/queue.json?")).json for name, path in found.items()}
    assert {row["verdict"]["action"] for row in rows["Suggested"]} <= {"accept", "reset", "reject"}
    assert {row["verdict"]["action"] for row in rows["Needs review"]} == {"human"}
    assert len(rows["Suggested"]) + len(rows["Needs review"]) == len(rows["Pending"])
    assert "On hold" not in found, "nobody is"


def test_views_that_are_empty_or_the_same_as_pending_are_hidden(desk: Desk) -> None:
    lena = desk.visitor()

    def names(path: str = "/queue") -> list[str]:
        return [re.sub(r" [\d,]+$", "", name) for name in links_of(lena.get(path).body, "views")]

    assert names() == ["Pending"], "nobody asked yet"
    desk.local.add_people([{"username": name} for name in ("ada", "bob")])
    old = (desk.app_state.now() - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    asked = {"repo": str(desk.repo), "answers": {"Purpose": GOOD}}
    desk.local.add_requests([asked | {"user": "ada", "asked_at": old}])
    desk.read()
    _judge(desk)
    assert names() == ["Pending"], "all need review, and all are older than a week"
    assert names("/queue?q=status:pending+verdict:human") == ["Pending", "Needs review"]
    assert names("/queue?q=status:pending+age:>7d") == ["Pending", "Oldest"]
    desk.local.add_requests([asked | {"user": "bob"}])
    desk.read()
    assert names() == ["Pending", "Oldest", "Needs review"], "nobody has evaluated bob"


def test_a_repo_that_could_not_be_read_is_named_with_the_age_of_its_rows(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    with desk.app_state.workspace.store.writing() as write:
        write.update_repo(desk.repo, {"problem": "The Hub says 403: <no> access\u202e."})
    body = desk.visitor().get("/queue").body
    assert "The Hub says 403: &lt;no&gt; access<span" in body
    assert "\u202e" not in body
    assert re.search(r"Its rows are \d+ s old", body)
    assert len(desk.visitor().get("/queue").rows) == 1


def test_a_desk_that_was_never_read_says_so_and_looks_again(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        body = desk.visitor().get("/queue").body
        assert "First steps" in body
        assert "data-wait" in body
        assert "Queue clear" not in body
        mia, noa = desk.reviewer("mia", str(desk.repo)), desk.reviewer("noa", "somebody/else")
        assert "Not synced yet." in mia.get("/queue").body
        assert "No repo yet." in noa.get("/queue").body
        desk.app_state.sync_status.problem = "The token is not valid."
        assert "The token is not valid.</bdi> The desk tries again automatically" in mia.get("/queue").body


SHADOW = """\
version: 1
policy: new
applies_to: ["*/*", "datasets/*/*"]
mode: shadow
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say more.
"""


def test_a_table_that_lost_rows_is_told_above_the_queue_until_it_is_accepted(tmp_path: Path) -> None:
    config = "tables: {partners: {file: tables/partners.csv, key: email}}\n"
    with open_desk(tmp_path, policy=POLICY.replace("email.academic", "tables.partners"), config=config) as desk:
        (tmp_path / "tables").mkdir()
        (tmp_path / "tables" / "partners.csv").write_text("email\nada@ethz.ch\n", "utf-8")
        with desk.app_state.workspace.store.writing() as write:
            write.write_setting("rows partners", "10")
        visitor = desk.visitor()
        for path in ("/queue", "/policies"):
            assert "1 row instead of 10; the file may be incomplete" in visitor.get(path).body
        with desk.app_state.workspace.store.writing() as write:
            write.write_setting("rows partners", "1")
        desk.app_state.policies.expire()
        assert "half a file" not in visitor.get("/queue").body


def test_whom_no_policy_judges_any_more_has_no_verdict_in_rows_and_files(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "ada"}], {"Purpose": GOOD})
        _judge(desk)
        lena = desk.visitor()
        assert [row["verdict"]["rule"] for row in lena.get("/queue.json").json] == ["rest"]
        assert 'title="Rule rest of policy house"' in lena.get("/queue").body
        elsewhere = POLICY.replace('["*/*", "datasets/*/*"]', '["somebody/else"]')
        (tmp_path / "policies" / "house.yaml").write_text(elsewhere, "utf-8")
        desk.app_state.policies.expire()
        assert [row["verdict"] for row in lena.get("/queue.json").json] == [None]
        assert [row["verdict"] for row in lena.get("/people/ada.json").json] == [None]
        assert "Rule rest of policy" not in lena.get("/queue").body


def test_the_words_of_a_verdict_are_explained_where_they_stand(tmp_path: Path) -> None:
    with open_desk(tmp_path, SHADOW) as desk:
        desk.ask([{"username": "bob"}], {"Purpose": "test"})
        _judge(desk)
        body = desk.visitor().get("/queue").body
        assert 'title="No rule of an enforced policy matches">Needs review: <bdi>' in body
        assert 'title="A policy in shadow mode would do this; it changes nothing">shadow<' in body
        text = " ".join(" ".join(parse_page(body).text).split())
        assert "Needs review: policies in shadow mode decide nothing." in text
        assert "shadow : Would send back : nothing useful written about use." in text


def test_a_search_for_ends_is_not_limited_to_people_who_wait() -> None:
    assert merge_search("status:pending repo:med-7b", "ends:none") == "repo:med-7b ends:none"
    assert merge_search("status:rejected", "ends:<30d") == "status:rejected ends:<30d"
    assert describe_term(parse_query("ends:<30d").terms[0]) == ("Access ends", "less than 30 days from now")
    assert describe_term(parse_query("ends:none").terms[0]) == ("Access ends", "never")
