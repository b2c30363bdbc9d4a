"""By person the queue has everybody once, with all that they wait for; one decision reaches what is ticked and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.cli.request_table import display_name
from hf_gate.core.records import NO_DETAILS
from hf_gate.inbox.service.request_records import stored_request
from hf_gate.store.rows.tray import list_waiting_decisions
from hf_gate.verdicts.service.current_verdicts import CurrentVerdicts
from tests.kits.desk import GOOD, HOST, Answer, Desk, Visitor, open_desk
from tests.kits.hostile_texts import HOSTILE_ANSWERS

BY = "/queue?q=status:pending&by=person"


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Desk]:
    """Bob asks first, at one repo; Ada then at all three; whoever wrote a comment last at the first one again."""
    with open_desk(tmp_path, requests=0, repos=3) as desk:
        first, *others = _repos(desk)
        desk.ask([{"username": "bob"}], {"Purpose": GOOD}, first)
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD}, first)
        desk.ask([{"username": "cyd"}], {"Purpose": GOOD}, first)
        for repo in others:
            desk.ask([{"username": "ada"}], {"Purpose": GOOD}, repo)
        yield desk


def _repos(desk: Desk) -> list[Repo]:
    found = [parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos if line["gated"] == "manual"]
    assert len(found) >= 2
    return found


def _people(body: str) -> list[str]:
    """The rows in their order, as what they say of the person."""
    return re.findall(r'<tr[^>]* id="r-(p_[0-9a-f]+)"', body)


def _whole(visitor: Visitor, path: str) -> list[Answer]:
    """A page and all that follow it."""
    pages = [visitor.get(path)]
    while following := re.search(r'href="([^"]+)" rel="next"', pages[-1].body):
        pages.append(visitor.get(following[1].replace("&amp;", "&")))
    return pages


def _key(desk: Desk, name: str) -> str:
    return desk.row(name).person.pseudonym


def _row(desk: Desk, visitor: Visitor, name: str) -> str:
    body = visitor.get(BY).body
    return body[body.index(f'id="r-{_key(desk, name)}"') :].partition("</tr>")[0]


def _ticked(desk: Desk, visitor: Visitor, name: str) -> list[str]:
    """What a decision of this row would reach: what is ticked, or the only request."""
    row = _row(desk, visitor, name)
    only = re.findall(r'<input type="hidden" form="[^"]+" name="pick" value="([^"]+)"', row)
    return only or re.findall(r'name="pick" value="([^"]+)" checked', row)


def _send(visitor: Visitor, path: str, verb: str, picks: list[str], back: str = BY) -> Answer:
    body = "&".join([f"verb={verb}", f"next={back.replace('&', '%26')}", *(f"pick={one}" for one in picks)]).encode()
    return visitor.ask("POST", path, body, {"content-type": "application/x-www-form-urlencoded"})


def test_everybody_stands_there_once_where_their_first_request_stood(three: Desk) -> None:
    lena = three.visitor()
    assert _people(lena.get(BY).body) == [_key(three, name) for name in ("bob", "ada", "cyd")]
    assert _people(lena.get(f"{BY}&order=newest").body) == [_key(three, name) for name in ("ada", "cyd", "bob")]
    row = _row(three, lena, "ada")
    for repo in _repos(three):
        label = re.search(rf'<label class="pick" title="{re.escape(str(repo))}">(.*?)</label>', row, re.DOTALL)
        assert label
        assert f' checked>\n<span class="m">{repo.name}</span>' in label[1]
    assert len(_ticked(three, lena, "ada")) == len(_repos(three))


def test_who_asked_once_has_no_box_and_the_decision_is_about_that_request(three: Desk) -> None:
    lena = three.visitor()
    row = _row(three, lena, "bob")
    assert "checkbox" not in row
    assert [pick.partition(":")[0] for pick in _ticked(three, lena, "bob")] == [three.row("bob").state.hub_request]
    assert 'aria-label="Reject bob"' in row
    assert 'aria-label="Reject ada where ticked"' in _row(three, lena, "ada")
    assert 'id="bulk"' not in lena.get(BY).body


def test_the_way_to_it_and_back_is_a_link(three: Desk) -> None:
    lena = three.visitor()
    assert 'href="/queue?q=status:pending&amp;by=person" data-key="G"' in lena.get("/queue").body
    assert 'href="/queue?q=status:pending" data-key="G"' in lena.get(BY).body
    for path in re.findall(r'href="(/queue\?q=[^"]*)"', lena.get(f"{BY}&q=status:pending+nobody-at-all").body):
        assert "by=person" in path or path.endswith("nobody-at-all")  # the way back
    assert "by=person" in re.findall(r'href="(/queue[^"]*repo:[^"]*)"', lena.get(BY).body)[0]


def test_one_decision_leads_back_to_the_row_on_the_page_that_sent_it(three: Desk) -> None:
    lena = three.visitor()
    row = _row(three, lena, "bob")
    key = three.row("bob").person.pseudonym
    assert f'name="next" value="#r-{key}"' in row
    values = {"verb": "accept", "pick": _ticked(three, lena, "bob")[0], "next": f"#r-{key}"}
    answer = lena.post(f"/people/{key}", values, referer=f"http://{HOST}{BY}")
    assert (answer.status, answer.headers["location"]) == (303, f"{BY}#r-{key}")


def test_over_its_pages_nobody_is_lost_or_twice(crowded: Desk) -> None:
    lena = crowded.visitor()
    pages = _whole(lena, BY)
    people = [key for page in pages for key in _people(page.body)]
    rows = lena.get("/queue.json?q=status:pending").json
    assert len(pages) > 2
    assert len(people) == len(set(people))
    assert sorted(key for page in pages for key in page.rows) == sorted(row["request_id"] for row in rows)


def test_one_decision_reaches_what_is_ticked_of_one_person_after_a_yes(three: Desk) -> None:
    lena = three.visitor()
    picks = _ticked(three, lena, "ada")[:2]
    follows = _send(lena, f"/people/{_key(three, 'ada')}", "accept", picks).headers["location"]
    count = re.search(r'name="count" value="(\d+)"', lena.get(follows).body)
    assert count
    assert count[1] == "2"
    back = re.search(
        r'name="count" value="2">\s*<input type="hidden" name="next" value="([^"]+)"', lena.get(follows).body
    )
    assert back
    told = lena.post(follows.partition("?")[0], {"verb": "accept", "count": "2", "next": back[1].replace("&amp;", "&")})
    assert told.headers["location"] == BY
    assert {item.request for item in list_waiting_decisions(three.app_state.workspace.store)} <= {
        row.id for row in three.app_state.workspace.store.find_by_identity(None, "ada")
    }
    assert _row(three, lena, "ada").count("accepting") == 2
    three.send_due()
    assert len(lena.get("/queue.json?q=status:accepted").json) == 2
    assert _key(three, "bob") in _people(lena.get(BY).body)


def test_one_acceptance_needs_no_page_and_leads_back(three: Desk) -> None:
    lena = three.visitor()
    answer = _send(lena, f"/people/{_key(three, 'bob')}", "accept", _ticked(three, lena, "bob"))
    assert (answer.status, answer.headers["location"]) == (303, BY)
    assert len(list_waiting_decisions(three.app_state.workspace.store)) == 1
    row = _row(three, lena, "bob")
    assert "accepting" in row
    assert 'name="pick"' not in row
    assert "data-do" not in row


def test_of_two_who_decide_the_same_the_second_is_told_who_was_first(three: Desk) -> None:
    lena, mia = three.visitor(), three.reviewer("mia")
    path, picks = f"/people/{_key(three, 'bob')}", _ticked(three, lena, "bob")
    assert _send(mia, path, "accept", picks).status == 303
    lost = _send(lena, path, "accept", picks)
    assert lost.status == 409
    assert "mia has decided this already" in lost.body
    assert [item.run.actor for item in list_waiting_decisions(three.app_state.workspace.store)] == ["mia"]


def test_who_is_in_at_one_repo_and_waits_at_another_can_be_put_out_there_too(three: Desk) -> None:
    lena, repos = three.visitor(), _repos(three)
    three.app_state.workspace.hub.accept(repos[0], "ada")
    three.read()
    body = lena.get("/queue?q=user:ada&by=person").body
    assert re.findall(r'data-do="(\w+)"', body) == ["accept", "reset", "cancel", "reject"]
    assert (
        len(re.findall('name="pick" value="[^"]+" checked', body)) == len(repos) - 1
    )  # who is in is not ticked beforehand
    assert re.findall(r'data-do="(\w+)"', _row(three, lena, "ada")) == ["accept", "reset", "reject"]


def test_a_reviewer_meets_what_is_asked_of_their_repos_alone(three: Desk) -> None:
    mine = _repos(three)[1]
    mia = three.reviewer("mia", str(mine))
    body = mia.get(BY).body
    assert _people(body) == [_key(three, "ada")]
    assert len(re.findall('name="pick"', body)) == 1


def test_who_hides_stands_alone_and_it_is_said_why(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    desk.ask([{"username": "eve"}], {"Purpose": GOOD})
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE people SET username = NULL, user_id = NULL WHERE username = 'eve'")
    lena = desk.visitor()
    body = lena.get(BY).body
    assert "1 on this page hides the account, so their requests cannot be grouped" in " ".join(body.split())
    assert "(hidden #" in body
    assert len(_people(body)) == 2
    assert "hides who they are" not in lena.get("/queue").body


def test_a_hidden_person_has_one_number_on_pages_and_in_the_terminal(desk: Desk) -> None:
    desk.ask([{"username": "eve"}], {"Purpose": GOOD})
    account = desk.row("eve").person.identity.user_id
    assert account is not None
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE people SET username = NULL WHERE username = 'eve'")
    (row,) = desk.app_state.workspace.store.find_by_identity(None, account)
    record = structs.replace(stored_request(row, CurrentVerdicts(None), NO_DETAILS), user=None)
    number = f"(hidden #{account[-6:]})"
    assert number in desk.visitor().get("/queue").body
    assert (row.person_name, display_name(record)) == (number, number)


def test_the_same_order_in_a_file(three: Desk) -> None:
    lena = three.visitor()
    lines = lena.get("/queue.jsonl?q=status:pending&by=person").body.splitlines()
    names = [json.loads(line)["user"] for line in lines]
    assert names == ["bob", *["ada"] * len(_repos(three)), "cyd"]


def test_a_viewer_reads_names_and_decides_nothing(three: Desk) -> None:
    body = three.viewer().get(BY).body
    assert _people(body) == [_key(three, name) for name in ("bob", "ada", "cyd")]
    assert ">ada<" in body
    for text in ('name="pick"', "data-do"):
        assert text not in body


def test_nothing_that_people_wrote_becomes_markup(desk: Desk) -> None:
    for number, text in enumerate(HOSTILE_ANSWERS[:30]):
        desk.ask([{"username": f"p{number}", "fullname": text[:200]}], {"Purpose": text, "Affiliation": text})
    body = desk.visitor().get(BY).body
    assert not re.search(r"<[^>]*\son\w+=", body)
    rows = body[body.index('id="rows"') : body.index("</tbody>")]
    known = "tr td th time span a bdi form input ul li label code p b i button small"
    assert set(re.findall(r"<(\w+)", rows)) <= set(known.split())
