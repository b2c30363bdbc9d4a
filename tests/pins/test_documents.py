"""Pins what --json prints: the keys and types of the documents of one small workspace, a command after another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access
from tests.kits.golden_files import check_golden, describe_shape

SETTINGS = f"""\
version: 1
repos: [{MODEL}]
policies: [policies/*.yaml]
tables: {{partners: {{file: tables/partners.csv, key: username}}}}
store: sqlite:///gate.db
retention: {{rejected: 180d}}
"""
RULES = f"""\
version: 1
policy: model
applies_to: [{MODEL}]
mode: enforce
rules:
  - {{id: partner, when: tables.partners, then: accept, until: 30d}}
  - {{id: thin, when: 'answers.purpose.quality in ["empty", "junk"]', then: reset, reason: Please write what you will study.}}
  - {{id: rest, then: human}}
"""
SCRIPT = """\
version
sync
ls
ls --status all
show ada-l@MODEL
explain ada-l@MODEL
explain dee@MODEL
status
plan --out plan.json
apply plan.json --yes
accept fay@MODEL --until none --note known
reject gus@MODEL --reason no --yes
reset hal@MODEL --reason who
ls --status all
show ada-l@MODEL
ends ls
runs ls
undo
report access
report overview
repos ls
repos show MODEL
form check MODEL
person ls
person show fay
person export fay
person erase gus --yes
policy check
policy show MODEL
table ls
table show partners
table add partners username=gus
table remove partners gus
audit verify
audit ls MODEL
audit show desk#1
messages ls
store check
store retention
run --once
doctor MODEL
status
why MODEL
""".replace("MODEL", MODEL)


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "hf-gate.yaml": SETTINGS,
        "policies/model.yaml": RULES,
        "tables/partners.csv": "username\nada-l\nbob99\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return Console(LocalHub(requests=0))


def test_the_keys_and_types_of_each_document(console: Console) -> None:
    with console.hub:
        request_access(
            console.hub, ["ada-l", "bob99", "dee", "fay", "gus", "hal"], answers={"Purpose": "to study sleep"}
        )
        request_access(console.hub, ["ida"], answers={"Purpose": "asdf"})
        lines = list[str]()
        for command in SCRIPT.splitlines():
            ended = console.run(*command.split(), "--json")
            documents = [json.loads(ended.out)] if ended.out.strip() else []
            shapes = sorted(set[str]().union(*map(describe_shape, documents)))
            lines += [f"$ hf-gate {command} --json", *shapes, f"exit {ended.code}", ""]
    check_golden("documents.txt", lines)
