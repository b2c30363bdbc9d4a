"""What the commands print: every --json parses and fits its schema; each format; and no text from outside acts, hides or reorders."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, HOSTILE, MODEL, PROGRAM, Console, request_access

DOCUMENTS = [
    ("ls", ["ls", MODEL, DATASET, "--status", "all"]),
    ("ls", ["ls", "--status", "reset"]),
    ("repos-ls", ["repos", "ls"]),
    ("repos-show", ["repos", "show", MODEL]),
    ("form-check", ["form", "check", DATASET]),
    ("doctor", ["doctor", MODEL, "lumen-labs/nothing-here"]),
    ("version", ["version"]),
    ("verbs", ["accept", f"nobody-of-that-name@{MODEL}", "--dry-run"]),
]
DANGER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def hostile() -> Iterator[LocalHub]:
    """One person whose name, e-mail and answer would act on a terminal, a spreadsheet and a reader."""
    with LocalHub(requests=0) as hub:
        hub.add_people([{"username": "mallory", "fullname": HOSTILE, "email": "=1+1@example.org"}])
        request_access(hub, ["mallory"], answers={HOSTILE: HOSTILE, "Purpose": "a\nb\tc"})
        yield hub


@pytest.mark.parametrize(("name", "args"), DOCUMENTS, ids=[" ".join(args) for _, args in DOCUMENTS])
def test_every_json_document_parses_and_fits_its_schema(crowded_hub: LocalHub, name: str, args: list[str]) -> None:
    console = Console(crowded_hub)
    schema = json.loads(console.run("schema", name).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for flags in (["--json"], ["--format", "json"]):
        jsonschema.validate(console.run(*args, *flags).json, schema)


def test_how_many_wait_is_said_as_far_as_it_is_known_and_cheap(crowded_hub: LocalHub) -> None:
    console = Console(crowded_hub)
    calls = crowded_hub.stats()["calls"].get("GET list", 0)
    last = console.run("ls", MODEL, "--limit", "2").err.splitlines()[-1]
    assert crowded_hub.stats()["calls"]["GET list"] == calls + 1
    assert last == "Showing 2 of 109 (pending, newest first, from the Hub just now). All: --all"
    assert console.run("ls", MODEL, "--limit", "0").out == "--limit is 0.\n"
    several = console.run("ls", MODEL, DATASET).err.splitlines()[-2:]
    assert several[0].startswith("Showing 30 of at least 109 (pending, newest first")
    assert several[1] == "1 more list not read yet. All: --all"
    whole = console.run("ls", MODEL, DATASET, "--all").err.splitlines()[-1]
    assert "(pending, newest first in each list" in whole
    assert "more" not in whole
    assert "Showing" not in console.run("ls", MODEL, "--json", "--limit", "2").err


def test_the_repo_stands_in_the_table_unless_one_alone_was_named(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l"])
    console = Console(fresh)
    for args, has_repo, has_status in (
        ([MODEL], False, False),
        ([MODEL, MODEL], False, False),
        ([MODEL, DATASET], True, False),
        ([], True, False),
        ([MODEL, "--status", "pending,accepted"], False, True),
    ):
        head, row = console.run("ls", *args).out.splitlines()
        assert ("REPO" in head.split(), "STATUS" in head.split()) == (has_repo, has_status), args
        assert (MODEL in row.split(), "pending" in row.split()) == (has_repo, has_status), args
    assert console.run("ls", DATASET).out == f"No pending requests at {DATASET}.\n"


def test_quiet_prints_ids_that_are_targets_again(fresh: LocalHub) -> None:
    ids = request_access(fresh, ["ada-l", "bob99"])
    console = Console(fresh)
    listed = console.run("ls", MODEL, "-q")
    assert sorted(listed.out.split()) == sorted(ids.values())
    assert console.run("accept", "-", "--repo", MODEL, "--yes", "-q", stdin=listed.out).code == 0


def test_agents_get_tabs_whole_times_and_a_warning_about_what_strangers_wrote(hostile: LocalHub) -> None:
    header, row = Console(hostile).run("ls", MODEL, "--format", "agent").out.splitlines()
    assert "untrusted_answers" in header.split("\t")
    assert "untrusted_fullname" in header.split("\t")
    assert len(header.split("\t")) == len(row.split("\t"))
    user = row.split("\t")[header.split("\t").index("user")]
    shown = Console(hostile).run("show", f"{user}@{MODEL}", "--format", "agent").out
    marked = {line.partition("\t")[0] for line in shown.splitlines()}
    assert {"untrusted_fullname", "untrusted_answers"} < marked
    assert marked.isdisjoint({"fullname", "answers"})
    assert Console(hostile).run("ls", MODEL, "--limit", "1", stdin="").out.startswith("AGE")
    by_itself = Console(hostile).run("ls", MODEL, env={"AI_AGENT": "some-agent"})
    assert by_itself.out.startswith("repo\t")


@pytest.mark.parametrize("name", ["human", "agent", "json", "jsonl", "csv", "quiet"])
@pytest.mark.parametrize(
    "args",
    [["ls", MODEL], ["show", f"mallory@{MODEL}"]],
    ids=lambda args: " ".join(args[:2]),
)
def test_nothing_from_outside_acts_on_a_terminal_in_any_format(hostile: LocalHub, args: list[str], name: str) -> None:
    for flags in (["--format", name], ["--format", name, "--color", "always", "--no-truncate"]):
        ended = Console(hostile).run(*args, *flags)
        assert ended.code == 0, ended.err
        bare = re.sub(r"\x1b\[\d+m", "", ended.out + ended.err) if "always" in flags else ended.out + ended.err
        assert not DANGER.search(bare)
        assert "\x1b[31mEvil" not in ended.out


def test_no_cell_of_a_csv_is_a_formula_and_each_answer_has_its_column(hostile: LocalHub) -> None:
    rows = list(csv.DictReader(io.StringIO(Console(hostile).run("ls", MODEL, "--format", "csv").out)))
    assert rows[0]["email"] == "'=1+1@example.org"
    assert rows[0]["answers.Purpose"] == "a\nb\tc"
    assert not [cell for cell in rows[0].values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_an_error_that_quotes_outside_text_is_one_visible_line(hostile: LocalHub) -> None:
    ended = Console(hostile).run("ls", f"a/{HOSTILE}")
    assert ended.code == 2
    assert not DANGER.search(ended.err)
    assert len(ended.err.splitlines()) == 2


def test_a_listing_that_is_not_proved_whole_warns_and_is_exit_5(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l", "bob99"])
    fresh.set_faults(["bad_record:on=list"])
    ended = Console(fresh).run("ls", MODEL, "--json")
    assert (ended.code, "not proved complete" in ended.err) == (5, True)
    assert re.search(r"^Warning: unreadable record \([^)]+\): \{\"requestId\"", ended.err, re.MULTILINE)
    assert isinstance(ended.json, list)
    allowed = Console(fresh).run("ls", MODEL, "--json", "--allow-incomplete")
    assert (allowed.code, "not proved complete" in allowed.err) == (0, True)


def test_colours_are_for_terminals_that_want_them(crowded_hub: LocalHub) -> None:
    console = Console(crowded_hub)
    assert "\x1b" not in console.run("ls", MODEL).out
    assert "\x1b[1m" in console.run("ls", MODEL, env={"FORCE_COLOR": "1"}).out
    assert "\x1b" not in console.run("ls", MODEL, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).out


def test_a_reader_that_has_enough_is_no_error(crowded_hub: LocalHub) -> None:
    ls = subprocess.Popen(
        [*PROGRAM, "ls", MODEL, "--status", "all", "--format", "jsonl"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=Console(crowded_hub).environment(),
    )  # fmt: skip
    assert ls.stdout is not None
    assert ls.stderr is not None
    ls.stdout.close()
    assert ls.stderr.read() == b"%s as lena-brandt\n" % crowded_hub.url.removeprefix("http://").encode()
    ls.stderr.close()
    assert ls.wait(30) == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_names_survive_whatever_encoding_the_terminal_has(crowded_hub: LocalHub, encoding: str) -> None:
    ended = subprocess.run(
        [*PROGRAM, "ls", MODEL, "--all"],
        capture_output=True, env={**Console(crowded_hub).environment(), "PYTHONIOENCODING": encoding}, check=True,
    )  # fmt: skip
    assert ended.stdout.decode(encoding)
