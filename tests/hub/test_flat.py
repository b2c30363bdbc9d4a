"""Requests as flat rows: the same columns in each, whatever the requesters sent."""

from __future__ import annotations

import json

from hf_gate.base.ids import Person
from hf_gate.hub.flat_rows import ANSWER_COLUMNS, OTHERS, flat_rows
from tests.kits.requests import AT, make_request


def test_each_row_has_every_column_and_an_absent_answer_is_not_an_empty_one() -> None:
    granter = Person("c" * 24, "lena")
    rows = flat_rows([
        make_request("ada", {"Purpose": "sleep"}, email="ada@example.org"),
        make_request("bob", {"Country": "", "Purpose": "x"}),
        make_request(None, granted_by=granter, reviewed_at=AT),
    ])  # fmt: skip
    assert [list(row) for row in rows] == [list(rows[0])] * 3
    assert list(rows[0])[-2:] == ["answer: Purpose", "answer: Country"]
    assert [row["answer: Country"] for row in rows] == [None, "", None]
    assert [(row["user"], row["user_id"], row["email"]) for row in rows] == [
        ("ada", "a" * 24, "ada@example.org"),
        ("bob", "a" * 24, None),
        (None, None, None),
    ]
    assert [row["granted_by"] for row in rows] == [None, None, "lena"]
    assert (rows[0]["asked_at"], rows[2]["reviewed_at"], rows[0]["reviewed_at"]) == (AT, AT, None)
    assert type(rows[0]["status"]) is str


def test_no_rows_have_no_columns() -> None:
    assert flat_rows([]) == []


def test_a_label_may_be_called_as_a_column_is() -> None:
    row = flat_rows([make_request("ada", {"user": "x", OTHERS: "y"})])[0]
    assert (row["user"], row["answer: user"], row[f"answer: {OTHERS}"]) == ("ada", "x", "y")
    assert OTHERS not in row


def test_labels_that_requesters_invent_do_not_become_columns_without_end() -> None:
    noisy = [make_request(f"n{n}", {f"noise {n} {m}": "x" for m in range(50)}) for n in range(20)]
    rows = flat_rows([*noisy, make_request("ada", {"Purpose": "sleep"}), make_request("bob", {"Purpose": "teach"})])
    assert {len(row) for row in rows} == {11 + ANSWER_COLUMNS + 1}
    assert [row["answer: Purpose"] for row in rows[-2:]] == ["sleep", "teach"]
    assert rows[-1][OTHERS] is None
    kept = sum(value == "x" for row in rows for value in row.values())
    assert kept + sum(len(json.loads(str(row[OTHERS]))) for row in rows if row[OTHERS]) == 20 * 50
