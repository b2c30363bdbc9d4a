"""Records as files: one column for each question, bounded whatever requesters send, and little memory for many rows."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from hf_gate.core.records import Record, RequestRecord, RunRecord
from hf_gate.requests.service.record_files import MAX_COLUMNS, csv_lines, json_array, json_lines, spool
from hf_gate.requests.service.request_records import request_record
from tests.kits.requests import make_request


def _table(kind: type[Record], records: Iterable[Record]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_lines(kind, records)))))


def _requests(count: int) -> Iterator[RequestRecord]:
    return (request_record(make_request("ada", {"Purpose": f"{n} " * 600}), with_quality=False) for n in range(count))


def test_labels_that_requesters_invent_do_not_become_columns_without_end() -> None:
    requests = [make_request("ada", {"Purpose": "sleep", f"invented {n}": "x"}) for n in range(MAX_COLUMNS + 50)]
    rows = _table(RequestRecord, map(request_record, requests))
    assert sum(key.startswith("answers.") for key in rows[0]) == MAX_COLUMNS
    assert {row["answers.Purpose"] for row in rows} == {"sleep"}
    others = [json.loads(row["other answers"]) for row in rows if row["other answers"]]
    assert len(others) == 51
    assert {text for each in others for text in each.values()} == {"x"}


def test_counts_have_a_column_each_and_no_row_still_has_a_header() -> None:
    run = RunRecord(
        run="r_1",
        kind="plan",
        state="ended",
        actor="lena",
        made_at="",
        plan=None,
        planned=3,
        counts={"done": 2, "open": 1},
    )
    (row,) = _table(RunRecord, [run])
    assert (row["counts.done"], row["counts.open"]) == ("2", "1")
    assert "".join(csv_lines(RunRecord, [])) == "run,kind,state,actor,made_at,plan,planned\n"
    assert "".join(json_array([])) == "[]\n"


@pytest.mark.parametrize("form", ["json", "csv"])
def test_many_rows_take_no_more_memory_than_few(form: str) -> None:
    records = _requests(5_000)
    lines = json_array(records) if form == "json" else csv_lines(RequestRecord, records)
    tracemalloc.start()
    with spool(map(str.encode, lines)) as file:
        size, (_, peak) = file.seek(0, 2), tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 10_000_000
    assert peak < 6_000_000


def test_half_a_character_stops_no_file() -> None:
    record = request_record(make_request("ada", {"Purpose": "half \ud800"}))
    assert json.loads("".join(json_lines([record])))["answers"]["Purpose"] == "half \ud800"
    (row,) = _table(RequestRecord, [record])
    assert row["answers.Purpose"] == "half ⟨U+D800⟩"
