"""Makes the changes that CONTRIBUTING.md describes in a copy of the package, in exactly the files that it names, and uses
what was added.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.testing import LocalHub
from tests.kits.command_line import CommandResult, Console
from tests.kits.paths import PACKAGE, ROOT

REPO: Final = "lumen-labs/lantern-7b-chat"


class Edit(NamedTuple):
    """A place in a file, and the text that replaces it. A new file has no place."""

    file: str
    place: str
    text: str


FIELD: Final = (
    Edit(
        "core/records.py",
        "    approvals: Annotated[\n        ApprovalsRecord | None,\n",
        '    answer_count: Annotated[Count, Meta(description="how many questions were answered")]\n'
        "    label: Annotated[str | None, Meta(description='null without a store')]\n"
        "    approvals: Annotated[\n        ApprovalsRecord | None,\n",
    ),
    Edit(
        "core/records.py",
        "    approvals: ApprovalsRecord | None = None\n",
        "    approvals: ApprovalsRecord | None = None\n    label: str | None = None\n",
    ),
    Edit(
        "requests/service/request_records.py",
        "        grant=details.grant,\n",
        "        answer_count=len(request.answers),\n        label=details.label,\n        grant=details.grant,\n",
    ),
    Edit(
        "grants/service/row_details.py",
        "approved.get(row.id))",
        'approved.get(row.id), f"attempt {row.state.attempt}")',
    ),
    Edit(
        "command_line/request_table.py",
        "    if any(row.approvals for row in rows):\n",
        '    columns.append(Column("COUNT", lambda row: str(row.answer_count)))\n'
        "    if any(row.approvals for row in rows):\n",
    ),
)
FACT: Final = (
    Edit(
        "policies/facts/fact_table.py",
        '    _fact("person.hidden", ',
        '    _fact("request.answer_count", _I, _CLAIMED, "request", "Number of answers."),\n    _fact("person.hidden", ',
    ),
    Edit(
        "policies/facts/fact_values.py",
        '    "person.hidden": ',
        '    "request.answer_count": lambda at: len(at.request.answers),\n    "person.hidden": ',
    ),
    Edit(
        "policies/words/phrases.py",
        '    "person.hidden": "whether',
        '    "request.answer_count": "number of answers",\n    "person.hidden": "whether',
    ),
    Edit(
        "policies/words/phrases.py",
        '    "person.models": _CountPhrases(',
        '    "request.answer_count": _CountPhrases("has answers", "no answers", "{} {}", "answer", "answers"),\n'
        '    "person.models": _CountPhrases(',
    ),
)
CHANNEL: Final = (
    Edit("core/letters/notices.py", '    APPRISE = "apprise"\n', '    APPRISE = "apprise"\n    SPOOL = "spool"\n'),
    Edit(
        "core/letters/notices.py",
        "    ChannelKind.APPRISE: (),\n",
        "    ChannelKind.APPRISE: (),\n    ChannelKind.SPOOL: (),\n",
    ),
    Edit(
        "messages/channels/channels.py",
        "from .webhook import Webhook\n",
        "from .spool import Spool\nfrom .webhook import Webhook\n",
    ),
    Edit(
        "messages/channels/channels.py",
        "    return Webhook(",
        "    if destination.kind is ChannelKind.SPOOL:\n"
        '        return Spool(secret(destination.address, "spool"))\n'
        "    return Webhook(",
    ),
    Edit(
        "messages/channels/spool.py",
        "",
        '''"""Appends notices to a file."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import OutgoingMessage


class Spool:
    """A file of messages, one a line."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def send(self, message: OutgoingMessage, sent_at: datetime, accepted: Sequence[str] = ()) -> Delivery:
        """Append a message."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(message))
        return Delivery(DeliveryKind.DELIVERED)
''',
    ),
)
EVENT: Final = (
    Edit(
        "core/events/events.py",
        "class PolicyPromoted(",
        '''class TopicWritten(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TopicWritten"):
    """A reviewer wrote what a request is about."""


class PolicyPromoted(''',
    ),
    Edit("core/events/events.py", "    | NoteWritten\n", "    | NoteWritten\n    | TopicWritten\n"),
    Edit(
        "core/events/event_descriptions.py",
        "    e.NoteWritten: lambda",
        "    e.TopicWritten: lambda _event, entry: f\"topic{entry.quote('topic')}\",\n    e.NoteWritten: lambda",
    ),
)
ATTRIBUTE: Final = (
    *EVENT,
    Edit(
        "store/database/schema.sql",
        "    reason TEXT,  -- the last",
        "    topic TEXT,\n    reason TEXT,  -- the last",
    ),
    Edit(
        "core/events/request_fields.py",
        '    "reason": RequestField(',
        '    "topic": RequestField("topic", erased=None, text="topic", event=e.TopicWritten, private="topic"),\n'
        '    "reason": RequestField(',
    ),
    Edit(
        "core/parsing/query.py",
        '    "reason": "the last',
        '    "topic": "what a reviewer says that it is about",\n    "reason": "the last',
    ),
    Edit(
        "core/stored_rows.py",
        "    has_notes: bool = False\n",
        "    has_notes: bool = False\n    topic: str | None = None\n",
    ),
    Edit(
        "core/records.py",
        "    verdict: Annotated[RecordedVerdict | None, Meta(",
        "    topic: str | None = None\n    verdict: Annotated[RecordedVerdict | None, Meta(",
    ),
    Edit(
        "requests/service/request_records.py",
        "    return _build_record(request, person, known.email or request.email, verdict, details, with_quality=with_quality)",
        "    record = _build_record(request, person, known.email or request.email, verdict, details, with_quality=with_quality)\n"
        "    return replace(record, topic=row.topic)",
    ),
    Edit(
        "requests/service/request_records.py",
        "from typing import TYPE_CHECKING\n",
        "from typing import TYPE_CHECKING\n\nfrom msgspec.structs import replace\n",
    ),
)
WRITE_TOPIC: Final = """
import sys
from contextlib import closing
from pathlib import Path
from hf_gate.core.events.events import LedgerEntry, TopicWritten
from hf_gate.workspace.rows.opening import open_store

with closing(open_store(Path(sys.argv[1]), endpoint=sys.argv[2], world=sys.argv[3])) as store:
    row = store.request(1)
    entry = LedgerEntry(
        event=TopicWritten(), at=1, actor="lena", request=row.id, person=row.person.id, private={"topic": sys.argv[4]}
    )
    with store.writing() as write:
        write.append(row.repo, [entry])
"""
LIMIT: Final = (Edit("core/requests.py", "REASON_LIMIT = 200\n", "REASON_LIMIT = 150\n"),)
CHANGES: Final[Mapping[str, tuple[tuple[Edit, ...], int]]] = {
    "1. A field of `ls`": (FIELD, 4),
    "2. A fact": (FACT, 4),
    "3. A channel for notices": (CHANNEL, 4),
    "4. The longest reason": (LIMIT, 1),
    "5. An event": (EVENT, 2),
    "6. An attribute of a request": (ATTRIBUTE, 8),
}
"""The edits of each described change, and how many files it may take."""


def find_described_files(heading: str) -> set[str]:
    """Return the files that CONTRIBUTING.md names for a change."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = page.partition(f"### {heading}\n")[2].partition("\n#")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def make_edits(edits: Iterable[Edit], folder: Path) -> None:
    for file, place, text in edits:
        path = folder / file
        source = path.read_text("utf-8") if place else ""
        assert source.count(place) == 1 or not place, f"{file} has no unique {place!r}"
        path.write_text(source.replace(place, text) if place else text, "utf-8")


class ChangedProgram(Console):
    """The program with all of the changes, run in a folder."""

    def __init__(self, hub: LocalHub, package: Path, folder: Path) -> None:
        super().__init__(hub)
        self.package = package
        self.folder = folder

    def spawn(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> CommandResult:
        return self.run_python("-m", "hf_gate", *args, stdin=stdin, env=env)

    def run_python(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> CommandResult:
        done = subprocess.run(
            [sys.executable, "-P", *args],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=self.folder,
            env=self.environment({"PYTHONPATH": str(self.package.parent), "COLUMNS": "200", **(env or {})}),
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def changed_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("changed") / PACKAGE.name
    shutil.copytree(PACKAGE, copy)
    for edits in (FIELD, FACT, CHANNEL, LIMIT, ATTRIBUTE):
        make_edits(edits, copy)
    return copy


@pytest.fixture
def program(fresh: LocalHub, changed_package: Path, tmp_path: Path) -> ChangedProgram:
    fresh.add_people([{"username": "ada-l"}])
    fresh.add_requests([{"repo": REPO, "user": "ada-l", "answers": {"Purpose": "to listen", "Job": "tester"}}])
    return ChangedProgram(fresh, changed_package, tmp_path)


@pytest.mark.parametrize("heading", CHANGES)
def test_a_described_change_takes_exactly_the_files_that_are_named(heading: str) -> None:
    edits, most = CHANGES[heading]
    described = {name.replace("<name>", "spool") for name in find_described_files(heading)}
    assert {edit.file for edit in edits} == described
    assert len(described) <= most
    assert all((PACKAGE / edit.file).is_file() for edit in edits if edit.place)


def test_a_new_field_of_ls_is_in_json_csv_the_table_and_the_schema(program: ChangedProgram) -> None:
    assert program.spawn("init", REPO).code == 0
    assert program.spawn("sync").code == 0
    (row,) = program.spawn("ls", REPO, "--json").json
    assert (row["answer_count"], row["label"]) == (2, "attempt 1")
    header = program.spawn("ls", REPO, "--format", "csv").out.splitlines()[0]
    assert {"answer_count", "label"} <= set(header.split(","))
    title, line = program.spawn("ls", REPO).out.splitlines()
    assert line.split()[title.split().index("COUNT")] == "2"
    assert "answer_count" in program.spawn("schema", "ls").out


def test_a_new_fact_is_accepted_computed_and_put_into_words(program: ChangedProgram) -> None:
    assert program.spawn("init", REPO).code == 0
    policy = program.folder / "policies" / "starter.yaml"
    policy.write_text(
        f"version: 1\npolicy: talkers\napplies_to: [{REPO}]\nmode: enforce\nrules:\n"
        "  - {id: talks, when: request.answer_count > 1 && request.answer_count < 3, then: human}\n"
        "tests:\n  - {name: two, facts: {request.answer_count: 2}, want: {then: human, rule: talks}}\n",
        "utf-8",
    )
    checked = program.spawn("policy", "check")
    assert checked.code == 0, checked.out + checked.err
    assert program.spawn("sync").code == 0
    explained = program.spawn("explain", f"ada-l@{REPO}")
    assert explained.code == 0, explained.err
    assert "talks" in explained.out
    assert "more than 1 answer" in explained.out


def test_a_new_channel_is_parsed_and_delivers(program: ChangedProgram) -> None:
    assert program.spawn("init", REPO).code == 0
    settings = program.folder / "hf-gate.yaml"
    written = settings.read_text("utf-8").partition("notify:")[0]
    settings.write_text(f"{written}notify: [{{name: office, spool: env:SPOOL}}]\n", "utf-8")
    spool = program.folder / "messages.jsonl"
    sent = program.spawn("messages", "test", env={"SPOOL": str(spool)})
    assert (sent.code, sent.out) == (0, "office: delivered\n"), sent.err
    assert json.loads(spool.read_bytes())["subject"] == "hf-gate: test"
    settings.write_text(f"{written}notify: [{{name: office, spool: env:SPOOL, key: env:KEY}}]\n", "utf-8")
    refused = program.spawn("messages", "test")
    assert "`key` does not belong to spool" in refused.err


def test_a_new_attribute_is_stored_found_shown_exported_and_erased(program: ChangedProgram) -> None:
    assert program.spawn("init", REPO).code == 0
    assert program.spawn("sync").code == 0
    place = str(program.folder / "desk.db")
    world = get_world_id(program.hub.url)
    assert world is not None
    wrote = program.run_python("-c", WRITE_TOPIC, place, program.hub.url, world, "Tides")
    assert wrote.code == 0, wrote.err
    (found,) = program.spawn("ls", REPO, "--query", "topic:tid*", "--json").json
    assert (found["user"], found["topic"]) == ("ada-l", "Tides")
    assert program.spawn("ls", REPO, "--query", "topic:sand", "--json").json == []
    assert 'topic "Tides"' in program.spawn("show", f"ada-l@{REPO}").out
    exported = program.spawn("person", "export", "ada-l", "--json")
    assert exported.json["requests"][0]["topic"] == "Tides", exported.err
    assert program.spawn("person", "erase", "ada-l", "--yes").code == 0
    (erased,) = program.spawn("ls", REPO, "--json").json
    assert erased["topic"] is None
    assert program.spawn("audit", "verify").code == 0


def test_a_new_attribute_takes_few_statements(tmp_path: Path) -> None:
    for name in {edit.file for edit in ATTRIBUTE}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / name)
    before = _count_statements(tmp_path)
    make_edits(ATTRIBUTE, tmp_path)
    assert 0 < _count_statements(tmp_path) - before <= 20


def _count_statements(folder: Path) -> int:
    trees = [ast.parse(path.read_text("utf-8")) for path in folder.rglob("*.py")]
    return sum(isinstance(node, ast.stmt) for tree in trees for node in ast.walk(tree))


def test_another_longest_reason_holds_in_commands_and_policies(program: ChangedProgram) -> None:
    too_long = program.spawn("reset", f"ada-l@{REPO}", "--reason", "x" * 151, "--yes")
    assert (too_long.code, "the Hub allows 150" in too_long.err) == (2, True)
    assert program.spawn("reset", f"ada-l@{REPO}", "--reason", "x" * 150, "--yes").code == 0
