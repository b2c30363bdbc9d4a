"""The page of a repo says how it is gated, how surely it was read and what its form asks; it asks the one reader, and reads nothing itself."""

from __future__ import annotations

import csv
import io
import json

from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk


def _href(desk: Desk) -> str:
    return f"/repos/{desk.repo.type.value}s/{desk.repo.id}"


def test_every_repo_stands_there_with_its_counts_and_where_somebody_waits_longest_first(crowded: Desk) -> None:
    lena = crowded.visitor()
    rows = lena.get("/repos.json").json
    body = lena.get("/repos").body
    assert {row["repo"] for row in rows} == {line["repo"] for line in crowded.local.repos}
    for row in rows:
        assert row["complete"]
        found = crowded.app_state.workspace.store.repos()
        assert row["counts"]["pending"] == sum(
            one.counts.get("pending", 0) for one in found if one.repo.id == row["repo"]
        )
    waiting = sorted((row for row in rows if row["oldest_asked_at"]), key=lambda row: row["oldest_asked_at"])
    places = [
        body.index(f">{row['repo'] if row['repo_type'] == 'model' else 'datasets/' + row['repo']}<") for row in waiting
    ]
    assert places == sorted(places)


def test_the_three_kinds_of_file_hold_the_same_rows(crowded: Desk) -> None:
    lena = crowded.visitor()
    rows = lena.get("/repos.json").json
    assert [json.loads(line) for line in lena.get("/repos.jsonl").body.splitlines()] == rows
    sheet = list(csv.DictReader(io.StringIO(lena.get("/repos.csv").body)))
    counts = [(row["repo"], row["counts.pending"]) for row in sheet]
    assert counts == [(row["repo"], str(row["counts"]["pending"])) for row in rows]
    assert lena.get("/repos.xlsx").status == 404


def test_the_form_stands_there_as_it_is_asked_and_cannot_be_filled_in(crowded: Desk) -> None:
    lena = crowded.visitor()
    row = next(row for row in lena.get("/repos.json").json if row["fields"])
    body = lena.get(f"/repos/{row['repo_type']}s/{row['repo']}").body
    assert "<fieldset disabled>" in body
    for label in row["fields"]:
        assert label.split("'")[0][:40] in body


def test_what_the_hub_tells_nobody_is_not_guessed(crowded: Desk) -> None:
    body = crowded.visitor().get(_href(crowded)).body
    assert body.count("cannot be read</dd>") == 3
    assert "<code>manual</code>" in body


def test_how_far_requests_are_answered_is_said_in_the_words_of_status(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    body = desk.visitor().get(_href(desk)).body
    assert "Every request made before" in body
    assert "complete as of the last full sync" in body


def test_a_reading_that_did_not_end_well_is_told_on_both_pages(desk: Desk) -> None:
    with desk.app_state.workspace.store.writing() as write:
        write.update_repo(desk.repo, {"problem": "the list of <b>pending</b> moved", "is_complete": False})
    lena = desk.visitor()
    for path in ("/repos", _href(desk)):
        body = lena.get(path).body
        assert "the list of &lt;b&gt;pending&lt;/b&gt; moved" in body
        assert "not complete" in body


def test_sync_now_wakes_the_one_reader_and_reads_nothing_itself(desk: Desk) -> None:
    lena, vic, asked = desk.visitor(), desk.viewer(), list[bool]()
    desk.app_state.request_sync = lambda: asked.append(True)
    calls = desk.local.stats()["calls"]
    lena.get("/repos")  # who comes back after a while wakes it too, once
    asked.clear()
    assert vic.post(f"{_href(desk)}/sync").status == 403
    assert lena.post(f"{_href(desk)}/sync", origin="https://evil.example").status == 403
    assert asked == []
    answer = lena.post(f"{_href(desk)}/sync")
    assert (answer.status, answer.headers["location"]) == (303, f"{_href(desk)}?asked=1")
    assert asked == [True]
    assert desk.local.stats()["calls"] == calls


def test_a_repo_of_others_is_not_there(crowded: Desk) -> None:
    lena = crowded.visitor()
    rows = lena.get("/repos.json").json
    mine, foreign = rows[0], rows[1]
    mia = crowded.reviewer("mia", mine["repo"] if mine["repo_type"] == "model" else f"datasets/{mine['repo']}")
    assert [row["repo"] for row in mia.get("/repos.json").json] == [mine["repo"]]
    path = f"/repos/{foreign['repo_type']}s/{foreign['repo']}"
    assert (lena.get(path).status, mia.get(path).status, mia.post(f"{path}/sync").status) == (200, 404, 404)
    assert mia.get("/repos/spaces/a/b").status == 404


def test_the_prompt_of_a_gate_is_shown_as_text(desk: Desk) -> None:
    prompt = "Read the **terms** at https://acme.example/terms, then <b>ask</b>."
    desk.local.set_card(desk.repo.id, f"---\nextra_gated_prompt: {prompt}\n---\n")
    desk.read(SyncKind.FULL)
    page = desk.visitor().get(f"/repos/models/{desk.repo.id}").body
    assert "Read the **terms** at https://acme.example/terms, then &lt;b&gt;ask&lt;/b&gt;." in page
