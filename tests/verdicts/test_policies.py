"""A policy's page shows its rules as sentences and what is wrong where it is wrong; the desk writes no policy file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.ids import parse_repo
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.turns import Hold, HoldKind
from hf_gate.decisions.rows import write_holds
from hf_gate.decisions.service.plans.planning import propose_plan
from hf_gate.desk.routes import ROUTES
from hf_gate.verdicts.service.evaluated_parts import evaluate_part
from hf_gate.verdicts.service.evaluation import open_fact_sources
from tests.kits.desk import GOOD, POLICY, Desk, Visitor, open_desk, parse_page

WATCHER = """\
version: 1
policy: next
applies_to: ["*/*"]
mode: shadow
rules:
  - id: everybody-waits
    then: wait
    at_most: 30d
    after: human
"""


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        (tmp_path / "policies" / "next.yaml").write_text(WATCHER, "utf-8")
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        desk.ask([{"username": "bob", "email": "bob@gmail.com"}], {"Purpose": GOOD})
        yield desk


def _folder(desk: Desk) -> Path:
    assert desk.app_state.workspace.location.folder is not None
    return desk.app_state.workspace.location.folder


def _section(body: str, ident: str) -> str:
    """The words of a section, by the id of its heading."""
    start = body.index(f'id="{ident}"')
    part = body[start - 4 : body.index("</section>", start)]
    return " ".join(" ".join(parse_page(part).text).split())


def _store_verdicts(asked: Desk) -> None:
    app_state = asked.app_state
    bundle = app_state.policies.current
    assert bundle is not None
    sources = open_fact_sources(app_state.workspace)
    policy_sets = bundle.for_repos(app_state.workspace.store, sources)
    propose_plan(
        app_state.workspace.store,
        policy_sets,
        lambda policy_set, status, now, _: evaluate_part(app_state.workspace.store, policy_set, sources, status, now),
        now=app_state.now(),
        policies=bundle.policies,
        sources=sources,
        is_full=True,
    )


def _rules(body: str) -> list[str]:
    """The words of each rule, with its number and how many requests it decides."""
    part = body[body.index('id="h-e"') : body.index("</section>", body.index('id="h-e"'))]
    return [" ".join(" ".join(parse_page(each).text).split()) for each in part.split('<tr role="row" id="rule-')[1:]]


def test_rules_are_numbered_sentences_from_the_file_as_it_stands(asked: Desk) -> None:
    lena = asked.visitor()
    _store_verdicts(asked)
    first, second, last = _rules(lena.get("/policies/house").body)
    assert "1 Send back when" in first
    assert "2 Accept when university address (academic). 1" in second
    assert "3 Everybody else needs review (rest). 1" in last
    file = _folder(asked) / "policies" / "house.yaml"
    file.write_text(POLICY.replace("when: email.academic", "when: email.free"), "utf-8")
    assert "2 Accept when free e-mail" in _rules(lena.get("/policies/house").body)[1]


def test_the_desk_has_no_way_to_write_a_policy() -> None:
    assert {each.method for each in ROUTES if each.path.startswith("/policies")} == {"GET"}


def test_every_policy_is_listed_also_one_that_cannot_be_read(asked: Desk) -> None:
    (_folder(asked) / "policies" / "broken.yaml").write_text("policy: [", "utf-8")
    lena = asked.visitor()
    rows = {row["policy"]: row for row in lena.get("/policies.json").json}
    assert set(rows) == {"house", "next", "broken"}
    assert rows["broken"]["errors"]
    assert lena.get("/policies/broken").status == 200
    assert "While a file has errors, no policy is evaluated" in lena.get("/policies").body


def test_a_member_of_one_repo_sees_the_counts_of_that_repo_alone(tmp_path: Path) -> None:
    with open_desk(tmp_path, repos=2) as desk:
        repos = [parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos]
        for repo in repos:
            desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD}, repo)
        _store_verdicts(desk)
        rob = desk.reviewer("rob", str(repos[0]))
        both, own = (_section(one.get("/policies/house").body, "h-c") for one in (desk.visitor(), rob))
        assert "Accept 2" in both
        assert "Accept 1" in own


def test_changes_that_wait_for_a_promotion_are_counted(asked: Desk) -> None:
    store = asked.app_state.workspace.store
    with store.writing() as write:
        write_holds(write, [Hold(HoldKind.HELD_POLICY, "house", "61 held", 61, "d" * 64)])
    lena = asked.visitor()
    assert "61 held" in lena.get("/policies").body
    assert "61 changes wait until you run <code>hf-gate policy promote house</code>" in lena.get("/policies/house").body
    assert "policy promote" not in lena.get("/policies/next").body


def test_what_a_watching_policy_would_do_stands_beside_what_the_desk_says(asked: Desk) -> None:
    _store_verdicts(asked)
    body = asked.visitor().get("/policies/next").body
    told = _section(body, "h-c")
    assert "On hold 2" in told
    assert "It differs from the desk for 2 of 2" in told
    assert _rules(body)[0].endswith(" 2")


def test_who_sees_none_of_its_repos_does_not_know_of_a_policy(asked: Desk) -> None:
    (_folder(asked) / "policies" / "far.yaml").write_text(
        WATCHER.replace("next", "far").replace('["*/*"]', '["far/away"]'), "utf-8"
    )
    mia = asked.reviewer("mia", str(asked.repo))
    assert {row["policy"] for row in mia.get("/policies.json").json} == {"house", "next"}
    assert mia.get("/policies/far").status == 404


def test_a_viewer_reads_what_a_reviewer_reads_of_a_policy(asked: Desk) -> None:
    rules = 'when: user == "alice-smith" || email == "bob@uni.example"\n    says: Alice asked for it.'
    (_folder(asked) / "policies" / "house.yaml").write_text(POLICY.replace("when: email.academic", rules), "utf-8")
    body = asked.viewer().get("/policies/house").body
    assert "a condition that is not shown" not in body
    assert "alice-smith" in body


def test_a_broken_desk_file_is_told_and_ends_nothing(asked: Desk) -> None:
    (_folder(asked) / "hf-gate.yaml").write_text("repos: [", "utf-8")
    answer = asked.visitor().get("/policies")
    assert answer.status == 200
    assert "hf-gate.yaml" in answer.body
    assert asked.visitor().get("/policies/house").status == 422


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


def test_the_list_of_tables_shows_those_that_a_member_may_know_of(two: Desk) -> None:
    mine, all_of_them = _near(two).get("/policies").body, two.visitor().get("/policies").body
    assert "<code>near</code>" in mine
    assert "<code>shared</code>" in mine
    assert "<code>far</code>" not in mine
    assert "<code>far</code>" in all_of_them
