"""A draft of a policy stops nobody else, ends in time, and shows no table that its author may not know of."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from urllib.parse import urlencode

import pytest

from hf_gate.base.ids import parse_repo
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.verdicts.pages.draft_report import DraftLimit
from tests.kits.desk import GOOD, HOME, POLICY, Desk, Visitor, call_app, open_desk, parse_page


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        yield desk


# ---- work ----------------------------------------------------------------------------------------------------------------


def test_a_saved_policy_shows_the_results_of_its_tests(asked: Desk) -> None:
    folder = asked.app_state.workspace.location.folder
    assert folder is not None
    file = folder / "policies" / "house.yaml"
    file.write_text(f"{POLICY}tests:\n  - {{name: unlisted, facts: {{}}, want: {{then: accept}}}}\n", "utf-8")
    words = _words(asked.visitor().get("/policies/house").body)
    assert "unlisted" in words
    assert "1 test fails" in words


@pytest.mark.parametrize(
    ("lets", "condition", "code"),
    [
        ({f"a{n + 1}": f"a{n} + a{n}" for n in range(24)}, 'a24 != ""', "the result can be a text of"),
        ({f"a{n + 1}": f"a{n} == a{n} ? a{n} : a{n}" for n in range(24)}, 'a24 != ""', "names expanded, this has"),
    ],
)
def test_a_draft_whose_values_double_is_refused_before_it_is_tried(
    asked: Desk, lets: dict[str, str], condition: str, code: str
) -> None:
    rows = "".join(f"  {name}: '{source}'\n" for name, source in lets.items())
    draft = POLICY.replace("rules:", f"let:\n  a0: answers.purpose.text\n{rows}rules:", 1)
    body = asked.visitor().post("/policies", {"src": draft.replace("email.academic", condition)}).body
    assert code in body
    assert "Nothing was tried" in body


def test_tests_of_a_draft_that_take_too_long_fail_without_being_run(asked: Desk) -> None:
    numbers = ",".join(["1"] * 1000)
    compared = " || ".join(["request.attempt == x", "person.models == x"] * 50)
    rules = "".join(f"  - id: r{n}\n    when: many.exists(x, {compared})\n    then: human\n" for n in range(6))
    tests = "".join(f"  - {{name: t{n}, facts: {{}}, want: {{then: human}}}}\n" for n in range(30))
    draft = POLICY.replace("rules:\n", f"let:\n  many: '[{numbers}]'\nrules:\n{rules}")
    begun = process_time()
    body = asked.visitor().post("/policies", {"src": f"{draft}tests:\n{tests}"}).body
    assert process_time() - begun < 8
    assert "it was not run, because the tests of this draft take too long" in _words(body)


def test_a_costly_draft_is_tried_on_fewer_requests(asked: Desk) -> None:
    asked.ask([{"username": f"p{n}"} for n in range(20)], {"Purpose": GOOD})
    loop = "person.orgs.exists(o, o in person.verified_orgs)"
    rules = "".join(f"  - id: r{n}\n    when: '{loop}'\n    then: human\n" for n in range(6))
    body = asked.visitor().post("/policies", {"src": POLICY.replace("rules:\n", f"rules:\n{rules}")}).body
    tried = re.search(r"On the (\d+) requests that have waited longest", body)
    assert tried
    assert 1 < int(tried[1]) < 21


# ---- who waits for whom --------------------------------------------------------------------------------------------------


class _Held(DraftLimit):
    """Drafts that begin and then wait for a word, as one that takes long would."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    @contextmanager
    def acquire(self, member: str) -> Iterator[None]:
        with super().acquire(member):
            self.begun.release()
            assert self.go_on.wait(60)
            yield


def _posted(visitor: Visitor) -> int:
    """Posts a draft as a browser of its own would: `Visitor.post` lets one call after the other through."""
    body = urlencode({"src": POLICY}).encode()
    sent = {
        **HOME,
        "content-length": str(len(body)),
        "content-type": "application/x-www-form-urlencoded",
        "cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items()),
    }
    return asyncio.run(call_app(visitor.app, "POST", "/policies", body, sent)).status


def test_pages_are_drawn_while_every_draft_takes_its_time_and_each_member_has_one(asked: Desk) -> None:
    held = asked.app_state.drafts = _Held()
    visitors = [asked.reviewer(f"mia{n}") for n in range(6)]
    threads = ThreadPoolExecutor(7)
    try:
        first = threads.submit(_posted, visitors[0])
        assert held.begun.acquire(timeout=60)
        assert threads.submit(_posted, visitors[0]).result(60) == 409
        others = [threads.submit(_posted, one) for one in visitors[1:]]
        assert held.begun.acquire(timeout=60)
        assert asked.visitor().get("/queue").status == 200
        assert not first.done()
        held.go_on.set()
        assert [one.result(120) for one in (first, *others)] == [200] * 6
    finally:
        held.go_on.set()
        threads.shutdown()


# ---- tables --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Desk]:
    """Two repos with a policy and a table each, and a table of the workspace."""
    config = "tables: {shared: {file: tables/shared.csv, key: email}}\n"
    with open_desk(tmp_path, policy=None, config=config, repos=2) as desk:
        (tmp_path / "tables").mkdir()
        for name, line in zip(("near", "far"), desk.local.repos, strict=True):
            repo = parse_repo(line["repo"], line["repo_type"])
            table = f"mode: enforce\ntables: {{{name}: {{file: tables/{name}.csv, key: email}}}}\n"
            text = POLICY.replace("policy: house", f"policy: {name}").replace("mode: enforce\n", table)
            text = text.replace('["*/*", "datasets/*/*"]', f"[{repo}]").replace("email.academic", f"tables.{name}")
            (tmp_path / "policies" / f"{name}.yaml").write_text(text, "utf-8")
            (tmp_path / "tables" / f"{name}.csv").write_text(f"email,note\nada@ethz.ch,secret of {name}\n", "utf-8")
        (tmp_path / "tables" / "shared.csv").write_text("email\nada@ethz.ch\n", "utf-8")
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        yield desk


def _near(desk: Desk) -> Visitor:
    """A reviewer of the first repo alone."""
    line = desk.local.repos[0]
    repo = str(parse_repo(line["repo"], line["repo_type"]))
    return desk.visitor(Member(name="nia", role=MemberRole.REVIEWER, repos=(repo,)))


def _with_table(desk: Desk, name: str, file: str) -> dict[str, str]:
    where = desk.local.repos[0]["repo"]
    table = f"mode: enforce\ntables: {{{name}: {{file: {file}, key: email}}}}\n"
    src = POLICY.replace("mode: enforce\n", table).replace('["*/*", "datasets/*/*"]', f"[{where}, datasets/{where}]")
    return {"src": src.replace("email.academic", f'tables.{name}.row["note"] != ""'), "who": "ada"}


@pytest.mark.parametrize("name", ["far", "mine"])
def test_a_draft_names_no_file_of_a_policy_that_its_author_does_not_see(two: Desk, name: str) -> None:
    body = _near(two).post("/policies", _with_table(two, name, "tables/far.csv")).body
    assert "so the draft was not tried" in body
    assert "secret of far" not in body


def test_a_draft_that_calls_its_table_like_one_elsewhere_reads_its_own(two: Desk) -> None:
    body = _near(two).post("/policies", _with_table(two, "far", "tables/near.csv")).body
    assert "secret of near" in body
    assert "secret of far" not in body


def test_a_draft_asks_the_tables_of_the_workspace_and_of_policies_that_its_author_sees(two: Desk) -> None:
    nia = _near(two)
    assert "secret of near" in nia.post("/policies", _with_table(two, "near", "tables/near.csv")).body
    where = two.local.repos[0]["repo"]
    src = POLICY.replace('["*/*", "datasets/*/*"]', f"[{where}, datasets/{where}]").replace(
        "email.academic", "tables.shared"
    )
    told = " ".join(parse_page(nia.post("/policies", {"src": src, "who": "ada"}).body).text)
    assert "tables.shared = true" in " ".join(told.split())


def test_the_list_of_tables_shows_those_that_a_member_may_know_of(two: Desk) -> None:
    mine, all_of_them = _near(two).get("/policies").body, two.visitor().get("/policies").body
    assert "<code>near</code>" in mine
    assert "<code>shared</code>" in mine
    assert "<code>far</code>" not in mine
    assert "<code>far</code>" in all_of_them


# ---- what a draft promises -----------------------------------------------------------------------------------------------

OPEN = POLICY.replace("when: email.academic", 'when: answers.affiliation.text.contains("University")')
TESTS = """\
tests:
  - {name: a stranger waits, facts: {answers.affiliation.text: My University, answers.purpose.quality: good}, want: {then: human}}
  - {name: nobody is reset, facts: {answers.purpose.quality: junk}, want: {then: human}}
  - {name: junk is reset, facts: {answers.purpose.quality: junk}, want: {then: reset}}
"""


def _words(body: str) -> str:
    return " ".join(" ".join(parse_page(body).text).split())


def test_failing_tests_and_rules_that_take_anybody_at_their_word_lead_the_page(asked: Desk) -> None:
    words = _words(asked.visitor().post("/policies/house", {"src": OPEN + TESTS}).body)
    assert "2 tests fail" in words
    assert words.index("a stranger waits : expected human, got") < words.index("Check and try")
    assert (
        'The rule academic accepts on the requester\'s own claims: anyone who writes "University" is accepted' in words
    )
    assert "Nothing wrong" not in words
    assert "is enough" not in words


@pytest.mark.parametrize("src", [OPEN, POLICY + TESTS], ids=["claimed", "failing"])
def test_a_draft_that_nobody_should_use_comes_down_after_a_yes(asked: Desk, src: str) -> None:
    lena = asked.visitor()
    first = lena.post("/policies/house", {"src": src, "do": "download"})
    assert "content-disposition" not in first.headers
    assert "Nothing was downloaded yet" in first.body
    assert '<input type="checkbox" name="yes"' in first.body
    yes = re.search(r'name="yes" value="([^"]+)"', first.body)
    assert yes
    second = lena.post("/policies/house", {"src": src, "do": "download", "yes": yes[1]})
    assert second.headers["content-disposition"] == 'attachment; filename="house.yaml"'
    assert second.body == src


def test_a_draft_without_doubts_comes_down_at_once(asked: Desk) -> None:
    answer = asked.visitor().post("/policies/house", {"src": POLICY, "do": "download"})
    assert answer.headers["content-disposition"] == 'attachment; filename="house.yaml"'
