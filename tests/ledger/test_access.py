"""The page of access: who had access on a date, page by page; viewers see pseudonyms, and members only their repos."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Decision, Hub
from hf_gate.base.timestamps import to_iso
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.core.records import keys_of
from hf_gate.ledger.service.access_report import AccessRecord
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, Visitor


def _accept(desk: Desk, lena: Visitor, *names: str) -> None:
    """These people ask and are let in on the Hub."""
    desk.ask(
        [{"username": name, "fullname": f"{name} Lovelace", "email": f"{name}@ethz.ch"} for name in names],
        {"Purpose": GOOD},
    )
    with Hub(desk.local.tokens["owner"], desk.local.url) as hub:
        done = hub.decide_many(desk.repo, [Decision.accept(name) for name in names])
        assert {outcome.kind for outcome in done} == {"done"}
    desk.read(SyncKind.FULL)
    assert lena.get("/access").status == 200


def test_who_has_access_is_listed_with_who_let_them_in_and_the_certainty(desk: Desk) -> None:
    lena = desk.visitor()
    _accept(desk, lena, "ada")
    body = lena.get("/access").body
    assert ">ada<" in body
    assert "proved complete ended" in body
    assert "bypass the gate" in body
    assert "accepted outside hf-gate" in body
    before = to_iso(desk.app_state.now() - timedelta(days=800))
    refused = lena.get(f"/access?as_of={before}").body
    assert "the audit log begins" in refused
    assert ">ada<" not in refused


@pytest.mark.parametrize("text", ["2999-01-01", "yesterday", "<script>alert(1)</script>"])
def test_a_date_that_cannot_be_shown_gets_one_sentence(desk: Desk, text: str) -> None:
    answer = desk.visitor().get(f"/access?as_of={text}")
    assert answer.status == 200
    assert "Not shown" in answer.body
    assert "<script>alert" not in answer.body


def test_a_long_list_is_shown_page_by_page(desk: Desk) -> None:
    lena = desk.visitor()
    _accept(desk, lena, *(f"person{n:03}" for n in range(130)))
    first = lena.get("/access").body
    assert first.count('scope="row"') == 100
    following = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    second = lena.get(following).body
    assert second.count('scope="row"') == 30
    names = [f"person{n:03}" for n in range(130)]
    assert all((f">{name}<" in first) != (f">{name}<" in second) for name in names)
    assert len(lena.get("/access.json").json) == 130


def test_a_member_of_one_repo_is_not_shown_another(crowded: Desk) -> None:
    mia = crowded.reviewer("mia", str(crowded.repo))
    others = [row.repo for row in crowded.app_state.workspace.store.repos() if row.repo != crowded.repo]
    body = mia.get("/access").body
    assert not [repo for repo in others if str(repo) in body]
    assert "no such repo" in mia.get(f"/access?repo={others[0]}").body
    assert {row["repo"] for row in mia.get("/access.json").json} <= {crowded.repo.id}


def test_the_files_have_the_keys_of_the_records_in_every_format(desk: Desk) -> None:
    lena = desk.visitor()
    _accept(desk, lena, "ada")
    (row,) = lena.get("/access.json").json
    assert tuple(row) == keys_of(AccessRecord)
    jsonschema.validate([row], schema_of("report-access"))
    (line,) = map(json.loads, lena.get("/access.jsonl").body.splitlines())
    (cells,) = csv.DictReader(io.StringIO(lena.get("/access.csv").body))
    assert (line["user"], cells["user"]) == ("ada", "ada")
    assert tuple(cells) == keys_of(AccessRecord)
    assert lena.get("/access.xlsx").status == 404
