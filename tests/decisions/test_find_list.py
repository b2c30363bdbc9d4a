"""A pasted list: everybody in it is found or named as not found; who waits is decided together, who never asked is granted access by a run."""

from __future__ import annotations

import re
from html import unescape

from playwright.sync_api import Browser, expect

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.people.members import Member, MemberRole
from tests.kits.browser import open_page
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, parse_page, serve_desk
from tests.kits.desk_actions import list_waiting, wait_for_run


def _find(visitor: Visitor, text: str, repo: Repo | None = None) -> Answer:
    return visitor.post("/find-list", {"list": text, "repo": "" if repo is None else str(repo)})


def _text(markup: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def _heading(answer: Answer) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", answer.body, re.DOTALL)
    assert found is not None
    return " ".join(unescape(re.sub(r"<[^>]+>", "", found[1])).split())


def _lines(answer: Answer) -> dict[str, str]:
    """The state of each entry."""
    pairs = re.findall(r'<th role="rowheader" scope="row">(.*?)</th>.*?<td[^>]*>(.*?)</td>', answer.body, re.DOTALL)
    return {_text(name): _text(state) for name, state in pairs}


def _offered(answer: Answer) -> list[str]:
    return [unescape(each) for each in re.findall(r'name="offered" value="([^"]+)"', answer.body)]


def _pick(answer: Answer) -> str:
    found = re.search(r'action="(/bulk/b_\w+)"', answer.body)
    assert found is not None
    return found[1]


def _confirm(visitor: Visitor, answer: Answer, **more: str) -> Answer:
    """Opens the page of the list and confirms it."""
    path, offered = _pick(answer), _offered(answer)
    ticked = {"grant": offered[0], "offered": offered[0]} if offered else {}
    page = visitor.post(path, {"do": "open", "verb": "accept", "next": "/queue", **ticked})
    assert page.status == 200, page.body
    count = re.search(r'name="count" value="(\d+)"', page.body)
    assert count is not None
    return visitor.post(path, {"do": "send", "verb": "accept", "count": count[1], "next": "/queue", **ticked, **more})


def _granted(desk: Desk) -> list[str]:
    return [line["user"] for line in desk.local.journal() if line["to"] == "accepted"]


def test_everybody_of_a_list_is_named_with_what_is_known(desk: Desk) -> None:
    people = [{"username": name, "email": f"{name}@uni.example"} for name in ("ada", "bob", "cyd", "dan", "eva")]
    desk.ask(people, {"Purpose": GOOD})
    desk.local.add_people([{"username": "finn", "fullname": "Finn Never"}])
    hub = desk.app_state.workspace.hub
    hub.accept(desk.repo, "cyd")
    hub.reject(desk.repo, "dan", reason="No.")
    desk.read()
    row = desk.row("eva")
    text = f"""ADA;bob@UNI.example\t@cyd | dan\n{row.state.hub_request}, finn
        Bob Smith <bob@uni.example>  nobody-here, stranger@uni.example "what?!" {"0" * 24}, https://huggingface.co/ada"""
    answer = _find(desk.visitor(), text)
    assert answer.status == 200
    assert _heading(answer) == "3 waiting, 1 accepted, 1 never asked, 1 rejected, 3 not found, 1 not readable"
    assert _lines(answer) == {
        "ada": "waiting", "bob@UNI.example": "waiting", row.state.hub_request: "waiting", "@cyd": "accepted",
        "finn": "never asked", "dan": "rejected", "nobody-here": "not found", "stranger@uni.example": "not found",
        "0" * 24: "not found", '"what?!"': "not readable",
    }  # fmt: skip
    assert "Finn Never" in answer.body


def test_an_address_or_an_id_is_never_sent_to_the_hub_and_a_known_name_is_not_looked_up(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    lena = desk.visitor()

    def looked_up() -> int:
        calls = desk.local.stats()["calls"]
        return sum(n for name, n in calls.items() if "overview" in name or "users" in name)

    before = looked_up()
    _find(lena, f"ada, someone@else.example, {'a' * 24}, %%%")
    assert looked_up() == before
    _find(lena, "someone-else")
    assert looked_up() == before + 1
    _find(lena, "someone-else")
    assert looked_up() == before + 1, "the answer is remembered"


def test_an_address_that_two_people_have_is_unclear(desk: Desk) -> None:
    desk.ask([{"username": name, "email": "team@uni.example"} for name in ("ada", "bob")], {"Purpose": GOOD})
    answer = _find(desk.visitor(), "team@uni.example ada")
    assert _lines(answer) == {"team@uni.example": "unclear", "ada": "waiting"}
    assert "Several people have this name or address." in answer.body


def test_twelve_people_of_a_list_get_access_once(desk: Desk) -> None:
    names = [f"p{n:02}" for n in range(11)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    desk.local.add_people([{"username": "finn"}])
    desk.app_state.workspace.hub.accept(desk.repo, "p00")
    desk.read()
    lena = desk.visitor()
    answer = _find(lena, "\n".join([*names, "finn"]))
    assert _heading(answer) == "10 waiting, 1 accepted, 1 never asked"
    before = len(_granted(desk))
    run = _confirm(lena, answer).headers["location"]
    wait_for_run(desk, run)
    assert list_waiting(desk) == set(names[1:])
    assert _granted(desk)[before:] == ["finn"]
    again = _confirm(lena, answer)
    assert again.status == 409, "the grant was made meanwhile"
    assert "1 asked meanwhile: finn." in again.body
    desk.send_due()
    assert sorted(_granted(desk)) == sorted([*names, "finn"])


def test_grants_are_stored_before_the_answer_so_no_restart_loses_them(desk: Desk) -> None:
    desk.local.add_people([{"username": "finn"}])
    lena = desk.visitor()
    answer = _find(lena, "finn")
    desk.app_state.run_worker.stop()
    run = _confirm(lena, answer).headers["location"].rpartition("/")[2]
    assert [one.id for one in desk.app_state.workspace.store.runs()] == [run]
    assert _granted(desk) == []


def test_two_members_grant_the_same_person_once(desk: Desk) -> None:
    desk.local.add_people([{"username": "finn"}])
    lena, mia = desk.visitor(), desk.reviewer()
    first, second = _find(lena, "finn"), _find(mia, "finn")
    runs = [_confirm(lena, first).headers["location"]]
    answer = _confirm(mia, second)
    runs += [answer.headers["location"]] if answer.status == 303 else []
    for run in runs:
        wait_for_run(desk, run)
    assert _granted(desk) == ["finn"]


def test_who_asks_and_is_rejected_before_the_run_is_left_alone(desk: Desk) -> None:
    """The desk has not read it yet when the member confirms."""
    desk.local.add_people([{"username": "finn"}])
    lena = desk.visitor()
    answer = _find(lena, "finn")
    desk.local.add_requests([{"repo": desk.repo.id, "repo_type": desk.repo.type.value, "user": "finn", "answers": {}}])
    desk.app_state.workspace.hub.reject(desk.repo, "finn", reason="No.")
    run = _confirm(lena, answer).headers["location"]
    wait_for_run(desk, run)
    assert "there is a request now, which is rejected" in lena.get(f"{run}?outcome=all").body
    assert _granted(desk) == []


def test_a_grant_can_be_undone_by_its_run(desk: Desk) -> None:
    desk.local.add_people([{"username": "finn"}])
    lena = desk.visitor()
    run = _confirm(lena, _find(lena, "finn")).headers["location"]
    wait_for_run(desk, run)
    desk.read()
    back = lena.post(run, {"do": "undo"})
    assert back.headers["location"].startswith("/plans/")


def test_an_unticked_person_is_not_granted_and_stays_on_the_page(desk: Desk) -> None:
    desk.local.add_people([{"username": "finn"}])
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    lena = desk.visitor()
    answer = _find(lena, "finn ada")
    assert "This name was found among other words" in answer.body
    offered = _offered(answer)[0]
    page = lena.post(_pick(answer), {"do": "open", "verb": "accept", "offered": offered})
    assert _offered(page) == [offered]
    assert "Accept 1" in parse_page(page.body).text
    assert lena.post(_pick(answer), {"do": "send", "verb": "accept", "count": "1", "offered": offered}).status == 303
    assert list_waiting(desk) == {"ada"}
    assert desk.app_state.workspace.store.runs(5) == []


def test_a_reviewer_finds_and_grants_only_at_their_repos(tmp_path: object) -> None:
    with open_desk(tmp_path, repos=3) as desk:  # type: ignore[arg-type]
        repos = [parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos]
        desk.ask([{"username": "ada", "email": "ada@uni.example"}], {"Purpose": GOOD}, repos[1])
        desk.local.add_people([{"username": "finn"}])
        mia = desk.visitor(Member(name="mia", role=MemberRole.REVIEWER, repos=(str(repos[0]),)))
        lena = desk.visitor()
        assert _lines(_find(mia, "ada@uni.example")) == {"ada@uni.example": "not found"}
        assert _lines(_find(mia, "ada")) == {"ada": "never asked"}
        assert _lines(_find(lena, "ada ada@uni.example")) == {"ada": "waiting", "ada@uni.example": "named twice"}
        assert _lines(_find(lena, "ada", repos[2])) == {"ada": "never asked"}
        assert _offered(_find(lena, "finn")) == [], "no repo is chosen"
        theirs = _find(mia, "finn")
        other = _offered(theirs)[0].replace(str(repos[0]), str(repos[1]))
        for value in (
            other,
            "x",
            f"{repos[0]}:{'0' * 23}:finn",
            f"no/such:{'0' * 24}:finn",
            f"{repos[0]}:{'0' * 24}:a b",
        ):
            answer = mia.post(_pick(theirs), {"do": "send", "verb": "accept", "count": "0", "grant": value})
            assert answer.status in {403, 422}, value
        assert lena.post(_pick(theirs), {"do": "open", "verb": "accept"}).status == 404, "another member's list"
        assert _granted(desk) == []


def test_nobody_grants_themselves_access(desk: Desk) -> None:
    desk.local.add_people([{"username": "mia"}])
    mia = desk.reviewer("mia")
    answer = _find(mia, "mia")
    assert _lines(answer) == {"mia": "your own account"}
    lena = _find(desk.visitor(), "mia")
    forged = {"do": "send", "verb": "accept", "count": "0", "grant": _offered(lena)[0]}
    assert mia.post(_pick(answer), forged).status == 422, "it was found for lena"
    assert _granted(desk) == []


def test_the_name_and_the_account_of_a_grant_are_those_that_were_found_together(desk: Desk) -> None:
    desk.local.add_people([{"username": "ada"}, {"username": "bob"}])
    lena = desk.visitor()
    answer = _find(lena, "ada bob")
    ada, bob = _offered(answer)
    swapped = ada.replace(ada.split(":")[1], bob.split(":")[1])
    assert lena.post(_pick(answer), {"do": "send", "verb": "accept", "count": "0", "grant": swapped}).status == 422
    assert _granted(desk) == []


def test_a_list_is_bounded(desk: Desk) -> None:
    lena = desk.visitor()
    for text, words in (
        ("", "The list is empty."),
        (" ,;\n ", "The list is empty."),
        (" ".join(f"n{n}" for n in range(501)), "The list has 501 entries; at most 500 are read."),
        ("x" * 100_001, "at most 100,000 are read"),
    ):
        answer = _find(lena, text)
        assert answer.status == 422
        assert words in answer.body
    offered = {"do": "open", "verb": "accept"}
    pick = _pick(_find(lena, "nobody-here"))
    body = "&".join(
        [*(f"{name}={value}" for name, value in offered.items())]
        + [f"grant={desk.repo}:{n:024}:p{n}" for n in range(501)]
    )
    answer = lena.ask("POST", pick, body.encode(), {"content-type": "application/x-www-form-urlencoded"})
    assert answer.status == 422
    assert "At most 500 people" in answer.body


def test_a_viewer_finds_no_list(desk: Desk) -> None:
    vic = desk.viewer()
    assert vic.get("/find-list").status == 404
    assert _find(vic, "ada").status == 403
    assert "Find a list" not in vic.get("/queue").body


def test_a_name_that_could_not_be_looked_up_is_named(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    lena = desk.visitor()
    desk.local.set_faults(["fail_before:status=403:on=overview"])
    answer = _find(lena, "ada finn gus")
    assert _lines(answer) == {"ada": "waiting", "finn": "could not be looked up", "gus": "could not be looked up"}
    desk.local.set_faults([])
    desk.local.add_people([{"username": "finn"}])
    assert _lines(_find(lena, "ada finn gus")) == {"ada": "waiting", "finn": "never asked", "gus": "not found"}


def test_twelve_people_are_let_in_from_a_pasted_list_in_six_steps(browser: Browser, desk: Desk) -> None:
    names = [f"p{n:02}" for n in range(11)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    desk.local.add_people([{"username": "finn"}])
    desk.app_state.workspace.hub.accept(desk.repo, "p00")
    desk.read()
    steps = 0
    with serve_desk(desk) as url, open_page(browser, desk, url) as page:
        page.get_by_role("link", name="Find a list…").click()
        steps += 1
        expect(page.locator("#list")).to_be_focused()
        page.keyboard.insert_text("\n".join([*names, "finn"]))  # as a paste
        steps += 1
        page.get_by_role("button", name="Find", exact=True).click()
        steps += 1
        expect(page.get_by_role("heading", level=1)).to_contain_text("10 waiting, 1 accepted, 1 never asked")
        page.get_by_role("button", name="Accept 10, grant 1 in advance…").click()
        steps += 1
        expect(page.locator(".effect")).to_contain_text("11 people get access; they can download at once.")
        page.get_by_role("button", name="Accept 11").click()
        steps += 1
        expect(page.get_by_role("heading", level=1)).to_contain_text("1 change")
        expect(page.locator("#tray")).to_contain_text("10 decisions will be sent in")
        wait_for_run(desk, page.url.replace(url, ""))
    desk.send_due()
    assert sorted(_granted(desk)) == sorted([*names, "finn"])
    assert steps <= 6
